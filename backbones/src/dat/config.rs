//! Which DAT++: the published sizes and what may be set by hand.

use serde::{Deserialize, Serialize};

use super::block_kinds::{BlockKind, default_blocks, parse_blocks};
use crate::ModelError;
use crate::fields::{
    STAGES, bad, check_depths, check_embed_dim, check_heads, check_layer_scale, check_mlp_ratio,
    check_window, four, hidden_channels, required,
};
use crate::layers::drop_path_rates;

/// Far above any published number: a slip in a recipe is an error and not an exhausted machine.
const MAX_STRIDE: i64 = 64;
const MAX_OFFSET_KERNEL: i64 = 31;
const MAX_IMAGE_SIZE: i64 = 2048;

/// Width of the hidden layer of the log-spaced position bias.
pub(super) const LOG_CPB_HIDDEN: i64 = 32;

/// A DAT++: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<DatVariant>,
    /// Channels of the first stage, even; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Blocks per stage, 4 numbers. Default with `blocks`: as many as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// What the blocks of each stage attend by, 4 strings with a letter a block: N = neighborhood, D = deformable. Default: N and
    /// D in turn, in the last stage D alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<String>>,
    /// Attention heads per stage, 4 numbers; must divide the stage's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<i64>>,
    /// Groups of heads per stage that sample the map at points of their own, 4 numbers; must divide the heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<i64>>,
    /// Hidden width of the MLP over its channels. Default 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Initial value of the layer scale; 0 = no layer scale, the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Window size of the neighborhood attention, odd. Default 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Pixels of the stage's map per key and axis, 4 numbers. Default 8, 4, 2, 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strides: Option<Vec<i64>>,
    /// Side of the offset convolutions' kernels, 4 odd numbers. Default 9, 7, 5, 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_kernels: Option<Vec<i64>>,
    /// How far keys may move, 4 numbers: up to so many distances between two keys (tanh), or if negative anywhere inside the
    /// map (clamped). Default -1 in each stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_range_factor: Option<Vec<f64>>,
    /// The position bias of the deformable attention. Default `table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_bias: Option<PositionBias>,
    /// Side of the images, in pixels, whose maps the tables of the position bias are as large as; others read them between
    /// their entries. Default 224.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<i64>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// Which position bias the deformable attention adds to its scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionBias {
    /// Read bilinearly from a table of displacements, as in all published weights.
    #[default]
    Table,
    /// Computed by a small network from the displacement on a logarithmic scale, as in Swin V2.
    LogCpb,
    /// No bias.
    None,
}

/// The published sizes. The authors' base at 384 is `base`, tables of 224 included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum DatVariant {
    Tiny,
    Small,
    Base,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct DatArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// The attention of every block of each stage.
    pub blocks: [Vec<BlockKind>; STAGES],
    /// Heads per stage.
    pub heads: [i64; STAGES],
    /// Groups of heads per stage.
    pub groups: [i64; STAGES],
    /// MLP width over channels.
    pub mlp_ratio: f64,
    /// Initial layer scale.
    pub layer_scale: Option<f64>,
    /// Window of the neighborhood attention.
    pub window: i64,
    /// Pixels per key and axis.
    pub strides: [i64; STAGES],
    /// Side of the offset convolutions' kernels.
    pub offset_kernels: [i64; STAGES],
    /// How far keys may move; negative: anywhere inside the map.
    pub offset_range_factor: [f64; STAGES],
    /// Which position bias.
    pub position_bias: PositionBias,
    /// Side of the images that the tables are made for.
    pub image_size: i64,
}

impl DatConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<DatArch, ModelError> {
        let row = self.variant.map(DatVariant::row);
        let embed_dim = required("embed_dim", self.embed_dim, row.map(|row| row.embed_dim))?;
        let blocks = self.blocks(row.map(|row| row.depths))?;
        let heads = required("heads", four("heads", self.heads.as_ref())?, row.map(|row| row.heads))?;
        let groups = required("groups", four("groups", self.groups.as_ref())?, row.map(|row| row.groups))?;
        let mlp_ratio = self.mlp_ratio.unwrap_or(4.0);
        let layer_scale = self.layer_scale.filter(|&value| value != 0.0);
        let window = self.window.unwrap_or(7);
        let strides = four("strides", self.strides.as_ref())?.unwrap_or([8, 4, 2, 1]);
        let offset_kernels = four("offset_kernels", self.offset_kernels.as_ref())?.unwrap_or([9, 7, 5, 3]);
        let offset_range_factor =
            four("offset_range_factor", self.offset_range_factor.as_ref())?.unwrap_or([-1.0; STAGES]);
        let position_bias = self.position_bias.unwrap_or_default();
        let image_size = self.image_size.unwrap_or(224);

        check_embed_dim(embed_dim, 2)?;
        check_heads(&heads, embed_dim)?;
        check_groups(&groups, &heads)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        check_layer_scale(layer_scale)?;
        check_window(window)?;
        check_sampling(&strides, &offset_kernels, &offset_range_factor)?;
        if !(32..=MAX_IMAGE_SIZE).contains(&image_size) {
            return Err(bad("image_size", format!("32 to {MAX_IMAGE_SIZE}"), image_size));
        }
        drop_path_rates(self.drop_path_rate, &depths(&blocks))?;
        Ok(DatArch {
            embed_dim,
            blocks,
            heads,
            groups,
            mlp_ratio,
            layer_scale,
            window,
            strides,
            offset_kernels,
            offset_range_factor,
            position_bias,
            image_size,
        })
    }

    /// What every block attends by: as `blocks` says, or as published for so many blocks.
    fn blocks(&self, variant: Option<[i64; STAGES]>) -> Result<[Vec<BlockKind>; STAGES], ModelError> {
        let given = four("depths", self.depths.as_ref())?;
        let Some(letters) = &self.blocks else {
            let depths = required("depths", given, variant)?;
            check_depths(&depths)?;
            return Ok(default_blocks(&depths));
        };
        let blocks = parse_blocks(letters)?;
        let counted = depths(&blocks);
        check_depths(&counted)?;
        match given {
            Some(given) if given != counted => {
                let expected = format!("as many letters a stage as `depths`, {given:?}");
                Err(bad("blocks", expected, format!("{letters:?}")))
            }
            _ => Ok(blocks),
        }
    }
}

fn depths(blocks: &[Vec<BlockKind>; STAGES]) -> [i64; STAGES] {
    std::array::from_fn(|stage| blocks[stage].len() as i64)
}

fn check_groups(groups: &[i64; STAGES], heads: &[i64; STAGES]) -> Result<(), ModelError> {
    for (stage, (&groups, &heads)) in groups.iter().zip(heads).enumerate() {
        if groups < 1 || heads % groups != 0 {
            return Err(bad("groups", format!("a divisor of stage {stage}'s {heads} heads"), groups));
        }
    }
    Ok(())
}

fn check_sampling(
    strides: &[i64; STAGES],
    kernels: &[i64; STAGES],
    range_factors: &[f64; STAGES],
) -> Result<(), ModelError> {
    if !strides.iter().all(|stride| (1..=MAX_STRIDE).contains(stride)) {
        return Err(bad("strides", format!("1 to {MAX_STRIDE} in each stage"), format!("{strides:?}")));
    }
    for (stage, (&kernel, &stride)) in kernels.iter().zip(strides).enumerate() {
        // The reference does not pad a kernel as large as its stride, and a map smaller than it would have no keys at all.
        let tiles = kernel == stride && stride > 1;
        if kernel % 2 == 0 || !(1..=MAX_OFFSET_KERNEL).contains(&kernel) || tiles {
            let expected = format!(
                "an odd number from 1 to {MAX_OFFSET_KERNEL} other than stage {stage}'s stride of {stride}"
            );
            return Err(bad("offset_kernels", expected, kernel));
        }
    }
    if !range_factors.iter().all(|factor| factor.is_finite()) {
        let got = format!("{range_factors:?}");
        return Err(bad("offset_range_factor", "a finite number for each stage", got));
    }
    Ok(())
}

impl DatArch {
    /// Blocks per stage.
    pub fn depths(&self) -> [i64; STAGES] {
        depths(&self.blocks)
    }

    /// Rows, and columns, of a position bias table of a stage: displacements of a square map of `image_size`.
    pub const fn table_side(&self, stage: usize) -> i64 {
        2 * ((self.image_size / 4) >> stage) - 1
    }

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
        let (half, width) = (self.embed_dim / 2, self.embed_dim);
        let stem = (3 * 9 * half + half) + 2 * half + (half * 9 * width + width) + 2 * width;
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let down = if l + 1 < STAGES { channels * 9 * 2 * channels + 4 * channels } else { 0 };
                down + self.blocks[l].iter().map(|&kind| self.block_parameters(l, kind)).sum::<i64>()
            })
            .sum();
        stem + stages
    }

    fn block_parameters(&self, stage: usize, kind: BlockKind) -> i64 {
        let linear = |inputs: i64, outputs: i64| inputs * outputs + outputs;
        let depthwise = |channels: i64, kernel: i64| channels * kernel * kernel + channels;
        let (channels, heads, groups) = (self.embed_dim << stage, self.heads[stage], self.groups[stage]);
        let hidden = hidden_channels(channels, self.mlp_ratio);
        let attention = match kind {
            BlockKind::Neighborhood => {
                let bias_side = 2 * self.window - 1;
                linear(channels, 3 * channels) + linear(channels, channels) + heads * bias_side * bias_side
            }
            BlockKind::Deformable => {
                let of_group = channels / groups;
                let offsets = depthwise(of_group, self.offset_kernels[stage]) + 2 * of_group + 2 * of_group;
                let bias = match self.position_bias {
                    PositionBias::Table => heads * self.table_side(stage) * self.table_side(stage),
                    PositionBias::LogCpb => linear(2, LOG_CPB_HIDDEN) + LOG_CPB_HIDDEN * (heads / groups),
                    PositionBias::None => 0,
                };
                4 * linear(channels, channels) + offsets + bias
            }
        };
        let mlp = linear(channels, hidden) + depthwise(hidden, 3) + linear(hidden, channels);
        let scales = if self.layer_scale.is_some() { 2 * channels } else { 0 };
        depthwise(channels, 3) + 2 * (2 * channels) + attention + mlp + scales
    }
}

/// Numbers of a published variant's row.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
    heads: [i64; STAGES],
    groups: [i64; STAGES],
}

impl DatVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Small, Self::Base];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        match self {
            Self::Tiny  => Row { embed_dim: 64,  depths: [2, 4, 18, 2], heads: [2, 4, 8, 16],  groups: [1, 2, 4, 8] },
            Self::Small => Row { embed_dim: 96,  depths: [2, 4, 18, 2], heads: [3, 6, 12, 24], groups: [1, 2, 3, 6] },
            Self::Base  => Row { embed_dim: 128, depths: [2, 4, 18, 2], heads: [4, 8, 16, 32], groups: [2, 4, 8, 16] },
        }
    }
}
