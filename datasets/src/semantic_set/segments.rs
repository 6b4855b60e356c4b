//! Panoptic PNGs as label maps: the category of every pixel's segment.

use std::path::Path;

use ndarray::Array2;

use crate::DataError;
use crate::label_png::LabelPng;
use crate::sample::LabelMap;

/// Segment id of pixels of no segment.
const VOID: u32 = 0;

/// The segments of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentTable(Box<[(u32, u8)]>);

impl SegmentTable {
    /// Takes segment ids, each once and none of them 0, with their categories.
    pub(super) fn new(mut segments: Vec<(u32, u8)>) -> Self {
        segments.sort_unstable();
        Self(segments.into())
    }

    /// `[H, W]` categories; 0 where there is no segment.
    ///
    /// # Errors
    /// A file that cannot be decoded, or that has a segment which is not in the table.
    pub(super) fn decode(&self, path: &Path) -> Result<LabelMap, DataError> {
        let mut decoder = LabelPng::new();
        let map = decoder.ids(path)?;
        let (pixels, unlisted) = map.relabel(0, |id| self.category(id));
        if let Some((id, count)) = unlisted.into_iter().max_by_key(|(_, count)| *count) {
            let listed = self.0.len();
            return Err(DataError::image(
                path,
                format!(
                    "segment id {id} in {count} pixels, expected 0 or one of the {listed} that the JSON lists for this image"
                ),
            ));
        }
        let size = (map.height, map.width);
        Array2::from_shape_vec(size, pixels)
            .map_err(|_| DataError::image(path, "damaged: its pixels do not fill the image"))
    }

    fn category(&self, id: u32) -> Option<u8> {
        if id == VOID {
            return Some(0);
        }
        let at = self.0.binary_search_by_key(&id, |segment| segment.0).ok()?;
        Some(self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_found_by_id() {
        let table = SegmentTable::new(vec![(70_000, 3), (5, 200), (4, 1)]);
        let found = [0, 4, 5, 70_000, 6, u32::MAX].map(|id| table.category(id));
        assert_eq!(found, [Some(0), Some(1), Some(200), Some(3), None, None]);
    }
}
