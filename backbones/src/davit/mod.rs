//! DaViT: Dual Attention Vision Transformer, a hierarchical backbone with 4 stages whose blocks attend inside windows and
//! between channels in turn.
//!
//! Paper: Ding et al., DaViT: Dual Attention Vision Transformers, ECCV 2022, <https://arxiv.org/abs/2204.03645>. Reference
//! code: timm 1.0.31 `davit.py`, licence Apache-2.0, which adapts dingmyu/davit fc79470, licence MIT. Parameter names are
//! timm's; the level norms are `norm0` to `norm3` as the authors' dense code has them and timm does not. The `_fl` variants
//! are the vision towers of Florence-2 (<https://arxiv.org/abs/2311.06242>); timm calls the two halves of their blocks
//! `spatial_block` and `channel_block`, here they are `0` and `1` as in all others.
//! Differs from the reference: the paper's larger models overlap their downsampling windows, timm's `davit_huge` and
//! `davit_giant` do not, and neither do ours of these names; the authors' code lets drop path rise from one half of a block to
//! the next, timm and ours from block to block.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; H and W need
//! not divide 32 (each step rounds up).
//! Checked by: `tests/families.rs` (sizes, keys, gradients, parameter counts), `tests/parity_davit.rs` (outputs and
//! gradients of the reference implementation).
//!
//! Traps: windows are padded with zeros right and bottom after the norm and before the qkv projection, without a mask, so
//! padded tokens have k = bias_k, v = bias_v and take part in the softmax. Channel attention's first version scores k against
//! v and weighs q, scaled by head width; the second scores q against k and weighs v, scaled by the number of pixels. The stem
//! and the 2x2 downsampling pad with zeros to a multiple of their stride, the latter after its norm. The classifier pools
//! before its norm.

mod attention;
mod block;
mod config;

use tch::Tensor;
use tch::nn::{self, Module};

use crate::layers::{conv, conv_channels_last, drop_path_rates, layer_norm, level_norm};
use crate::staged::{Stage, Staged, down};
use crate::windows::{missing, pad_to_multiple};
use crate::{ClassifierEnd, ModelError, Purpose};
use block::DualBlock;

pub use config::{ChannelAttentionVersion, DavitArch, DavitConfig, DavitVariant};

/// 7x7 convolution of stride 4, then a norm.
#[derive(Debug)]
struct Stem {
    conv: nn::Conv2D,
    norm: nn::LayerNorm,
}

impl Stem {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        let strided = nn::ConvConfig { stride: 4, padding: 3, ..Default::default() };
        Self { conv: conv(&(p / "conv"), 3, channels, 7, strided), norm: layer_norm(&(p / "norm"), channels) }
    }
}

impl Module for Stem {
    // [B, 3, H, W] -> [B, H/4, W/4, C]
    fn forward(&self, images: &Tensor) -> Tensor {
        let size = images.size();
        let padded = images.constant_pad_nd([0, missing(size[3], 4), 0, missing(size[2], 4)]);
        padded.apply(&self.conv).permute([0, 2, 3, 1]).apply(&self.norm)
    }
}

/// Norm, then a convolution of stride 2 that halves the map and doubles the channels.
#[derive(Debug)]
struct Downsample {
    norm: nn::LayerNorm,
    conv: nn::Conv2D,
    pads: bool, // a 2x2 kernel pads odd sizes, a 3x3 one all borders
}

impl Downsample {
    fn new(p: &nn::Path<'_>, channels: i64, kernel: i64) -> Self {
        let pads = kernel == 2;
        let halving = nn::ConvConfig { stride: 2, padding: i64::from(!pads), ..Default::default() };
        Self {
            norm: layer_norm(&(p / "norm"), channels),
            conv: conv(&(p / "conv"), channels, 2 * channels, kernel, halving),
            pads,
        }
    }
}

impl Module for Downsample {
    // [B, H, W, C] -> [B, H/2, W/2, 2C]
    fn forward(&self, x: &Tensor) -> Tensor {
        let normed = x.apply(&self.norm);
        let padded = if self.pads { pad_to_multiple(&normed, 2) } else { normed };
        conv_channels_last(&self.conv, &padded)
    }
}

impl DavitConfig {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`DavitConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths)?;
        let stem = Stem::new(&(p / "stem"), arch.embed_dim);
        let stage = |l: usize| {
            let (path, channels) = (p / "stages" / l, arch.embed_dim << l);
            let next = p / "stages" / (l + 1) / "downsample";
            let block = |(j, &rate)| DualBlock::new(&(&path / "blocks" / j), &arch, l, rate);
            Stage {
                blocks: rates[l].iter().enumerate().map(block).collect(),
                norm: level_norm(p, l, channels, purpose),
                down: down(l, || Downsample::new(&next, channels, arch.downsample_kernel)),
            }
        };
        let end = ClassifierEnd::PoolThenNorm { norm: "head.norm", eps: 1e-5, head: "head.fc" };
        Ok(Staged::new(stem, stage, arch.embed_dim, end))
    }
}
