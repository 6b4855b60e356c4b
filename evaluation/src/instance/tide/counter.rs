//! The breakdown of objects in memory, image by image.

use std::collections::HashSet;

use smalti_datasets::rle::Spans;

use super::judge::{Evidence, MAX_DETECTIONS, Suspect};
use super::sight::{Target, look};
use super::{TideOptions, TideScores, mend};
use crate::EvalError;
use crate::instance::curve::descending;
use crate::instance::overlap::{Comparer, Region, Shape, box_iou};
use crate::instance::{Detection, ImageId, IouType, Truth};

/// Counts images and says what average precision is lost to.
///
/// Ground truth and detections of an image are added together and forgotten; what stays is 48 bytes a detection, of at
/// most 100 an image. Neither the order of images nor the way they were shared out changes the result: of equal scores
/// those of the lower image id rank first.
///
/// ```
/// use smalti_evaluation::instance::tide::{ErrorKind, Tide, TideOptions};
/// use smalti_evaluation::instance::{Detection, IouType, Region, Truth};
/// let mut tide = Tide::new(IouType::Bbox, TideOptions::default());
/// let cat = Region::Box([10.0, 10.0, 40.0, 40.0]);
/// let truth = Truth { id: 1, category: 17, region: cat.clone(), area: 1600.0, crowd: false };
/// // Called a dog (18), but the cat is where it says.
/// tide.add(42, &[truth], &[Detection { category: 18, score: 0.9, region: cat }])?;
/// let scores = tide.finish();
/// assert_eq!(scores.ap, Some(0.0));
/// assert_eq!(scores.errors[&ErrorKind::Classification].delta, Some(1.0));
/// assert_eq!(scores.errors[&ErrorKind::Missed].count, 0); // the wrong class explains it
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tide {
    kind: IouType,
    options: TideOptions,
    images: Vec<ImageId>,
    seen: HashSet<ImageId>,
    evidence: Evidence,
}

impl Tide {
    /// Nothing counted yet. The reference knows masks and boxes only; for [`IouType::Boundary`] the smaller IoU counts.
    pub fn new(kind: IouType, options: TideOptions) -> Self {
        Self { kind, options, images: Vec::new(), seen: HashSet::new(), evidence: Evidence::default() }
    }

    /// Counts one image. Ids and areas of the ground truth do not matter.
    ///
    /// # Errors
    /// [`EvalError::Image`] if the image was added before, a box is given where masks are compared, or a box is not of
    /// finite numbers. Nothing is counted then.
    pub fn add(
        &mut self,
        image: impl Into<ImageId>,
        truths: &[Truth],
        detections: &[Detection],
    ) -> Result<(), EvalError> {
        let image = image.into();
        if self.seen.contains(&image) {
            return Err(EvalError::image(&image, "added twice"));
        }
        let mut comparer = Comparer::new(self.kind);
        let mut spans = Spans::new();
        let mut shapes = Vec::with_capacity(truths.len());
        for truth in truths {
            shapes.push(match self.place(&image, &truth.region, &mut spans)? {
                Some(bbox) => Shape::Box(bbox),
                None => Shape::Mask(comparer.truth(&spans)),
            });
        }
        let mut ranked: Vec<&Detection> = detections.iter().collect();
        ranked.sort_by(|a, b| descending(a.score, b.score));
        ranked.truncate(MAX_DETECTIONS);
        let mut seen = Vec::with_capacity(ranked.len());
        for det in ranked {
            let bbox = self.place(&image, &det.region, &mut spans)?;
            comparer.begin();
            let iou = |shape: &Shape, crowd: bool| match (shape, bbox) {
                (Shape::Box(truth), Some(bbox)) => box_iou(bbox, *truth, crowd),
                (Shape::Mask(mask), None) => comparer.iou(&spans, mask, crowd, 0.0),
                _ => 0.0, // both are of the same kind
            };
            let targets = (0..).zip(truths).zip(&shapes).map(|((order, truth), shape)| Target {
                category: truth.category,
                crowd: truth.crowd,
                order,
                object: shape,
            });
            let mut candidates = Vec::new();
            let sighting = look(self.options, det.category, targets, iou, &mut candidates);
            seen.push((det, sighting, candidates));
        }
        let suspects: Vec<Suspect<'_>> = seen
            .iter()
            .map(|(det, sighting, candidates)| Suspect {
                category: det.category,
                score: det.score,
                sighting: *sighting,
                candidates,
            })
            .collect();
        let flags: Vec<(i64, bool)> = truths.iter().map(|truth| (truth.category, truth.crowd)).collect();
        self.evidence.judge(self.images.len() as u32, &flags, &suspects);
        self.images.push(image.clone());
        self.seen.insert(image);
        Ok(())
    }

    /// Adds what another counter counted.
    ///
    /// # Errors
    /// [`EvalError::Unlike`] if it compares something else or has other thresholds; [`EvalError::Image`] if both have
    /// counted an image. Nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        if other.kind != self.kind {
            return Err(EvalError::Unlike { what: "kind of IoU" });
        }
        if other.options != self.options {
            return Err(EvalError::Unlike { what: "thresholds" });
        }
        if let Some(twice) = other.images.iter().find(|id| self.seen.contains(id)) {
            return Err(EvalError::image(twice, "counted in both of two counters that were to be merged"));
        }
        self.evidence.extend(&other.evidence, self.images.len() as u32);
        self.images.extend(other.images.iter().cloned());
        self.seen.extend(other.images.iter().cloned());
        Ok(())
    }

    /// The scores of what was counted so far.
    pub fn finish(&self) -> TideScores {
        let mut by_id: Vec<usize> = (0..self.images.len()).collect();
        by_id.sort_by(|&a, &b| self.images[a].cmp(&self.images[b]));
        let mut place = vec![0; by_id.len()];
        for (rank, &image) in (0..).zip(&by_id) {
            place[image] = rank;
        }
        let mut evidence = self.evidence.clone();
        for judged in &mut evidence.judged {
            judged.image = place[judged.image as usize];
        }
        mend::scores(self.kind, self.options, evidence)
    }

    /// The box that is compared, or `None` and the mask in `spans`.
    fn place(
        &self,
        image: &ImageId,
        region: &Region,
        spans: &mut Spans,
    ) -> Result<Option<[f64; 4]>, EvalError> {
        match (region, self.kind.uses_masks()) {
            (Region::Mask(rle), true) => {
                spans.read_rle(rle);
                Ok(None)
            }
            (Region::Mask(rle), false) => Ok(Some(rle.bbox().map(f64::from))),
            (Region::Box(bbox), false) if bbox.iter().all(|value| value.is_finite()) => Ok(Some(*bbox)),
            (Region::Box(bbox), false) => {
                Err(EvalError::image(image, format!("expected a box of finite numbers, got {bbox:?}")))
            }
            (Region::Box(_), true) => Err(EvalError::image(image, "expected a mask, got a box")),
        }
    }
}
