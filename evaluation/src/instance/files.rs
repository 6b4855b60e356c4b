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
    let by_category = by_category(&parts, truth.categories.len());
    let detections = by_category.iter().map(Vec::len).sum();
    let evidence: Vec<(i64, Evidence)> = by_category
        .into_par_iter()
        .zip(truth.evidence())
        .zip(&truth.categories)
        .enumerate()
        .map(|(category, ((places, mut evidence), (id, _)))| {
            matched(truth, &parts, category as u32, places, max_dets, &mut evidence);
            (*id, evidence)
        })
        .collect();
    drop(parts);
    let order: Vec<u32> = (0..truth.images.len() as u32).collect();
    let ranked = Ranked::new(truth.images.clone(), &order, max_dets, evidence);
    let scores = ranked.scores().with_names(|id| truth.name(id));
    Ok(FileScores { scores, ranked, oddities, detections })
}

/// Where a detection is.
#[derive(Debug, Clone, Copy)]
struct Place {
    part: u32,
    index: u32,
}

impl Place {
    fn found(self, parts: &[Part]) -> (&Found, &[Candidate]) {
        parts[self.part as usize].detection(self.index as usize)
    }
}

/// The detections of each category, in the order of the file.
fn by_category(parts: &[Part], categories: usize) -> Vec<Vec<Place>> {
    let mut counts = vec![0; categories];
    for found in parts.iter().flat_map(|part| &part.detections) {
        counts[found.category as usize] += 1;
    }
    let mut places: Vec<Vec<Place>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (part, found) in (0..).zip(parts) {
        for (index, found) in (0..).zip(&found.detections) {
            places[found.category as usize].push(Place { part, index });
        }
    }
    places
}

/// Matches the detections of a category, image by image.
fn matched(
    truth: &GroundTruth,
    parts: &[Part],
    category: u32,
    mut places: Vec<Place>,
    max_dets: MaxDets,
    evidence: &mut Evidence,
) {
    // Stable: equal scores of an image keep the order of the file.
    places.sort_by(|a, b| {
        let (a, b) = (a.found(parts).0, b.found(parts).0);
        a.image.cmp(&b.image).then_with(|| descending(a.score, b.score))
    });
    let limit = max_dets.limits()[2] as usize;
    let mut matcher = Matcher::default();
    let (mut flags, mut contenders, mut fates) = (Vec::<TruthFlags>::new(), Vec::new(), Vec::new());
    evidence.reserve(places.len());
    for group in places.chunk_by(|a, b| a.found(parts).0.image == b.found(parts).0.image) {
        let group = &group[..group.len().min(limit)];
        let Some(image) = group.first().map(|place| place.found(parts).0.image) else { continue };
        flags.clear();
        flags.extend(truth.group(image, category).iter().map(|object| object.flags));
        contenders.clear();
        contenders.extend(group.iter().map(|place| {
            let (found, candidates) = place.found(parts);
            Contender { outside: found.outside, candidates }
        }));
        fates.clear();
        matcher.run(&flags, &contenders, &mut fates);
        for ((rank, place), &fate) in group.iter().enumerate().zip(&fates) {
            evidence.add(place.found(parts).0.score, image, max_dets.first_for(rank), fate);
        }
    }
}
