//! Precision over recall: detections of all images ranked by score, and what follows from it for every category.
//!
//! Reference code: `COCOeval.accumulate`. The precision at a recall is the highest that is reached at this or any higher
//! recall. It changes only where a detection is right, so only those points are kept.

use rayon::prelude::*;

use super::matching::{Fate, bit};
use super::params::{AREAS, ImageId, MaxDets, RECALLS, THRESHOLDS, recall};
use super::scores::{InstanceMetrics, InstanceScores, mean_of_classes};
use super::verdict::{Fates, Scored, Verdict, VerdictKind};
use crate::resample::PerImage;

/// numpy's `spacing(1)`, which the reference adds to the number of detections.
const EPSILON: f64 = f64::EPSILON;

/// What all images say about one category.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// Of each image in order of score.
    detections: Vec<Scored>,
    fates: Fates,
    /// For each image with ground truth: how many objects count in each area range.
    pub(super) truths: Vec<(u32, [u32; AREAS])>,
}

impl Evidence {
    /// Makes room for this many detections.
    pub(super) fn reserve(&mut self, detections: usize) {
        self.detections.reserve_exact(detections);
    }

    /// Takes the next best detection of an image; `limit` is the first of the limits that it keeps to, if it does to any.
    pub(super) fn add(&mut self, score: f64, image: u32, limit: Option<u8>, fate: Fate) {
        if let Some(limit) = limit {
            let verdict = Verdict::new(limit, fate, &mut self.fates);
            self.detections.push(Scored { score, image, verdict });
        }
    }

    /// Takes over another's, whose first image is `base` here.
    pub(super) fn merge(&mut self, other: &Self, base: u32) {
        for det in &other.detections {
            let fate = other.fates.of(det.verdict);
            let verdict =
                fate.map_or(det.verdict, |fate| Verdict::new(det.verdict.limit(), fate, &mut self.fates));
            self.detections.push(Scored { image: base + det.image, verdict, ..*det });
        }
        self.truths.extend(other.truths.iter().map(|&(image, counts)| (base + image, counts)));
    }
}

/// Everything that was matched, ranked once: scores of all images, or of resamples of them.
#[derive(Debug)]
pub struct Ranked {
    images: Vec<ImageId>,
    max_dets: MaxDets,
    categories: Vec<i64>,
    classes: Vec<RankedClass>,
}

#[derive(Debug)]
struct RankedClass {
    /// Best first.
    detections: Vec<Scored>,
    fates: Vec<Fate>,
    truths: Vec<(u32, [u32; AREAS])>,
}

impl Ranked {
    /// Ranks what was matched; `order[i]` is the place of image `i` in the order of ids.
    pub(super) fn new(
        images: Vec<ImageId>,
        order: &[u32],
        max_dets: MaxDets,
        evidence: Vec<(i64, Evidence)>,
    ) -> Self {
        let categories = evidence.iter().map(|(id, _)| *id).collect();
        let rank = |(_, evidence): (i64, Evidence)| RankedClass::new(evidence, order);
        let classes = evidence.into_par_iter().map(rank).collect();
        Self { images, max_dets, categories, classes }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The scores of all images.
    pub fn scores(&self) -> InstanceScores {
        let metrics: Vec<_> =
            self.classes.par_iter().map(|class| class.metrics(self.max_dets, None)).collect();
        InstanceScores::new(self.max_dets, self.categories.iter().copied().zip(metrics).collect())
    }
}

impl PerImage for Ranked {
    fn image_names(&self) -> Vec<String> {
        self.images.iter().map(ToString::to_string).collect()
    }

    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
        // One resample a thread: the categories of it need no second level.
        let classes = self.classes.iter().map(|class| class.metrics(self.max_dets, Some(weights)));
        mean_of_classes(classes).named().map(|(_, value)| value).to_vec()
    }
}

impl RankedClass {
    fn new(evidence: Evidence, order: &[u32]) -> Self {
        let place = |image: u32| order.get(image as usize).copied().unwrap_or(image);
        let Evidence { mut detections, fates, mut truths } = evidence;
        for det in &mut detections {
            det.image = place(det.image);
        }
        for (image, _) in &mut truths {
            *image = place(*image);
        }
        // Stable: of an image they are in order already. By digits, as there may be millions.
        radsort::sort_by_key(&mut detections, |det| (falling(det.score), det.image));
        Self { detections, fates: fates.list, truths }
    }

    fn metrics(&self, max_dets: MaxDets, weights: Option<&[u32]>) -> InstanceMetrics {
        let weight = |image: u32| weights.map_or(1, |w| w.get(image as usize).copied().unwrap_or(0));
        let mut truths = [0u64; AREAS];
        for (image, counts) in &self.truths {
            for (sum, &n) in truths.iter_mut().zip(counts) {
                *sum += u64::from(n) * u64::from(weight(*image));
            }
        }
        if truths == [0; AREAS] {
            return InstanceMetrics::default();
        }
        let counted = self.count(2, &weight);
        let precision = |area: usize, t: usize| counted.precision(bit(area, t), truths[area]);
        let recall = |area: usize, limit: usize| {
            // The mean over thresholds, as one division.
            let right: u64 = (0..THRESHOLDS).map(|t| counted.right[limit][bit(area, t)]).sum();
            (truths[area] > 0).then(|| right as f64 / (truths[area] * THRESHOLDS as u64) as f64)
        };
        let over_thresholds = |area: usize| mean((0..THRESHOLDS).map(|t| precision(area, t)));
        let ap = if max_dets.for_ap() == 2 {
            over_thresholds(0)
        } else {
            let counted = self.count(max_dets.for_ap() as u8, &weight);
            mean((0..THRESHOLDS).map(|t| counted.precision(bit(0, t), truths[0])))
        };
        InstanceMetrics {
            ap,
            ap50: precision(0, 0),
            ap75: precision(0, 5),
            ap_small: over_thresholds(1),
            ap_medium: over_thresholds(2),
            ap_large: over_thresholds(3),
            ar_first: recall(0, 0),
            ar_second: recall(0, 1),
            ar_third: recall(0, 2),
            ar_small: recall(1, 2),
            ar_medium: recall(2, 2),
            ar_large: recall(3, 2),
        }
    }

    /// Goes through the detections that keep to one of the limits, best first.
    fn count(&self, limit: u8, weight: &impl Fn(u32) -> u32) -> Counted {
        let mut counted = Counted::default();
        let mut wrong = [0u64; AREAS]; // of detections that are wrong at all thresholds
        let mut more_wrong = [0u64; BITS];
        let mut right = [0u64; BITS];
        for det in &self.detections {
            let times = u64::from(weight(det.image));
            let of_limit = det.verdict.limit();
            if times == 0 || of_limit > limit {
                continue;
            }
            let fate = match det.verdict.kind() {
                VerdictKind::Wrong(areas) => {
                    for (area, wrong) in wrong.iter_mut().enumerate() {
                        *wrong += times * u64::from(areas >> area & 1);
                    }
                    continue;
                }
                VerdictKind::Mixed(index) => self.fates[index],
            };
            for place in 0..BITS {
                if fate.ignored >> place & 1 == 1 {
                    continue;
                }
                if fate.matched >> place & 1 == 0 {
                    more_wrong[place] += times;
                    continue;
                }
                right[place] += times;
                for sums in &mut counted.right[usize::from(of_limit)..] {
                    sums[place] += times;
                }
                let wrong = wrong[place / THRESHOLDS] + more_wrong[place];
                counted.points[place].push((right[place], wrong));
            }
        }
        counted
    }
}

/// Combinations of area range and threshold.
const BITS: usize = AREAS * THRESHOLDS;

/// Sums over the ranked detections of a category.
struct Counted {
    /// For each limit: right detections.
    right: [[u64; BITS]; 3],
    /// Right and wrong detections so far, at each that is right.
    points: [Vec<(u64, u64)>; BITS],
}

impl Default for Counted {
    fn default() -> Self {
        Self { right: [[0; BITS]; 3], points: [const { Vec::new() }; BITS] }
    }
}

impl Counted {
    /// Mean precision over the recall grid; `None` without ground truth.
    fn precision(&self, place: usize, truths: u64) -> Option<f64> {
        if truths == 0 {
            return None;
        }
        let points = &self.points[place];
        let truths = truths as f64;
        // From the highest recall down, so that the envelope is the running maximum.
        let mut rest = points.len();
        let mut best = 0.0f64;
        let mut envelope = [0.0; RECALLS];
        for index in (0..RECALLS).rev() {
            while rest > 0 && points[rest - 1].0 as f64 / truths >= recall(index) {
                let (right, wrong) = points[rest - 1];
                let (right, wrong) = (right as f64, wrong as f64);
                best = best.max(right / (wrong + right + EPSILON));
                rest -= 1;
            }
            envelope[index] = best;
        }
        // Recall 0 is reached by the first detection, right or wrong.
        envelope[0] = points[..rest].iter().fold(best, |best, &(right, wrong)| {
            let (right, wrong) = (right as f64, wrong as f64);
            best.max(right / (wrong + right + EPSILON))
        });
        Some(envelope.iter().sum::<f64>() / RECALLS as f64)
    }
}

/// Order of scores, highest first; what is not a number comes last.
pub(super) fn descending(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// A number whose ascending order is that of [`descending`].
fn falling(score: f64) -> u64 {
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
