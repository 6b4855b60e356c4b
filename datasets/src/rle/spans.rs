//! A mask as the list of its set spans: what areas, boxes and overlaps are counted on, without a pixel being decoded.

use super::compressed::read_runs;
use super::{Rle, pixels_of, wrong_sum};
use crate::error::DataError;
use crate::polygon::Outline;

/// Set pixels `start..end`, counted down the columns; never empty.
pub type Span = [u32; 2];

/// The set spans of one mask with its area and box, in buffers that are kept from mask to mask.
///
/// ```
/// use smalti_datasets::rle::{Spans, overlap};
/// let (mut left, mut both) = (Spans::new(), Spans::new());
/// left.read_counts([2, 4], &[0, 4, 4])?; // the two left columns
/// both.read_counts([2, 4], &[2, 4, 2])?; // the two in the middle
/// assert_eq!((left.area(), both.bbox()), (4, [1, 0, 2, 2]));
/// assert_eq!(overlap(left.spans(), both.spans()), 2);
/// # Ok::<(), smalti_datasets::DataError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Spans {
    size: [u32; 2],
    ones: Vec<Span>,
    empty_runs: Vec<u32>,
    area: u32,
    bbox: [u32; 4],
    outline: Outline,
}

impl Spans {
    /// An empty mask of no size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Height and width.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The spans from first to last; they do not overlap, but may touch.
    pub fn spans(&self) -> &[Span] {
        &self.ones
    }

    /// Where runs of length 0 lie, apart from the first run, which often is one. Masks as tools write them have none.
    pub fn empty_runs(&self) -> &[u32] {
        &self.empty_runs
    }

    /// Number of set pixels.
    pub fn area(&self) -> u32 {
        self.area
    }

    /// Tight box `[x, y, width, height]` in pixels; all 0 for an empty mask.
    pub fn bbox(&self) -> [u32; 4] {
        self.bbox
    }

    /// Reads run lengths, zeros first; `size` is `[H, W]`.
    ///
    /// # Errors
    /// [`DataError::Rle`] as of [`Rle::new`]; the mask is then empty.
    pub fn read_counts(&mut self, size: [u32; 2], counts: &[u32]) -> Result<(), DataError> {
        self.clear(size);
        let pixels = pixels_of(size)?;
        let sum: u64 = counts.iter().map(|&run| u64::from(run)).sum();
        if sum != pixels {
            return Err(wrong_sum(size, sum));
        }
        self.take(counts);
        Ok(())
    }

    /// Takes the runs of a mask.
    pub fn read_rle(&mut self, rle: &Rle) {
        self.clear(rle.size());
        self.take(rle.counts());
    }

    /// Runs that are known to cover the mask.
    fn take(&mut self, counts: &[u32]) {
        let mut position = 0;
        for (i, &run) in counts.iter().enumerate() {
            let start = position;
            position += run;
            if run == 0 && i > 0 {
                self.empty_runs.push(start);
            } else if i % 2 == 1 {
                self.ones.push([start, position]);
            }
        }
        self.measure();
    }

    /// Reads the compressed form; `size` is `[H, W]`.
    ///
    /// # Errors
    /// [`DataError::Rle`] as of [`Rle::from_compressed`]; the mask is then empty.
    pub fn read_compressed(&mut self, size: [u32; 2], text: &str) -> Result<(), DataError> {
        self.clear(size);
        let (spans, empty_runs) = (&mut self.ones, &mut self.empty_runs);
        let mut position = 0;
        let mut set = false;
        let mut is_first = true;
        let read = read_runs(size, text, |run| {
            let start = position;
            position += run;
            if run == 0 {
                if !is_first {
                    empty_runs.push(start);
                }
            } else if set {
                spans.push([start, position]);
            }
            set = !set;
            is_first = false;
        });
        if read.is_err() {
            self.clear(size);
        }
        read?;
        self.measure();
        Ok(())
    }

    /// Reads the area of the compressed form and nothing else, which is faster; there are no spans then and no box.
    ///
    /// # Errors
    /// [`DataError::Rle`] as of [`Rle::from_compressed`]; the mask is then empty.
    pub fn read_area(&mut self, size: [u32; 2], text: &str) -> Result<(), DataError> {
        self.clear(size);
        let mut area = 0;
        let mut set = 0; // all bits in runs of ones
        read_runs(size, text, |run| {
            area += run & set;
            set = !set;
        })?;
        self.area = area;
        Ok(())
    }

    /// Draws the union of outlines, see [`crate::polygon`]; `size` is `[H, W]`.
    ///
    /// # Errors
    /// [`DataError::Rle`] for a coordinate that cannot be drawn; the mask is then empty.
    pub fn read_polygons<'a>(
        &mut self,
        size: [u32; 2],
        parts: impl IntoIterator<Item = &'a [f64]>,
    ) -> Result<(), DataError> {
        self.clear(size);
        pixels_of(size)?;
        for part in parts {
            let drawn = self.outline.draw(size, part, &mut self.ones);
            if drawn.is_err() {
                self.clear(size);
            }
            drawn?;
        }
        unite(&mut self.ones);
        self.measure();
        Ok(())
    }

    /// The mask as run lengths.
    pub fn to_rle(&self) -> Rle {
        Rle::of_spans(self.size, &self.ones)
    }

    fn clear(&mut self, size: [u32; 2]) {
        (self.size, self.area, self.bbox) = (size, 0, [0; 4]);
        self.ones.clear();
        self.empty_runs.clear();
    }

    /// Area and box. Runs follow the outline from column to column, so a column's foot is added up, not divided out.
    fn measure(&mut self) {
        let height = self.size[0];
        let (Some(&[first, _]), Some(&[_, last])) = (self.ones.first(), self.ones.last()) else { return };
        let (left, right) = (first / height, (last - 1) / height);
        let mut head = u64::from(left) * u64::from(height); // first pixel of the current column
        let (mut top, mut bottom) = (u32::MAX, 0);
        let mut area = 0;
        for &[start, end] in &self.ones {
            area += end - start;
            let mut y = u64::from(start) - head;
            if y >= u64::from(height) {
                y -= u64::from(height);
                if y >= u64::from(height) {
                    y %= u64::from(height);
                }
                head = u64::from(start) - y;
            }
            let foot = y as u32 + (end - start); // at most 2^31: both are below MAX_PIXELS
            if foot > height {
                (top, bottom) = (0, height); // it passes the foot of one column and the head of the next
            } else {
                (top, bottom) = (top.min(y as u32), bottom.max(foot));
            }
        }
        self.area = area;
        self.bbox = [left, top, right - left + 1, bottom - top];
    }
}

/// Sorts spans and joins those that overlap or touch.
fn unite(spans: &mut Vec<Span>) {
    spans.sort_unstable();
    let mut kept = 0;
    for i in 0..spans.len() {
        let [start, end] = spans[i];
        if kept > 0 && start <= spans[kept - 1][1] {
            spans[kept - 1][1] = spans[kept - 1][1].max(end);
        } else {
            spans[kept] = [start, end];
            kept += 1;
        }
    }
    spans.truncate(kept);
}

/// Number of pixels that are set in both of two masks of the same size.
pub fn overlap(a: &[Span], b: &[Span]) -> u32 {
    let (Some(&[a_start, _]), Some(&[b_start, _])) = (a.first(), b.first()) else { return 0 };
    let mut a = &a[a.partition_point(|&[_, end]| end <= b_start)..];
    let mut b = &b[b.partition_point(|&[_, end]| end <= a_start)..];
    let mut both = 0;
    while let (Some(&[a_start, a_end]), Some(&[b_start, b_end])) = (a.first(), b.first()) {
        both += a_end.min(b_end).saturating_sub(a_start.max(b_start));
        a = &a[usize::from(a_end <= b_end)..];
        b = &b[usize::from(b_end <= a_end)..];
    }
    both
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn masks() -> impl Strategy<Value = [Array2<u8>; 2]> {
        (1usize..20, 1usize..20).prop_flat_map(|(h, w)| {
            let mask = || {
                proptest::collection::vec(0u8..2, h * w)
                    .prop_map(move |v| Array2::from_shape_vec((h, w), v).unwrap())
            };
            [mask(), mask()]
        })
    }

    proptest! {
        #[test]
        fn all_forms_read_alike_and_overlaps_equal_counting([a, b] in masks()) {
            let (first, second) = (Rle::encode(&a).unwrap(), Rle::encode(&b).unwrap());
            let read = |rle: &Rle| {
                let [mut runs, mut text, mut counts] = [const { None }; 3].map(|_: Option<u8>| Spans::new());
                runs.read_rle(rle);
                text.read_compressed(rle.size(), &rle.to_compressed()).unwrap();
                counts.read_counts(rle.size(), rle.counts()).unwrap();
                assert_eq!((runs.spans(), runs.bbox()), (text.spans(), text.bbox()));
                assert_eq!((runs.spans(), runs.bbox()), (counts.spans(), counts.bbox()));
                counts.read_area(rle.size(), &rle.to_compressed()).unwrap();
                assert_eq!((counts.area(), counts.spans().len()), (rle.area(), 0));
                assert_eq!((runs.area(), runs.bbox(), &runs.to_rle()), (rle.area(), rle.bbox(), rle));
                runs
            };
            let both: u32 = a.iter().zip(&b).map(|(a, b)| u32::from(a & b)).sum();
            prop_assert_eq!(overlap(read(&first).spans(), read(&second).spans()), both);
        }

        #[test]
        fn any_runs_give_the_area_and_box_of_their_mask(counts in proptest::collection::vec(0u32..6, 1..30), h in 1u32..9) {
            let sum: u32 = counts.iter().sum();
            let mut counts = counts;
            let width = sum.div_ceil(h).max(1);
            counts.push(width * h - sum);
            let rle = Rle::new([h, width], counts).unwrap();
            let mut spans = Spans::new();
            spans.read_counts(rle.size(), rle.counts()).unwrap();
            prop_assert_eq!((spans.area(), spans.bbox()), (rle.area(), rle.bbox()));
            prop_assert_eq!(spans.to_rle().decode(), rle.decode());
        }
    }

    #[test]
    fn empty_runs_are_found_in_every_form() {
        let rle = Rle::new([4, 4], vec![0, 3, 0, 2, 4, 0, 7]).unwrap();
        let (mut runs, mut text) = (Spans::new(), Spans::new());
        runs.read_rle(&rle);
        text.read_compressed([4, 4], &rle.to_compressed()).unwrap();
        assert_eq!((runs.empty_runs(), text.empty_runs()), (&[3, 9][..], &[3, 9][..]));
        assert_eq!((runs.spans(), runs.area()), (&[[0, 3], [3, 5]][..], 5));
        assert_eq!(runs.to_rle().counts(), [0, 5, 11]);
    }

    #[test]
    fn a_mask_that_is_refused_is_empty() {
        let mut spans = Spans::new();
        spans.read_counts([2, 2], &[0, 4]).unwrap();
        assert!(spans.read_compressed([4, 4], "111").is_err());
        assert!(spans.spans().is_empty() && spans.bbox() == [0; 4]);
        assert!(spans.read_counts([4, 4], &[1, 2]).is_err());
        spans.read_counts([0, 3], &[]).unwrap();
        assert_eq!((spans.area(), spans.to_rle().counts()), (0, &[0][..]));
    }
}
