//! Scoring folders in the official layout: `smalti score cityscapes`.
//!
//! Ground truth: every `<city>_<sequence>_<frame>_gtFine_instanceIds.png` (instances) or `..._gtFine_labelIds.png` with
//! the other beside it (pixels), in a folder or anywhere below. Predictions are found as the official scripts find them:
//! the one file anywhere below the folder whose name starts with `<city>_<sequence>_<frame>` and ends in `.txt` (instances)
//! or `.png` (pixels). Files that no ground truth asks for are left out and reported.

mod layout;
mod mask;
mod predictions;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::label_png::LabelPng;

use super::{InstanceAp, InstanceImage, PixelCounts};
use crate::EvalError;
use layout::{Frame, Kind, Layout};
use mask::MaskPng;
use predictions::Root;
pub use predictions::{InstanceNotes, Noted};

/// What was counted of instance predictions, and what stood out.
#[derive(Debug, Clone)]
pub struct InstanceDirScores {
    /// The counts of all images.
    pub counts: InstanceAp,
    /// `.txt` files that no ground truth asked for, relative to their folder, sorted.
    pub extra_predictions: Vec<String>,
    /// Lines that the official script takes in a way that their author may not have meant.
    pub notes: InstanceNotes,
}

/// What was counted of pixel predictions, and what stood out.
#[derive(Debug, Clone)]
pub struct PixelDirScores {
    /// The counts of all images.
    pub counts: PixelCounts,
    /// `.png` files that no ground truth asked for, relative to their folder, sorted.
    pub extra_predictions: Vec<String>,
}

/// Scores instance predictions: text files of lines `mask path, label id, confidence` with their mask PNGs.
///
/// `progress(done, total)` is called from worker threads after each image. With `keep_images` the counts can be resampled.
///
/// # Errors
/// A folder that is missing or without ground truth; predictions that are missing or found twice; a file that cannot be
/// read, a line that is not as described, a mask outside the folder or of another size. Of several wrong files one is
/// named, always the same.
pub fn score_instances(
    gt_dir: &Path,
    pred_dir: &Path,
    keep_images: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<InstanceDirScores, EvalError> {
    let layout = Layout::find(gt_dir, pred_dir, Kind::Instances)?;
    let root = Root::new(pred_dir)?;
    let empty = || if keep_images { InstanceAp::keeping_images() } else { InstanceAp::new() };
    let parts = in_parts(
        &layout.frames,
        progress,
        || (empty(), InstanceNotes::default()),
        |part, frame, files| {
            part.0.add(instance_image(frame, &root, &mut part.1, files)?);
            Ok(())
        },
    )?;
    let (mut counts, mut notes) = (empty(), InstanceNotes::default());
    for (more, noted) in parts {
        counts.merge(more);
        notes.merge(noted);
    }
    Ok(InstanceDirScores { counts, extra_predictions: layout.extra, notes })
}

/// Scores maps of predicted label ids.
///
/// `progress(done, total)` is called from worker threads after each image. With `keep_images` the counts can be resampled.
///
/// # Errors
/// As for [`score_instances`]; also label ids above 33.
pub fn score_pixels(
    gt_dir: &Path,
    pred_dir: &Path,
    keep_images: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<PixelDirScores, EvalError> {
    let layout = Layout::find(gt_dir, pred_dir, Kind::Pixels)?;
    let empty = || if keep_images { PixelCounts::keeping_images() } else { PixelCounts::new() };
    let mut counts = empty();
    for part in in_parts(&layout.frames, progress, empty, add_pixels)? {
        counts.merge(part)?;
    }
    Ok(PixelDirScores { counts, extra_predictions: layout.extra })
}

/// Decoders of one worker thread.
#[derive(Debug, Default)]
struct Files {
    gt: LabelPng,
    instance_ids: LabelPng,
    pred: LabelPng,
    mask: MaskPng,
}

/// Counts neighbouring frames into one part, parts side by side. The parts come in order; of several errors the first.
fn in_parts<P: Send>(
    frames: &[Frame],
    progress: &(dyn Fn(usize, usize) + Sync),
    empty: impl Fn() -> P + Sync,
    count: impl Fn(&mut P, &Frame, &mut Files) -> Result<(), EvalError> + Sync,
) -> Result<Vec<P>, EvalError> {
    let total = frames.len();
    let done = AtomicUsize::new(0);
    let per_part = total.div_ceil(rayon::current_num_threads() * 8).max(1);
    let parts: Vec<Result<P, EvalError>> = frames
        .par_chunks(per_part)
        .map_init(Files::default, |files, frames| {
            let mut part = empty();
            for frame in frames {
                count(&mut part, frame, files)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            }
            Ok(part)
        })
        .collect();
    parts.into_iter().collect()
}

fn instance_image(
    frame: &Frame,
    root: &Root,
    notes: &mut InstanceNotes,
    files: &mut Files,
) -> Result<InstanceImage, EvalError> {
    let lines = predictions::read(&frame.pred, root, notes)?;
    let ids = files.instance_ids.labels16(&frame.gt)?;
    let mut image = InstanceImage::new(&frame.name, ids.pixels).map_err(|err| match err {
        EvalError::Image { reason, .. } => DataError::image(&frame.gt, reason).into(),
        other => other,
    })?;
    for line in lines {
        let mask = files.mask.read(&line.mask)?;
        same_size(&line.mask, (mask.height, mask.width), &frame.gt, (ids.height, ids.width))?;
        image.predict(line.label_id, line.confidence, mask.pixels)?;
    }
    Ok(image)
}

fn add_pixels(counts: &mut PixelCounts, frame: &Frame, files: &mut Files) -> Result<(), EvalError> {
    let gt = files.gt.labels(&frame.gt)?;
    let pred = files.pred.labels(&frame.pred)?;
    let instance_ids = files.instance_ids.labels16(&frame.instance_ids)?;
    let size = (gt.height, gt.width);
    same_size(&frame.pred, (pred.height, pred.width), &frame.gt, size)?;
    same_size(&frame.instance_ids, (instance_ids.height, instance_ids.width), &frame.gt, size)?;
    counts.add(&frame.name, pred.pixels, gt.pixels, instance_ids.pixels).map_err(|err| match err {
        EvalError::Image { reason, .. } => {
            DataError::record(&frame.pred, format!("compared with {}", frame.gt.display()), reason).into()
        }
        other => other,
    })
}

fn same_size(pred: &Path, got: (usize, usize), gt: &Path, expected: (usize, usize)) -> Result<(), EvalError> {
    if got == expected {
        return Ok(());
    }
    Err(EvalError::SizeMismatch { pred: pred.to_owned(), gt: gt.to_owned(), expected, got })
}
