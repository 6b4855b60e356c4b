//! How much memory a prediction takes, told before it is made.
//!
//! The network is built once more without data, and its pass runs for the sizes of its tensors alone: all that live at a time are
//! counted, in f32, beside the weights, as [`peak_bytes`] does. `docs/benchmarks.md` says how far off that is.

use smalti_backbones::ModelError;
use smalti_ops::without_data::{WithoutData, peak_bytes};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::mask::post::{self, Frame};
use crate::{InferenceConfig, MaskConfig, MaskModel, SemanticConfig, SemanticModel, resize};

/// A per-pixel classifier without data.
#[derive(Debug)]
pub struct SemanticFootprint {
    model: SemanticModel,
}

impl SemanticFootprint {
    /// That of a network for K classes.
    ///
    /// # Errors
    /// As [`SemanticModel::new`].
    pub fn new(config: &SemanticConfig, num_classes: i64) -> Result<Self, ModelError> {
        let _mode = WithoutData::enter()?;
        let model = SemanticModel::new(&VarStore::new(Device::Cpu).root(), config, num_classes)?;
        Ok(Self { model })
    }

    /// Bytes at the peak of predicting an image of `size` (height, width) with these settings.
    ///
    /// # Errors
    /// [`ModelError::Op`] if libtorch refuses.
    pub fn predict(&self, inference: &InferenceConfig, size: (i64, i64)) -> Result<u64, ModelError> {
        let views = inference.views(size);
        let network = views.iter().map(|view| view.size).max_by_key(|(height, width)| height * width);
        let network = network.unwrap_or(size);
        // Of several views the probabilities are added up.
        let average =
            if views.len() > 1 { maps(self.model.num_classes(), size) + maps(3, network) } else { 0 };
        let Some(slide) = inference.slide else {
            let scores = || {
                let logits = resize(&self.model.forward_t(&image(network), false).logits, network);
                resize(&logits, size).softmax(1, Kind::Float)
            };
            let (_, pass) = if views.len() > 1 {
                peak_bytes(|| no_grad(scores))?
            } else {
                peak_bytes(|| inference.predict(&self.model, &image(size)))?
            };
            return Ok(maps(3, size) + average + pass);
        };
        // Windows come one by one, beside their sums and how many lie on each pixel.
        let window = slide.window_size(network);
        let logits = || resize(&self.model.forward_t(&image(window), false).logits, window);
        let (_, pass) = peak_bytes(|| no_grad(logits))?;
        let classes = self.model.num_classes();
        let (resized, scores) =
            if network == size { (0, 0) } else { (maps(3, network), maps(classes, size)) };
        let sums = maps(classes + 1, network) + pass;
        let winners = maps(classes, network) + scores + maps(2, size); // of 8 bytes each
        Ok(2 * maps(3, size) + average + resized + sums.max(winners))
    }
}

/// A Mask2Former without data.
#[derive(Debug)]
pub struct MaskFootprint {
    model: MaskModel,
}

impl MaskFootprint {
    /// That of a network for K classes, "no object" not counted.
    ///
    /// # Errors
    /// As [`MaskModel::new`].
    pub fn new(config: &MaskConfig, num_classes: i64) -> Result<Self, ModelError> {
        let _mode = WithoutData::enter()?;
        let model = MaskModel::new(&VarStore::new(Device::Cpu).root(), config, num_classes)?;
        Ok(Self { model })
    }

    /// Bytes at the peak of predicting an image with these sizes, whichever results are wanted.
    ///
    /// # Errors
    /// As [`MaskModel::forward_t`].
    pub fn predict(&self, frame: Frame) -> Result<u64, ModelError> {
        let forward = || no_grad(|| self.model.forward_t(&image(frame.padded), false));
        let (output, pass) = peak_bytes(forward)?;
        let size = output?.mask_logits.size();
        let (queries, input) = (size[1], maps(3, frame.padded));
        let logits = maps(queries, (size[2], size[3]));
        Ok(input + pass.max(input + logits + post::peak_bytes(frame, queries)))
    }

    /// Bytes at the peak of giving every pixel of an image a class, of which `view` is the largest of one or `several` views, by
    /// windows of the size of `window` if there is one.
    ///
    /// # Errors
    /// As [`MaskFootprint::predict`].
    pub fn predict_semantic(
        &self,
        view: Frame,
        window: Option<Frame>,
        several: bool,
    ) -> Result<u64, ModelError> {
        let classes = self.model.num_classes();
        let Some(window) = window else {
            return Ok(self.predict(view)? + if several { maps(classes, view.output) } else { 0 });
        };
        // Windows come one by one, beside their sums and how many lie on each pixel; then the sums are resized in strips.
        let sums = maps(classes + 1, view.image) + maps(3, view.padded);
        let strips = post::strip_bytes(view, classes);
        let all = if several { maps(classes, view.output) } else { 0 };
        Ok(all + sums + self.predict(window)?.max(strips))
    }
}

/// `[1, 3, H, W]`; without data, if made in that mode.
fn image((height, width): (i64, i64)) -> Tensor {
    Tensor::zeros([1, 3, height, width], (Kind::Float, Device::Cpu))
}

/// Bytes of maps of f32.
fn maps(count: i64, (height, width): (i64, i64)) -> u64 {
    4 * (count * height * width).unsigned_abs()
}
