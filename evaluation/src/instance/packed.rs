//! Objects of the ground truth as bytes: masks as run lengths in COCO's compressed form, which take a third of what their
//! spans do and are unpacked when a detection is near.

use std::ops::Range;

use smalti_datasets::rle::{Rle, Span, Spans};

use super::matching::TruthFlags;
use super::overlap::{Mask, Shape};

/// An object, packed: a mask stays in the bytes it was read from.
#[derive(Debug, Clone)]
pub(super) struct PackedObject {
    pub(super) flags: TruthFlags,
    pub(super) region: PackedRegion,
}

/// Where an object is.
#[derive(Debug, Clone)]
pub(super) enum PackedRegion {
    /// `[x, y, width, height]` in pixels.
    Box([f64; 4]),
    Mask(PackedMask),
}

/// A [`Mask`], packed.
#[derive(Debug, Clone)]
pub(super) struct PackedMask {
    size: [u32; 2],
    area: u32,
    pub(super) bbox: [u32; 4],
    /// Where in the bytes are: numbers of [`Spans::empty_runs`], compressed run lengths without runs of length 0, and those
    /// of the boundary, nothing where boundaries do not count.
    empty_runs: Range<usize>,
    runs: Range<usize>,
    boundary: Range<usize>,
}

/// Appends an object to `out`.
pub(super) fn pack(flags: TruthFlags, shape: &Shape, out: &mut Vec<u8>) {
    let TruthFlags { zero_id, crowd, ignored } = flags;
    let mask = match shape {
        Shape::Box(bbox) => {
            out.extend([u8::from(zero_id), u8::from(crowd), ignored, 0]);
            out.extend(bbox.iter().flat_map(|value| value.to_le_bytes()));
            return;
        }
        Shape::Mask(mask) => mask,
    };
    out.extend([u8::from(zero_id), u8::from(crowd), ignored, 1]);
    let &Mask { size, area, bbox, ref spans, ref empty_runs, boundary: (ref boundary, _) } = mask;
    let packed = |spans: &[Span]| {
        let rle = Rle::from_spans(size, spans).expect("the spans are those of a mask of this size");
        rle.to_compressed()
    };
    let runs = packed(spans);
    let boundary = if boundary.is_empty() { String::new() } else { packed(boundary) };
    let numbers = [size[0], size[1], area, bbox[0], bbox[1], bbox[2], bbox[3]];
    let lengths = [empty_runs.len() as u32, runs.len() as u32, boundary.len() as u32];
    for number in numbers.iter().chain(&lengths).chain(empty_runs) {
        out.extend(number.to_le_bytes());
    }
    out.extend_from_slice(runs.as_bytes());
    out.extend_from_slice(boundary.as_bytes());
}

impl PackedObject {
    /// The object that `place` of `bytes` holds.
    pub(super) fn read(bytes: &[u8], place: Range<usize>) -> Self {
        let mut fields = Fields { bytes, at: place.start };
        let [zero_id, crowd, ignored, is_mask] = fields.take();
        let flags = TruthFlags { zero_id: zero_id != 0, crowd: crowd != 0, ignored };
        if is_mask == 0 {
            let bbox = [0; 4].map(|_| f64::from_le_bytes(fields.take()));
            return Self { flags, region: PackedRegion::Box(bbox) };
        }
        let mut number = || u32::from_le_bytes(fields.take());
        let size = [number(), number()];
        let area = number();
        let bbox = [number(), number(), number(), number()];
        let lengths = [number() as usize * 4, number() as usize, number() as usize];
        let [empty_runs, runs, boundary] = lengths.map(|length| {
            fields.at += length;
            fields.at - length..fields.at
        });
        let region = PackedRegion::Mask(PackedMask { size, area, bbox, empty_runs, runs, boundary });
        Self { flags, region }
    }
}

/// Reads one field after the other.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let field = self.bytes[self.at..].first_chunk().expect("`pack` wrote all fields");
        self.at += N;
        *field
    }
}

impl PackedMask {
    /// Into a mask whose buffers are used again; `bytes` are those that it was read from, `spans` is room to work in.
    pub(super) fn unpack(&self, bytes: &[u8], spans: &mut Spans, mask: &mut Mask) {
        (mask.size, mask.area, mask.bbox) = (self.size, self.area, self.bbox);
        self.runs(&bytes[self.runs.clone()], spans);
        mask.spans.clear();
        mask.spans.extend_from_slice(spans.spans());
        let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        mask.empty_runs.clear();
        mask.empty_runs.extend(bytes[self.empty_runs.clone()].as_chunks().0.iter().map(number));
        mask.boundary.0.clear();
        mask.boundary.1 = 0;
        if !self.boundary.is_empty() {
            self.runs(&bytes[self.boundary.clone()], spans);
            mask.boundary.0.extend_from_slice(spans.spans());
            mask.boundary.1 = spans.area();
        }
    }

    fn runs(&self, runs: &[u8], spans: &mut Spans) {
        let runs = str::from_utf8(runs).expect("compressed runs are ASCII");
        spans
            .read_compressed(self.size, runs)
            .expect("`to_compressed` wrote the runs of a mask of this size");
    }
}

#[cfg(test)]
mod tests {
    use super::super::overlap::Comparer;
    use super::super::params::IouType;
    use super::*;
    use proptest::prelude::*;

    fn spans(size: [u32; 2], counts: &[u32]) -> Spans {
        let mut spans = Spans::new();
        spans.read_counts(size, counts).unwrap();
        spans
    }

    /// Packs behind some other bytes, and reads again.
    fn again(flags: TruthFlags, shape: &Shape) -> (Vec<u8>, PackedObject) {
        let mut bytes = vec![1; 5];
        pack(flags, shape, &mut bytes);
        let object = PackedObject::read(&bytes, 5..bytes.len());
        (bytes, object)
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(counts in prop::collection::vec(0u32..60, 1..40), boundary: bool) {
            let kind = if boundary { IouType::Boundary } else { IouType::Segm };
            let size = [1, counts.iter().sum::<u32>().max(1)];
            let counts = if counts.iter().all(|&run| run == 0) { vec![1] } else { counts };
            let mask = Comparer::new(kind).truth(&spans(size, &counts));
            let (bytes, object) = again(TruthFlags::new(1, false, 4.0), &Shape::Mask(mask.clone()));
            let PackedRegion::Mask(packed) = object.region else { panic!("a mask was packed") };
            let mut again = Comparer::new(kind).truth(&spans([3, 3], &[0, 1, 0, 8]));
            packed.unpack(&bytes, &mut Spans::new(), &mut again);
            let pixels = |mask: &Mask| -> Vec<u32> { mask.spans.iter().flat_map(|&[a, b]| a..b).collect() };
            let edge = |mask: &Mask| -> Vec<u32> { mask.boundary.0.iter().flat_map(|&[a, b]| a..b).collect() };
            prop_assert_eq!(pixels(&again), pixels(&mask));
            prop_assert_eq!(edge(&again), edge(&mask));
            prop_assert_eq!(
                (again.size, again.area, again.bbox, &again.empty_runs, again.boundary.1),
                (mask.size, mask.area, mask.bbox, &mask.empty_runs, mask.boundary.1)
            );
        }
    }

    #[test]
    fn boxes_and_flags_come_back() {
        for (id, crowd, area) in [(0, false, 4.0), (7, true, 2000.0), (7, false, 2000.0)] {
            let flags = TruthFlags::new(id, crowd, area);
            let bbox = [0.1, -2.0, f64::INFINITY, 4.0];
            let (_, object) = again(flags, &Shape::Box(bbox));
            assert_eq!(object.flags, flags);
            assert!(matches!(object.region, PackedRegion::Box(found) if found == bbox));
        }
    }
}
