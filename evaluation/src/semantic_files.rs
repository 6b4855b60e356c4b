//! Scoring two folders of label maps against each other: `smalti score semantic`.
//!
//! Ground truth and prediction pair by their path below the two folders without the ending; where that fails, by the
//! file name alone if it is unique on both sides (nested ground truth, flat predictions). Every ground truth needs a
//! prediction of its size; predictions without a ground truth are left out and reported.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use smalti_datasets::label_png::LabelPng;

use crate::EvalError;
use crate::semantic::{BoundaryCounts, ConfusionMatrix, ImageCounts, SemanticScores};

/// How the label files are to be read, and what is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreOptions {
    /// Number of classes K, 1 to 255.
    pub num_classes: usize,
    /// Ground truth of this value is not counted; compared after `reduce_zero_label`.
    pub ignore_label: u8,
    /// Ground truth 0 becomes 255 and every other value one less (255 stays 255). Predictions stay as they are.
    pub reduce_zero_label: bool,
    /// Score the boundaries of classes as well, which takes about three times as long as all else.
    pub boundary: bool,
    /// Keep what was counted in every image, for intervals and comparisons.
    pub keep_images: bool,
}

impl ScoreOptions {
    /// K classes, ignore label 255, ground truth as it is; no boundaries, nothing kept.
    pub fn new(num_classes: usize) -> Self {
        Self { num_classes, ignore_label: 255, reduce_zero_label: false, boundary: false, keep_images: false }
    }
}

/// What was counted, and what stood out.
#[derive(Debug, Clone)]
pub struct DirScores {
    /// The counts of all images.
    pub confusion: ConfusionMatrix,
    /// The boundaries of all images, if asked for.
    pub boundary: Option<BoundaryCounts>,
    /// Every image's own counts, if asked for, in sorted order of the ground truth.
    pub per_image: Option<ImageCounts>,
    /// Number of image pairs.
    pub images: usize,
    /// Predictions that no ground truth asked for, relative to their folder, sorted.
    pub extra_predictions: Vec<String>,
}

impl DirScores {
    /// All metrics; classes are called by their ids.
    pub fn finish(&self) -> SemanticScores {
        self.confusion.finish().with_boundary(self.boundary.as_ref().map(BoundaryCounts::finish))
    }
}

/// Scores the PNG label maps in and below `pred_dir` against those in and below `gt_dir`, in parallel.
///
/// `progress(done, total)` is called from worker threads after each image.
///
/// # Errors
/// A folder that is missing or holds no label map; missing predictions (how many and which); a file that cannot be
/// read; a prediction of another size. Of several wrong files the first in sorted order is named.
pub fn score_dirs(
    gt_dir: &Path,
    pred_dir: &Path,
    options: ScoreOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<DirScores, EvalError> {
    if !(1..=255).contains(&options.num_classes) {
        return Err(EvalError::NumClasses { got: options.num_classes });
    }
    let Pairing { pairs, extra } = Pairing::of(gt_dir, pred_dir)?;
    let total = pairs.len();
    let done = AtomicUsize::new(0);
    // One counter a worker, not one an image: each holds a megabyte while it counts.
    let per_worker = total.div_ceil(rayon::current_num_threads() * 4).max(1);
    let parts: Vec<Result<Counter, EvalError>> = pairs
        .par_chunks(per_worker)
        .map(|pairs| {
            let mut counter = Counter::new(options);
            for pair in pairs {
                counter.add(pair)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            }
            Ok(counter.settle())
        })
        .collect();
    let mut all = Counter::new(options);
    for part in parts {
        all.merge(part?)?;
    }
    let Counter { confusion, boundary, per_image, .. } = all;
    Ok(DirScores { confusion, boundary, per_image, images: total, extra_predictions: extra })
}

/// Counts of one worker.
struct Counter {
    options: ScoreOptions,
    confusion: ConfusionMatrix,
    boundary: Option<BoundaryCounts>,
    per_image: Option<ImageCounts>,
    /// Counts of the current image, where they are kept.
    image: (ConfusionMatrix, Option<BoundaryCounts>),
    gt_png: LabelPng,
    pred_png: LabelPng,
}

impl Counter {
    fn new(options: ScoreOptions) -> Self {
        let confusion = ConfusionMatrix::new(options.num_classes)
            .with_ignore_label(options.ignore_label.into())
            .with_reduced_zero_label(options.reduce_zero_label);
        let boundary = options.boundary.then(|| {
            BoundaryCounts::new(options.num_classes)
                .with_ignore_label(options.ignore_label)
                .with_reduced_zero_label(options.reduce_zero_label)
        });
        let per_image = options.keep_images.then(|| ImageCounts::new(options.num_classes));
        let image = (confusion.clone(), boundary.clone());
        let (gt_png, pred_png) = (LabelPng::new(), LabelPng::new());
        Self { options, confusion, boundary, per_image, image, gt_png, pred_png }
    }

    fn add(&mut self, pair: &Pair) -> Result<(), EvalError> {
        let gt = self.gt_png.labels(&pair.gt)?;
        let pred = self.pred_png.labels(&pair.pred)?;
        let (height, width) = (gt.height, gt.width);
        if (height, width) != (pred.height, pred.width) {
            return Err(EvalError::SizeMismatch {
                pred: pair.pred.clone(),
                gt: pair.gt.clone(),
                expected: (height, width),
                got: (pred.height, pred.width),
            });
        }
        let (gt, pred) = (gt.pixels, pred.pixels);
        let Some(images) = &mut self.per_image else {
            self.confusion.add(pred, gt)?;
            return self.boundary.as_mut().map_or(Ok(()), |boundary| boundary.add(pred, gt, height, width));
        };
        let (confusion, boundary) = &mut self.image;
        confusion.clear();
        confusion.add(pred, gt)?;
        confusion.drain();
        self.confusion.merge(confusion)?;
        if let (Some(one), Some(all)) = (boundary.as_mut(), &mut self.boundary) {
            one.clear();
            one.add(pred, gt, height, width)?;
            all.merge(one)?;
        }
        images.push(pair.name.clone(), confusion, boundary.as_ref())
    }

    /// The counts without the room that only counting needs.
    fn settle(mut self) -> Self {
        self.confusion.settle();
        self.image = (ConfusionMatrix::new(self.options.num_classes), None);
        if let Some(boundary) = &mut self.boundary {
            boundary.settle();
        }
        (self.gt_png, self.pred_png) = (LabelPng::new(), LabelPng::new());
        self
    }

    fn merge(&mut self, other: Self) -> Result<(), EvalError> {
        self.confusion.merge(&other.confusion)?;
        if let (Some(all), Some(part)) = (&mut self.boundary, &other.boundary) {
            all.merge(part)?;
        }
        if let (Some(all), Some(part)) = (&mut self.per_image, other.per_image) {
            all.merge(part)?;
        }
        Ok(())
    }
}

/// Which files belong together.
struct Pairing {
    /// Sorted by ground truth.
    pairs: Vec<Pair>,
    extra: Vec<String>,
}

struct Pair {
    /// The ground truth, relative to its folder.
    name: String,
    gt: PathBuf,
    pred: PathBuf,
}

impl Pairing {
    fn of(gt_dir: &Path, pred_dir: &Path) -> Result<Self, EvalError> {
        let gts = list_png(gt_dir)?;
        let preds = list_png(pred_dir)?;
        let by_key = unique_keys(&preds)?;
        unique_keys(&gts)?;
        let by_stem = unique_stems(&preds);
        let gt_stems = unique_stems(&gts);
        let mut used = vec![false; preds.len()];
        let mut pairs = Vec::with_capacity(gts.len());
        let mut missing = Vec::new();
        for gt in &gts {
            let stem = gt.stem();
            let by_name = || gt_stems.get(stem).copied().flatten().and(by_stem.get(stem).copied().flatten());
            match by_key.get(gt.key.as_path()).copied().or_else(by_name) {
                Some(index) => {
                    used[index] = true;
                    let pred = preds[index].path.clone();
                    pairs.push(Pair { name: gt.shown(), gt: gt.path.clone(), pred });
                }
                None => missing.push(gt.shown()),
            }
        }
        if missing.is_empty() {
            let extra =
                preds.iter().zip(used).filter(|(_, used)| !used).map(|(pred, _)| pred.shown()).collect();
            return Ok(Self { pairs, extra });
        }
        let count = missing.len();
        missing.truncate(5);
        Err(EvalError::MissingPredictions {
            pred_dir: pred_dir.to_owned(),
            missing: count,
            total: gts.len(),
            names: missing,
        })
    }
}

/// A label file found below a folder.
struct Found {
    path: PathBuf,
    /// Path below the folder, without the ending.
    key: PathBuf,
}

impl Found {
    fn stem(&self) -> &Path {
        self.key.file_name().map_or(&self.key, Path::new)
    }

    fn shown(&self) -> String {
        format!("{}.png", self.key.display())
    }
}

/// All PNG files in and below a folder, sorted.
fn list_png(dir: &Path) -> Result<Vec<Found>, EvalError> {
    if !dir.is_dir() {
        let got = if dir.exists() { "a file" } else { "nothing" };
        return Err(EvalError::NotAFolder { path: dir.to_owned(), holds: "PNG label maps", got });
    }
    let mut found = Vec::new();
    let mut others = 0;
    let mut folders = vec![dir.to_owned()];
    let mut seen = HashMap::new(); // links may lead back up: without this a listing would not end
    while let Some(folder) = folders.pop() {
        let failed = |source| EvalError::List { path: folder.clone(), source };
        if let Some(first) = seen.insert(fs::canonicalize(&folder).map_err(failed)?, folder.clone()) {
            return Err(EvalError::LinkedTwice { path: folder, first });
        }
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("png")) {
                let key = path.strip_prefix(dir).unwrap_or(&path).with_extension("");
                found.push(Found { path, key });
            } else {
                others += 1;
            }
        }
    }
    if found.is_empty() {
        return Err(EvalError::NoLabelMaps { path: dir.to_owned(), files: others });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn unique_keys(files: &[Found]) -> Result<HashMap<&Path, usize>, EvalError> {
    let mut keys = HashMap::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        if let Some(first) = keys.insert(file.key.as_path(), index) {
            let (first, second) = (files[first].path.clone(), file.path.clone());
            return Err(EvalError::Ambiguous { first, second });
        }
    }
    Ok(keys)
}

/// File names without ending; `None` for those that occur in several folders.
fn unique_stems(files: &[Found]) -> HashMap<&Path, Option<usize>> {
    let mut stems = HashMap::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        stems.entry(file.stem()).and_modify(|seen| *seen = None).or_insert(Some(index));
    }
    stems
}
