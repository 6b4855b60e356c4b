//! Names beside points: each where it covers neither another name nor a point.

/// A rectangle in pixels: top, left, bottom, right, the last two exclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) top: f32,
    pub(super) left: f32,
    pub(super) bottom: f32,
    pub(super) right: f32,
}

impl Rect {
    fn meets(&self, other: &Self) -> bool {
        self.top < other.bottom
            && other.top < self.bottom
            && self.left < other.right
            && other.left < self.right
    }

    fn inside(&self, other: &Self) -> bool {
        self.top >= other.top
            && self.left >= other.left
            && self.bottom <= other.bottom
            && self.right <= other.right
    }
}

/// A point that wants a name of this size beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tagged {
    /// (y, x)
    pub(super) at: (f32, f32),
    pub(super) radius: f32,
    /// Height and width of the name.
    pub(super) size: (f32, f32),
}

/// Directions (y, x) from a point in which its name is tried, best first.
const AROUND: [(f32, f32); 8] =
    [(0.0, 1.0), (0.0, -1.0), (-1.0, 0.0), (1.0, 0.0), (-0.8, 0.8), (0.8, 0.8), (-0.8, -0.8), (0.8, -0.8)];
/// Gaps between point and name that are tried, nearest first; from the second on the two want a line between them.
const GAPS: [f32; 5] = [3.0, 14.0, 26.0, 42.0, 62.0];
/// What a name keeps free around itself.
const AIR: f32 = 1.0;

/// A place for each name inside `bounds`, if one is free; whether a line should join it to its point.
///
/// Names are placed in order of the points, so those that matter most come first.
pub(super) fn place(points: &[Tagged], bounds: Rect) -> Vec<Option<(Rect, bool)>> {
    let discs: Vec<Rect> = points.iter().map(|point| around(point.at, point.radius)).collect();
    let mut taken: Vec<Rect> = Vec::new();
    let mut places = Vec::with_capacity(points.len());
    for point in points {
        let free =
            |rect: &Rect| rect.inside(&bounds) && !taken.iter().chain(&discs).any(|other| rect.meets(other));
        let tries = GAPS.iter().enumerate().flat_map(|(far, gap)| {
            AROUND.iter().map(move |&direction| (beside(point, direction, *gap), far > 0))
        });
        let found = tries.into_iter().find(|(rect, _)| free(rect));
        taken.extend(found.map(|(rect, _)| Rect {
            top: rect.top - AIR,
            left: rect.left - 2.0 * AIR,
            bottom: rect.bottom + AIR,
            right: rect.right + 2.0 * AIR,
        }));
        places.push(found);
    }
    places
}

fn around((y, x): (f32, f32), radius: f32) -> Rect {
    Rect { top: y - radius, left: x - radius, bottom: y + radius, right: x + radius }
}

/// The name in a direction from its point.
fn beside(point: &Tagged, (down, right): (f32, f32), gap: f32) -> Rect {
    let (height, width) = point.size;
    let reach = point.radius + gap;
    let y = point.at.0 + down * (reach + height / 2.0);
    let x = point.at.1 + right * (reach + width / 2.0);
    Rect { top: y - height / 2.0, left: x - width / 2.0, bottom: y + height / 2.0, right: x + width / 2.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Rect = Rect { top: 0.0, left: 0.0, bottom: 300.0, right: 400.0 };

    #[test]
    fn a_lone_name_stands_at_the_right_and_at_the_edge_at_the_left() {
        let point = |x| Tagged { at: (100.0, x), radius: 4.0, size: (10.0, 50.0) };
        let place = |x| place(&[point(x)], BOUNDS)[0].unwrap();
        assert_eq!(place(200.0).0.left, 207.0);
        assert_eq!(place(380.0).0.right, 373.0);
        assert!(!place(200.0).1);
    }

    proptest! {
        #[test]
        fn names_never_cover_names_or_points(
            places in prop::collection::vec((0f32..300.0, 0f32..400.0, 5f32..120.0), 1..60),
        ) {
            let points: Vec<Tagged> = places.iter()
                .map(|&(y, x, width)| Tagged { at: (y, x), radius: 4.0, size: (12.0, width) })
                .collect();
            let placed = place(&points, BOUNDS);
            prop_assert_eq!(placed.len(), points.len());
            let rects: Vec<Rect> = placed.into_iter().flatten().map(|(rect, _)| rect).collect();
            for (i, rect) in rects.iter().enumerate() {
                prop_assert!(rect.inside(&BOUNDS));
                prop_assert!(rects[..i].iter().all(|other| !rect.meets(other)));
                prop_assert!(points.iter().all(|point| !rect.meets(&around(point.at, point.radius))));
            }
        }
    }
}
