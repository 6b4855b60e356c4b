//! Which DaViT: the published sizes and what may be set by hand.

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::fields::{
    STAGES, bad, check_depths, check_embed_dim, check_heads, check_mlp_ratio, four, hidden_channels, required,
};
use crate::layers::drop_path_rates;

/// Far above any published window: a slip in a recipe is an error and not an exhausted machine.
const MAX_WINDOW: i64 = 64;

/// A DaViT: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DavitConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<DavitVariant>,
    /// Channels of the first stage; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Pairs of a window block and a channel block per stage, 4 numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Heads of both attentions per stage, 4 numbers; must divide the stage's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<i64>>,
    /// Hidden width of the MLP over its channels. Default 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Whether the qkv projections have a bias. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qkv_bias: Option<bool>,
    /// Side of the attention's windows in pixels of the map. Default 7, of the `_fl` variants 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Side of the downsampling convolutions' kernels: 2, or 3 where they overlap. Default 2, of the `_fl` variants 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downsample_kernel: Option<i64>,
    /// Which channel attention. Default `v1`, of the `_fl` variants `v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_attention: Option<ChannelAttentionVersion>,
    /// Stochastic depth of the last pair of blocks, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// How channels attend to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelAttentionVersion {
    /// The paper's: `softmax(k^T v / sqrt(D)) q^T`.
    #[default]
    V1,
    /// Florence-2's: `softmax(q^T k / sqrt(N)) v^T`, whose scores keep their size when the number of pixels `N` changes.
    V2,
}

/// The published sizes. `huge` and `giant` are timm's, which are smaller than the paper's; the `_fl` ones are the vision
/// towers of Florence-2 base and large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum DavitVariant {
    Tiny,
    Small,
    Base,
    Large,
    Huge,
    Giant,
    BaseFl,
    HugeFl,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct DavitArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Pairs of blocks per stage.
    pub depths: [i64; STAGES],
    /// Heads per stage.
    pub heads: [i64; STAGES],
    /// MLP width over channels.
    pub mlp_ratio: f64,
    /// Whether the qkv projections have a bias.
    pub qkv_bias: bool,
    /// Side of a window.
    pub window: i64,
    /// Side of the downsampling kernels.
    pub downsample_kernel: i64,
    /// Which channel attention.
    pub channel_attention: ChannelAttentionVersion,
}

impl DavitConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<DavitArch, ModelError> {
        let row = self.variant.map(DavitVariant::row);
        let florence = row.as_ref().is_some_and(|row| row.florence);
        let embed_dim = required("embed_dim", self.embed_dim, row.as_ref().map(|row| row.embed_dim))?;
        let depths =
            required("depths", four("depths", self.depths.as_ref())?, row.as_ref().map(|row| row.depths))?;
        let heads =
            required("heads", four("heads", self.heads.as_ref())?, row.as_ref().map(|row| row.heads))?;
        let mlp_ratio = self.mlp_ratio.unwrap_or(4.0);
        let window = self.window.unwrap_or(if florence { 12 } else { 7 });
        let downsample_kernel = self.downsample_kernel.unwrap_or(if florence { 3 } else { 2 });
        let channel_attention = self.channel_attention.unwrap_or(if florence {
            ChannelAttentionVersion::V2
        } else {
            ChannelAttentionVersion::V1
        });

        check_embed_dim(embed_dim, 1)?;
        check_depths(&depths)?;
        check_heads(&heads, embed_dim)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        if !(1..=MAX_WINDOW).contains(&window) {
            return Err(bad("window", format!("1 to {MAX_WINDOW}"), window));
        }
        if !(2..=3).contains(&downsample_kernel) {
            return Err(bad("downsample_kernel", "2 or 3", downsample_kernel));
        }
        drop_path_rates(self.drop_path_rate, &depths)?;
        let qkv_bias = self.qkv_bias.unwrap_or(true);
        Ok(DavitArch {
            embed_dim,
            depths,
            heads,
            mlp_ratio,
            qkv_bias,
            window,
            downsample_kernel,
            channel_attention,
        })
    }
}

impl DavitArch {
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
        let layer = |weights: i64, outputs: i64| weights * outputs + outputs;
        let stem = layer(3 * 7 * 7, self.embed_dim) + 2 * self.embed_dim;
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let hidden = hidden_channels(channels, self.mlp_ratio);
                let qkv = 3 * channels * channels + if self.qkv_bias { 3 * channels } else { 0 };
                let mlp = layer(channels, hidden) + layer(hidden, channels);
                let position_encodings = 2 * layer(3 * 3, channels);
                let half = 2 * (2 * channels) + position_encodings + qkv + layer(channels, channels) + mlp;
                let before = channels / 2;
                let patch = self.downsample_kernel * self.downsample_kernel * before;
                let down = if l > 0 { 2 * before + layer(patch, channels) } else { 0 };
                down + self.depths[l] * 2 * half
            })
            .sum();
        stem + stages
    }
}

/// Numbers of a published variant's row.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
    heads: [i64; STAGES],
    florence: bool,
}

impl DavitVariant {
    /// Every variant, smallest first, Florence-2's after them.
    pub const ALL: [Self; 8] = [
        Self::Tiny,
        Self::Small,
        Self::Base,
        Self::Large,
        Self::Huge,
        Self::Giant,
        Self::BaseFl,
        Self::HugeFl,
    ];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Large => "large",
            Self::Huge => "huge",
            Self::Giant => "giant",
            Self::BaseFl => "base_fl",
            Self::HugeFl => "huge_fl",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        match self {
            Self::Tiny   => Row { embed_dim: 96,  depths: [1, 1, 3, 1],  heads: [3, 6, 12, 24],   florence: false },
            Self::Small  => Row { embed_dim: 96,  depths: [1, 1, 9, 1],  heads: [3, 6, 12, 24],   florence: false },
            Self::Base   => Row { embed_dim: 128, depths: [1, 1, 9, 1],  heads: [4, 8, 16, 32],   florence: false },
            Self::Large  => Row { embed_dim: 192, depths: [1, 1, 9, 1],  heads: [6, 12, 24, 48],  florence: false },
            Self::Huge   => Row { embed_dim: 256, depths: [1, 1, 9, 1],  heads: [8, 16, 32, 64],  florence: false },
            Self::Giant  => Row { embed_dim: 384, depths: [1, 1, 12, 3], heads: [12, 24, 48, 96], florence: false },
            Self::BaseFl => Row { embed_dim: 128, depths: [1, 1, 9, 1],  heads: [4, 8, 16, 32],   florence: true },
            Self::HugeFl => Row { embed_dim: 256, depths: [1, 1, 9, 1],  heads: [8, 16, 32, 64],  florence: true },
        }
    }
}
