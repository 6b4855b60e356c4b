//! The detections of all images in memory, ranked by score: what is scored once, or in resamples of the images.

use rayon::prelude::*;

use super::curve::{Curve, falling};
use super::matching::Fate;
use super::params::{AREAS, ImageId, MaxDets};
use super::scores::{InstanceMetrics, InstanceScores, mean_of_classes};
use super::verdict::{Fates, Scored, Verdict};
use crate::resample::PerImage;

/// What all images say about one category.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// Of each image in order of score.
    pub(super) detections: Vec<Scored>,
    pub(super) fates: Fates,
    /// For each image with ground truth: how many objects count in each area range.
    pub(super) truths: Vec<(u32, [u32; AREAS])>,
}

impl Evidence {
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

/// Sorts detections best first; of equal scores those of the first image come first, and of an image they stay in order.
pub(super) fn rank(detections: &mut [Scored]) {
    // By digits, as there may be millions.
    radsort::sort_by_key(detections, |det| (falling(det.score), det.image));
}

/// Everything that was matched, ranked once: scores of all images, or of resamples of them.
#[derive(Debug)]
pub struct Ranked {
    images: Vec<ImageId>,
    max_dets: MaxDets,
    classes: Vec<RankedClass>,
}

#[derive(Debug)]
pub(super) struct RankedClass {
    pub(super) category: i64,
    /// Best first.
    pub(super) detections: Vec<Scored>,
    pub(super) fates: Vec<Fate>,
    pub(super) truths: Vec<(u32, [u32; AREAS])>,
}

impl Ranked {
    pub(super) fn new(images: Vec<ImageId>, max_dets: MaxDets, classes: Vec<RankedClass>) -> Self {
        Self { images, max_dets, classes }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The scores of all images.
    pub fn scores(&self) -> InstanceScores {
        let metrics = |class: &RankedClass| (class.category, class.metrics(self.max_dets, None));
        InstanceScores::new(self.max_dets, self.classes.par_iter().map(metrics).collect())
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
    /// Ranks what was matched; `order[i]` is the place of image `i` in the order of ids.
    pub(super) fn new(category: i64, evidence: Evidence, order: &[u32]) -> Self {
        let place = |image: u32| order.get(image as usize).copied().unwrap_or(image);
        let Evidence { mut detections, fates, mut truths } = evidence;
        for det in &mut detections {
            det.image = place(det.image);
        }
        for (image, _) in &mut truths {
            *image = place(*image);
        }
        rank(&mut detections);
        Self { category, detections, fates: fates.list, truths }
    }

    fn metrics(&self, max_dets: MaxDets, weights: Option<&[u32]>) -> InstanceMetrics {
        let weight =
            |image: u32| weights.map_or(1, |w| u64::from(w.get(image as usize).copied().unwrap_or(0)));
        let mut truths = [0u64; AREAS];
        for (image, counts) in &self.truths {
            for (sum, &n) in truths.iter_mut().zip(counts) {
                *sum += u64::from(n) * weight(*image);
            }
        }
        let Some(mut curve) = Curve::new(max_dets, truths) else { return InstanceMetrics::default() };
        for det in &self.detections {
            let times = weight(det.image);
            if times > 0 {
                curve.add(det.verdict, times, &self.fates);
            }
        }
        curve.metrics()
    }
}
