//! Scoring COCO JSON files: `smalti score instance`.

use std::path::Path;

use super::gather::{Gathered, Room, gather};
use super::oddities::Oddities;
use super::params::MaxDets;
use super::scores::InstanceScores;
use super::truth::GroundTruth;
use super::verdicts::Matched;
use crate::EvalError;

/// What a results file scored.
#[derive(Debug)]
pub struct FileScores {
    /// The numbers, categories with their names.
    pub scores: InstanceScores,
    /// What every image's share in them can be had from.
    pub matched: Matched,
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
/// whose runs do not fit its size, an image that the ground truth does not have; or with the folder for temporary files,
/// where more than some 16 MiB of verdicts on detections go, if there is no room in it.
pub fn score_results(
    truth: &GroundTruth,
    pred: &Path,
    max_dets: MaxDets,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<FileScores, EvalError> {
    score_in(truth, pred, max_dets, Room::default(), progress)
}

pub(super) fn score_in(
    truth: &GroundTruth,
    pred: &Path,
    max_dets: MaxDets,
    room: Room,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<FileScores, EvalError> {
    let Gathered { matched, mut oddities, detections } = gather(truth, pred, max_dets, room, progress)?;
    oddities.add(&truth.oddities);
    let scores = matched.scores(truth)?.with_names(|id| truth.name(id));
    Ok(FileScores { scores, matched, oddities, detections })
}
