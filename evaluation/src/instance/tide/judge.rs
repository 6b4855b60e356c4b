//! One image: which detections are right, what is wrong with the others, which objects are missed.

use std::collections::BTreeMap;

use super::ErrorKind;
use super::sight::{Candidate, Sighting};

/// So many detections of an image count, the best first.
pub(super) const MAX_DETECTIONS: usize = 100;

/// A detection before it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspect<'a> {
    pub(super) category: i64,
    pub(super) score: f64,
    pub(super) sighting: Sighting,
    /// Objects of its class that it may take, in their order.
    pub(super) candidates: &'a [Candidate],
}

/// A judged detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judged {
    pub(super) score: f64,
    pub(super) category: i64,
    /// Place of the image, and of the detection in it: how equal scores rank.
    pub(super) image: u32,
    pub(super) rank: u32,
    pub(super) verdict: Verdict,
}

/// What a detection is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Right,
    Wrong {
        kind: ErrorKind,
        /// Lies in a crowd: does not count unless it is mended.
        excused: bool,
        /// Mended it is right, with this class; otherwise mending takes it out.
        mended: Option<i64>,
    },
}

/// Ground truth objects of a class, crowds aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) all: u64,
    /// Matched by no detection.
    pub(super) unmatched: u64,
    /// Of these, such that no error points to.
    pub(super) missed: u64,
}

/// What was counted in some images.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) judged: Vec<Judged>,
    pub(super) truths: BTreeMap<i64, Found>,
}

impl Evidence {
    /// Adds one image: category and crowd flag of its objects; its detections, best first, at most [`MAX_DETECTIONS`].
    pub(super) fn judge(&mut self, image: u32, truths: &[(i64, bool)], suspects: &[Suspect<'_>]) {
        let mut taken = vec![false; truths.len()];
        let right: Vec<bool> = suspects.iter().map(|suspect| take(suspect, &mut taken)).collect();
        // The first detection whose error points to an object that nobody took.
        let mut pointed = vec![false; truths.len()];
        for ((rank, suspect), right) in (0..).zip(suspects).zip(right) {
            let verdict = if right {
                Verdict::Right
            } else {
                let (kind, object) = error(&suspect.sighting);
                let mended = object
                    .map(|object| object as usize)
                    .filter(|&object| !taken[object] && !std::mem::replace(&mut pointed[object], true));
                let mended = mended.map(|object| truths[object].0);
                Verdict::Wrong { kind, excused: suspect.sighting.excused, mended }
            };
            let Suspect { category, score, .. } = *suspect;
            self.judged.push(Judged { score, category, image, rank, verdict });
        }
        for ((&(category, crowd), taken), pointed) in truths.iter().zip(taken).zip(pointed) {
            if !crowd {
                let found = self.truths.entry(category).or_default();
                found.all += 1;
                found.unmatched += u64::from(!taken);
                found.missed += u64::from(!taken && !pointed);
            }
        }
    }

    /// Adds what was counted in other images, whose places are moved up by `base`.
    pub(super) fn extend(&mut self, other: &Self, base: u32) {
        self.judged
            .extend(other.judged.iter().map(|judged| Judged { image: base + judged.image, ..*judged }));
        for (&category, found) in &other.truths {
            let own = self.truths.entry(category).or_default();
            own.all += found.all;
            own.unmatched += found.unmatched;
            own.missed += found.missed;
        }
    }
}

/// Takes the best object that is still free; of equal IoUs the first.
fn take(suspect: &Suspect<'_>, taken: &mut [bool]) -> bool {
    let mut best: Option<&Candidate> = None;
    for candidate in suspect.candidates.iter().filter(|candidate| !taken[candidate.truth as usize]) {
        if best.is_none_or(|best| candidate.iou > best.iou) {
            best = Some(candidate);
        }
    }
    if let Some(best) = best {
        taken[best.truth as usize] = true;
    }
    best.is_some()
}

/// Kind of the error of a detection that took nothing, and the object that it points to.
fn error(sighting: &Sighting) -> (ErrorKind, Option<u32>) {
    match *sighting {
        Sighting { near: Some(object), .. } => (ErrorKind::Localisation, Some(object)),
        Sighting { other: Some(object), .. } => (ErrorKind::Classification, Some(object)),
        // What is over the threshold and was not taken by this one was taken by another.
        Sighting { over: true, .. } => (ErrorKind::Duplicate, None),
        Sighting { touches: false, .. } => (ErrorKind::Background, None),
        _ => (ErrorKind::Both, None),
    }
}
