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
use smalti_datasets::{LabelMap, decode};

use crate::EvalError;
use crate::semantic::ConfusionMatrix;

/// How the label files are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreOptions {
    /// Number of classes K, 1 to 255.
    pub num_classes: usize,
    /// Ground truth of this value is not counted; compared after `reduce_zero_label`.
    pub ignore_label: u8,
    /// Ground truth 0 becomes 255 and every other value one less (255 stays 255). Predictions stay as they are.
    pub reduce_zero_label: bool,
}

impl ScoreOptions {
    /// K classes, ignore label 255, ground truth as it is.
    pub fn new(num_classes: usize) -> Self {
        Self { num_classes, ignore_label: 255, reduce_zero_label: false }
    }
}

/// What was counted, and what stood out.
#[derive(Debug, Clone)]
pub struct DirScores {
    /// The counts of all images.
    pub confusion: ConfusionMatrix,
    /// Number of image pairs.
    pub images: usize,
    /// Predictions that no ground truth asked for, relative to their folder, sorted.
    pub extra_predictions: Vec<String>,
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
    let pairing = Pairing::of(gt_dir, pred_dir)?;
    let total = pairing.pairs.len();
    let done = AtomicUsize::new(0);
    // One matrix a worker, not one an image: each holds a megabyte of counters.
    let per_worker = total.div_ceil(rayon::current_num_threads() * 4).max(1);
    let parts: Vec<Result<ConfusionMatrix, EvalError>> = pairing
        .pairs
        .par_chunks(per_worker)
        .map(|pairs| {
            let mut counts = empty(options);
            for (gt, pred) in pairs {
                count_pair(&mut counts, gt, pred, options)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            }
            Ok(counts)
        })
        .collect();
    let mut confusion = empty(options);
    for part in parts {
        confusion.merge(&part?)?;
    }
    Ok(DirScores { confusion, images: total, extra_predictions: pairing.extra })
}

fn empty(options: ScoreOptions) -> ConfusionMatrix {
    ConfusionMatrix::new(options.num_classes).with_ignore_label(options.ignore_label.into())
}

fn count_pair(
    counts: &mut ConfusionMatrix,
    gt: &Path,
    pred: &Path,
    options: ScoreOptions,
) -> Result<(), EvalError> {
    let mut gt_map = decode::labels(gt)?;
    let pred_map = decode::labels(pred)?;
    if gt_map.dim() != pred_map.dim() {
        return Err(EvalError::SizeMismatch {
            pred: pred.to_owned(),
            gt: gt.to_owned(),
            expected: gt_map.dim(),
            got: pred_map.dim(),
        });
    }
    if options.reduce_zero_label {
        gt_map.mapv_inplace(reduce_zero);
    }
    counts.add(pixels(&pred_map), pixels(&gt_map))
}

/// 0 and 255 become 255, the others one less.
fn reduce_zero(label: u8) -> u8 {
    label.wrapping_sub(1).max(u8::from(label == 255) * 255)
}

fn pixels(map: &LabelMap) -> &[u8] {
    map.as_slice().unwrap_or_default() // decoded maps are in row order; anything else would fail the length check
}

/// Which files belong together.
struct Pairing {
    /// (ground truth, prediction), sorted by ground truth.
    pairs: Vec<(PathBuf, PathBuf)>,
    extra: Vec<String>,
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
                    pairs.push((gt.path.clone(), preds[index].path.clone()));
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
    while let Some(folder) = folders.pop() {
        let failed = |source| EvalError::List { path: folder.clone(), source };
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
