//! The AP as it is, and with one kind of error mended.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rayon::prelude::*;

use super::judge::{Evidence, Judged, Verdict};
use super::precision::average_precision;
use super::{ErrorKind, TideError, TideOptions, TideScores};
use crate::instance::IouType;
use crate::instance::curve::{descending, mean};

/// What is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Nothing,
    Kind(ErrorKind),
    FalsePositives,
    FalseNegatives,
}

/// One class: of each detection whether it is right, best first; and how many objects are to be found.
#[derive(Debug, Default)]
struct Class {
    right: Vec<bool>,
    objects: u64,
}

/// All scores of what was counted.
pub(super) fn scores(kind: IouType, options: TideOptions, mut evidence: Evidence) -> TideScores {
    let place = |judged: &Judged| (judged.image, judged.rank);
    let is_right = |judged: &Judged| judged.verdict == Verdict::Right;
    let ranked = |a: &Judged, b: &Judged| descending(a.score, b.score);
    evidence.judged.par_sort_unstable_by(|a, b| ranked(a, b).then_with(|| place(a).cmp(&place(b))));
    let ap = mean_ap(&evidence, Mend::Nothing);
    // The reference collects wrong detections before right ones as soon as it mends; its sort is stable.
    let wrong_first = |a: &Judged, b: &Judged| -> Ordering {
        ranked(a, b).then_with(|| is_right(a).cmp(&is_right(b))).then_with(|| place(a).cmp(&place(b)))
    };
    evidence.judged.par_sort_unstable_by(wrong_first);
    let gained = |mend| Some(mean_ap(&evidence, mend)? - ap?);
    let errors = ErrorKind::ALL.into_par_iter().map(|kind| {
        // Losses come from the grid of recalls; the reference sets them to 0.
        let delta = gained(Mend::Kind(kind)).map(|delta| delta.max(0.0));
        TideError { delta, count: count(&evidence, kind) }
    });
    let errors: Vec<TideError> = errors.collect();
    let wrong = |judged: &&Judged| matches!(judged.verdict, Verdict::Wrong { excused: false, .. });
    let false_positives = TideError {
        delta: gained(Mend::FalsePositives),
        count: evidence.judged.iter().filter(wrong).count() as u64,
    };
    let false_negatives = TideError {
        delta: gained(Mend::FalseNegatives),
        count: evidence.truths.values().map(|found| found.unmatched).sum(),
    };
    let errors = ErrorKind::ALL.into_iter().zip(errors).collect();
    TideScores { iou_type: kind, options, ap, errors, false_positives, false_negatives }
}

/// How many errors of a kind there are. Those in crowds are among them.
fn count(evidence: &Evidence, wanted: ErrorKind) -> u64 {
    if wanted == ErrorKind::Missed {
        return evidence.truths.values().map(|found| found.missed).sum();
    }
    let of_kind = |judged: &&Judged| matches!(judged.verdict, Verdict::Wrong { kind, .. } if kind == wanted);
    evidence.judged.iter().filter(of_kind).count() as u64
}

/// Mean AP of the classes that have objects or detections; detections in the order in which they rank.
fn mean_ap(evidence: &Evidence, mend: Mend) -> Option<f64> {
    let mut classes: BTreeMap<i64, Class> = BTreeMap::new();
    for (&id, found) in &evidence.truths {
        let spared = match mend {
            Mend::Kind(ErrorKind::Missed) => found.missed,
            Mend::FalseNegatives => found.unmatched,
            _ => 0,
        };
        classes.entry(id).or_default().objects = found.all - spared;
    }
    for judged in &evidence.judged {
        let (category, right) = match judged.verdict {
            Verdict::Right => (judged.category, true),
            Verdict::Wrong { kind, mended, .. } if mend == Mend::Kind(kind) => match mended {
                Some(category) => (category, true),
                None => continue,
            },
            Verdict::Wrong { excused: true, .. } => continue,
            Verdict::Wrong { .. } => (judged.category, false),
        };
        classes.entry(category).or_default().right.push(right);
    }
    let counted = classes.into_values().filter(|class| class.objects > 0 || !class.right.is_empty());
    mean(counted.map(|mut class| {
        if mend == Mend::FalsePositives {
            class.right.sort_unstable_by(|a, b| b.cmp(a));
        }
        Some(average_precision(&class.right, class.objects))
    }))
}
