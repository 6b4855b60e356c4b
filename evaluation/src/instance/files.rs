//! Scoring COCO JSON files: `smalti score instance`.

use std::path::Path;

use rayon::prelude::*;

use super::curve::{Evidence, Ranked, descending};
use super::matching::{Candidate, Contender, Matcher, TruthFlags};
use super::oddities::Oddities;
use super::params::MaxDets;
use super::results::{self, Found, Part};
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
    let (parts, mut oddities) = results::read(truth, pred, progress)?;
    oddities.add(&truth.oddities);
    let runs = runs(&parts, truth.categories.len());
    let detections = parts.iter().map(|part| part.detections.len()).sum();
    let evidence: Vec<(i64, Evidence)> = runs
        .into_par_iter()
        .zip(truth.evidence())
        .zip(&truth.categories)
        .enumerate()
        .map(|(category, ((runs, mut evidence), (id, _)))| {
            matched(truth, category as u32, &ranked(&parts, &runs), max_dets, &mut evidence);
            (*id, evidence)
        })
        .collect();
    drop(parts);
    let order: Vec<u32> = (0..truth.images.len() as u32).collect();
    let ranked = Ranked::new(truth.images.clone(), &order, max_dets, evidence);
    let scores = ranked.scores().with_names(|id| truth.name(id));
    Ok(FileScores { scores, ranked, oddities, detections })
}

/// Neighbours of one category in a part.
struct Run {
    part: u32,
    start: u32,
    end: u32,
}

/// Where the detections of each category are, in the order of the file.
fn runs(parts: &[Part], categories: usize) -> Vec<Vec<Run>> {
    let mut runs: Vec<Vec<Run>> = (0..categories).map(|_| Vec::new()).collect();
    for (part, found) in (0..).zip(parts) {
        let mut start = 0;
        for run in found.detections.chunk_by(|a, b| a.category == b.category) {
            let end = start + run.len() as u32;
            runs[run[0].category as usize].push(Run { part, start, end });
            start = end;
        }
    }
    runs
}

/// A detection of a category, and the ground truth that it may take.
struct Detection<'a> {
    score: f64,
    image: u32,
    outside: u8,
    candidates: &'a [Candidate],
}

/// The detections of a category, image by image, those of one best first.
fn ranked<'a>(parts: &'a [Part], runs: &[Run]) -> Vec<Detection<'a>> {
    let count = runs.iter().map(|run| (run.end - run.start) as usize).sum();
    let mut detections = Vec::with_capacity(count);
    for run in runs {
        let part = &parts[run.part as usize];
        detections.extend((run.start..run.end).map(|index| {
            let (&Found { score, image, outside, .. }, candidates) = part.detection(index as usize);
            Detection { score, image, outside, candidates }
        }));
    }
    // Stable: equal scores of an image keep the order of the file.
    detections.sort_by(|a, b| a.image.cmp(&b.image).then_with(|| descending(a.score, b.score)));
    detections
}

/// Matches the detections of a category, image by image.
fn matched(
    truth: &GroundTruth,
    category: u32,
    detections: &[Detection<'_>],
    max_dets: MaxDets,
    evidence: &mut Evidence,
) {
    let limit = max_dets.limits()[2] as usize;
    let mut matcher = Matcher::default();
    let (mut flags, mut contenders, mut fates) = (Vec::<TruthFlags>::new(), Vec::new(), Vec::new());
    evidence.reserve(detections.len());
    for group in detections.chunk_by(|a, b| a.image == b.image) {
        let group = &group[..group.len().min(limit)];
        let Some(image) = group.first().map(|det| det.image) else { continue };
        flags.clear();
        flags.extend(truth.group(image, category).iter().map(|object| object.flags));
        contenders.clear();
        contenders
            .extend(group.iter().map(|det| Contender { outside: det.outside, candidates: det.candidates }));
        fates.clear();
        matcher.run(&flags, &contenders, &mut fates);
        for ((rank, det), &fate) in group.iter().enumerate().zip(&fates) {
            evidence.add(det.score, image, max_dets.first_for(rank), fate);
        }
    }
}
