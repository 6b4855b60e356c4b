//! Precision over recall of one category, over its detections in order of score, one after the other.
//!
//! Reference code: `COCOeval.accumulate`. The precision at a recall is the highest that is reached at this or any higher
//! recall. A detection that is right reaches a recall, and the precision there counts for all recalls of the grid up to it:
//! so the highest that was reached between two of them is all that has to be kept.

use super::matching::{Fate, bit};
use super::params::{AREAS, MaxDets, RECALLS, THRESHOLDS, recall};
use super::scores::InstanceMetrics;
use super::verdict::{Verdict, VerdictKind};

/// numpy's `spacing(1)`, which the reference adds to the number of detections.
const EPSILON: f64 = f64::EPSILON;

/// Combinations of area range and threshold.
const BITS: usize = AREAS * THRESHOLDS;

/// Sums over the detections of a category.
#[derive(Debug)]
pub(super) struct Curve {
    /// Of detections that keep to the largest limit.
    all: Sums,
    /// Of those that keep to the limit of the metric `AP`, where it is another.
    for_ap: Option<Sums>,
    /// For each limit: right detections.
    right: [[u64; BITS]; 3],
}

impl Curve {
    /// `truths` are the objects that count in each area range; nothing if there are none.
    pub(super) fn new(max_dets: MaxDets, truths: [u64; AREAS]) -> Option<Self> {
        let limit = max_dets.for_ap() as u8;
        (truths != [0; AREAS]).then(|| Self {
            all: Sums::new(2, truths),
            for_ap: (limit != 2).then(|| Sums::new(limit, truths)),
            right: [[0; BITS]; 3],
        })
    }

    /// Takes the next best detection, `times` times in a row. `fates` are those of the category.
    pub(super) fn add(&mut self, verdict: Verdict, times: u64, fates: &[Fate]) {
        self.all.add(verdict, times, fates);
        if let Some(sums) = &mut self.for_ap {
            sums.add(verdict, times, fates);
        }
        if let VerdictKind::Mixed(index) = verdict.kind() {
            let right = fates[index].matched & !fates[index].ignored;
            for sums in &mut self.right[usize::from(verdict.limit())..] {
                for (place, sum) in sums.iter_mut().enumerate() {
                    *sum += times * (right >> place & 1);
                }
            }
        }
    }

    /// The twelve numbers.
    pub(super) fn metrics(&self) -> InstanceMetrics {
        let truths = self.all.truths;
        let precision = |area: usize, t: usize| self.all.precision(bit(area, t));
        let recall = |area: usize, limit: usize| {
            // The mean over thresholds, as one division.
            let right: u64 = (0..THRESHOLDS).map(|t| self.right[limit][bit(area, t)]).sum();
            (truths[area] > 0).then(|| right as f64 / (truths[area] * THRESHOLDS as u64) as f64)
        };
        let over_thresholds =
            |sums: &Sums, area: usize| mean((0..THRESHOLDS).map(|t| sums.precision(bit(area, t))));
        InstanceMetrics {
            ap: over_thresholds(self.for_ap.as_ref().unwrap_or(&self.all), 0),
            ap50: precision(0, 0),
            ap75: precision(0, 5),
            ap_small: over_thresholds(&self.all, 1),
            ap_medium: over_thresholds(&self.all, 2),
            ap_large: over_thresholds(&self.all, 3),
            ar_first: recall(0, 0),
            ar_second: recall(0, 1),
            ar_third: recall(0, 2),
            ar_small: recall(1, 2),
            ar_medium: recall(2, 2),
            ar_large: recall(3, 2),
        }
    }
}

/// Sums over the detections that keep to one of the limits.
#[derive(Debug)]
struct Sums {
    limit: u8,
    truths: [u64; AREAS],
    /// Of detections that are wrong at all thresholds.
    wrong: [u64; AREAS],
    /// At each place: other wrong detections.
    more_wrong: [u64; BITS],
    right: [u64; BITS],
    /// At each place: the highest recall of the grid that was reached.
    reached: [usize; BITS],
    /// At each place, from each recall of the grid to before the next: the highest precision.
    best: Vec<[f64; RECALLS]>,
}

impl Sums {
    fn new(limit: u8, truths: [u64; AREAS]) -> Self {
        Self {
            limit,
            truths,
            wrong: [0; AREAS],
            more_wrong: [0; BITS],
            right: [0; BITS],
            reached: [0; BITS],
            best: vec![[0.0; RECALLS]; BITS],
        }
    }

    fn add(&mut self, verdict: Verdict, times: u64, fates: &[Fate]) {
        if verdict.limit() > self.limit {
            return;
        }
        let fate = match verdict.kind() {
            VerdictKind::Wrong(areas) => {
                for (area, wrong) in self.wrong.iter_mut().enumerate() {
                    *wrong += times * u64::from(areas >> area & 1);
                }
                return;
            }
            VerdictKind::Mixed(index) => fates[index],
        };
        for place in 0..BITS {
            if fate.ignored >> place & 1 == 1 {
                continue;
            }
            if fate.matched >> place & 1 == 0 {
                self.more_wrong[place] += times;
                continue;
            }
            self.right[place] += times;
            let right = self.right[place] as f64;
            let wrong = (self.wrong[place / THRESHOLDS] + self.more_wrong[place]) as f64;
            let truths = self.truths[place / THRESHOLDS] as f64;
            let reached = &mut self.reached[place];
            while *reached + 1 < RECALLS && right / truths >= recall(*reached + 1) {
                *reached += 1;
            }
            let best = &mut self.best[place][*reached];
            *best = best.max(right / (wrong + right + EPSILON));
        }
    }

    /// Mean precision over the recall grid; `None` without ground truth.
    fn precision(&self, place: usize) -> Option<f64> {
        if self.truths[place / THRESHOLDS] == 0 {
            return None;
        }
        let mut envelope = self.best[place];
        for index in (1..RECALLS).rev() {
            envelope[index - 1] = envelope[index - 1].max(envelope[index]);
        }
        Some(envelope.iter().sum::<f64>() / RECALLS as f64)
    }
}

/// Order of scores, highest first; what is not a number comes last.
pub(super) fn descending(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// A number whose ascending order is that of [`descending`].
pub(super) fn falling(score: f64) -> u64 {
    if score.is_nan() {
        return u64::MAX;
    }
    let bits = (score + 0.0).to_bits(); // -0 becomes 0
    if bits >> 63 == 0 { !(bits | 1 << 63) } else { bits }
}

/// Mean of the values that are there.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, n) = values.flatten().fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_fall_as_scores_do(a: f64, b: f64, odd in 0usize..7) {
            let odd = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, -1e-310][odd];
            for (a, b) in [(a, b), (a, odd), (odd, b), (odd, -0.0), (odd, f64::NAN), (a, a)] {
                prop_assert_eq!(falling(a).cmp(&falling(b)), descending(a, b), "{} {}", a, b);
            }
        }
    }
}
