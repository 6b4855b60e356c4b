//! Mask2Former: queries that each predict a mask and a class, for panoptic, instance and semantic segmentation alike.
//!
//! Paper: Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022,
//! <https://arxiv.org/abs/2112.01527>. The [`pixel_decoder`] makes memory and mask features of a backbone's levels, the
//! [`decoder`] masks and classes of these; [`model`] joins them to a backbone. For training, the [`matcher`] gives every object a
//! query ([`assignment`]) and the [`criterion`] scores them at sampled [`points`], by numbers that all [`ranks`] share; [`post`] makes
//! results of predictions.

pub mod assignment;
mod attention;
pub mod config;
pub mod criterion;
pub mod decoder;
mod encoder;
pub mod error;
mod layers;
pub mod matcher;
pub mod model;
pub mod pixel_decoder;
mod places;
pub mod points;
mod position;
pub mod post;
pub mod ranks;
pub mod targets;

pub use config::{MaskConfig, MaskHeadConfig};
pub use criterion::{LayerLogits, MaskCriterion, MaskLossConfig};
pub use decoder::MaskDecoder;
pub use model::{MaskHead, MaskModel, MaskTrace};
pub use pixel_decoder::{PixelDecoder, PixelFeatures};
pub use ranks::{Ranks, SingleRank};

use tch::Tensor;

/// What one layer of the decoder says of every query.
#[derive(Debug)]
pub struct MaskPrediction {
    /// `[B, Q, K + 1]`; the last class is "no object".
    pub class_logits: Tensor,
    /// `[B, Q, H_0, W_0]`, of the finest level's size (stride 4); a pixel is inside where its logit is above 0.
    pub mask_logits: Tensor,
}

/// What a forward pass predicts.
#[derive(Debug)]
pub struct MaskOutput {
    /// Of the last layer, `[B, Q, K + 1]`.
    pub class_logits: Tensor,
    /// Of the last layer, `[B, Q, H_0, W_0]`.
    pub mask_logits: Tensor,
    /// Of the learned queries and of every layer but the last, in this order; empty unless asked for.
    pub aux: Vec<MaskPrediction>,
}

impl MaskOutput {
    /// The predictions of all layers that there are, the last layer's last: what the criterion takes.
    pub fn layers(&self) -> Vec<LayerLogits<'_>> {
        let aux = self
            .aux
            .iter()
            .map(|layer| LayerLogits { classes: &layer.class_logits, masks: &layer.mask_logits });
        aux.chain([LayerLogits { classes: &self.class_logits, masks: &self.mask_logits }]).collect()
    }
}
