//! All results of an image from one forward pass. What comes after the network needs nothing of it and can run on another thread.

use ndarray::Array2;
use smalti_datasets::transform::segments::EvalView;
use smalti_heads::MaskModel;
use smalti_heads::mask::post::{
    Frame, ImageLogits, Instance, MaskInferenceConfig, Panoptic, SemanticOrder, SemanticScores, instances,
    panoptic, semantic,
};
use tch::{Device, Tensor, no_grad};

use crate::TrainError;
use crate::batch::one_image;
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
        let input = one_image(&view.image).tensor()?.to_device(self.device); // [1, 3, H', W']
        self.forward(&input, view.valid, size)?.results(self.inference, &self.things, wanted)
    }

    /// The network's part of [`MaskPredictor::predict`]: `input` `[1, 3, H', W']` is the view's image on the device, of which
    /// `valid` (height, width) is no padding.
    ///
    /// # Errors
    /// As for [`MaskPredictor::predict`].
    pub fn forward(
        &self,
        input: &Tensor,
        valid: [usize; 2],
        size: [usize; 2],
    ) -> Result<MaskLogits, TrainError> {
        logits(self.model, self.precision, input, valid, size)
    }
}

/// What a network says of one image.
#[derive(Debug)]
pub struct MaskLogits {
    /// `[Q, K + 1]`, "no object" last.
    classes: Tensor,
    /// `[Q, h, w]`
    masks: Tensor,
    /// Where the masks belong.
    frame: Frame,
}

impl MaskLogits {
    /// Class of every pixel, `[H, W]` ids, by a network for semantic segmentation alone: as in the reference, scores are summed
    /// before they are resized.
    ///
    /// # Errors
    /// [`TrainError::Mask`] naming what does not fit.
    pub fn labels(&self) -> Result<Array2<u16>, TrainError> {
        Ok(self.scores()?.labels()?)
    }

    /// The scores that [`MaskLogits::labels`] compares.
    ///
    /// # Errors
    /// [`TrainError::Mask`] naming what does not fit.
    pub fn scores(&self) -> Result<SemanticScores, TrainError> {
        Ok(SemanticScores::of_logits(self.of_image(), SemanticOrder::ResizeScores)?)
    }

    fn of_image(&self) -> ImageLogits<'_> {
        ImageLogits { classes: &self.classes, masks: &self.masks, frame: self.frame }
    }

    /// Results in f32; `things` `[K]` says which classes are countable.
    ///
    /// # Errors
    /// [`TrainError::Mask`] naming what does not fit.
    pub fn results(
        &self,
        inference: &MaskInferenceConfig,
        things: &[bool],
        wanted: Wanted,
    ) -> Result<MaskResults, TrainError> {
        let logits = self.of_image();
        Ok(MaskResults {
            panoptic: wanted.panoptic.then(|| panoptic(logits, inference, things)).transpose()?,
            instances: wanted.instances.then(|| instances(logits, inference, Some(things))).transpose()?,
            semantic: wanted.semantic.then(|| semantic(logits, inference.semantic_order)).transpose()?,
        })
    }
}

/// What a network says of `input` `[1, 3, H', W']`, of which `valid` (height, width) is no padding, for results of `size` in pixels.
pub(crate) fn logits(
    model: &MaskModel,
    precision: Precision,
    input: &Tensor,
    valid: [usize; 2],
    size: [usize; 2],
) -> Result<MaskLogits, TrainError> {
    let output = {
        let _autocast = precision.guard(input.device())?;
        no_grad(|| model.forward_t(input, false))?
    };
    let (classes, masks) = (output.class_logits.get(0), output.mask_logits.get(0));
    Ok(MaskLogits { classes, masks, frame: frame(input, valid, size)? })
}

/// The sizes that masks pass through from the network's input to a result of `size`.
fn frame(input: &Tensor, valid: [usize; 2], size: [usize; 2]) -> Result<Frame, TrainError> {
    let (_, _, height, width) = input.size4()?;
    let pair = |[height, width]: [usize; 2]| (height as i64, width as i64);
    Ok(Frame { padded: (height, width), image: pair(valid), output: pair(size) })
}
