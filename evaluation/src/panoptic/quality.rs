//! Counting over images: add, merge, finish.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::input::{GtSegment, ImageId, PanopticClass, PredSegment, SegmentMap};
use super::matching::{Finding, Matcher, Wrong};
use super::quirks::Quirks;
use super::scores::{ClassCounts, PanopticMetrics, PanopticScores};
use crate::EvalError;
use crate::resample::PerImage;

/// Panoptic quality, counted image by image.
///
/// ```
/// use smalti_datasets::label_png::PixelMap;
/// use smalti_evaluation::panoptic::{GtSegment, PanopticClass, PanopticQuality, PredSegment, SegmentMap};
///
/// let classes = vec![
///     PanopticClass { id: 1, name: "person".into(), is_thing: true },
///     PanopticClass { id: 200, name: "sky".into(), is_thing: false },
/// ];
/// let mut quality = PanopticQuality::new(classes)?;
/// let gt = SegmentMap {
///     map: PixelMap { height: 2, width: 4, pixels: &[7, 7, 7, 9, 7, 9, 9, 9] },
///     segments: &[
///         GtSegment { id: 7, category_id: 1, area: 4, is_crowd: false },
///         GtSegment { id: 9, category_id: 200, area: 4, is_crowd: false },
///     ],
/// };
/// let pred = SegmentMap {
///     map: PixelMap { height: 2, width: 4, pixels: &[5, 5, 5, 6, 6, 6, 6, 6] },
///     segments: &[PredSegment { id: 5, category_id: 1 }, PredSegment { id: 6, category_id: 200 }],
/// };
/// quality.add(&"frame 0".into(), gt, pred)?;
/// let scores = quality.finish();
/// assert_eq!(scores.classes[0].pq, Some(3.0 / 4.0)); // person: 3 pixels of 4
/// assert_eq!(scores.metrics.pq_stuff, Some(4.0 / 5.0));
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PanopticQuality {
    classes: Arc<[PanopticClass]>,
    /// Category id and position, sorted.
    index: Arc<[(i64, usize)]>,
    boundary: bool,
    counts: Vec<ClassCounts>,
    quirks: Quirks,
    images: usize,
    kept: Option<Vec<KeptImage>>,
    matcher: Matcher,
}

/// What one image added, by position of the class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct KeptImage {
    id: ImageId,
    counts: Vec<(usize, ClassCounts)>,
}

impl PanopticQuality {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// [`EvalError::RepeatedClass`] if two classes have the same id.
    pub fn new(classes: Vec<PanopticClass>) -> Result<Self, EvalError> {
        let mut index: Vec<(i64, usize)> =
            classes.iter().enumerate().map(|(at, class)| (class.id, at)).collect();
        index.sort_unstable();
        if let Some(pair) = index.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(EvalError::RepeatedClass { id: pair[0].0 });
        }
        Ok(Self {
            counts: vec![ClassCounts::default(); classes.len()],
            classes: classes.into(),
            index: index.into(),
            boundary: false,
            quirks: Quirks::default(),
            images: 0,
            kept: None,
            matcher: Matcher::default(),
        })
    }

    /// Boundary PQ: a pair's IoU is the smaller of the masks' and their boundaries'.
    #[must_use]
    pub fn with_boundary(mut self) -> Self {
        self.boundary = true;
        self
    }

    /// Keeps every image's own counts for [`images`](Self::images).
    #[must_use]
    pub fn keeping_images(mut self) -> Self {
        self.kept = Some(Vec::new());
        self
    }

    /// Counts one image. After an error the image has not been counted.
    ///
    /// # Errors
    /// [`EvalError::Image`]: the maps differ in size, a predicted segment is in the map or the list only or has an unknown
    /// category, or a stated area makes a union 0.
    pub fn add(
        &mut self,
        image: &ImageId,
        gt: SegmentMap<'_, GtSegment>,
        pred: SegmentMap<'_, PredSegment>,
    ) -> Result<(), EvalError> {
        self.add_image(image, gt, pred).map_err(|wrong| {
            let side = if wrong.in_gt { "ground truth" } else { "prediction" };
            EvalError::image(image, format!("{side}: {}", wrong.reason))
        })
    }

    pub(super) fn add_image(
        &mut self,
        image: &ImageId,
        gt: SegmentMap<'_, GtSegment>,
        pred: SegmentMap<'_, PredSegment>,
    ) -> Result<(), Wrong> {
        let index = &self.index;
        let class_of = |id: i64| index.binary_search_by_key(&id, |entry| entry.0).ok().map(|at| index[at].1);
        let mut quirks = Quirks::default();
        let findings = self.matcher.image(image, gt, pred, class_of, self.boundary, &mut quirks)?;
        for &(class, finding) in findings {
            count(&mut self.counts[class], finding);
        }
        if let Some(kept) = &mut self.kept {
            let mut own = BTreeMap::<usize, ClassCounts>::new();
            for &(class, finding) in findings {
                count(own.entry(class).or_default(), finding);
            }
            kept.push(KeptImage { id: image.clone(), counts: own.into_iter().collect() });
        }
        self.quirks.merge(&quirks);
        self.images += 1;
        Ok(())
    }

    /// Adds what another thread or rank has counted.
    ///
    /// # Errors
    /// [`EvalError::UnlikeCounts`] if the other one has other classes or options.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        if self.classes != other.classes {
            return Err(EvalError::UnlikeCounts { field: "classes" });
        }
        if self.boundary != other.boundary || self.kept.is_some() != other.kept.is_some() {
            return Err(EvalError::UnlikeCounts { field: "options" });
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| mine.add(theirs, 1));
        if let (Some(mine), Some(theirs)) = (&mut self.kept, &other.kept) {
            mine.extend_from_slice(theirs);
        }
        self.quirks.merge(&other.quirks);
        self.images += other.images;
        Ok(())
    }

    /// Adds what [`counts`](Self::counts) gave of another one, over so many images: all that scores depend on.
    ///
    /// # Errors
    /// [`EvalError::UnlikeCounts`] if they are those of another number of classes, or if images are
    /// [kept](Self::keeping_images), which counts alone do not tell.
    pub fn add_counts(&mut self, counts: &[ClassCounts], images: usize) -> Result<(), EvalError> {
        if counts.len() != self.counts.len() {
            return Err(EvalError::UnlikeCounts { field: "classes" });
        }
        if self.kept.is_some() {
            return Err(EvalError::UnlikeCounts { field: "options" });
        }
        self.counts.iter_mut().zip(counts).for_each(|(mine, theirs)| mine.add(theirs, 1));
        self.images += images;
        Ok(())
    }

    /// The scores of all images so far.
    pub fn finish(&self) -> PanopticScores {
        PanopticScores::of(&self.classes, &self.counts)
    }

    /// Number of images counted; an image counted twice is two.
    pub fn num_images(&self) -> usize {
        self.images
    }

    /// What stood out in the input.
    pub fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    /// What was counted, in the order of the classes.
    pub fn counts(&self) -> &[ClassCounts] {
        &self.counts
    }

    /// Every image's own counts, sorted by image; `None` unless they were [kept](Self::keeping_images).
    pub fn images(&self) -> Option<PanopticImages> {
        let mut images = self.kept.clone()?;
        images.sort_unstable();
        Some(PanopticImages { classes: Arc::clone(&self.classes), images })
    }
}

fn count(counts: &mut ClassCounts, finding: Finding) {
    match finding {
        Finding::Match(iou) => counts.matched(iou),
        Finding::FalsePositive => counts.fp += 1,
        Finding::FalseNegative => counts.fn_ += 1,
    }
}

/// Every image's own counts, for intervals and comparisons.
#[derive(Debug, Clone)]
pub struct PanopticImages {
    classes: Arc<[PanopticClass]>,
    images: Vec<KeptImage>,
}

impl PerImage for PanopticImages {
    fn image_names(&self) -> Vec<String> {
        self.images.iter().map(|image| image.id.to_string()).collect()
    }

    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let mut counts = vec![ClassCounts::default(); self.classes.len()];
        for (image, &weight) in self.images.iter().zip(weights) {
            for (class, own) in &image.counts {
                counts[*class].add(own, weight.into());
            }
        }
        let metrics = PanopticMetrics::of(&self.classes, &counts);
        metrics.named().map(|(_, value)| value).to_vec()
    }
}
