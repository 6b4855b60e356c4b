//! Scoring panoptic JSON files with their folders of PNGs: `smalti score panoptic`.
//!
//! COCO, ADE20K and Cityscapes share the format: a JSON that lists every image's segments, and a PNG per image whose
//! pixels are segment ids. Images are joined by `image_id`; `file_name` only says where the PNG is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use smalti_datasets::label_png::LabelPng;
use smalti_datasets::{DataError, coco};

use super::input::{GtSegment, ImageId, PanopticClass, PredSegment, SegmentMap, flag};
use super::quality::PanopticQuality;
use crate::EvalError;

/// Where the two sides are.
#[derive(Debug, Clone)]
pub struct PanopticDirs {
    /// Ground truth: categories and segments.
    pub gt_json: PathBuf,
    /// Folder of the PNGs that `gt_json` names.
    pub gt_dir: PathBuf,
    /// Segments of the predictions.
    pub pred_json: PathBuf,
    /// Folder of the PNGs that `pred_json` names.
    pub pred_dir: PathBuf,
}

impl PanopticDirs {
    /// The folder that belongs to a JSON file where none is given: its path without the ending.
    pub fn beside(json: &Path) -> PathBuf {
        json.with_extension("")
    }
}

/// What to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PanopticOptions {
    /// Boundary PQ, see [`PanopticQuality::with_boundary`].
    pub boundary: bool,
    /// Keep every image's own counts, see [`PanopticQuality::images`].
    pub keep_images: bool,
}

/// What was counted, and what stood out.
#[derive(Debug, Clone)]
pub struct PanopticResult {
    /// The counts of all images.
    pub quality: PanopticQuality,
    /// What the reference code takes in silence: one sentence each, with a count.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct GtFile {
    categories: Vec<GtCategory>,
    annotations: Vec<Annotation<GtSegment>>,
}

#[derive(Deserialize)]
struct GtCategory {
    id: i64,
    name: Option<String>,
    #[serde(deserialize_with = "flag")]
    isthing: bool,
}

#[derive(Deserialize)]
struct PredFile {
    annotations: Vec<Annotation<PredSegment>>,
}

#[derive(Deserialize)]
struct Annotation<S> {
    image_id: ImageId,
    file_name: String,
    segments_info: Vec<S>,
}

/// Scores predictions against ground truth, in parallel; memory does not grow with the PNGs.
///
/// `progress(done, total)` is called from worker threads after each image.
///
/// # Errors
/// A file that cannot be read or is not such a JSON; ground truth images without a prediction; a predicted segment that
/// is in the PNG or the JSON only or has an unknown category; maps of different sizes. Of several wrong images the first
/// in the ground truth's order is named.
pub fn score_files(
    dirs: &PanopticDirs,
    options: PanopticOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<PanopticResult, EvalError> {
    for path in [&dirs.gt_dir, &dirs.pred_dir] {
        if !path.is_dir() {
            let got = if path.exists() { "a file" } else { "nothing" };
            return Err(EvalError::NotAFolder { path: path.clone(), holds: "panoptic PNGs", got });
        }
    }
    let gt: GtFile = coco::read_json(&dirs.gt_json)?;
    let pred: PredFile = coco::read_json(&dirs.pred_json)?;
    let mut warnings = Vec::new();
    let mut empty = PanopticQuality::new(classes(gt.categories, &mut warnings))?;
    if options.boundary {
        empty = empty.with_boundary();
    }
    if options.keep_images {
        empty = empty.keeping_images();
    }
    let pairs = join(dirs, &gt.annotations, &pred.annotations, &mut warnings)?;
    let quality = count(dirs, &empty, &pairs, progress)?;
    warnings.extend(quality.quirks().sentences());
    Ok(PanopticResult { quality, warnings })
}

/// The classes in order; of a repeated id the last entry in the place of the first, as in a Python dictionary.
fn classes(categories: Vec<GtCategory>, warnings: &mut Vec<String>) -> Vec<PanopticClass> {
    let listed = categories.len();
    let mut classes: Vec<PanopticClass> = Vec::with_capacity(listed);
    let mut places = BTreeMap::new();
    for category in categories {
        let name = category.name.unwrap_or_else(|| category.id.to_string());
        let class = PanopticClass { id: category.id, name, is_thing: category.isthing };
        let place = *places.entry(class.id).or_insert(classes.len());
        match classes.get_mut(place) {
            Some(seen) => *seen = class,
            None => classes.push(class),
        }
    }
    let again = listed - classes.len();
    if again > 0 {
        warnings.push(format!("{again} categories are listed again with the same id; the last entry counts"));
    }
    classes
}

type Pair<'a> = (&'a Annotation<GtSegment>, &'a Annotation<PredSegment>);

/// Every ground truth with its prediction, in the ground truth's order.
fn join<'a>(
    dirs: &PanopticDirs,
    gts: &'a [Annotation<GtSegment>],
    preds: &'a [Annotation<PredSegment>],
    warnings: &mut Vec<String>,
) -> Result<Vec<Pair<'a>>, EvalError> {
    if gts.is_empty() {
        let reason = "expected at least one image, got none";
        return Err(DataError::record(&dirs.gt_json, "annotations", reason).into());
    }
    let (mut by_id, mut again) = (HashMap::with_capacity(preds.len()), Vec::new());
    for pred in preds {
        if by_id.insert(&pred.image_id, pred).is_some() {
            again.push(&pred.image_id);
        }
    }
    warn_of(warnings, &again, "predictions are of an image that is listed twice; the last entry counts");

    let mut seen = HashSet::with_capacity(gts.len());
    let mut again = Vec::new();
    let (mut pairs, mut missing) = (Vec::with_capacity(gts.len()), Vec::new());
    for gt in gts {
        if !seen.insert(&gt.image_id) {
            again.push(&gt.image_id);
        }
        match by_id.get(&gt.image_id) {
            Some(pred) => pairs.push((gt, *pred)),
            None => missing.push(&gt.image_id),
        }
    }
    if let Some(first) = missing.first() {
        let reason = format!(
            "expected a prediction for every image of {}, but {} of {} have none",
            dirs.gt_json.display(),
            missing.len(),
            gts.len()
        );
        return Err(DataError::record(&dirs.pred_json, format!("image {first}"), reason).into());
    }
    warn_of(warnings, &again, "ground truths are of an image that is listed twice; both entries count");
    let extra: Vec<_> = preds.iter().map(|pred| &pred.image_id).filter(|id| !seen.contains(id)).collect();
    warn_of(warnings, &extra, "predictions are of images without ground truth; they are not scored");
    Ok(pairs)
}

fn warn_of(warnings: &mut Vec<String>, images: &[&ImageId], text: &str) {
    if let Some(first) = images.iter().min() {
        warnings.push(format!("{} {text} (first: image {first})", images.len()));
    }
}

/// Every worker takes the next image until none is left, so all are busy to the end.
fn count(
    dirs: &PanopticDirs,
    empty: &PanopticQuality,
    pairs: &[Pair<'_>],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<PanopticQuality, EvalError> {
    let (next, done, end) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(pairs.len()));
    let work = |_: rayon::BroadcastContext<'_>| {
        let mut quality = empty.clone();
        let (mut gt_png, mut pred_png) = (LabelPng::new(), LabelPng::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(&pair) = pairs.get(at).filter(|_| at < end.load(Ordering::Relaxed)) else { break };
            if let Err(err) = count_pair(dirs, pair, &mut quality, &mut gt_png, &mut pred_png) {
                // Images before this one are in work or done; of several errors the first is kept below.
                end.fetch_min(at, Ordering::Relaxed);
                return Err((at, err));
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, pairs.len());
        }
        Ok(quality)
    };
    let (mut total, mut first) = (empty.clone(), None);
    for part in rayon::broadcast(work) {
        match part {
            Ok(part) => total.merge(&part)?,
            Err((at, err)) if first.as_ref().is_none_or(|&(first, _)| at < first) => first = Some((at, err)),
            Err(_) => {}
        }
    }
    first.map_or(Ok(total), |(_, err)| Err(err))
}

fn count_pair(
    dirs: &PanopticDirs,
    (gt, pred): Pair<'_>,
    quality: &mut PanopticQuality,
    gt_png: &mut LabelPng,
    pred_png: &mut LabelPng,
) -> Result<(), EvalError> {
    let (gt_path, pred_path) = (dirs.gt_dir.join(&gt.file_name), dirs.pred_dir.join(&pred.file_name));
    let gt_map = gt_png.ids(&gt_path)?;
    let pred_map = pred_png.ids(&pred_path)?;
    let (expected, got) = ((gt_map.height, gt_map.width), (pred_map.height, pred_map.width));
    if expected != got {
        return Err(EvalError::SizeMismatch { pred: pred_path, gt: gt_path, expected, got });
    }
    let gt_side = SegmentMap { map: gt_map, segments: &gt.segments_info };
    let pred_side = SegmentMap { map: pred_map, segments: &pred.segments_info };
    quality.add_image(&gt.image_id, gt_side, pred_side).map_err(|wrong| {
        let (json, png) = if wrong.in_gt { (&dirs.gt_json, &gt_path) } else { (&dirs.pred_json, &pred_path) };
        let record = format!("image {} ({})", gt.image_id, png.display());
        DataError::record(json, record, wrong.reason).into()
    })
}
