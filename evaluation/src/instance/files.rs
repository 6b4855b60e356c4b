//! Scoring COCO JSON files: `smalti score instance`.

use std::path::Path;

use rayon::prelude::*;

use super::curve::{Evidence, Ranked, Scored, descending};
use super::matching::{Contender, Matcher, TruthFlags};
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
    let mut by_category: Vec<Vec<Place>> = vec![Vec::new(); truth.categories.len()];
    let mut detections = 0;
    for (part, found) in (0..).zip(&parts) {
        detections += found.detections.len();
        for (index, found) in (0..).zip(&found.detections) {
            if let Some(places) = by_category.get_mut(found.category as usize) {
                places.push(Place { image: found.image, part, index, score: found.score });
            }
        }
    }
    let evidence: Vec<(i64, Evidence)> = by_category
        .into_par_iter()
        .zip(truth.evidence())
        .zip(&truth.categories)
        .enumerate()
        .map(|(category, ((places, mut evidence), (id, _)))| {
            evidence.detections = matched(truth, &parts, category as u32, places, max_dets);
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
    score: f64,
    image: u32,
    part: u32,
    index: u32,
}

/// Matches the detections of a category, image by image.
fn matched(
    truth: &GroundTruth,
    parts: &[Part],
    category: u32,
    mut places: Vec<Place>,
    max_dets: MaxDets,
) -> Vec<Scored> {
    places.sort_unstable_by(|a, b| {
        let file = |place: &Place| (place.part, place.index);
        a.image.cmp(&b.image).then_with(|| descending(a.score, b.score)).then_with(|| file(a).cmp(&file(b)))
    });
    let limit = max_dets.limits()[2] as usize;
    let mut matcher = Matcher::default();
    let (mut flags, mut contenders, mut fates) = (Vec::<TruthFlags>::new(), Vec::new(), Vec::new());
    let mut scored = Vec::with_capacity(places.len());
    for group in places.chunk_by(|a, b| a.image == b.image) {
        let group = &group[..group.len().min(limit)];
        let Some(image) = group.first().map(|place| place.image) else { continue };
        flags.clear();
        flags.extend(truth.group(image, category).iter().map(|object| object.flags));
        contenders.clear();
        contenders.extend(group.iter().map(|place| {
            let part = &parts[place.part as usize];
            let found: &Found = &part.detections[place.index as usize];
            Contender { area: found.area, candidates: part.candidates(found) }
        }));
        fates.clear();
        matcher.run(&flags, &contenders, &mut fates);
        let entries = (0..).zip(group).zip(&fates);
        scored.extend(entries.map(|((rank, place), &fate)| Scored { score: place.score, image, rank, fate }));
    }
    scored
}
