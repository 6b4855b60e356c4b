//! Reads detections from a block of a COCO results file: each is compared with the ground truth of its image and category,
//! and its mask is forgotten.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};
use smalti_datasets::rle::Spans;

use super::gather::Detection;
use super::image_truth::ImageTruth;
use super::matching::{Candidate, Contender, LEAST_IOU, TruthFlags};
use super::oddities::Oddities;
use super::overlap::{Comparer, box_iou};
use super::params::{ImageId, IouType, outside};
use super::record::{Bbox, Key, Record, Wrong, each_record};
use super::truth::GroundTruth;
use super::truth_file::wrong_record;

/// One detection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) score: f64,
    /// Place in [`GroundTruth::images`].
    pub(super) image: u32,
    /// Place in [`GroundTruth::categories`].
    pub(super) category: u32,
    /// Where its candidates begin in [`Part::candidates`]; they end where the next detection's begin.
    start: u32,
    /// One bit an area range: its area lies outside.
    pub(super) outside: u8,
}

/// The detections of a block, or some of them.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) detections: Vec<Found>,
    candidates: Vec<Candidate>,
    pub(super) oddities: Oddities,
}

impl Part {
    /// A detection and the ground truth that it may take.
    pub(super) fn detection(&self, index: usize) -> Detection<'_> {
        let Found { score, image, category, start, outside } = self.detections[index];
        let end = self.detections.get(index + 1).map_or(self.candidates.len(), |next| next.start as usize);
        let candidates = self.candidates.get(start as usize..end).unwrap_or_default();
        Detection { score, image, category, contender: Contender { outside, candidates } }
    }

    /// All detections.
    pub(super) fn all(&self) -> impl Iterator<Item = Detection<'_>> {
        (0..self.detections.len()).map(|index| self.detection(index))
    }

    /// Appends a detection.
    pub(super) fn push(&mut self, detection: Detection<'_>) {
        let Detection { score, image, category, contender: Contender { outside, candidates } } = detection;
        let start = self.candidates.len() as u32;
        self.detections.push(Found { score, image, category, start, outside });
        self.candidates.extend_from_slice(candidates);
    }

    /// Some of the detections.
    pub(super) fn some(&self, range: Range<usize>) -> Self {
        let mut some = Self::default();
        range.for_each(|index| some.push(self.detection(index)));
        some
    }

    /// Forgets all detections.
    pub(super) fn clear(&mut self) {
        self.detections.clear();
        self.candidates.clear();
    }
}

/// Where the area of detections comes from. The reference looks at the first one of the file to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AreaFrom {
    Box,
    Mask,
}

/// What the first result of a file decides; `None` if there is none. `first` is the first of its `blocks`.
///
/// # Errors
/// A file that is no list of results.
pub(super) fn area_from(
    path: &Path,
    first: Option<&Block>,
    blocks: &mut JsonBlocks<File>,
) -> Result<Option<AreaFrom>, DataError> {
    let area = first.map(|block| area_in(path, block)).transpose()?.flatten();
    if area.is_none() {
        // Without any element there are no further blocks, but there may be text after the list.
        blocks.try_for_each(|block| block.map(|_| ()))?;
        if blocks.is_object() {
            return Err(no_list(path));
        }
    }
    Ok(area)
}

/// What the first result of a block decides.
fn area_in(path: &Path, block: &Block) -> Result<Option<AreaFrom>, DataError> {
    if block.member.is_some() {
        return Err(no_list(path));
    }
    let mut area = None;
    let mut record = Record::default();
    // Stops behind the first record; errors in later ones are found when they are read in earnest.
    let read = each_record(&block.text, &[Key::Bbox], &mut record, |_, record| {
        area = Some(if matches!(record.bbox, Bbox::Box(_)) { AreaFrom::Box } else { AreaFrom::Mask });
        Err(Wrong::new(0, ""))
    });
    match (area, read) {
        (None, Err((index, wrong))) => Err(wrong_record(path, "result", block, index, &wrong)),
        _ => Ok(area),
    }
}

fn no_list(path: &Path) -> DataError {
    let reason = "expected a list of results, got an object; are these annotations?";
    DataError::record(path, "the whole file", reason)
}

/// Reads blocks; keeps its buffers.
pub(super) struct Reader<'a> {
    truth: &'a GroundTruth,
    path: &'a Path,
    area: AreaFrom,
    record: Record,
    spans: Spans,
    comparer: Comparer,
    near: ImageTruth,
    /// Why the ground truth of an image could not be had.
    failed: Option<DataError>,
    /// The image of the last detection, and its place.
    last: Option<(ImageId, u32)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(truth: &'a GroundTruth, path: &'a Path, area: AreaFrom) -> Self {
        let (comparer, near) = (Comparer::new(truth.kind), ImageTruth::default());
        let (record, spans) = (Record::default(), Spans::new());
        Self { truth, path, area, record, spans, comparer, near, failed: None, last: None }
    }

    /// The detections of a block, in the order of the file.
    ///
    /// # Errors
    /// The first record that is none; [`DataError::Io`] of a temporary file.
    pub(super) fn block(&mut self, block: &Block) -> Result<Part, DataError> {
        let mut keys = vec![Key::ImageId, Key::CategoryId, Key::Score];
        if self.area == AreaFrom::Box || self.truth.kind == IouType::Bbox {
            keys.push(Key::Bbox);
        }
        if self.area == AreaFrom::Mask || self.truth.kind.uses_masks() {
            keys.push(Key::Segmentation);
        }
        let mut record = std::mem::take(&mut self.record);
        let mut part = Part::default();
        let read =
            each_record(&block.text, &keys, &mut record, |_, record| self.detection(record, &mut part));
        self.record = record;
        if let Some(err) = self.failed.take() {
            return Err(err);
        }
        read.map_err(|(index, wrong)| wrong_record(self.path, "result", block, index, &wrong))?;
        Ok(part)
    }

    fn detection(&mut self, record: &mut Record, part: &mut Part) -> Result<(), Wrong> {
        let missing = |key: &str| Wrong::new(record.at, format!("expected a `{key}`, got none"));
        let image = record.image.as_ref().ok_or_else(|| missing("image_id"))?;
        let place = match &self.last {
            Some((last, place)) if last == image => *place, // most files go image by image
            _ => {
                let place = *self.truth.places.get(image).ok_or_else(|| unknown(record.at, image))?;
                self.last = Some((image.clone(), place));
                place
            }
        };
        let category = record.category.ok_or_else(|| missing("category_id"))?;
        let score = record.score.ok_or_else(|| missing("score"))?;
        let Some(category) = self.truth.category(category) else {
            part.oddities.unknown_categories += 1;
            return Ok(());
        };
        part.oddities.odd_scores += u64::from(!score.is_finite());
        self.near.load(self.truth, place).map_err(|err| {
            self.failed = Some(err);
            Wrong::new(record.at, "the ground truth of its image could not be had")
        })?;
        let group = self.near.group(category);
        let start = part.candidates.len() as u32;
        let size = self.truth.sizes.get(place as usize).copied().flatten();
        let area = if self.truth.kind.uses_masks() {
            self.by_mask(record, size, group, part)?
        } else {
            self.by_box(record, size, group, part)?
        };
        part.detections.push(Found { score, image: place, category, start, outside: outside(area) });
        Ok(())
    }

    /// Compares masks; returns the area that decides about ranges.
    fn by_mask(
        &mut self,
        record: &mut Record,
        size: Option<[u32; 2]>,
        group: Range<usize>,
        part: &mut Part,
    ) -> Result<f64, Wrong> {
        let box_area = match (self.area, record.bbox) {
            (AreaFrom::Mask, _) => None,
            (AreaFrom::Box, Bbox::Box(bbox)) => {
                if !record.has_mask() {
                    record.mask_from_box(bbox);
                }
                part.oddities.odd_boxes += u64::from(is_odd(bbox));
                Some(bbox[2] * bbox[3])
            }
            (AreaFrom::Box, _) => return Err(no_box(record)),
        };
        if group.is_empty() {
            record.measure(size, &mut self.spans)?; // half of all detections, mostly more
        } else {
            record.draw(size, &mut self.spans)?;
        }
        part.oddities.box_areas += u64::from(box_area.is_some());
        self.comparer.begin();
        for (number, index) in (0..).zip(group) {
            let iou = self.near.iou(&mut self.comparer, &self.spans, index, LEAST_IOU);
            keep(&mut part.candidates, number, self.near.objects()[index].flags, iou);
        }
        part.oddities.sizes_differ += u64::from(self.comparer.size_differs);
        part.oddities.cut_short += u64::from(self.comparer.cut_short);
        Ok(box_area.unwrap_or_else(|| f64::from(self.spans.area())))
    }

    /// Compares boxes; returns the area that decides about ranges.
    fn by_box(
        &mut self,
        record: &Record,
        size: Option<[u32; 2]>,
        group: Range<usize>,
        part: &mut Part,
    ) -> Result<f64, Wrong> {
        let (bbox, area) = match (self.area, record.bbox) {
            (AreaFrom::Box, Bbox::Box(bbox)) => (bbox, bbox[2] * bbox[3]),
            (AreaFrom::Box, _) => return Err(no_box(record)),
            (AreaFrom::Mask, Bbox::Empty) => {
                return Err(Wrong::new(record.at, "`bbox`: expected 4 numbers, got none"));
            }
            (AreaFrom::Mask, bbox) => {
                record.draw(size, &mut self.spans)?;
                let tight = self.spans.bbox().map(f64::from);
                let bbox = if let Bbox::Box(given) = bbox { given } else { tight };
                (bbox, f64::from(self.spans.area()))
            }
        };
        part.oddities.odd_boxes += u64::from(is_odd(bbox));
        for (number, object) in (0..).zip(&self.near.objects()[group]) {
            let Some(truth) = object.bbox() else { continue };
            keep(&mut part.candidates, number, object.flags, box_iou(bbox, truth, object.flags.crowd));
        }
        Ok(area)
    }
}

/// Keeps what can be matched. An IoU that is not a number passes every threshold in the reference.
pub(super) fn keep(candidates: &mut Vec<Candidate>, truth: u32, flags: TruthFlags, iou: f64) {
    if iou >= LEAST_IOU || iou.is_nan() {
        candidates.push(Candidate { truth, flags, iou });
    }
}

/// Whether a box is none: not finite, or of negative width or height.
pub(super) fn is_odd(bbox: [f64; 4]) -> bool {
    bbox.iter().any(|v| !v.is_finite()) || bbox[2] < 0.0 || bbox[3] < 0.0
}

fn no_box(record: &Record) -> Wrong {
    Wrong::new(record.at, "expected a `bbox`, as the first result has one, got none")
}

fn unknown(at: usize, image: &ImageId) -> Wrong {
    Wrong::new(at, format!("`image_id`: expected an image of the ground truth, got {image}"))
}
