//! NAT: Neighborhood Attention Transformer, a hierarchical backbone with 4 stages.
//!
//! Paper: Hassani et al., Neighborhood Attention Transformer, CVPR 2023, <https://arxiv.org/abs/2204.07143>. Reference code:
//! SHI-Labs/Neighborhood-Attention-Transformer d334f5b, licence MIT. Parameter names are the reference's.
//! Differs from the reference: nothing known. `dilations` makes it DiNAT (<https://arxiv.org/abs/2209.15001>).
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; H and W need
//! not divide 32 (each halving rounds up).
//! Checked by: `tests/contract.rs` (sizes, keys, gradients of every variant), `tests/parity_nat.rs` (outputs and gradients of
//! the reference implementation).
//!
//! Trap: a map smaller than window * dilation is zero-padded right and bottom after the norm and before the qkv projection,
//! without a mask: padded tokens have k = bias_k, v = bias_v and take part in the softmax.

use serde::{Deserialize, Serialize};
use smalti_ops::{Window2d, neighborhood_attention_2d};
use tch::Tensor;
use tch::nn::{self, Module};

use crate::fields::{
    STAGES, bad, check_depths, check_embed_dim, check_heads, check_layer_scale, check_mlp_ratio, four,
    hidden_channels, required,
};
use crate::layers::{
    INIT, Mlp, channels_first, conv_channels_last, drop_path, drop_path_rates, halving_conv, layer_norm,
    level_norm, linear,
};
use crate::{Backbone, ClassifierEnd, Level, ModelError, Purpose};

/// Far above any published one: a slip in a recipe is an error and not an exhausted machine.
const MAX_DILATION: i64 = 256;

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
    /// Window size of the attention, odd. Default 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Dilation of every block, a list per stage. Default: all 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilations: Option<Vec<Vec<i64>>>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// The published sizes, and `nano`, a size of ours for demos and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum NatVariant {
    Nano,
    Mini,
    Tiny,
    Small,
    Base,
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
        let window = self.window.unwrap_or(7);

        check_embed_dim(embed_dim, 2)?;
        check_depths(&depths)?;
        check_heads(&heads, embed_dim)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        check_layer_scale(layer_scale)?;
        if window % 2 != 1 || !(3..=63).contains(&window) {
            return Err(bad("window", "an odd number from 3 to 63", window));
        }
        drop_path_rates(self.drop_path_rate, &depths)?;
        let dilations = self.dilations(&depths)?;
        Ok(NatArch { embed_dim, depths, heads, mlp_ratio, layer_scale, window, dilations })
    }

    fn dilations(&self, depths: &[i64; STAGES]) -> Result<[Vec<i64>; STAGES], ModelError> {
        let Some(given) = &self.dilations else { return Ok(depths.map(|depth| vec![1; depth as usize])) };
        let expected =
            || format!("a list a stage with as many dilations of 1 to {MAX_DILATION} as blocks, {depths:?}");
        let stages: &[Vec<i64>; STAGES] =
            given.as_slice().try_into().map_err(|_| bad("dilations", expected(), format!("{given:?}")))?;
        let fits = stages.iter().zip(depths).all(|(list, &depth)| list.len() as i64 == depth);
        if !fits || stages.iter().flatten().any(|dilation| !(1..=MAX_DILATION).contains(dilation)) {
            return Err(bad("dilations", expected(), format!("{given:?}")));
        }
        Ok(stages.clone())
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
        let linear = |inputs: i64, outputs: i64| inputs * outputs + outputs;
        let (half, width) = (self.embed_dim / 2, self.embed_dim);
        let stem = (3 * 9 * half + half) + (half * 9 * width + width) + 2 * width;
        let table = (2 * self.window - 1).pow(2);
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let hidden = hidden_channels(channels, self.mlp_ratio);
                let attention =
                    linear(channels, 3 * channels) + linear(channels, channels) + self.heads[l] * table;
                let mlp = linear(channels, hidden) + linear(hidden, channels);
                let scales = if self.layer_scale.is_some() { 2 * channels } else { 0 };
                let block = 2 * (2 * channels) + attention + mlp + scales;
                let down = if l + 1 < STAGES { channels * 9 * 2 * channels + 4 * channels } else { 0 };
                self.depths[l] * block + down
            })
            .sum();
        stem + stages
    }
}

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

/// Multi-head neighborhood attention with relative position bias.
#[derive(Debug)]
struct NeighborhoodAttention {
    qkv: nn::Linear,
    rpb: Tensor, // [M, 2K-1, 2K-1]
    proj: nn::Linear,
    heads: i64,
    window: Window2d,
}

impl NeighborhoodAttention {
    fn new(p: &nn::Path<'_>, channels: i64, heads: i64, window: Window2d) -> Self {
        let (rows, columns) = window.bias_shape();
        Self {
            qkv: linear(&(p / "qkv"), channels, 3 * channels),
            rpb: p.var("rpb", &[heads, rows, columns], INIT),
            proj: linear(&(p / "proj"), channels, channels),
            heads,
            window,
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (batch, height, width, channels) = x.size4().expect("a map [B, H, W, C] by construction");
        let (min_height, min_width) = self.window.min_map();
        let (below, right) = ((min_height - height).max(0), (min_width - width).max(0));
        let padded =
            if below + right > 0 { x.constant_pad_nd([0, 0, 0, right, 0, below]) } else { x.shallow_clone() };
        let head_dim = channels / self.heads;
        let shape = [batch, height + below, width + right, 3, self.heads, head_dim];
        let qkv = padded.apply(&self.qkv).reshape(shape).unbind(3); // 3 x [B, H, W, M, D]
        let scale = (head_dim as f64).powf(-0.5);
        let out = neighborhood_attention_2d(&qkv[0], &qkv[1], &qkv[2], Some(&self.rpb), self.window, scale)
            .expect("shapes are fixed at construction and the map was padded to the window");
        let out = out.slice(1, 0, height, 1).slice(2, 0, width, 1);
        out.reshape([batch, height, width, channels]).apply(&self.proj)
    }
}

/// Pre-norm transformer block.
#[derive(Debug)]
struct NatBlock {
    norm1: nn::LayerNorm,
    attn: NeighborhoodAttention,
    norm2: nn::LayerNorm,
    mlp: Mlp,
    gammas: Option<[Tensor; 2]>, // layer scale, [C] each
    drop_path: f64,
}

impl NatBlock {
    fn new(p: &nn::Path<'_>, arch: &NatArch, stage: usize, dilation: i64, drop_path: f64) -> Self {
        let channels = arch.embed_dim << stage;
        let hidden = hidden_channels(channels, arch.mlp_ratio);
        let window = Window2d::square(arch.window, dilation);
        Self {
            norm1: layer_norm(&(p / "norm1"), channels),
            attn: NeighborhoodAttention::new(&(p / "attn"), channels, arch.heads[stage], window),
            norm2: layer_norm(&(p / "norm2"), channels),
            mlp: Mlp::new(&(p / "mlp"), channels, hidden),
            gammas: arch.layer_scale.map(|value| {
                ["gamma1", "gamma2"].map(|name| p.var(name, &[channels], nn::Init::Const(value)))
            }),
            drop_path,
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let branch = |y: Tensor, which: usize| {
            let y = match &self.gammas {
                Some(gammas) => y * &gammas[which],
                None => y,
            };
            drop_path(y, self.drop_path, train)
        };
        let x = x + branch(self.attn.forward(&x.apply(&self.norm1)), 0);
        let y = branch(self.mlp.forward(&x.apply(&self.norm2)), 1);
        x + y
    }
}

/// One stage: its blocks, the norm of its dense output, and the way down to the next stage.
#[derive(Debug)]
struct NatStage {
    blocks: Vec<NatBlock>,
    norm: Option<nn::LayerNorm>,
    downsample: Option<ConvDownsample>,
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
            let blocks = arch.dilations[l].iter().zip(&rates[l]).enumerate();
            NatStage {
                blocks: blocks
                    .map(|(j, (&dilation, &rate))| {
                        NatBlock::new(&(&level / "blocks" / j), &arch, l, dilation, rate)
                    })
                    .collect(),
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

impl Nat {
    /// Runs all stages and shows each one's map `[B, H_l, W_l, C_l]`; returns the last.
    fn run(&self, images: &Tensor, train: bool, mut leave: impl FnMut(&NatStage, &Tensor)) -> Tensor {
        let mut x = self.stem.forward(images); // [B, H/4, W/4, C]
        for stage in &self.stages {
            x = stage.blocks.iter().fold(x, |x, block| block.forward_t(&x, train)); // [B, H_l, W_l, C_l]
            leave(stage, &x);
            if let Some(downsample) = &stage.downsample {
                x = downsample.forward(&x);
            }
        }
        x
    }
}

impl Backbone for Nat {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        let mut features = Vec::with_capacity(STAGES);
        let _ = self.run(images, train, |stage, x| features.push(channels_first(x, stage.norm.as_ref())));
        features
    }

    fn last_map(&self, images: &Tensor, train: bool) -> Tensor {
        channels_first(&self.run(images, train, |_, _| {}), None)
    }

    fn classifier_end(&self) -> ClassifierEnd {
        ClassifierEnd::NormThenPool { norm: "norm", eps: 1e-5, head: "head" }
    }
}

/// Numbers of a published variant's row, and what its authors report.
#[derive(Debug, Clone, Copy)]
struct Row {
    embed_dim: i64,
    depths: [i64; STAGES],
    heads: [i64; STAGES],
    mlp_ratio: f64,
    layer_scale: Option<f64>,
    published: Option<Published>,
}

/// What the paper reports of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// Parameters of the ImageNet classifier, millions.
    pub parameters_m: f64,
    /// ImageNet-1k top-1 accuracy at 224, percent.
    pub top1: f64,
    /// ADE20K validation mIoU of UperNet 160k at 512, single scale, percent.
    pub upernet_ade20k: f64,
}

impl NatVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 5] = [Self::Nano, Self::Mini, Self::Tiny, Self::Small, Self::Base];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nano => "nano",
            Self::Mini => "mini",
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
        }
    }

    /// What the paper reports; nothing for `nano`, which is ours.
    pub const fn published(self) -> Option<Published> {
        self.row().published
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        const fn reported(parameters_m: f64, top1: f64, upernet_ade20k: f64) -> Published {
            Published { parameters_m, top1, upernet_ade20k }
        }
        match self {
            Self::Nano  => Row { embed_dim: 32,  depths: [2, 2, 4, 2],  heads: [1, 2, 4, 8],   mlp_ratio: 2.0, layer_scale: None,       published: None },
            Self::Mini  => Row { embed_dim: 64,  depths: [3, 4, 6, 5],  heads: [2, 4, 8, 16],  mlp_ratio: 3.0, layer_scale: None,       published: Some(reported(20.0, 81.8, 45.1)) },
            Self::Tiny  => Row { embed_dim: 64,  depths: [3, 4, 18, 5], heads: [2, 4, 8, 16],  mlp_ratio: 3.0, layer_scale: None,       published: Some(reported(28.0, 83.2, 47.1)) },
            Self::Small => Row { embed_dim: 96,  depths: [3, 4, 18, 5], heads: [3, 6, 12, 24], mlp_ratio: 2.0, layer_scale: Some(1e-5), published: Some(reported(51.0, 83.7, 48.0)) },
            Self::Base  => Row { embed_dim: 128, depths: [3, 4, 18, 5], heads: [4, 8, 16, 32], mlp_ratio: 2.0, layer_scale: Some(1e-5), published: Some(reported(90.0, 84.3, 48.5)) },
        }
    }
}
