//! All results of an image from one forward pass.

use ndarray::{Array2, Array3};
use smalti_datasets::transform::segments::EvalView;
use smalti_heads::mask::post::{
    Frame, ImageLogits, Instance, MaskInferenceConfig, Panoptic, SemanticOrder, instances, panoptic, semantic,
};
use smalti_heads::{MaskModel, MaskOutput};
use tch::{Device, no_grad};

use crate::TrainError;
use crate::batch::tensor;
use crate::precision::Precision;

/// Which results are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The panoptic map.
    pub panoptic: bool,
    /// Instances of things.
    pub instances: bool,
    /// The class of every pixel.
    pub semantic: bool,
}

/// Results of one image at its own size; what was not wanted is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskResults {
    /// Segments that do not overlap.
    pub panoptic: Option<Panoptic>,
    /// Things, by falling class probability.
    pub instances: Option<Vec<Instance>>,
    /// `[H, W]` class ids `0..K`.
    pub semantic: Option<Array2<u16>>,
}

/// A network with all that decides its predictions.
#[derive(Debug)]
pub struct MaskPredictor<'a> {
    /// The network.
    pub model: &'a MaskModel,
    /// Thresholds and limits.
    pub inference: &'a MaskInferenceConfig,
    /// Arithmetic of the network; results are made in f32.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// `[K]`: which classes are countable.
    pub things: Vec<bool>,
}

impl MaskPredictor<'_> {
    /// Results for the image of a view, `size` (height, width) in pixels.
    ///
    /// # Errors
    /// [`TrainError::Model`] for views that the network does not take.
    pub fn predict(
        &self,
        view: &EvalView,
        size: [usize; 2],
        wanted: Wanted,
    ) -> Result<MaskResults, TrainError> {
        let output = forward(self.model, self.precision, self.device, &view.image)?;
        let (classes, masks) = (output.class_logits.get(0), output.mask_logits.get(0));
        let frame = frame(&view.image, view.valid, size);
        let logits = ImageLogits { classes: &classes, masks: &masks, frame };
        Ok(MaskResults {
            panoptic: wanted.panoptic.then(|| panoptic(logits, self.inference, &self.things)).transpose()?,
            instances: wanted
                .instances
                .then(|| instances(logits, self.inference, Some(&self.things)))
                .transpose()?,
            semantic: wanted.semantic.then(|| semantic(logits, self.inference.semantic_order)).transpose()?,
        })
    }
}

/// Class of every pixel by a network for semantic segmentation alone: `image` `[3, H', W']`, of which `valid` (height, width) is no
/// padding -> `[H, W]` ids, `size` in pixels. As in the reference, scores are summed before they are resized.
///
/// # Errors
/// [`TrainError::Model`] for images that the network does not take.
pub fn predict_semantic(
    model: &MaskModel,
    precision: Precision,
    device: Device,
    image: &Array3<f32>,
    valid: [usize; 2],
    size: [usize; 2],
) -> Result<Array2<u16>, TrainError> {
    let output = forward(model, precision, device, image)?;
    let (classes, masks) = (output.class_logits.get(0), output.mask_logits.get(0));
    let logits = ImageLogits { classes: &classes, masks: &masks, frame: frame(image, valid, size) };
    Ok(semantic(logits, SemanticOrder::ResizeScores)?)
}

fn forward(
    model: &MaskModel,
    precision: Precision,
    device: Device,
    image: &Array3<f32>,
) -> Result<MaskOutput, TrainError> {
    let images = tensor(image.as_slice(), image.shape(), device).unsqueeze(0); // [1, 3, H, W]
    let _autocast = precision.guard(device)?;
    Ok(no_grad(|| model.forward_t(&images, false))?)
}

/// The sizes that masks pass through from the network's input to a result of `size`.
fn frame(image: &Array3<f32>, valid: [usize; 2], size: [usize; 2]) -> Frame {
    let (_, height, width) = image.dim();
    let pair = |[height, width]: [usize; 2]| (height as i64, width as i64);
    Frame { padded: pair([height, width]), image: pair(valid), output: pair(size) }
}
