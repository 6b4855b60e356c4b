//! The boundaries of all segments of a map in one pass.

/// Marks a pixel inside a segment; no id, as ids are below 2^24.
pub const INNER: u32 = u32::MAX;

/// Buffers of [`Outline::of`], kept from map to map.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    /// Per column: how many rows in turn, up to the current one, have the same id here and only that id in a window
    /// around. `[W]`
    streak: Vec<u32>,
    result: Vec<u32>,
}

impl Outline {
    /// The map with every pixel replaced by [`INNER`] whose neighbours within `distance` in both directions are all there
    /// and have its id, unless the id is `keep`. `[H, W]`
    ///
    /// What remains of a segment is its boundary as [`crate::boundary::Boundary`] has it for one mask.
    pub fn of(&mut self, map: &[u32], width: usize, distance: usize, keep: Option<u32>) -> &[u32] {
        self.result.clear();
        self.result.extend_from_slice(map);
        let window = 2 * distance + 1;
        self.streak.clear();
        self.streak.resize(width, 0);
        let mut above: &[u32] = &[];
        for (y, row) in map.chunks_exact(width.max(1)).enumerate() {
            let mut run = 0;
            let mut last = None;
            for (x, &id) in row.iter().enumerate() {
                run = if last == Some(id) { run + 1 } else { 1 };
                last = Some(id);
                let Some(centre) = x.checked_sub(distance) else { continue };
                let streak = &mut self.streak[centre];
                *streak = match above.get(centre) {
                    _ if run < window => 0,
                    Some(&up) if up == id => *streak + 1,
                    _ => 1,
                };
            }
            above = row;
            let Some(centre) = y.checked_sub(distance) else { continue };
            let out = &mut self.result[centre * width..(centre + 1) * width];
            for (id, &streak) in out.iter_mut().zip(&self.streak) {
                if streak as usize >= window && Some(*id) != keep {
                    *id = INNER;
                }
            }
        }
        &self.result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boundary::Boundary;

    proptest! {
        #[test]
        fn equals_the_boundary_of_every_segment(
            (width, map) in (1usize..16, 1usize..16).prop_flat_map(|(h, w)| {
                (Just(w), prop::collection::vec((0u32..30).prop_map(|v| v / 14), h * w))
            }),
            distance in 1usize..4,
        ) {
            let mut outline = Outline::default();
            let got = outline.of(&map, width, distance, Some(0)).to_vec();
            for id in 0..3 {
                let mask: Vec<u8> = map.iter().map(|&v| u8::from(v == id)).collect();
                let mut boundary = Boundary::new();
                let expected = boundary.of(&mask, map.len() / width, width, distance).unwrap();
                let expected = if id == 0 { &mask } else { expected };
                let got: Vec<u8> = got.iter().map(|&v| u8::from(v == id)).collect();
                prop_assert_eq!(got.as_slice(), expected);
            }
        }
    }
}
