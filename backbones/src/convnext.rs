//! ConvNeXt: a hierarchical backbone of 4 stages of depthwise 7x7 convolutions and MLPs.
//!
//! Paper: Liu et al., A ConvNet for the 2020s, CVPR 2022, <https://arxiv.org/abs/2201.03545>. Reference code:
//! facebookresearch/ConvNeXt (MIT), whose parameter names these are, and transformers 5.23.0 `modeling_convnext.py`
//! (Apache-2.0), which the goldens are made with.
//! Differs from the reference: nothing known. transformers' classifiers have 1e-12 in their last norm, the authors 1e-6.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32.
//! Checked by: `tests/families.rs` (sizes, keys, gradients), `tests/parity_convnext.rs` (outputs and gradients).
//!
//! Trap: patches of 4x4 and 2x2 are not padded: sizes round down, the last rows and columns of odd maps are not seen.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::{self, Module, ModuleT};

use crate::fields::{STAGES, check_depths, check_embed_dim, check_layer_scale, four, required};
use crate::layers::{
    INIT, conv_channels_last, drop_path, drop_path_rates, gelu, layer_norm_eps, level_norm_eps, linear,
};
use crate::staged::{Stage, Staged, down};
use crate::{ClassifierEnd, ModelError, Purpose};

const EPS: f64 = 1e-6; // of every norm
const KERNEL: i64 = 7;
const MLP_RATIO: i64 = 4;

/// A ConvNeXt: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvNextConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<ConvNextVariant>,
    /// Channels of the first stage; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Blocks per stage, 4 numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Initial value of the layer scale; 0 = no layer scale. Default 1e-6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum ConvNextVariant {
    Tiny,
    Small,
    Base,
    Large,
    XLarge,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvNextArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: [i64; STAGES],
    /// Initial layer scale.
    pub layer_scale: Option<f64>,
}

impl ConvNextConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<ConvNextArch, ModelError> {
        let row = self.variant.map(ConvNextVariant::row);
        let embed_dim = required("embed_dim", self.embed_dim, row.map(|row| row.embed_dim))?;
        let depths = required("depths", four("depths", self.depths.as_ref())?, row.map(|row| row.depths))?;
        let layer_scale = Some(self.layer_scale.unwrap_or(1e-6)).filter(|&value| value != 0.0);

        check_embed_dim(embed_dim, 1)?;
        check_depths(&depths)?;
        check_layer_scale(layer_scale)?;
        drop_path_rates(self.drop_path_rate, &depths)?;
        Ok(ConvNextArch { embed_dim, depths, layer_scale })
    }
}

impl ConvNextArch {
    /// Scalars in the dense backbone, the norm of every level included.
    pub fn backbone_parameters(&self) -> i64 {
        let norms: i64 = (0..STAGES).map(|l| 2 * (self.embed_dim << l)).sum();
        self.trunk_parameters() + norms
    }

    /// Scalars in the image classifier: one norm and a linear layer instead of the level norms.
    pub fn classifier_parameters(&self, num_classes: i64) -> i64 {
        let channels = self.embed_dim << (STAGES - 1);
        self.trunk_parameters() + 2 * channels + channels * num_classes + num_classes
    }

    fn trunk_parameters(&self) -> i64 {
        let linear = |inputs: i64, outputs: i64| inputs * outputs + outputs;
        let stem = linear(3 * 4 * 4, self.embed_dim) + 2 * self.embed_dim;
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let hidden = MLP_RATIO * channels;
                let depthwise = KERNEL * KERNEL * channels + channels;
                let mlp = linear(channels, hidden) + linear(hidden, channels);
                let scale = if self.layer_scale.is_some() { channels } else { 0 };
                let down = if l + 1 < STAGES { 2 * channels + linear(4 * channels, 2 * channels) } else { 0 };
                self.depths[l] * (depthwise + 2 * channels + mlp + scale) + down
            })
            .sum();
        stem + stages
    }
}

/// A convolution initialised as the authors do.
fn conv(p: &nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64, config: nn::ConvConfig) -> nn::Conv2D {
    let config = nn::ConvConfig { ws_init: INIT, bs_init: nn::Init::Const(0.0), ..config };
    nn::conv2d(p, inputs, outputs, kernel, config)
}

/// Non-overlapping patches, each one linear map: a convolution whose stride is its kernel.
fn patches(p: &nn::Path<'_>, inputs: i64, outputs: i64, side: i64) -> nn::Conv2D {
    conv(p, inputs, outputs, side, nn::ConvConfig { stride: side, ..Default::default() })
}

/// Depthwise convolution, norm, MLP, layer scale, around which the input passes.
#[derive(Debug)]
struct ConvNextBlock {
    dwconv: nn::Conv2D,
    norm: nn::LayerNorm,
    pwconv1: nn::Linear,
    pwconv2: nn::Linear,
    gamma: Option<Tensor>, // [C]
    drop_path: f64,
}

impl ConvNextBlock {
    fn new(p: &nn::Path<'_>, channels: i64, layer_scale: Option<f64>, drop_path: f64) -> Self {
        let depthwise = nn::ConvConfig { padding: KERNEL / 2, groups: channels, ..Default::default() };
        let hidden = MLP_RATIO * channels;
        Self {
            dwconv: conv(&(p / "dwconv"), channels, channels, KERNEL, depthwise),
            norm: layer_norm_eps(&(p / "norm"), channels, EPS),
            pwconv1: linear(&(p / "pwconv1"), channels, hidden),
            pwconv2: linear(&(p / "pwconv2"), hidden, channels),
            gamma: layer_scale.map(|value| p.var("gamma", &[channels], nn::Init::Const(value))),
            drop_path,
        }
    }
}

impl ModuleT for ConvNextBlock {
    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let y = conv_channels_last(&self.dwconv, x).apply(&self.norm);
        let y = gelu(y.apply(&self.pwconv1)).apply(&self.pwconv2);
        let y = match &self.gamma {
            Some(gamma) => y * gamma,
            None => y,
        };
        x + drop_path(y, self.drop_path, train)
    }
}

/// Patches of the image, then a norm.
#[derive(Debug)]
struct Stem(nn::Conv2D, nn::LayerNorm);

impl Stem {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        Self(patches(&(p / 0), 3, channels, 4), layer_norm_eps(&(p / 1), channels, EPS))
    }
}

impl Module for Stem {
    // [B, 3, H, W] -> [B, H/4, W/4, C], rounded down
    fn forward(&self, images: &Tensor) -> Tensor {
        images.apply(&self.0).permute([0, 2, 3, 1]).apply(&self.1)
    }
}

/// A norm, then patches of the map.
#[derive(Debug)]
struct Downsample(nn::LayerNorm, nn::Conv2D);

impl Downsample {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        Self(layer_norm_eps(&(p / 0), channels, EPS), patches(&(p / 1), channels, 2 * channels, 2))
    }
}

impl Module for Downsample {
    // [B, H, W, C] -> [B, H/2, W/2, 2C], rounded down
    fn forward(&self, x: &Tensor) -> Tensor {
        conv_channels_last(&self.1, &x.apply(&self.0))
    }
}

impl ConvNextConfig {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`ConvNextConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths)?;
        let ways_in = p / "downsample_layers"; // of every stage, the stem too
        let stem = Stem::new(&(&ways_in / 0), arch.embed_dim);
        let stage = |l: usize| {
            let (path, channels) = (p / "stages" / l, arch.embed_dim << l);
            let block = |(j, &rate): (usize, &f64)| {
                ConvNextBlock::new(&(&path / j), channels, arch.layer_scale, rate)
            };
            Stage {
                blocks: rates[l].iter().enumerate().map(block).collect(),
                norm: level_norm_eps(p, l, channels, purpose, EPS),
                down: down(l, || Downsample::new(&(&ways_in / (l + 1)), channels)),
            }
        };
        let end = ClassifierEnd::PoolThenNorm { norm: "norm", eps: EPS, head: "head" };
        Ok(Staged::new(stem, stage, arch.embed_dim, end))
    }
}

/// Numbers of a published variant's row.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
}

impl ConvNextVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Small, Self::Base, Self::Large, Self::XLarge];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Large => "large",
            Self::XLarge => "xlarge",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        match self {
            Self::Tiny   => Row { embed_dim: 96,  depths: [3, 3, 9, 3] },
            Self::Small  => Row { embed_dim: 96,  depths: [3, 3, 27, 3] },
            Self::Base   => Row { embed_dim: 128, depths: [3, 3, 27, 3] },
            Self::Large  => Row { embed_dim: 192, depths: [3, 3, 27, 3] },
            Self::XLarge => Row { embed_dim: 256, depths: [3, 3, 27, 3] },
        }
    }
}
