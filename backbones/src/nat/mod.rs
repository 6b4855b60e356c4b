//! NAT and DiNAT: Neighborhood Attention Transformer and its dilated kind, a hierarchical backbone with 4 stages.
//!
//! Papers: Hassani et al., Neighborhood Attention Transformer, CVPR 2023, <https://arxiv.org/abs/2204.07143>; Hassani and Shi,
//! Dilated Neighborhood Attention Transformer, 2022, <https://arxiv.org/abs/2209.15001>: NAT with dilations. Reference code:
//! SHI-Labs/Neighborhood-Attention-Transformer d334f5b, licence MIT. Parameter names are the reference's.
//! Differs from the reference: nothing known.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; H and W need
//! not divide 32 (each halving rounds up).
//! Checked by: `tests/contract.rs` (sizes, keys, gradients of every variant), `tests/parity_nat.rs` (outputs and gradients of
//! the reference implementation).
//!
//! Trap: a map smaller than window * dilation is zero-padded right and bottom after the norm and before the qkv projection,
//! without a mask: padded tokens have k = bias_k, v = bias_v and take part in the softmax.

mod config;

use tch::Tensor;
use tch::nn::{self, Module};

use crate::layers::{conv_channels_last, drop_path_rates, halving_conv, layer_norm, level_norm};
use crate::neighborhood::NeighborhoodBlock;
use crate::staged::{Stage, Staged, down};
use crate::{ClassifierEnd, ModelError, Purpose};

pub use config::{NatArch, NatConfig, NatVariant};

/// Two strided 3x3 convolutions without anything between, then a norm.
#[derive(Debug)]
struct ConvStem {
    convs: [nn::Conv2D; 2],
    norm: nn::LayerNorm,
}

impl ConvStem {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        let proj = p / "proj";
        let convs = [
            halving_conv(&(&proj / 0), 3, channels / 2, true),
            halving_conv(&(&proj / 1), channels / 2, channels, true),
        ];
        Self { convs, norm: layer_norm(&(p / "norm"), channels) }
    }
}

impl Module for ConvStem {
    // [B, 3, H, W] -> [B, H/4, W/4, C]
    fn forward(&self, images: &Tensor) -> Tensor {
        images.apply(&self.convs[0]).apply(&self.convs[1]).permute([0, 2, 3, 1]).apply(&self.norm)
    }
}

/// Halves the map and doubles the channels.
#[derive(Debug)]
struct ConvDownsample {
    reduction: nn::Conv2D,
    norm: nn::LayerNorm,
}

impl ConvDownsample {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        Self {
            reduction: halving_conv(&(p / "reduction"), channels, 2 * channels, false),
            norm: layer_norm(&(p / "norm"), 2 * channels),
        }
    }
}

impl Module for ConvDownsample {
    // [B, H, W, C] -> [B, H/2, W/2, 2C]
    fn forward(&self, x: &Tensor) -> Tensor {
        conv_channels_last(&self.reduction, x).apply(&self.norm)
    }
}

impl NatConfig {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`NatConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths)?;
        let stem = ConvStem::new(&(p / "patch_embed"), arch.embed_dim);
        let stage = |l: usize| {
            let (level, channels) = (p / "levels" / l, arch.embed_dim << l);
            let block =
                |(j, &rate)| NeighborhoodBlock::new(&(&level / "blocks" / j), &arch.block(l, j, rate));
            Stage {
                blocks: rates[l].iter().enumerate().map(block).collect(),
                norm: level_norm(p, l, channels, purpose),
                down: down(l, || ConvDownsample::new(&(&level / "downsample"), channels)),
            }
        };
        let end = ClassifierEnd::NormThenPool { norm: "norm", eps: 1e-5, head: "head" };
        Ok(Staged::new(stem, stage, arch.embed_dim, end))
    }
}
