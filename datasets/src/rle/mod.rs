//! COCO run-length encoding of binary masks: column-major runs, zeros first, and the compressed ASCII form of it.
//!
//! An [`Rle`] is checked when it is made, so everything that takes one may rely on its runs covering the mask exactly.

mod compressed;
mod spans;

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayRef2};

pub use spans::{Span, Spans, overlap};

use crate::error::DataError;

/// Largest mask that is accepted, in pixels. A short string can claim any size, and decoding allocates that size.
pub const MAX_PIXELS: u64 = 1 << 30;

/// A binary mask `[H, W]` as runs of zeros and ones in turn, down the columns, starting with zeros.
///
/// The first run may be 0 long; the runs add up to `H * W`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rle {
    size: [u32; 2],
    counts: Vec<u32>,
}

impl Rle {
    /// Takes runs as they stand in an uncompressed COCO file.
    ///
    /// # Errors
    /// [`DataError::Rle`] if the mask is larger than [`MAX_PIXELS`] or the runs do not add up to `H * W`.
    pub fn new(size: [u32; 2], counts: Vec<u32>) -> Result<Self, DataError> {
        let pixels = pixels_of(size)?;
        let sum: u64 = counts.iter().map(|&run| u64::from(run)).sum(); // cannot overflow: fewer than 2^32 runs fit memory
        if sum != pixels {
            return Err(wrong_sum(size, sum));
        }
        Ok(Self { size, counts })
    }

    /// Takes the set spans of a mask from first to last; those that touch become one run.
    ///
    /// # Errors
    /// [`DataError::Rle`] if the mask is larger than [`MAX_PIXELS`], or a span is empty, begins before the end of the one
    /// before it or ends behind the mask.
    pub fn from_spans(size: [u32; 2], spans: &[Span]) -> Result<Self, DataError> {
        let pixels = pixels_of(size)? as u32;
        let mut position = 0;
        for &[start, end] in spans {
            if start < position || end <= start || end > pixels {
                let reason = format!("expected a span within {position}..{pixels}, got {start}..{end}");
                return Err(rle_error(reason));
            }
            position = end;
        }
        Ok(Self::of_spans(size, spans))
    }

    /// [`Rle::from_spans`] of spans that are known to be a mask of this size.
    fn of_spans(size: [u32; 2], spans: &[Span]) -> Self {
        let pixels = size[0] * size[1];
        let mut counts = Vec::with_capacity(spans.len() * 2 + 1);
        let mut position = 0;
        for &[start, end] in spans {
            match counts.last_mut() {
                Some(run) if start == position => *run += end - start,
                _ => counts.extend([start - position, end - start]),
            }
            position = end;
        }
        if position < pixels || counts.is_empty() {
            counts.push(pixels - position);
        }
        Self { size, counts }
    }

    /// Encodes a mask `[H, W]`; every value but 0 counts as set.
    ///
    /// # Errors
    /// [`DataError::Rle`] if the mask is larger than [`MAX_PIXELS`].
    pub fn encode(mask: &ArrayRef2<u8>) -> Result<Self, DataError> {
        let size = size_of(mask.dim())?;
        let mut counts = vec![0];
        let mut last = false;
        for &value in mask.t() {
            let set = value != 0;
            if set != last {
                counts.push(0);
                last = set;
            }
            if let Some(run) = counts.last_mut() {
                *run += 1;
            }
        }
        Ok(Self { size, counts })
    }

    /// Encodes every segment of a map `[H, W]` in one pass: the mask of each value that occurs.
    ///
    /// # Errors
    /// [`DataError::Rle`] if the map is larger than [`MAX_PIXELS`].
    pub fn encode_segments(map: &ArrayRef2<u32>) -> Result<BTreeMap<u32, Self>, DataError> {
        struct Runs {
            counts: Vec<u32>,
            end: u32, // first pixel after the last run of ones
        }
        fn add(found: &mut BTreeMap<u32, Runs>, id: u32, start: u32, end: u32) {
            let runs = found.entry(id).or_insert(Runs { counts: Vec::new(), end: 0 });
            runs.counts.extend([start - runs.end, end - start]);
            runs.end = end;
        }

        let size = size_of(map.dim())?;
        let pixels = pixels_of(size)? as u32;
        let mut found = BTreeMap::new();
        let mut run: Option<(u32, u32)> = None; // value, start
        for (position, &id) in (0u32..).zip(map.t()) {
            match run {
                Some((current, _)) if current == id => {}
                Some((current, start)) => {
                    add(&mut found, current, start, position);
                    run = Some((id, position));
                }
                None => run = Some((id, position)),
            }
        }
        if let Some((current, start)) = run {
            add(&mut found, current, start, pixels);
        }
        let finish = |mut runs: Runs| {
            if runs.end < pixels {
                runs.counts.push(pixels - runs.end);
            }
            Self { size, counts: runs.counts }
        };
        Ok(found.into_iter().map(|(id, runs)| (id, finish(runs))).collect())
    }

    /// Height and width.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// The runs, zeros first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The mask `[H, W]` of zeros and ones, in standard layout.
    pub fn decode(&self) -> Array2<u8> {
        let [height, width] = self.size.map(|v| v as usize);
        let mut mask = Array2::zeros((height, width));
        for (start, end) in self.ones() {
            for position in start..end {
                let position = position as usize;
                mask[[position % height, position / height]] = 1;
            }
        }
        mask
    }

    /// Number of set pixels.
    pub fn area(&self) -> u32 {
        self.ones().map(|(start, end)| end - start).sum()
    }

    /// Tight box `[x, y, width, height]` in pixels; all 0 for an empty mask.
    pub fn bbox(&self) -> [u32; 4] {
        let height = self.size[0];
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0); // right and bottom: last pixel inside
        for (start, end) in self.ones() {
            let (first, last) = (start / height, (end - 1) / height);
            left = left.min(first);
            right = right.max(last);
            if first == last {
                top = top.min(start % height);
                bottom = bottom.max((end - 1) % height);
            } else {
                (top, bottom) = (0, height - 1); // it passes the foot of one column and the head of the next
            }
        }
        if left == u32::MAX { [0; 4] } else { [left, top, right - left + 1, bottom - top + 1] }
    }

    /// Runs of ones as `start..end` in column-major order, none of them empty.
    pub fn ones(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut position = 0;
        self.counts.chunks(2).filter_map(move |pair| {
            let start = position + pair[0];
            let end = start + pair.get(1).copied().unwrap_or(0);
            position = end;
            (end > start).then_some((start, end))
        })
    }
}

pub(crate) fn pixels_of(size: [u32; 2]) -> Result<u64, DataError> {
    let pixels = u64::from(size[0]) * u64::from(size[1]);
    if pixels > MAX_PIXELS {
        return Err(rle_error(format!(
            "a mask of {}x{} (HxW) has {pixels} pixels, expected at most {MAX_PIXELS}",
            size[0], size[1]
        )));
    }
    Ok(pixels)
}

fn size_of((height, width): (usize, usize)) -> Result<[u32; 2], DataError> {
    let narrow =
        |v: usize| u32::try_from(v).map_err(|_| rle_error(format!("a side of {v} pixels is too long")));
    let size = [narrow(height)?, narrow(width)?];
    pixels_of(size)?;
    Ok(size)
}

fn wrong_sum(size: [u32; 2], sum: u64) -> DataError {
    let expected = u64::from(size[0]) * u64::from(size[1]);
    let [height, width] = size;
    rle_error(format!("runs cover {sum} pixels or more, expected {expected} for {height}x{width} (HxW)"))
}

pub(crate) fn rle_error(reason: String) -> DataError {
    DataError::Rle { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn runs_go_down_the_columns_and_start_with_zeros() {
        let mask = array![[0u8, 1, 0], [1, 1, 0]];
        let rle = Rle::encode(&mask).unwrap();
        // column-major: 0 1 | 1 1 | 0 0
        assert_eq!(rle.counts(), [1, 3, 2]);
        assert_eq!(rle.area(), 3);
        assert_eq!(rle.bbox(), [0, 0, 2, 2]);
        assert_eq!(rle.decode(), mask);
        assert_eq!(Rle::encode(&array![[7u8, 0]]).unwrap().counts(), [0, 1, 1]);
    }

    #[test]
    fn strings_follow_the_published_code() {
        // Worked by hand from the rules. Runs 6 1 40 4 5 4 5 4 21 in 9x10: numbers are 6, 1, 40, then the
        // differences to two runs earlier 3, -35, 0, 0, 0, 16.
        // 6 -> '6'; 1 -> '1'; 40 = 8 + 32*1: 8|0x20 -> 'X', 1 -> '1'; 3 -> '3';
        // -35 = -2*32 + 29: 29|0x20 -> 'm', -2 -> 30 -> 'N'; 0 -> '0' x3; 16 = 16 (sign bit set, so more): 'P' + 32 = 'P'|.. -> 0x30 + 48 = '`', then '0'.
        let rle = Rle::new([9, 10], vec![6, 1, 40, 4, 5, 4, 5, 4, 21]).unwrap();
        assert_eq!(rle.to_compressed(), "61X13mN000`0");
        assert_eq!(Rle::from_compressed([9, 10], "61X13mN000`0").unwrap(), rle);
    }

    #[test]
    fn segments_agree_with_single_masks() {
        let map = array![[3u32, 3, 9], [3, 0, 9], [0, 0, 3]];
        let segments = Rle::encode_segments(&map).unwrap();
        assert_eq!(segments.keys().copied().collect::<Vec<_>>(), [0, 3, 9]);
        for (id, rle) in segments {
            let mask = map.mapv(|v| u8::from(v == id));
            assert_eq!(rle, Rle::encode(&mask).unwrap(), "segment {id}");
        }
    }

    #[test]
    fn non_canonical_runs_do_not_move_the_box() {
        let rle = Rle::new([4, 4], vec![2, 0, 3, 2, 1, 0, 8]).unwrap();
        assert_eq!((rle.area(), rle.bbox()), (2, [1, 1, 1, 2]));
        assert_eq!(Rle::new([4, 4], vec![16]).unwrap().bbox(), [0; 4]);
        assert_eq!(Rle::new([0, 4], vec![]).unwrap().decode().dim(), (0, 4));
    }

    #[test]
    fn wrong_input_is_refused_with_a_reason() {
        let fails = |text: &str, part: &str| {
            let message = Rle::from_compressed([4, 4], text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        };
        fails("0", "cover 0 pixels"); // too short
        fails("`1", "expected 16"); // 48 pixels
        fails("5X", "ends inside"); // "more" bit on the last character
        fails("5~", "0x7e");
        fails("5\u{e9}", "0xc3");
        fails("ooooooooo", "32 bits");
        fails("1111O", "-"); // run 4 = -1 + 1 = 0, then too short
        fails("K", "run 0 is -5 long");
        assert!(Rle::new([4, 4], vec![u32::MAX, u32::MAX]).is_err());
        assert!(Rle::from_compressed([u32::MAX, u32::MAX], "1").unwrap_err().to_string().contains("at most"));
    }

    fn masks() -> impl Strategy<Value = Array2<u8>> {
        (1usize..20, 1usize..20).prop_flat_map(|(h, w)| {
            proptest::collection::vec(0u8..2, h * w)
                .prop_map(move |v| Array2::from_shape_vec((h, w), v).unwrap())
        })
    }

    proptest! {
        #[test]
        fn round_trips(mask in masks()) {
            let rle = Rle::encode(&mask).unwrap();
            prop_assert_eq!(&rle.decode(), &mask);
            prop_assert_eq!(Rle::new(rle.size(), rle.counts().to_vec()).unwrap(), rle.clone());
            prop_assert_eq!(Rle::from_compressed(rle.size(), &rle.to_compressed()).unwrap(), rle);
        }

        #[test]
        fn area_and_box_equal_counting(mask in masks()) {
            let rle = Rle::encode(&mask).unwrap();
            let set: Vec<(usize, usize)> = mask.indexed_iter().filter(|(_, v)| **v == 1).map(|(p, _)| p).collect();
            prop_assert_eq!(rle.area() as usize, set.len());
            let span = |f: fn(&(usize, usize)) -> usize| {
                let low = set.iter().map(f).min().unwrap_or(0);
                (low as u32, set.iter().map(f).max().map_or(0, |high| high + 1 - low) as u32)
            };
            let ((y, h), (x, w)) = (span(|p| p.0), span(|p| p.1));
            prop_assert_eq!(rle.bbox(), [x, y, w, h]);
        }

        #[test]
        fn any_runs_survive_the_string(counts in proptest::collection::vec(0u32..1 << 20, 1..40)) {
            let sum: u32 = counts.iter().sum();
            let rle = Rle::new([sum, 1], counts).unwrap();
            prop_assert_eq!(Rle::from_compressed([sum, 1], &rle.to_compressed()).unwrap(), rle);
        }

        #[test]
        fn any_string_is_read_or_refused(text in "[ -~]{0,60}", h in 0u32..50, w in 0u32..50) {
            if let Ok(rle) = Rle::from_compressed([h, w], &text) {
                prop_assert_eq!(rle.decode().len(), (h * w) as usize);
            }
        }
    }
}
