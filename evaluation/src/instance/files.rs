//! Scoring COCO JSON files: `smalti score instance`.

use std::path::Path;

use super::curve::Ranked;
use super::gather::{Gathered, gather};
use super::oddities::Oddities;
use super::params::MaxDets;
use super::scores::InstanceScores;
use super::truth::GroundTruth;
use crate::EvalError;

/// What a results file scored.
#[derive(Debug)]
pub struct FileScores {
    /// The numbers, categories with their names.
    pub scores: InstanceScores,
    /// Every image's share in them, for [`crate::resample`].
    pub ranked: Ranked,
    /// What stood out in both files.
    pub oddities: Oddities,
    /// Detections of listed categories.
    pub detections: usize,
}

/// Scores a results file (`[{"image_id": ..., "category_id": ..., "score": ..., "segmentation": ...}, ...]`).
///
/// `progress(done, total)` is called from worker threads after each block of the file.
///
/// # Errors
/// [`EvalError::Data`] with the file, the number of the result and its place: JSON that is none, a missing key, a mask
/// whose runs do not fit its size, an image that the ground truth does not have.
pub fn score_results(
    truth: &GroundTruth,
    pred: &Path,
    max_dets: MaxDets,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<FileScores, EvalError> {
    let Gathered { classes, mut oddities, detections } = gather(truth, pred, max_dets, progress)?;
    oddities.add(&truth.oddities);
    let evidence = truth.categories.iter().map(|(id, _)| *id).zip(classes).collect();
    let order: Vec<u32> = (0..truth.images.len() as u32).collect();
    let ranked = Ranked::new(truth.images.clone(), &order, max_dets, evidence);
    let scores = ranked.scores().with_names(|id| truth.name(id));
    Ok(FileScores { scores, ranked, oddities, detections })
}
