//! UPerNet: pyramid pooling on the coarsest level, a top-down feature pyramid, all levels fused at stride 4.
//!
//! Paper: Xiao et al., Unified Perceptual Parsing for Scene Understanding, ECCV 2018, <https://arxiv.org/abs/1807.10221>.
//! Reference code: mmsegmentation `UPerHead`, licence Apache-2.0; parameter names are the reference's.
//! Differs from the reference: plain batch norm where it synchronises statistics across devices, and in training a map of
//! one value a channel (the 1x1 pool of one image) is normalised by the running statistics where the reference refuses.
//! Shapes: levels `[B, C_l, H_l, W_l]`, finest first -> logits `[B, K, H_0, W_0]`.
//! Checked by: `tests/parity_uper.rs` (logits, gradients and running statistics of the reference), `tests/contract.rs`.

use serde::{Deserialize, Serialize};
use smalti_backbones::{Level, ModelError};
use tch::Tensor;
use tch::nn;

use crate::conv_module::{ConvModule, MAX_CHANNELS, classifier};
use crate::{map_size, resize};

/// Settings of the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UperConfig {
    /// Width of every level inside the head. Default 512.
    pub channels: i64,
    /// Grid sizes of the pyramid pooling. Default 1, 2, 3, 6.
    pub pool_scales: Vec<i64>,
    /// Probability of dropping a whole channel before the classifier. Default 0.1.
    pub dropout: f64,
}

impl Default for UperConfig {
    fn default() -> Self {
        Self { channels: 512, pool_scales: vec![1, 2, 3, 6], dropout: 0.1 }
    }
}

impl UperConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !(1..=MAX_CHANNELS).contains(&self.channels) {
            let expected = format!("1 to {MAX_CHANNELS}");
            return Err(ModelError::config("model.decode.channels", expected, self.channels));
        }
        if self.pool_scales.is_empty() || self.pool_scales.iter().any(|scale| !(1..=64).contains(scale)) {
            return Err(ModelError::config(
                "model.decode.pool_scales",
                "grid sizes from 1 to 64",
                format!("{:?}", self.pool_scales),
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ModelError::config("model.decode.dropout", "0 <= dropout < 1", self.dropout));
        }
        Ok(())
    }
}

/// The head.
#[derive(Debug)]
pub struct UperHead {
    pool_scales: Vec<i64>,
    psp_modules: Vec<ConvModule>,
    bottleneck: ConvModule,
    lateral_convs: Vec<ConvModule>,
    fpn_convs: Vec<ConvModule>,
    fpn_bottleneck: ConvModule,
    conv_seg: nn::Conv2D,
    dropout: f64,
}

impl UperHead {
    /// Builds the head under `p` for a backbone with these levels (finest first, two or more).
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn new(
        p: &nn::Path<'_>,
        config: &UperConfig,
        levels: &[Level],
        num_classes: i64,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let [lower @ .., top] = levels else {
            return Err(ModelError::config("model.backbone", "a backbone with feature levels", "none"));
        };
        let channels = config.channels;
        let pooled = config.pool_scales.len() as i64;
        let psp = (0..config.pool_scales.len())
            .map(|k| ConvModule::new(&(p / "psp_modules" / k / 1), top.channels, channels, 1))
            .collect();
        let lateral = lower.iter().enumerate();
        Ok(Self {
            pool_scales: config.pool_scales.clone(),
            psp_modules: psp,
            bottleneck: ConvModule::new(&(p / "bottleneck"), top.channels + pooled * channels, channels, 3),
            lateral_convs: lateral
                .map(|(i, level)| ConvModule::new(&(p / "lateral_convs" / i), level.channels, channels, 1))
                .collect(),
            fpn_convs: (0..lower.len())
                .map(|i| ConvModule::new(&(p / "fpn_convs" / i), channels, channels, 3))
                .collect(),
            fpn_bottleneck: ConvModule::new(
                &(p / "fpn_bottleneck"),
                levels.len() as i64 * channels,
                channels,
                3,
            ),
            conv_seg: classifier(&(p / "conv_seg"), channels, num_classes),
            dropout: config.dropout,
        })
    }

    /// Logits at the finest level's size: levels `[B, C_l, H_l, W_l]` -> `[B, K, H_0, W_0]`.
    pub fn forward_t(&self, levels: &[Tensor], train: bool) -> Tensor {
        let (top, lower) = levels.split_last().expect("as many levels as the head was built for");
        let mut laterals: Vec<Tensor> =
            lower.iter().zip(&self.lateral_convs).map(|(x, conv)| conv.forward_t(x, train)).collect();
        // The pooled top level enters the pyramid, and skips its 3x3 convolution.
        laterals.push(self.pool(top, train));
        for i in (1..laterals.len()).rev() {
            let up = resize(&laterals[i], map_size(&laterals[i - 1]));
            laterals[i - 1] = &laterals[i - 1] + up;
        }
        let finest = map_size(&laterals[0]);
        let outputs: Vec<Tensor> = laterals
            .iter()
            .enumerate()
            .map(|(i, x)| match self.fpn_convs.get(i) {
                Some(conv) => resize(&conv.forward_t(x, train), finest),
                None => resize(x, finest),
            })
            .collect();
        let fused = self.fpn_bottleneck.forward_t(&Tensor::cat(&outputs, 1), train); // [B, C, H_0, W_0]
        fused.feature_dropout(self.dropout, train).apply(&self.conv_seg)
    }

    // [B, C_top, H, W] -> [B, C, H, W]
    fn pool(&self, top: &Tensor, train: bool) -> Tensor {
        let size = map_size(top);
        let mut maps = vec![top.shallow_clone()];
        for (&scale, conv) in self.pool_scales.iter().zip(&self.psp_modules) {
            maps.push(resize(&conv.forward_t(&top.adaptive_avg_pool2d([scale, scale]), train), size));
        }
        self.bottleneck.forward_t(&Tensor::cat(&maps, 1), train)
    }
}
