//! Average precision of objects in memory, image by image.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;
use smalti_datasets::rle::Spans;

use super::curve::descending;
use super::matching::{Candidate, Contender, LEAST_IOU, Matcher, TruthFlags};
use super::oddities::Oddities;
use super::overlap::{Comparer, Region, Shape, box_iou};
use super::params::{ImageId, IouType, MaxDets, outside};
use super::ranked::{Evidence, Ranked, RankedClass};
use super::results::keep;
use super::scores::InstanceScores;
use super::truth::counted;
use crate::EvalError;

/// A ground truth object.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Id of the annotation. Not 0: the reference takes what finds it for wrong then, and so does this.
    pub id: i64,
    /// Id of its category.
    pub category: i64,
    /// Its mask, or its box for [`IouType::Bbox`].
    pub region: Region,
    /// The annotation's area in pixels, which decides about area ranges.
    pub area: f64,
    /// A group of objects that were not told apart: may be found any number of times, need not be found.
    pub crowd: bool,
}

/// A detected object.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Id of its category.
    pub category: i64,
    /// Any number; higher is surer.
    pub score: f64,
    /// Its mask, or for [`IouType::Bbox`] its box (of a mask the tight box is taken).
    pub region: Region,
}

/// Counts images and gives COCO's average precision and recall.
///
/// Ground truth and detections of an image are added together and forgotten; what stays is 16 bytes a detection. Neither
/// the order of images nor the way they were shared out between counters changes the result.
///
/// ```
/// use smalti_evaluation::instance::{Detection, InstanceAp, IouType, MaxDets, Region, Truth};
/// let mut ap = InstanceAp::new(IouType::Bbox, MaxDets::default());
/// let cat = Region::Box([10.0, 10.0, 40.0, 40.0]);
/// let truth = Truth { id: 1, category: 17, region: cat.clone(), area: 1600.0, crowd: false };
/// let hit = Detection { category: 17, score: 0.9, region: cat };
/// let miss = Detection { category: 17, score: 0.8, region: Region::Box([90.0, 10.0, 9.0, 9.0]) };
/// ap.add(42, &[truth], &[hit, miss])?;
/// let scores = ap.finish();
/// assert_eq!(scores.metrics.ar_first, Some(1.0));
/// assert!(scores.metrics.ap.is_some_and(|ap| ap > 0.999999)); // the reference adds an epsilon: not quite 1
/// assert_eq!(scores.metrics.ap_small, None); // there is no small object
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct InstanceAp {
    pub(super) kind: IouType,
    pub(super) max_dets: MaxDets,
    pub(super) images: Vec<ImageId>,
    pub(super) seen: HashSet<ImageId>,
    pub(super) classes: BTreeMap<i64, Evidence>,
    pub(super) oddities: Oddities,
}

/// One category of an image.
#[derive(Default)]
struct Group<'a> {
    truths: Vec<(TruthFlags, Shape)>,
    detections: Vec<&'a Detection>,
}

impl InstanceAp {
    /// Nothing counted yet.
    pub fn new(kind: IouType, max_dets: MaxDets) -> Self {
        let (images, seen, classes) = (Vec::new(), HashSet::new(), BTreeMap::new());
        Self { kind, max_dets, images, seen, classes, oddities: Oddities::default() }
    }

    /// Lists these categories among the scores even if nothing of them is ever added, as an annotation file that names them
    /// does. The means stay what they are.
    #[must_use]
    pub fn with_categories(mut self, ids: impl IntoIterator<Item = i64>) -> Self {
        for id in ids {
            self.classes.entry(id).or_default();
        }
        self
    }

    /// Counts one image. Its id decides how detections of equal score rank across images.
    ///
    /// # Errors
    /// [`EvalError::Image`] if the image was added before, or a box is given where masks are compared. Nothing is counted
    /// then.
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
        let mut classes: BTreeMap<i64, Group<'_>> = BTreeMap::new();
        let mut oddities = Oddities::default();
        for truth in truths {
            let shape = self.shape(&image, &truth.region, &mut comparer)?;
            let flags = TruthFlags::new(truth.id, truth.crowd, truth.area);
            oddities.zero_ids += u64::from(flags.zero_id);
            if let Shape::Mask(mask) = &shape {
                let elsewhere = !truth.crowd && outside(f64::from(mask.area())) != outside(truth.area);
                oddities.areas_elsewhere += u64::from(elsewhere);
            }
            classes.entry(truth.category).or_default().truths.push((flags, shape));
        }
        for det in detections {
            if self.kind.uses_masks() && matches!(det.region, Region::Box(_)) {
                return Err(EvalError::image(&image, "expected detections with masks, got a box"));
            }
            oddities.odd_scores += u64::from(!det.score.is_finite());
            classes.entry(det.category).or_default().detections.push(det);
        }
        let index = self.images.len() as u32;
        for (category, Group { truths, mut detections }) in classes {
            detections.sort_by(|a, b| descending(a.score, b.score));
            detections.truncate(self.max_dets.limits()[2] as usize);
            let compared: Vec<_> =
                detections.iter().map(|det| compare(det, &truths, &mut comparer, &mut oddities)).collect();
            let contenders =
                compared.iter().map(|(area, candidates)| Contender { outside: outside(*area), candidates });
            let mut fates = Vec::with_capacity(compared.len());
            Matcher::default().run(&contenders, &mut fates);
            let evidence = self.classes.entry(category).or_default();
            for ((rank, det), fate) in detections.iter().enumerate().zip(fates) {
                evidence.add(det.score, index, self.max_dets.first_for(rank), fate);
            }
            if !truths.is_empty() {
                evidence.truths.push((index, counted(truths.iter().map(|(flags, _)| *flags))));
            }
        }
        self.oddities.add(&oddities);
        self.images.push(image.clone());
        self.seen.insert(image);
        Ok(())
    }

    /// Adds what another counter counted.
    ///
    /// # Errors
    /// [`EvalError::Unlike`] if it compares something else or has other limits; [`EvalError::Image`] if both have
    /// counted an image. Nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        if other.kind != self.kind {
            return Err(EvalError::Unlike { what: "kind of IoU" });
        }
        if other.max_dets != self.max_dets {
            return Err(EvalError::Unlike { what: "limits on detections" });
        }
        if let Some(twice) = other.images.iter().find(|id| self.seen.contains(id)) {
            return Err(EvalError::image(twice, "counted in both of two counters that were to be merged"));
        }
        let base = self.images.len() as u32;
        for (category, evidence) in &other.classes {
            self.classes.entry(*category).or_default().merge(evidence, base);
        }
        self.images.extend(other.images.iter().cloned());
        self.seen.extend(other.images.iter().cloned());
        self.oddities.add(&other.oddities);
        Ok(())
    }

    /// The scores of what was counted so far; categories are called by their ids.
    pub fn finish(&self) -> InstanceScores {
        self.clone().into_ranked().scores()
    }

    /// What was counted, for [`crate::resample`]. Its scores are those of [`InstanceAp::finish`].
    pub fn into_ranked(self) -> Ranked {
        let mut by_id: Vec<u32> = (0..self.images.len() as u32).collect();
        by_id.sort_by(|&a, &b| self.images[a as usize].cmp(&self.images[b as usize]));
        let mut order = vec![0; by_id.len()];
        for (place, &image) in (0..).zip(&by_id) {
            order[image as usize] = place;
        }
        let mut images = self.images;
        images.sort();
        let classes: Vec<(i64, Evidence)> = self.classes.into_iter().collect();
        let rank = |(category, evidence)| RankedClass::new(category, evidence, &order);
        Ranked::new(images, self.max_dets, classes.into_par_iter().map(rank).collect())
    }

    /// What stood out in the input.
    pub fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    fn shape(&self, image: &ImageId, region: &Region, comparer: &mut Comparer) -> Result<Shape, EvalError> {
        match (region, self.kind.uses_masks()) {
            (Region::Mask(rle), true) => {
                let mut spans = Spans::new();
                spans.read_rle(rle);
                Ok(Shape::Mask(comparer.truth(&spans)))
            }
            (Region::Mask(rle), false) => Ok(Shape::Box(rle.bbox().map(f64::from))),
            (Region::Box(bbox), false) => Ok(Shape::Box(*bbox)),
            (Region::Box(_), true) => {
                Err(EvalError::image(image, "expected ground truth with masks, got a box"))
            }
        }
    }
}

/// Area of a detection, and what it may take.
fn compare(
    det: &Detection,
    truths: &[(TruthFlags, Shape)],
    comparer: &mut Comparer,
    oddities: &mut Oddities,
) -> (f64, Vec<Candidate>) {
    let mut candidates = Vec::new();
    let (bbox, area) = match &det.region {
        Region::Box(bbox) => (*bbox, bbox[2] * bbox[3]),
        Region::Mask(rle) => (rle.bbox().map(f64::from), f64::from(rle.area())),
    };
    let mut spans = Spans::new();
    if let Region::Mask(rle) = &det.region {
        spans.read_rle(rle);
    }
    comparer.begin();
    for (index, (flags, shape)) in (0..).zip(truths) {
        let iou = match shape {
            Shape::Box(truth) => box_iou(bbox, *truth, flags.crowd),
            Shape::Mask(mask) => comparer.iou(&spans, mask, flags.crowd, LEAST_IOU),
        };
        keep(&mut candidates, index, *flags, iou);
    }
    oddities.sizes_differ += u64::from(comparer.size_differs);
    oddities.cut_short += u64::from(comparer.cut_short);
    (area, candidates)
}
