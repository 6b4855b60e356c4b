//! Every image's own counts, for confidence intervals and paired comparisons.

use super::areas::Areas;
use super::boundary::{BoundaryCounts, BoundaryScores};
use super::confusion::ConfusionMatrix;
use super::scores::SemanticScores;
use crate::EvalError;
use crate::resample::PerImage;

/// What every single image counted. Classes that are not in an image take no room: about 50 bytes a class and image.
///
/// ```
/// use smalti_evaluation::resample;
/// use smalti_evaluation::semantic::{ConfusionMatrix, ImageCounts};
/// let mut images = ImageCounts::new(2);
/// for (name, pred, gt) in [("a", [0u8, 1, 1, 1], [0u8, 0, 1, 1]), ("b", [0, 0, 1, 1], [0, 0, 1, 1])] {
///     let mut counts = ConfusionMatrix::new(2);
///     counts.add(&pred, &gt)?;
///     images.push(name, &counts, None)?;
/// }
/// let intervals = resample::bootstrap(&images, 100, 0)?; // in the order of `SemanticScores::named`
/// assert!(intervals[0].is_some_and(|m_iou| m_iou.low < m_iou.high));
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageCounts {
    num_classes: usize,
    images: Vec<Image>,
}

#[derive(Debug, Clone)]
struct Image {
    name: String,
    areas: Vec<(u16, Areas)>,
    /// Of the boundaries, if they are scored.
    boundary: Option<Vec<(u16, Areas)>>,
}

impl ImageCounts {
    /// No images yet, for K classes.
    pub fn new(num_classes: usize) -> Self {
        Self { num_classes, images: Vec::new() }
    }

    /// Adds an image: what was counted in it and nowhere else. `boundary` for all images or for none.
    ///
    /// # Errors
    /// [`EvalError::Merge`] if the counts are of another number of classes, or the boundary comes and goes.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        counts: &ConfusionMatrix,
        boundary: Option<&BoundaryCounts>,
    ) -> Result<(), EvalError> {
        let differs = |field, expected, got| Err(EvalError::Merge { field, expected, got });
        if counts.num_classes() != self.num_classes {
            return differs("the number of classes", self.num_classes as u64, counts.num_classes() as u64);
        }
        if let Some(first) = self.images.first()
            && first.boundary.is_some() != boundary.is_some()
        {
            return differs("the boundary", first.boundary.is_some().into(), boundary.is_some().into());
        }
        self.images.push(Image {
            name: name.into(),
            areas: present(&Areas::of(self.num_classes, &counts.counts())),
            boundary: boundary.map(|boundary| present(&boundary.areas())),
        });
        Ok(())
    }

    /// Adds the images of another part, after one's own.
    ///
    /// # Errors
    /// [`EvalError::Merge`] if the other part is of another number of classes.
    pub fn merge(&mut self, other: Self) -> Result<(), EvalError> {
        if other.num_classes != self.num_classes {
            let (expected, got) = (self.num_classes as u64, other.num_classes as u64);
            return Err(EvalError::Merge { field: "the number of classes", expected, got });
        }
        self.images.extend(other.images);
        Ok(())
    }

    fn sum<'a>(&'a self, weights: &[u32], of: impl Fn(&'a Image) -> &'a [(u16, Areas)]) -> Vec<Areas> {
        let mut sum = vec![Areas::default(); self.num_classes];
        for (image, &weight) in self.images.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            for (class, areas) in of(image) {
                sum[usize::from(*class)].add(areas, weight.into());
            }
        }
        sum
    }
}

/// The classes that occur.
fn present(areas: &[Areas]) -> Vec<(u16, Areas)> {
    let occurs = |area: &Areas| *area != Areas::default();
    areas.iter().enumerate().filter(|(_, area)| occurs(area)).map(|(id, area)| (id as u16, *area)).collect()
}

impl PerImage for ImageCounts {
    fn image_names(&self) -> Vec<String> {
        self.images.iter().map(|image| image.name.clone()).collect()
    }

    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let areas = self.sum(weights, |image| &image.areas);
        let has_boundary = self.images.first().is_some_and(|image| image.boundary.is_some());
        let boundary = has_boundary.then(|| {
            BoundaryScores::of(&self.sum(weights, |image| image.boundary.as_deref().unwrap_or_default()))
        });
        let scores = SemanticScores::of(&areas).with_boundary(boundary);
        scores.named().into_iter().map(|(_, value)| value).collect()
    }
}
