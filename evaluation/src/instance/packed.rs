//! Ground truth masks in few bytes. All of them wait in memory for their detections, which come in any order: as run
//! lengths in COCO's compressed form they take a third of what their spans do, and are unpacked when a detection is near.

use smalti_datasets::rle::{Rle, Spans};

use super::overlap::{Comparer, Mask, boxes_meet};
use super::truth::{Object, StoredRegion};

/// A [`Mask`], packed.
#[derive(Debug, Clone)]
pub(super) struct PackedMask {
    size: [u32; 2],
    area: u32,
    bbox: [u32; 4],
    /// Compressed run lengths, without runs of length 0.
    runs: Box<str>,
    rare: Option<Box<Rare>>,
}

/// What most masks have not.
#[derive(Debug, Clone)]
struct Rare {
    /// See [`Spans::empty_runs`].
    empty_runs: Box<[u32]>,
    /// Compressed run lengths; empty where boundaries do not count.
    boundary: Box<str>,
}

impl PackedMask {
    pub(super) fn new(mask: &Mask) -> Self {
        let &Mask { size, area, bbox, ref spans, ref empty_runs, boundary: (ref boundary, _) } = mask;
        let packed = |spans| {
            let rle = Rle::from_spans(size, spans).expect("the spans are those of a mask of this size");
            rle.to_compressed().into_boxed_str()
        };
        let rare = (!empty_runs.is_empty() || !boundary.is_empty()).then(|| {
            let boundary = if boundary.is_empty() { Box::default() } else { packed(boundary) };
            Box::new(Rare { empty_runs: empty_runs.as_slice().into(), boundary })
        });
        Self { size, area, bbox, runs: packed(spans), rare }
    }

    /// Into a mask whose buffers are used again; `spans` is room to work in.
    fn unpack(&self, spans: &mut Spans, mask: &mut Mask) {
        (mask.size, mask.area, mask.bbox) = (self.size, self.area, self.bbox);
        self.read(&self.runs, spans);
        mask.spans.clear();
        mask.spans.extend_from_slice(spans.spans());
        mask.empty_runs.clear();
        mask.boundary.0.clear();
        mask.boundary.1 = 0;
        let Some(rare) = &self.rare else { return };
        mask.empty_runs.extend_from_slice(&rare.empty_runs);
        if !rare.boundary.is_empty() {
            self.read(&rare.boundary, spans);
            mask.boundary.0.extend_from_slice(spans.spans());
            mask.boundary.1 = spans.area();
        }
    }

    fn read(&self, runs: &str, spans: &mut Spans) {
        spans
            .read_compressed(self.size, runs)
            .expect("`to_compressed` wrote the runs of a mask of this size");
    }
}

/// The masks of the image that is worked on, as far as they were needed.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    image: u32,
    /// [`Object::order`] of those in `masks` that are of this image.
    orders: Vec<u32>,
    /// Masks of earlier images stay behind those of this one, for their buffers.
    masks: Vec<Mask>,
    spans: Spans,
}

impl Unpacked {
    /// [`Comparer::iou`] of the current detection with a ground truth object; 0 with one that has no mask.
    pub(super) fn iou(&mut self, comparer: &mut Comparer, det: &Spans, object: &Object, enough: f64) -> f64 {
        match &object.region {
            StoredRegion::Mask(packed) if boxes_meet(det.bbox(), packed.bbox) => {
                comparer.iou(det, self.mask(object, packed), object.flags.crowd, enough)
            }
            _ => 0.0,
        }
    }

    fn mask(&mut self, object: &Object, packed: &PackedMask) -> &Mask {
        if object.image != self.image {
            self.image = object.image;
            self.orders.clear();
        }
        let found = self.orders.iter().position(|&order| order == object.order);
        let index = found.unwrap_or_else(|| {
            let index = self.orders.len();
            self.orders.push(object.order);
            if index == self.masks.len() {
                self.masks.push(Mask::default());
            }
            packed.unpack(&mut self.spans, &mut self.masks[index]);
            index
        });
        &self.masks[index]
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::TruthFlags;
    use super::super::params::IouType;
    use super::*;
    use proptest::prelude::*;

    fn spans(size: [u32; 2], counts: &[u32]) -> Spans {
        let mut spans = Spans::new();
        spans.read_counts(size, counts).unwrap();
        spans
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(counts in prop::collection::vec(0u32..60, 1..40), boundary: bool) {
            let kind = if boundary { IouType::Boundary } else { IouType::Segm };
            let size = [1, counts.iter().sum::<u32>().max(1)];
            let counts = if counts.iter().all(|&run| run == 0) { vec![1] } else { counts };
            let mask = Comparer::new(kind).truth(&spans(size, &counts));
            let mut again = Comparer::new(kind).truth(&spans([3, 3], &[0, 1, 0, 8]));
            PackedMask::new(&mask).unpack(&mut Spans::new(), &mut again);
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
    fn masks_of_an_image_are_kept_until_the_next() {
        let object = |image, order, counts: &[u32]| {
            let region = StoredRegion::Mask(PackedMask::new(
                &Comparer::new(IouType::Segm).truth(&spans([1, 8], counts)),
            ));
            Object { image, category: 0, flags: TruthFlags::new(1, false, 4.0), region, order }
        };
        let objects = [object(0, 0, &[0, 4, 4]), object(0, 1, &[2, 4, 2]), object(1, 2, &[4, 4])];
        let (mut unpacked, mut comparer) = (Unpacked::default(), Comparer::new(IouType::Segm));
        let det = spans([1, 8], &[0, 4, 4]);
        let mut iou = |object: &Object| unpacked.iou(&mut comparer, &det, object, 0.0);
        for _ in 0..2 {
            assert_eq!(objects.each_ref().map(&mut iou), [1.0, 2.0 / 6.0, 0.0]);
        }
        assert_eq!((unpacked.image, unpacked.orders.len()), (0, 2), "the third is never near");
    }
}
