//! DiNAT_s: dilated neighborhood attention in Swin's layout of patches and merging, a hierarchical backbone with 4 stages.
//!
//! Paper: Hassani and Shi, Dilated Neighborhood Attention Transformer, 2022, <https://arxiv.org/abs/2209.15001>. Reference
//! code: SHI-Labs/Neighborhood-Attention-Transformer d334f5b, `dinats.py`, licence MIT. Parameter names are the reference's.
//! Differs from the reference: nothing known.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; H and W need
//! not divide 32 (patches and merging pad with zeros, so sizes round up).
//! Checked by: `tests/families.rs` (sizes, keys, gradients, parameter counts), `tests/parity_dinat_s.rs` (outputs and
//! gradients of the reference implementation).
//!
//! Traps: those of [`crate::nat`]'s attention; merging orders a block's pixels by columns before rows and pads odd maps
//! before its norm, which sees the zeros.

use serde::{Deserialize, Serialize};
use smalti_ops::Window2d;
use tch::nn;

use crate::dilations::{DilationPreset, Dilations};
use crate::fields::{
    STAGES, check_depths, check_embed_dim, check_heads, check_mlp_ratio, check_window, four, hidden_channels,
    required,
};
use crate::layers::{drop_path_rates, level_norm};
use crate::neighborhood::{BlockConfig, NeighborhoodBlock};
use crate::patches::{PatchEmbed, PatchMerging};
use crate::staged::{Stage, Staged, down};
use crate::{ClassifierEnd, ModelError, Purpose};

/// A `DiNAT_s`: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DinatSConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<DinatSVariant>,
    /// Channels of the first stage; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Blocks per stage, 4 numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Attention heads per stage, 4 numbers; must divide the stage's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<i64>>,
    /// Hidden width of the MLP over its channels. Default 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Window size of the attention, odd. Default 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Dilation of every block: a list per stage, or a preset's name. Default: all 1, of a variant `classification_224`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilations: Option<Dilations>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum DinatSVariant {
    Tiny,
    Small,
    Base,
    Large,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct DinatSArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: [i64; STAGES],
    /// Heads per stage.
    pub heads: [i64; STAGES],
    /// MLP width over channels.
    pub mlp_ratio: f64,
    /// Attention window.
    pub window: i64,
    /// Dilation of each block of each stage.
    pub dilations: [Vec<i64>; STAGES],
}

impl DinatSConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<DinatSArch, ModelError> {
        let row = self.variant.map(DinatSVariant::row);
        let embed_dim = required("embed_dim", self.embed_dim, row.map(|row| row.embed_dim))?;
        let depths = required("depths", four("depths", self.depths.as_ref())?, row.map(|row| row.depths))?;
        let heads = required("heads", four("heads", self.heads.as_ref())?, row.map(|row| row.heads))?;
        let mlp_ratio = self.mlp_ratio.unwrap_or(4.0);
        let window = self.window.unwrap_or(7);

        check_embed_dim(embed_dim, 1)?;
        check_depths(&depths)?;
        check_heads(&heads, embed_dim)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        check_window(window)?;
        drop_path_rates(self.drop_path_rate, &depths)?;
        let preset = row.map(|_| Dilations::Preset(DilationPreset::Classification224));
        let dilations = match self.dilations.as_ref().or(preset.as_ref()) {
            Some(dilations) => dilations.of_blocks(DilationPreset::of_dinat_s, &depths)?,
            None => depths.map(|depth| vec![1; depth as usize]),
        };
        Ok(DinatSArch { embed_dim, depths, heads, mlp_ratio, window, dilations })
    }
}

impl DinatSArch {
    /// Scalars in the dense backbone, the norm of every level included.
    pub fn backbone_parameters(&self) -> i64 {
        let norms: i64 = (0..STAGES).map(|l| 2 * (self.embed_dim << l)).sum();
        self.trunk_parameters() + norms
    }

    /// Scalars in the image classifier that papers count: one norm and a linear layer instead of the level norms.
    pub fn classifier_parameters(&self, num_classes: i64) -> i64 {
        let channels = self.embed_dim << (STAGES - 1);
        self.trunk_parameters() + 2 * channels + channels * num_classes + num_classes
    }

    fn trunk_parameters(&self) -> i64 {
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let merging = if l + 1 < STAGES { PatchMerging::parameters(self.embed_dim << l) } else { 0 };
                self.depths[l] * self.block(l, 0, 0.0).parameters() + merging
            })
            .sum();
        PatchEmbed::parameters(self.embed_dim) + stages
    }

    fn block(&self, stage: usize, block: usize, drop_path: f64) -> BlockConfig {
        let channels = self.embed_dim << stage;
        BlockConfig {
            channels,
            heads: self.heads[stage],
            hidden: hidden_channels(channels, self.mlp_ratio),
            layer_scale: None,
            window: Window2d::square(self.window, self.dilations[stage][block]),
            drop_path,
        }
    }
}

impl DinatSConfig {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`DinatSConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths)?;
        let stem = PatchEmbed::new(&(p / "patch_embed"), arch.embed_dim);
        let stage = |l: usize| {
            let (layer, channels) = (p / "layers" / l, arch.embed_dim << l);
            let block =
                |(j, &rate)| NeighborhoodBlock::new(&(&layer / "blocks" / j), &arch.block(l, j, rate));
            Stage {
                blocks: rates[l].iter().enumerate().map(block).collect(),
                norm: level_norm(p, l, channels, purpose),
                down: down(l, || PatchMerging::new(&(&layer / "downsample"), channels)),
            }
        };
        let end = ClassifierEnd::NormThenPool { norm: "norm", eps: 1e-5, head: "head" };
        Ok(Staged::new(stem, stage, arch.embed_dim, end))
    }
}

/// Numbers of a published variant's row.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
    heads: [i64; STAGES],
}

impl DinatSVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 4] = [Self::Tiny, Self::Small, Self::Base, Self::Large];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Large => "large",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        match self {
            Self::Tiny  => Row { embed_dim: 96,  depths: [2, 2, 6, 2],  heads: [3, 6, 12, 24] },
            Self::Small => Row { embed_dim: 96,  depths: [2, 2, 18, 2], heads: [3, 6, 12, 24] },
            Self::Base  => Row { embed_dim: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32] },
            Self::Large => Row { embed_dim: 192, depths: [2, 2, 18, 2], heads: [6, 12, 24, 48] },
        }
    }
}
