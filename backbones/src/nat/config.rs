//! Which NAT or DiNAT: the published sizes and what may be set by hand.

use serde::{Deserialize, Serialize};
use smalti_ops::Window2d;

use crate::ModelError;
use crate::dilations::{DilationPreset, Dilations};
use crate::fields::{
    STAGES, check_depths, check_embed_dim, check_heads, check_layer_scale, check_mlp_ratio, check_window,
    four, hidden_channels, required,
};
use crate::layers::drop_path_rates;
use crate::neighborhood::BlockConfig;

/// Side of the attention window that all but one variant have.
const WINDOW: i64 = 7;

/// A NAT: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<NatVariant>,
    /// Channels of the first stage; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Blocks per stage, 4 numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Attention heads per stage, 4 numbers; must divide the stage's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<i64>>,
    /// Hidden width of the MLP over its channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Initial value of the layer scale; 0 = no layer scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Window size of the attention, odd. Default 7, of `dinat_large_k11` 11.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Dilation of every block: a list per stage, or a preset's name. Default: all 1, of DiNAT `classification_224`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilations: Option<Dilations>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// The published sizes of NAT and of DiNAT, and `nano`, a size of ours for demos and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum NatVariant {
    Nano,
    Mini,
    Tiny,
    Small,
    Base,
    DinatMini,
    DinatTiny,
    DinatSmall,
    DinatBase,
    DinatLarge,
    /// `dinat_large` with a window of 11, for which the authors interpolated the position biases of their ImageNet-22K weights.
    DinatLargeK11,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct NatArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: [i64; STAGES],
    /// Heads per stage.
    pub heads: [i64; STAGES],
    /// MLP width over channels.
    pub mlp_ratio: f64,
    /// Initial layer scale.
    pub layer_scale: Option<f64>,
    /// Attention window.
    pub window: i64,
    /// Dilation of each block of each stage.
    pub dilations: [Vec<i64>; STAGES],
}

impl NatConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<NatArch, ModelError> {
        let row = self.variant.map(NatVariant::row);
        let embed_dim = required("embed_dim", self.embed_dim, row.as_ref().map(|row| row.embed_dim))?;
        let depths =
            required("depths", four("depths", self.depths.as_ref())?, row.as_ref().map(|row| row.depths))?;
        let heads =
            required("heads", four("heads", self.heads.as_ref())?, row.as_ref().map(|row| row.heads))?;
        let mlp_ratio = required("mlp_ratio", self.mlp_ratio, row.as_ref().map(|row| row.mlp_ratio))?;
        let layer_scale =
            self.layer_scale.or(row.and_then(|row| row.layer_scale)).filter(|&value| value != 0.0);
        let window = self.window.or(row.as_ref().map(|row| row.window)).unwrap_or(WINDOW);

        check_embed_dim(embed_dim, 2)?;
        check_depths(&depths)?;
        check_heads(&heads, embed_dim)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        check_layer_scale(layer_scale)?;
        check_window(window)?;
        drop_path_rates(self.drop_path_rate, &depths)?;
        let preset = row.and_then(|row| row.dilations).map(Dilations::Preset);
        let dilations = match self.dilations.as_ref().or(preset.as_ref()) {
            Some(dilations) => dilations.of_blocks(|preset| Some(preset.of_dinat()), &depths)?,
            None => depths.map(|depth| vec![1; depth as usize]),
        };
        Ok(NatArch { embed_dim, depths, heads, mlp_ratio, layer_scale, window, dilations })
    }
}

impl NatArch {
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
        let stem = (3 * 9 * half + half) + (half * 9 * width + width) + 2 * width;
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let down = if l + 1 < STAGES { channels * 9 * 2 * channels + 4 * channels } else { 0 };
                self.depths[l] * self.block(l, 0, 0.0).parameters() + down
            })
            .sum();
        stem + stages
    }

    /// Block `block` of a stage.
    pub(super) fn block(&self, stage: usize, block: usize, drop_path: f64) -> BlockConfig {
        let channels = self.embed_dim << stage;
        BlockConfig {
            channels,
            heads: self.heads[stage],
            hidden: hidden_channels(channels, self.mlp_ratio),
            layer_scale: self.layer_scale,
            window: Window2d::square(self.window, self.dilations[stage][block]),
            drop_path,
        }
    }
}

/// Numbers of a published variant's row.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
    heads: [i64; STAGES],
    mlp_ratio: f64,
    layer_scale: Option<f64>,
    window: i64,
    dilations: Option<DilationPreset>,
}

impl NatVariant {
    /// Every variant: NAT, then DiNAT, each smallest first.
    pub const ALL: [Self; 11] = [
        Self::Nano,
        Self::Mini,
        Self::Tiny,
        Self::Small,
        Self::Base,
        Self::DinatMini,
        Self::DinatTiny,
        Self::DinatSmall,
        Self::DinatBase,
        Self::DinatLarge,
        Self::DinatLargeK11,
    ];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nano => "nano",
            Self::Mini => "mini",
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::DinatMini => "dinat_mini",
            Self::DinatTiny => "dinat_tiny",
            Self::DinatSmall => "dinat_small",
            Self::DinatBase => "dinat_base",
            Self::DinatLarge => "dinat_large",
            Self::DinatLargeK11 => "dinat_large_k11",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        const MINI: Row = Row { embed_dim: 64, depths: [3, 4, 6, 5], heads: [2, 4, 8, 16], mlp_ratio: 3.0, layer_scale: None, window: WINDOW, dilations: None };
        const TINY: Row = Row { depths: [3, 4, 18, 5], ..MINI };
        const SMALL: Row = Row { embed_dim: 96, heads: [3, 6, 12, 24], mlp_ratio: 2.0, ..TINY };
        const BASE: Row = Row { embed_dim: 128, heads: [4, 8, 16, 32], layer_scale: Some(1e-5), ..SMALL };
        const LARGE: Row = Row { embed_dim: 192, heads: [6, 12, 24, 48], ..SMALL };
        const fn dinat(row: Row) -> Row {
            Row { dilations: Some(DilationPreset::Classification224), ..row }
        }
        match self {
            Self::Nano  => Row { embed_dim: 32, depths: [2, 2, 4, 2], heads: [1, 2, 4, 8], mlp_ratio: 2.0, ..MINI },
            Self::Mini  => MINI,
            Self::Tiny  => TINY,
            Self::Small => Row { layer_scale: Some(1e-5), ..SMALL },
            Self::Base  => BASE,
            Self::DinatMini     => dinat(MINI),
            Self::DinatTiny     => dinat(TINY),
            Self::DinatSmall    => dinat(SMALL), // no layer scale, unlike NAT's
            Self::DinatBase     => dinat(BASE),
            Self::DinatLarge    => dinat(LARGE),
            Self::DinatLargeK11 => dinat(Row { window: 11, ..LARGE }),
        }
    }
}
