//! DAT++: Vision Transformer with Deformable Attention, a hierarchical backbone with 4 stages whose blocks attend to their
//! neighborhood and to keys sampled from all over the map in turn.
//!
//! Papers: Xia et al., Vision Transformer with Deformable Attention, CVPR 2022, <https://arxiv.org/abs/2201.00520>; Xia et al.,
//! DAT++: Spatially Dynamic Vision Transformer with Deformable Attention, 2023, <https://arxiv.org/abs/2309.01430>. Reference
//! code: LeapLabTHU/DAT 32173fc, licence Apache-2.0, and LeapLabTHU/DAT-Segmentation fdd2039, which names none. Parameter names
//! are the reference's; of a layer scale, which no published weights have, `weight` as in the former (the latter says `gamma`).
//! Differs from the reference: maps with one row or column, of which it makes NaN, are finite (an input side of at most 32
//! pixels; what they become is said in `positions.rs`); the neighborhood attention's projections start as NAT's do; not built:
//! the blocks of DAT's ablations (other `stage_spec` letters, no convolutions in stem, MLP and before the attention, fixed
//! and depthwise position biases, no offsets), none of which has published weights in this layout.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; H and W need
//! not divide 32 (each halving rounds up, and so does the number of keys, `ceil(H_l / stride)` an axis).
//! Memory: a deformable block scores all `H_l * W_l` pixels against all its keys, in every stage one for each 32x32 pixels of the
//! image: quadratic in the image's area. In evaluation the pairs are looked at in parts of 16 MiB (`position_bias.rs`): biases
//! and displacements, 32 MiB of f32 beside maps, whatever the image's size. In training autograd keeps weights and
//! displacements of all pairs: `2 * M * N * H_l * W_l` numbers a block with a table, and with `log_cpb` `32 * G * N * H_l * W_l`
//! more.
//! Checked by: `tests/families.rs` (sizes, keys, gradients, parameter counts), `tests/parity_dat.rs` (outputs and gradients of
//! the reference implementation, tables resized by it).
//!
//! Traps: key positions are not symmetric and a single key is at the map's end (`positions.rs`). Offsets come as (y, x),
//! sampling wants (x, y). Keys are sampled from the normed map itself, each group from its channels, and projected after
//! that; offsets come from the projected queries. The table stays as large as for images of 224 whatever the input, and
//! is read between its entries; weights of another `image_size` need [`resize_position_table`]. Neighborhood blocks pad
//! small maps as NAT's do.

mod attention;
mod block;
mod block_kinds;
mod config;
mod position_bias;
mod positions;

use tch::Tensor;
use tch::nn::{self, Module};

use crate::layers::{conv_channels_last, drop_path_rates, halving_conv, layer_norm};
use crate::staged::{Stage, Staged, down};
use crate::{ClassifierEnd, ModelError, Purpose};
use block::Block;

pub use block_kinds::BlockKind;
pub use config::{DatArch, DatConfig, DatVariant, PositionBias};
pub use position_bias::resize_position_table;

/// Halves a map by a 3x3 convolution, then norms it.
#[derive(Debug)]
struct NormedConv {
    conv: nn::Conv2D,
    norm: nn::LayerNorm,
}

impl NormedConv {
    /// The convolution is entry `index` of the list `p`, the norm the next.
    fn new(p: &nn::Path<'_>, index: usize, inputs: i64, outputs: i64, bias: bool) -> Self {
        Self {
            conv: halving_conv(&(p / index), inputs, outputs, bias),
            norm: layer_norm(&(p / (index + 1) / "norm"), outputs),
        }
    }
}

impl Module for NormedConv {
    // [B, H, W, C] -> [B, H/2, W/2, C']
    fn forward(&self, x: &Tensor) -> Tensor {
        conv_channels_last(&self.conv, x).apply(&self.norm)
    }
}

/// Two strided 3x3 convolutions, each with a norm, GELU between.
#[derive(Debug)]
struct Stem([NormedConv; 2]);

impl Stem {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        Self([
            NormedConv::new(p, 0, 3, channels / 2, true),
            NormedConv::new(p, 3, channels / 2, channels, true), // 2 is the GELU
        ])
    }
}

impl Module for Stem {
    // [B, 3, H, W] -> [B, H/4, W/4, C]
    fn forward(&self, images: &Tensor) -> Tensor {
        let half = self.0[0].forward(&images.permute([0, 2, 3, 1])); // [B, H/2, W/2, C/2]
        self.0[1].forward(&half.gelu("none"))
    }
}

impl DatConfig {
    /// Builds the network under `p`, initialised as the reference but for what the module's documentation names.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`DatConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths())?;
        let stem = Stem::new(&(p / "patch_proj"), arch.embed_dim);
        let stage = |l: usize| {
            let (path, channels) = (p / "stages" / l, arch.embed_dim << l);
            let block = |(j, &rate)| Block::new(&path, &arch, l, j, rate);
            let norm = || layer_norm(&(p / "norms" / l / "norm"), channels);
            Stage {
                blocks: rates[l].iter().enumerate().map(block).collect(),
                norm: (purpose == Purpose::Dense).then(norm),
                down: down(l, || NormedConv::new(&(p / "down_projs" / l), 0, channels, 2 * channels, false)),
            }
        };
        let end = ClassifierEnd::NormThenPool { norm: "cls_norm.norm", eps: 1e-5, head: "cls_head" };
        Ok(Staged::new(stem, stage, arch.embed_dim, end))
    }
}
