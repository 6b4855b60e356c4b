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
use tch::nn;

use crate::blocks::Blocks;
use crate::fields::STAGES;
use crate::layers::{conv_channels_last, drop_path_rates, halving_conv, layer_norm, level_norm};
use crate::neighborhood::NeighborhoodBlock;
use crate::{Backbone, ClassifierEnd, Level, ModelError, Purpose, stages};

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

    // [B, H, W, C] -> [B, H/2, W/2, 2C]
    fn forward(&self, x: &Tensor) -> Tensor {
        conv_channels_last(&self.reduction, x).apply(&self.norm)
    }
}

/// One stage: its blocks, the norm of its dense output, and the way down to the next stage.
#[derive(Debug)]
struct NatStage {
    blocks: Blocks<NeighborhoodBlock>,
    norm: Option<nn::LayerNorm>,
    downsample: Option<ConvDownsample>,
}

impl stages::Stage for NatStage {
    fn blocks(&self, x: Tensor, train: bool) -> Tensor {
        self.blocks.forward_t(x, train, move |block, x| block.forward_t(x, train))
    }

    fn norm(&self) -> Option<&nn::LayerNorm> {
        self.norm.as_ref()
    }

    fn downsample(&self, x: &Tensor) -> Option<Tensor> {
        self.downsample.as_ref().map(|downsample| downsample.forward(x))
    }
}

/// The network.
#[derive(Debug)]
pub struct Nat {
    stem: ConvStem,
    stages: Vec<NatStage>,
    levels: [Level; STAGES],
}

impl Nat {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`NatConfig::arch`].
    pub fn new(p: &nn::Path<'_>, config: &NatConfig, purpose: Purpose) -> Result<Self, ModelError> {
        let arch = config.arch()?;
        let rates = drop_path_rates(config.drop_path_rate, &arch.depths)?;
        let stage = |l: usize| {
            let (level, channels) = (p / "levels" / l, arch.embed_dim << l);
            let block =
                |j: usize| NeighborhoodBlock::new(&(&level / "blocks" / j), &arch.block(l, j, rates[l][j]));
            NatStage {
                blocks: (0..arch.dilations[l].len()).map(block).collect(),
                norm: level_norm(p, l, channels, purpose),
                downsample: (l + 1 < STAGES).then(|| ConvDownsample::new(&(&level / "downsample"), channels)),
            }
        };
        Ok(Self {
            stem: ConvStem::new(&(p / "patch_embed"), arch.embed_dim),
            stages: (0..STAGES).map(stage).collect(),
            levels: std::array::from_fn(|l| Level { channels: arch.embed_dim << l, stride: 4 << l }),
        })
    }
}

impl Backbone for Nat {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        stages::levels(&self.stages, self.stem.forward(images), train)
    }

    fn last_map(&self, images: &Tensor, train: bool) -> Tensor {
        stages::last_map(&self.stages, self.stem.forward(images), train)
    }

    fn recompute(&mut self, stages: [bool; STAGES]) -> Result<(), ModelError> {
        self.stages.iter_mut().zip(stages).for_each(|(stage, on)| stage.blocks.set_recompute(on));
        Ok(())
    }

    fn classifier_end(&self) -> ClassifierEnd {
        ClassifierEnd::NormThenPool { norm: "norm", eps: 1e-5, head: "head" }
    }
}
