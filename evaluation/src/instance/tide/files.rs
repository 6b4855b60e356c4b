//! The breakdown of COCO JSON files: `smalti score errors instance`.
//!
//! Results are read in blocks, each detection is compared with the ground truth of its image at once, and its mask is
//! forgotten: what stays is a sighting, below 100 bytes.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};
use smalti_datasets::rle::Spans;

use super::judge::{Evidence, MAX_DETECTIONS, Suspect};
use super::sight::{Candidate, Sighting, Target, look};
use super::{TideOptions, TideScores, mend};
use crate::EvalError;
use crate::instance::curve::descending;
use crate::instance::image_truth::{ImageTruth, Object};
use crate::instance::overlap::{Comparer, box_iou};
use crate::instance::record::{Bbox, Key, Record, Wrong, each_record};
use crate::instance::truth_file::{self, SameId, in_file_order, wrong_record};
use crate::instance::{GroundTruth, ImageId, IouType, Oddities};

/// What a results file lost its points to.
#[derive(Debug)]
pub struct TideResult {
    /// The numbers.
    pub scores: TideScores,
    /// What stood out in both files, one sentence each.
    pub warnings: Vec<String>,
    /// Images of the ground truth.
    pub images: usize,
    /// Detections in the results.
    pub detections: usize,
}

/// Breaks down a results file (`[{"image_id": ..., "category_id": ..., "score": ..., "segmentation": ...}, ...]`).
///
/// Of equal scores those of the image that the annotation file lists first rank first. For [`IouType::Bbox`] every result
/// has to have a box, otherwise every one a mask. `progress(done, total)` is called from worker threads after each block
/// of the results.
///
/// # Errors
/// [`EvalError::Data`] with the file, the number of the record and its place: JSON that is none, a missing key, a mask
/// whose runs do not fit its size, a box that is not of finite numbers, an image that the ground truth does not have.
pub fn score_files(
    gt: &Path,
    pred: &Path,
    kind: IouType,
    options: TideOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<TideResult, EvalError> {
    let truth = GroundTruth::read(gt, kind, SameId::Each, truth_file::ROOM)?;
    let blocks = JsonBlocks::open(pred)?;
    let total = blocks.estimate();
    let done = AtomicUsize::new(0);
    let parts = blocks
        .par_bridge()
        .map_init(
            || Reader::new(&truth, pred, options),
            |reader, block| {
                let part = reader.block(block);
                progress((done.fetch_add(1, Ordering::Relaxed) + 1).min(total), total);
                part
            },
        )
        .collect();
    let parts: Vec<Part> = in_file_order(parts)?;
    let warnings = warnings(&truth, &parts);
    let detections = parts.iter().map(|part| part.seen.len()).sum();
    let scores = mend::scores(kind, options, judged(&truth, &parts)?);
    Ok(TideResult { scores, warnings, images: truth.images(), detections })
}

/// What a user should know. Ids and areas of annotations, which pycocotools stumbles over, do not matter here.
fn warnings(truth: &GroundTruth, parts: &[Part]) -> Vec<String> {
    let mut oddities = Oddities { zero_ids: 0, areas_elsewhere: 0, ..truth.oddities.clone() };
    for part in parts {
        oddities.add(&part.oddities);
    }
    let unlisted = std::mem::take(&mut oddities.unknown_categories);
    let mut sentences = oddities.sentences();
    if unlisted > 0 {
        sentences.push(format!(
            "detections of no listed category (as in tidecv each such category counts as a class with AP 0): {unlisted}"
        ));
    }
    if parts.iter().all(|part| part.seen.is_empty()) {
        sentences.push("there is no detection in the results".into());
    }
    sentences
}

/// Where a detection is.
#[derive(Debug, Clone, Copy)]
struct Place {
    score: f64,
    image: u32,
    part: u32,
    index: u32,
}

/// Judges image by image.
fn judged(truth: &GroundTruth, parts: &[Part]) -> Result<Evidence, DataError> {
    let mut places: Vec<Place> = Vec::with_capacity(parts.iter().map(|part| part.seen.len()).sum());
    for (part, found) in (0..).zip(parts) {
        let place = |(index, seen): (u32, &Seen)| Place { score: seen.score, image: seen.image, part, index };
        places.extend((0..).zip(&found.seen).map(place));
    }
    places.par_sort_unstable_by(|a, b| {
        let file = |place: &Place| (place.part, place.index);
        a.image.cmp(&b.image).then_with(|| descending(a.score, b.score)).then_with(|| file(a).cmp(&file(b)))
    });
    let one = |(mut near, mut evidence): (ImageTruth, Evidence), image: u32| {
        let start = places.partition_point(|place| place.image < image);
        let len = places[start..].partition_point(|place| place.image == image);
        let best = &places[start..start + len.min(MAX_DETECTIONS)];
        let suspects: Vec<Suspect<'_>> = best
            .iter()
            .map(|place| {
                let part = &parts[place.part as usize];
                let seen = &part.seen[place.index as usize];
                let Seen { score, category, sighting, .. } = *seen;
                Suspect { category, score, sighting, candidates: part.candidates(seen) }
            })
            .collect();
        near.load(truth, image)?;
        let flag = |object: &Object| (truth.categories[object.category as usize].0, object.flags.crowd);
        let flags: Vec<(i64, bool)> = near.objects().iter().map(flag).collect();
        evidence.judge(truth.listed[image as usize], &flags, &suspects);
        Ok((near, evidence))
    };
    (0..truth.images() as u32)
        .into_par_iter()
        .try_fold(Default::default, one)
        .map(|folded| folded.map(|(_, evidence)| evidence))
        .try_reduce(Evidence::default, |mut all, other| {
            all.extend(&other, 0);
            Ok(all)
        })
}

/// One detection.
#[derive(Debug, Clone, Copy)]
struct Seen {
    score: f64,
    category: i64,
    /// Place in [`GroundTruth::images`].
    image: u32,
    sighting: Sighting,
    /// Where its candidates are in [`Part::candidates`].
    start: u32,
    len: u32,
}

/// The detections of a block.
#[derive(Debug, Default)]
struct Part {
    seen: Vec<Seen>,
    candidates: Vec<Candidate>,
    oddities: Oddities,
}

impl Part {
    fn candidates(&self, seen: &Seen) -> &[Candidate] {
        let start = seen.start as usize;
        self.candidates.get(start..start + seen.len as usize).unwrap_or_default()
    }
}

struct Reader<'a> {
    truth: &'a GroundTruth,
    path: &'a Path,
    options: TideOptions,
    record: Record,
    spans: Spans,
    comparer: Comparer,
    near: ImageTruth,
    /// Why the ground truth of an image could not be had.
    failed: Option<DataError>,
}

impl<'a> Reader<'a> {
    fn new(truth: &'a GroundTruth, path: &'a Path, options: TideOptions) -> Self {
        let (comparer, near) = (Comparer::new(truth.kind), ImageTruth::default());
        let (record, spans) = (Record::default(), Spans::new());
        Self { truth, path, options, record, spans, comparer, near, failed: None }
    }

    fn block(&mut self, block: Result<Block, DataError>) -> (u64, Result<Part, DataError>) {
        let block = match block {
            Ok(block) => block,
            Err(err) => return (u64::MAX, Err(err)),
        };
        if block.member.is_some() {
            let reason = "expected a list of results, got an object; are these annotations?";
            return (block.offset, Err(DataError::record(self.path, "the whole file", reason)));
        }
        let shape = if self.truth.kind.uses_masks() { Key::Segmentation } else { Key::Bbox };
        let keys = [Key::ImageId, Key::CategoryId, Key::Score, shape];
        let mut record = std::mem::take(&mut self.record);
        let mut part = Part::default();
        let read =
            each_record(&block.text, &keys, &mut record, |_, record| self.detection(record, &mut part));
        self.record = record;
        let read = read.map_err(|(index, wrong)| wrong_record(self.path, "result", &block, index, &wrong));
        (block.offset, self.failed.take().map_or(read.map(|()| part), Err))
    }

    fn detection(&mut self, record: &mut Record, part: &mut Part) -> Result<(), Wrong> {
        let missing = |key: &str| Wrong::new(record.at, format!("expected a `{key}`, got none"));
        let id = record.image.as_ref().ok_or_else(|| missing("image_id"))?;
        let image = *self.truth.places.get(id).ok_or_else(|| unknown(record.at, id))?;
        let category = record.category.ok_or_else(|| missing("category_id"))?;
        let score = record.score.ok_or_else(|| missing("score"))?;
        let bbox = self.region(record, image)?;
        part.oddities.odd_scores += u64::from(!score.is_finite());
        part.oddities.unknown_categories += u64::from(self.truth.category(category).is_none());
        let start = part.candidates.len() as u32;
        self.near.load(self.truth, image).map_err(|err| {
            self.failed = Some(err);
            Wrong::new(record.at, "the ground truth of its image could not be had")
        })?;
        let (comparer, near, spans, truth) = (&mut self.comparer, &mut self.near, &self.spans, self.truth);
        comparer.begin();
        let targets: Vec<Target<usize>> = (0..)
            .zip(near.objects())
            .map(|(object, found)| Target {
                category: truth.categories[found.category as usize].0,
                crowd: found.flags.crowd,
                order: found.order,
                object,
            })
            .collect();
        let iou = |object: usize, crowd: bool| match near.objects()[object].bbox() {
            Some(truth) => box_iou(bbox, truth, crowd),
            None => near.iou(comparer, spans, object, 0.0),
        };
        let sighting = look(self.options, category, targets.into_iter(), iou, &mut part.candidates);
        part.oddities.sizes_differ += u64::from(self.comparer.size_differs);
        part.oddities.cut_short += u64::from(self.comparer.cut_short);
        let len = part.candidates.len() as u32 - start;
        part.seen.push(Seen { score, category, image, sighting, start, len });
        Ok(())
    }

    /// The box that is compared; or the mask in `spans`, and any box.
    fn region(&mut self, record: &Record, image: u32) -> Result<[f64; 4], Wrong> {
        if self.truth.kind.uses_masks() {
            let size = self.truth.sizes.get(image as usize).copied().flatten();
            record.draw(size, &mut self.spans)?;
            return Ok([0.0; 4]);
        }
        match record.bbox {
            Bbox::Box(bbox) if bbox.iter().all(|value| value.is_finite()) => Ok(bbox),
            Bbox::Box(bbox) => {
                Err(Wrong::new(record.at, format!("`bbox`: expected finite numbers, got {bbox:?}")))
            }
            Bbox::Absent | Bbox::Empty => Err(Wrong::new(record.at, "expected a `bbox`, got none")),
        }
    }
}

fn unknown(at: usize, image: &ImageId) -> Wrong {
    Wrong::new(at, format!("`image_id`: expected an image of the ground truth, got {image}"))
}
