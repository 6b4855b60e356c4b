//! The segment lists of an image, as they count.

use super::input::{GtSegment, PredSegment};

/// A segment: what the last entry with its id says, in the place of the first.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    pub id: i64,
    /// Position in the list.
    pub place: usize,
    pub category_id: i64,
    /// Position among the classes; `None` for a category that is not one.
    pub class: Option<usize>,
    /// As stated; `None` for predictions, whose pixels are counted.
    pub stated_area: Option<u64>,
    pub is_crowd: bool,
    /// Pixels in the map.
    pub pixels: u64,
    /// Pixels of its boundary.
    pub boundary: u64,
    /// Of a prediction: pixels on void ground truth.
    pub void: u64,
    /// Of a prediction: pixels of its boundary on void ground truth.
    pub boundary_void: u64,
    pub matches: u32,
}

impl Listed {
    /// What counts as its area.
    pub fn area(&self) -> i64 {
        self.stated_area.unwrap_or(self.pixels) as i64 // at most 2^53
    }
}

/// What a segment list states.
pub trait Stated {
    fn id(&self) -> i64;
    fn category_id(&self) -> i64;
    fn area(&self) -> Option<u64>;
    fn is_crowd(&self) -> bool;
}

impl Stated for GtSegment {
    fn id(&self) -> i64 {
        self.id
    }
    fn category_id(&self) -> i64 {
        self.category_id
    }
    fn area(&self) -> Option<u64> {
        Some(self.area)
    }
    fn is_crowd(&self) -> bool {
        self.is_crowd
    }
}

impl Stated for PredSegment {
    fn id(&self) -> i64 {
        self.id
    }
    fn category_id(&self) -> i64 {
        self.category_id
    }
    fn area(&self) -> Option<u64> {
        None
    }
    fn is_crowd(&self) -> bool {
        false
    }
}

/// Fills `out` with the segments in order of their ids; calls `twice` for every entry that an id has too many.
pub fn list<S: Stated>(
    segments: &[S],
    class_of: impl Fn(i64) -> Option<usize>,
    out: &mut Vec<Listed>,
    mut twice: impl FnMut(i64),
) {
    out.clear();
    out.extend(segments.iter().enumerate().map(|(place, segment)| Listed {
        id: segment.id(),
        place,
        category_id: segment.category_id(),
        class: class_of(segment.category_id()),
        stated_area: segment.area(),
        is_crowd: segment.is_crowd(),
        pixels: 0,
        boundary: 0,
        void: 0,
        boundary_void: 0,
        matches: 0,
    }));
    out.sort_unstable_by_key(|segment| (segment.id, segment.place));
    out.dedup_by(|later, kept| {
        let same = later.id == kept.id;
        if same {
            *kept = Listed { place: kept.place, ..*later };
            twice(later.id);
        }
        same
    });
}

/// Position of an id of the map in the sorted list.
pub fn find(list: &[Listed], id: u32) -> Option<usize> {
    list.binary_search_by_key(&i64::from(id), |segment| segment.id).ok()
}
