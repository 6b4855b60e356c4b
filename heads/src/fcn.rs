//! FCN head: one 3x3 convolution and a classifier on one level; the auxiliary head of UperNet recipes.
//!
//! Paper: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015. Reference code: mmsegmentation
//! `FCNHead`, licence Apache-2.0; parameter names are the reference's.
//! Shapes: level `[B, C_l, H_l, W_l]` -> logits `[B, K, H_l, W_l]`.
//! Checked by: `tests/parity_uper.rs`, `tests/contract.rs`.

use serde::{Deserialize, Serialize};
use smalti_backbones::{Level, ModelError};
use tch::Tensor;
use tch::nn;

use crate::conv_module::{ConvModule, MAX_CHANNELS, classifier};

/// Settings of the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcnConfig {
    /// Width of the convolution. Default 256.
    pub channels: i64,
    /// Which level it reads, finest is 0. Default 2 (stride 16).
    pub level: usize,
    /// Probability of dropping a whole channel before the classifier. Default 0.1.
    pub dropout: f64,
}

impl Default for FcnConfig {
    fn default() -> Self {
        Self { channels: 256, level: 2, dropout: 0.1 }
    }
}

/// The head.
#[derive(Debug)]
pub struct FcnHead {
    level: usize,
    conv: ConvModule,
    conv_seg: nn::Conv2D,
    dropout: f64,
}

impl FcnHead {
    /// Builds the head under `p` for a backbone with these levels.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn new(
        p: &nn::Path<'_>,
        config: &FcnConfig,
        levels: &[Level],
        num_classes: i64,
    ) -> Result<Self, ModelError> {
        let Some(level) = levels.get(config.level) else {
            let expected = format!("a level below {}", levels.len());
            return Err(ModelError::config("model.auxiliary.level", expected, config.level));
        };
        if !(1..=MAX_CHANNELS).contains(&config.channels) {
            let expected = format!("1 to {MAX_CHANNELS}");
            return Err(ModelError::config("model.auxiliary.channels", expected, config.channels));
        }
        if !(0.0..1.0).contains(&config.dropout) {
            return Err(ModelError::config("model.auxiliary.dropout", "0 <= dropout < 1", config.dropout));
        }
        Ok(Self {
            level: config.level,
            conv: ConvModule::new(&(p / "convs" / 0), level.channels, config.channels, 3),
            conv_seg: classifier(&(p / "conv_seg"), config.channels, num_classes),
            dropout: config.dropout,
        })
    }

    /// Logits at the level's size: levels `[B, C_l, H_l, W_l]` -> `[B, K, H_level, W_level]`.
    pub fn forward_t(&self, levels: &[Tensor], train: bool) -> Tensor {
        let x = self.conv.forward_t(&levels[self.level], train);
        x.feature_dropout(self.dropout, train).apply(&self.conv_seg)
    }
}
