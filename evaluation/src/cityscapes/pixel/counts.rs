//! What is counted over images.

use smalti_datasets::cityscapes::NUM_IDS;

use super::objects::{Object, objects_of};
use super::scores::PixelScores;
use crate::EvalError;
use crate::cityscapes::runs::IdRuns;
use crate::resample::PerImage;
use crate::semantic::ConfusionMatrix;

/// Confusion matrix over all ids, row by row: row = ground truth, column = prediction.
pub(super) type Matrix = Vec<u64>;

/// Pixel-level counts: add images, merge what others added, finish. Keeps 40 bytes an object beside the matrix. Any order
/// and any split of the images gives the same scores to the last bit. The example is in [the module](super).
#[derive(Debug, Clone)]
pub struct PixelCounts {
    pub(super) confusion: ConfusionMatrix,
    pub(super) objects: Vec<Object>,
    pub(super) images: usize,
    kept: Option<Vec<KeptImage>>,
}

#[derive(Debug, Clone)]
struct KeptImage {
    name: String,
    matrix: Matrix,
}

impl Default for PixelCounts {
    fn default() -> Self {
        Self::new()
    }
}

impl PixelCounts {
    /// No value of 8 bits is ignored: which rows count is settled at the end.
    pub(super) const IGNORED: u16 = u16::MAX;

    /// Nothing counted yet.
    pub fn new() -> Self {
        let confusion = ConfusionMatrix::new(NUM_IDS).with_ignore_label(Self::IGNORED);
        Self { confusion, objects: Vec::new(), images: 0, kept: None }
    }

    /// Nothing counted yet; every image's own counts will be kept for [`PixelCounts::per_image`].
    pub fn keeping_images() -> Self {
        Self { kept: Some(Vec::new()), ..Self::new() }
    }

    /// Counts one image: predicted label ids, ground truth label ids (`labelIds`) and `instanceIds`, each `[H, W]` in row
    /// order.
    ///
    /// # Errors
    /// [`EvalError::Image`] if the three differ in length, for label ids above 33 and for instance ids of labels that have
    /// no single objects; nothing is counted then.
    pub fn add(&mut self, name: &str, pred: &[u8], gt: &[u8], instance_ids: &[u16]) -> Result<(), EvalError> {
        let refuse = |reason: String| EvalError::image(name, reason);
        for (what, pixels) in [("predicted label ids", pred.len()), ("instance ids", instance_ids.len())] {
            if pixels != gt.len() {
                return Err(refuse(format!(
                    "expected {} {what}, as ground truth has, got {pixels}",
                    gt.len()
                )));
            }
        }
        check_ids("predicted", pred).and_then(|()| check_ids("ground truth", gt)).map_err(refuse)?;
        let found = objects_of(pred, &IdRuns::of(instance_ids), self.images as u32).map_err(refuse)?;
        self.objects.extend(found);
        let before = self.kept.is_some().then(|| self.matrix());
        self.confusion.add(pred, gt)?;
        if let (Some(kept), Some(before)) = (&mut self.kept, before) {
            let after = scored_part(&self.confusion.counts());
            let matrix = after.iter().zip(before).map(|(after, before)| after - before).collect();
            kept.push(KeptImage { name: name.to_owned(), matrix });
        }
        self.images += 1;
        Ok(())
    }

    /// Adds what another one counted. Images stay kept only if both kept them.
    ///
    /// # Errors
    /// None that input can cause: both count the same 34 ids.
    pub fn merge(&mut self, other: Self) -> Result<(), EvalError> {
        self.confusion.merge(&other.confusion)?;
        let before = self.images as u32;
        self.objects.extend(
            other.objects.into_iter().map(|object| Object { image: object.image + before, ..object }),
        );
        self.kept = self.kept.take().zip(other.kept).map(|(mut kept, more)| {
            kept.extend(more);
            kept
        });
        self.images += other.images;
        Ok(())
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The confusion matrix over ids 0 to 33, `[34, 34]` row by row: row = ground truth, column = prediction.
    pub fn matrix(&self) -> Vec<u64> {
        scored_part(&self.confusion.counts())
    }

    /// All scores of what was counted so far.
    pub fn finish(&self) -> PixelScores {
        PixelScores::new(&self.matrix(), &self.sorted(), |_| 1)
    }

    /// The counts of every image, for intervals and comparisons; `None` unless they were kept.
    pub fn per_image(&self) -> Option<PixelResampler> {
        Some(PixelResampler { images: self.kept.clone()?, objects: self.sorted() })
    }

    fn sorted(&self) -> Vec<Object> {
        let mut objects = self.objects.clone();
        objects.sort_unstable();
        objects
    }
}

/// The matrix without the row and column of values outside, which [`PixelCounts::add`] refuses.
fn scored_part(counts: &[u64]) -> Matrix {
    counts.chunks_exact(NUM_IDS + 1).take(NUM_IDS).flat_map(|row| &row[..NUM_IDS]).copied().collect()
}

/// The reference has a table of 34 ids and does not look whether a value is inside.
fn check_ids(what: &str, ids: &[u8]) -> Result<(), String> {
    let highest = ids.iter().copied().max().unwrap_or_default();
    if usize::from(highest) < NUM_IDS {
        return Ok(());
    }
    let outside = ids.iter().filter(|&&id| usize::from(id) >= NUM_IDS).count();
    let hint = if highest == 255 { " (train ids? label ids are expected)" } else { "" };
    Err(format!("expected {what} label ids 0 to 33, got {highest}{hint}; {outside} pixels are outside"))
}

/// A pixel-level result that can be scored again with images counting more or less often.
#[derive(Debug, Clone)]
pub struct PixelResampler {
    images: Vec<KeptImage>,
    objects: Vec<Object>,
}

impl PerImage for PixelResampler {
    fn image_names(&self) -> Vec<String> {
        self.images.iter().map(|image| image.name.clone()).collect()
    }

    /// `IoU_class IoU_category iIoU_class iIoU_category`.
    fn weighted(&self, weights: &[u32]) -> Vec<Option<f64>> {
        let mut matrix = vec![0; NUM_IDS * NUM_IDS];
        for (image, &weight) in self.images.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            for (sum, n) in matrix.iter_mut().zip(&image.matrix) {
                *sum += n * u64::from(weight);
            }
        }
        let weight = |image: u32| weights.get(image as usize).copied().unwrap_or_default().into();
        let scores = PixelScores::new(&matrix, &self.objects, weight);
        scores.named().into_iter().map(|(_, value)| value).collect()
    }
}
