//! Heads that turn backbone levels into predictions, the losses on them, and inference at the size of the image.
//!
//! A head learns its input channels from the backbone's levels, never from a recipe. It holds no loss, no metric and no
//! resize to image size: those are `semantic_loss` and `inference`.

pub mod classification;
mod conv_module;
pub mod fcn;
pub mod footprint;
pub mod import;
pub mod inference;
pub mod mask;
pub mod semantic;
pub mod semantic_loss;
pub mod uper;

pub use classification::{ClassificationConfig, ClassificationLossConfig};
pub use fcn::{FcnConfig, FcnHead};
pub use footprint::{MaskFootprint, SemanticFootprint};
pub use inference::{InferenceConfig, SlideConfig};
pub use mask::{MaskConfig, MaskHeadConfig, MaskModel, MaskOutput, MaskPrediction, MaskTrace};
pub use semantic::{SemanticConfig, SemanticModel, SemanticOutput, SemanticTrace};
pub use semantic_loss::{SemanticLoss, SemanticLossConfig};
pub use uper::{UperConfig, UperHead};

use tch::Tensor;

/// Bilinear resize to `(height, width)`, corners not aligned (the convention of every model here).
pub(crate) fn resize(x: &Tensor, (height, width): (i64, i64)) -> Tensor {
    let size = x.size();
    if size[2..] == [height, width] {
        return x.shallow_clone();
    }
    x.upsample_bilinear2d([height, width], false, None, None)
}

/// Height and width of a map `[B, C, H, W]`.
pub(crate) fn map_size(x: &Tensor) -> (i64, i64) {
    let size = x.size();
    (size[2], size[3])
}
