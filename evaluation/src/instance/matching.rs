//! Which detection finds which ground truth object: one image and category, all thresholds and area ranges.
//!
//! Detections take their turn in order of score. Each takes the ground truth of the highest IoU at or above the threshold
//! that is still free; of equal IoUs the later. Ignored ground truth (crowds, or an area outside the range) is looked
//! at only if no other was found, and a crowd stays free. Reference code: `COCOeval.evaluateImg`.

use std::cmp::Ordering;

use super::params::{AREAS, THRESHOLDS, outside, threshold};

/// IoUs below this are never looked at.
pub(super) const LEAST_IOU: f64 = 0.5;

/// A ground truth object that a detection may take, by its number in the list of its image and category.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) truth: u32,
    pub(super) flags: TruthFlags,
    pub(super) iou: f64,
}

/// What matching has to know of a ground truth object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TruthFlags {
    /// Its id is 0, which the reference takes for "no match".
    pub(super) zero_id: bool,
    pub(super) crowd: bool,
    /// One bit an area range: does not count there.
    pub(super) ignored: u8,
}

impl TruthFlags {
    pub(super) fn new(id: i64, crowd: bool, area: f64) -> Self {
        let ignored = if crowd { (1 << AREAS) - 1 } else { outside(area) };
        Self { zero_id: id == 0, crowd, ignored }
    }
}

/// A detection with the ground truth it may take, in order of the ground truth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contender<'a> {
    /// One bit an area range: its area lies outside.
    pub(super) outside: u8,
    pub(super) candidates: &'a [Candidate],
}

/// What became of a detection: one bit for each area range and threshold, at [`bit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    /// Found a ground truth object.
    pub(super) matched: u64,
    /// Counts neither as right nor as wrong.
    pub(super) ignored: u64,
}

/// Place of an area range and threshold in a [`Fate`].
pub(super) const fn bit(area: usize, threshold: usize) -> usize {
    area * THRESHOLDS + threshold
}

/// All thresholds of one area range.
const RANGE: u64 = (1 << THRESHOLDS) - 1;

/// Keeps its buffer from one image and category to the next.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    taken: Vec<bool>,
}

impl Matcher {
    /// Matches detections, best first, and appends the fate of each to `fates`.
    pub(super) fn run<'a>(
        &mut self,
        detections: &(impl Iterator<Item = Contender<'a>> + Clone),
        fates: &mut Vec<Fate>,
    ) {
        let base = fates.len();
        fates.extend(detections.clone().map(|det| {
            let ignored =
                (0..AREAS).filter(|a| det.outside >> a & 1 == 1).fold(0, |bits, a| bits | RANGE << bit(a, 0));
            Fate { matched: 0, ignored }
        }));
        let candidates = detections.clone().flat_map(|det| det.candidates);
        let Some(last) = candidates.map(|candidate| candidate.truth).max() else { return };
        for area in 0..AREAS {
            for t in 0..THRESHOLDS {
                self.taken.clear();
                self.taken.resize(last as usize + 1, false);
                for (det, fate) in detections.clone().zip(&mut fates[base..]) {
                    let Some(found) = self.best(det.candidates, area, threshold(t)) else { continue };
                    self.taken[found.truth as usize] = true;
                    let truth = found.flags;
                    let here = 1 << bit(area, t);
                    if truth.ignored >> area & 1 == 1 {
                        fate.ignored |= here;
                    } else if !truth.zero_id {
                        fate.ignored &= !here; // its own area does not matter then
                    }
                    if !truth.zero_id {
                        fate.matched |= here;
                    }
                }
            }
        }
    }

    fn best<'a>(&self, candidates: &'a [Candidate], area: usize, threshold: f64) -> Option<&'a Candidate> {
        let mut iou = threshold; // the reference takes min(threshold, 1 - 1e-10), which is the same for these
        let mut best = None;
        for ignored in [false, true] {
            for candidate in candidates {
                let truth = candidate.flags;
                let taken = self.taken[candidate.truth as usize];
                let passed = (truth.ignored >> area & 1 == 1) != ignored || (taken && !truth.crowd);
                if !passed && candidate.iou.partial_cmp(&iou) != Some(Ordering::Less) {
                    iou = candidate.iou;
                    best = Some(candidate);
                }
            }
            if best.is_some() {
                break;
            }
        }
        best
    }
}
