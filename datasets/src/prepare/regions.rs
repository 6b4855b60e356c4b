//! Area and box of every value of a label map, in one pass over its rows.

/// The pixels of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// Pixels.
    pub(super) area: u64,
    left: u32,
    right: u32, // last column inside
    top: u32,
    bottom: u32, // last row inside
}

impl Region {
    /// `[x, y, width, height]` in pixels.
    pub(super) fn bbox(&self) -> [u32; 4] {
        [self.left, self.top, self.right - self.left + 1, self.bottom - self.top + 1]
    }
}

/// The regions of row-major pixels, by value in ascending order. Values index a table: for 8 and 16 bits.
pub(super) fn regions<T: Copy + Eq + Into<usize>>(width: usize, pixels: &[T]) -> Vec<(usize, Region)> {
    let mut table: Vec<Option<Region>> = Vec::new();
    for (row, line) in (0u32..).zip(pixels.chunks_exact(width.max(1))) {
        let mut start = 0;
        for run in line.chunk_by(|a, b| a == b) {
            let value: usize = run[0].into(); // runs are never empty
            let end = start + run.len() as u32;
            if value >= table.len() {
                table.resize(value + 1, None);
            }
            let empty = Region { area: 0, left: u32::MAX, right: 0, top: row, bottom: row };
            let region = table[value].get_or_insert(empty);
            region.area += run.len() as u64;
            region.left = region.left.min(start);
            region.right = region.right.max(end - 1);
            region.bottom = row;
            start = end;
        }
    }
    table.into_iter().enumerate().filter_map(|(value, region)| Some((value, region?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_boxes_by_hand() {
        let map = [7u16, 7, 300, /**/ 0, 300, 7];
        let found: Vec<_> =
            regions(3, &map).into_iter().map(|(value, region)| (value, region.area, region.bbox())).collect();
        assert_eq!(found, [(0, 1, [0, 1, 1, 1]), (7, 3, [0, 0, 3, 2]), (300, 2, [1, 0, 2, 2])]);
        assert!(regions::<u8>(0, &[]).is_empty());
    }
}
