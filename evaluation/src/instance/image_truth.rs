//! The ground truth of the image that is worked on.

use std::ops::Range;

use smalti_datasets::DataError;
use smalti_datasets::rle::Spans;

use super::matching::TruthFlags;
use super::overlap::{Comparer, Mask, boxes_meet};
use super::packed::{PackedObject, PackedRegion};
use super::truth::GroundTruth;
use super::truth_store::each_record;

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Place in [`GroundTruth::categories`].
    pub(super) category: u32,
    pub(super) flags: TruthFlags,
    /// Place in the file.
    pub(super) order: u64,
    region: PackedRegion,
    /// Place in [`ImageTruth::masks`] if it was needed.
    mask: Option<usize>,
}

impl Object {
    /// Its box, if it is not a mask.
    pub(super) fn bbox(&self) -> Option<[f64; 4]> {
        match self.region {
            PackedRegion::Box(bbox) => Some(bbox),
            PackedRegion::Mask(_) => None,
        }
    }
}

/// Objects of one image after the other; masks are unpacked as far as they are needed.
#[derive(Debug, Default)]
pub(super) struct ImageTruth {
    image: Option<u32>,
    bytes: Vec<u8>,
    objects: Vec<Object>,
    /// Masks of earlier images stay behind those of this one, for their buffers.
    masks: Vec<Mask>,
    unpacked: usize,
    spans: Spans,
}

impl ImageTruth {
    /// Goes to an image, unless it is there already.
    ///
    /// # Errors
    /// [`DataError::Io`] of a temporary file.
    pub(super) fn load(&mut self, truth: &GroundTruth, image: u32) -> Result<(), DataError> {
        if self.image == Some(image) {
            return Ok(());
        }
        self.image = None;
        self.objects.clear();
        self.unpacked = 0;
        truth.store.image(image, &mut self.bytes)?;
        let (bytes, objects) = (&self.bytes, &mut self.objects);
        each_record(bytes, |category, order, place| {
            let PackedObject { flags, region } = PackedObject::read(bytes, place);
            objects.push(Object { category, flags, order, region, mask: None });
        });
        self.image = Some(image);
        Ok(())
    }

    /// The objects, by category and then in the order that decides between equal IoUs.
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Which of the objects are of a category.
    pub(super) fn group(&self, category: u32) -> Range<usize> {
        let start = self.objects.partition_point(|object| object.category < category);
        let len = self.objects[start..].iter().take_while(|object| object.category == category).count();
        start..start + len
    }

    /// [`Comparer::iou`] of the current detection with an object; 0 with one that has no mask.
    pub(super) fn iou(&mut self, comparer: &mut Comparer, det: &Spans, index: usize, enough: f64) -> f64 {
        let object = &mut self.objects[index];
        let PackedRegion::Mask(packed) = &object.region else { return 0.0 };
        if !boxes_meet(det.bbox(), packed.bbox) {
            return 0.0;
        }
        let place = *object.mask.get_or_insert_with(|| {
            if self.unpacked == self.masks.len() {
                self.masks.push(Mask::default());
            }
            packed.unpack(&self.bytes, &mut self.spans, &mut self.masks[self.unpacked]);
            self.unpacked += 1;
            self.unpacked - 1
        });
        comparer.iou(det, &self.masks[place], object.flags.crowd, enough)
    }
}
