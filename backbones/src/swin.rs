//! Swin: a hierarchical backbone of 4 stages whose attention is within windows, shifted in every second block.
//!
//! Paper: Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021,
//! <https://arxiv.org/abs/2103.14030>. Reference code: microsoft/Swin-Transformer (MIT), whose parameter names these are, and
//! transformers 5.23.0 `modeling_swin.py` (Apache-2.0), which the goldens are made with.
//! Differs from the reference: no absolute position embedding (no published checkpoint has one); the buffers
//! `relative_position_index` and `attn_mask` are computed and not stored; transformers drops no path around MLPs, the
//! authors and we do.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = embed_dim * 2^l`, stride 4, 8, 16, 32; any H and W
//! (patches and merging pad with zeros, so sizes round up).
//! Checked by: `tests/families.rs` (sizes, keys, gradients), `tests/parity_swin.rs` (outputs and gradients).
//!
//! Traps: maps are padded to whole windows right and bottom after the norm, and padded tokens are not masked: they have
//! k = bias_k, v = bias_v. On a map no larger than the window dense code keeps window and shift; classifiers shrink the
//! window to the map's shorter side and shift no more.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tch::nn::{self, Module, ModuleT};
use tch::{Device, Kind, Tensor};

use crate::fields::{
    STAGES, bad, check_depths, check_embed_dim, check_heads, check_mlp_ratio, four, hidden_channels, required,
};
use crate::layers::{INIT, Mlp, drop_path, drop_path_rates, layer_norm, level_norm, linear};
use crate::patches::{PatchEmbed, PatchMerging};
use crate::staged::{Stage, Staged, down};
use crate::windows::{missing, pad_to_multiple, partition, relative_position_index, reverse, shift_mask};
use crate::{ClassifierEnd, ModelError, Purpose};

const MAX_WINDOW: i64 = 64;

/// A Swin: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwinConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<SwinVariant>,
    /// Channels of the first stage; each stage doubles them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<i64>,
    /// Blocks per stage, 4 numbers; every second one shifts its windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Attention heads per stage, 4 numbers; must divide the stage's channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<i64>>,
    /// Hidden width of the MLP over its channels. Default 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Side of the attention windows in tokens, 2 to 64. Default: the variant's, else 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<i64>,
    /// Stochastic depth of the last block, rising linearly from 0 at the first. Default 0.
    pub drop_path_rate: f64,
}

/// The published sizes; `base_384` and `large_384` have windows of 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // sizes; the table below says what they are
pub enum SwinVariant {
    #[serde(rename = "tiny")]
    Tiny,
    #[serde(rename = "small")]
    Small,
    #[serde(rename = "base")]
    Base,
    #[serde(rename = "large")]
    Large,
    #[serde(rename = "base_384")]
    Base384,
    #[serde(rename = "large_384")]
    Large384,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct SwinArch {
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage.
    pub depths: [i64; STAGES],
    /// Heads per stage.
    pub heads: [i64; STAGES],
    /// MLP width over channels.
    pub mlp_ratio: f64,
    /// Side of the windows.
    pub window: i64,
}

impl SwinConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<SwinArch, ModelError> {
        let row = self.variant.map(SwinVariant::row);
        let embed_dim = required("embed_dim", self.embed_dim, row.map(|row| row.embed_dim))?;
        let depths = required("depths", four("depths", self.depths.as_ref())?, row.map(|row| row.depths))?;
        let heads = required("heads", four("heads", self.heads.as_ref())?, row.map(|row| row.heads))?;
        let mlp_ratio = self.mlp_ratio.unwrap_or(4.0);
        let window = self.window.or(row.map(|row| row.window)).unwrap_or(7);

        check_embed_dim(embed_dim, 1)?;
        check_depths(&depths)?;
        check_heads(&heads, embed_dim)?;
        check_mlp_ratio(mlp_ratio, embed_dim)?;
        if !(2..=MAX_WINDOW).contains(&window) {
            return Err(bad("window", format!("2 to {MAX_WINDOW}"), window));
        }
        drop_path_rates(self.drop_path_rate, &depths)?;
        Ok(SwinArch { embed_dim, depths, heads, mlp_ratio, window })
    }
}

impl SwinArch {
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
        let table = (2 * self.window - 1).pow(2);
        let stages: i64 = (0..STAGES)
            .map(|l| {
                let channels = self.embed_dim << l;
                let hidden = hidden_channels(channels, self.mlp_ratio);
                let attention =
                    linear(channels, 3 * channels) + linear(channels, channels) + self.heads[l] * table;
                let mlp = linear(channels, hidden) + linear(hidden, channels);
                let block = 2 * (2 * channels) + attention + mlp;
                let merging = if l + 1 < STAGES { PatchMerging::parameters(channels) } else { 0 };
                self.depths[l] * block + merging
            })
            .sum();
        PatchEmbed::parameters(self.embed_dim) + stages
    }
}

/// How windows lie on a map of one size.
#[derive(Debug)]
struct Tiling {
    height: i64,
    width: i64,
    kind: Kind,
    device: Device,
    window: i64,
    shift: i64,           // of every second block, 0 = none
    index: Tensor,        // [N * N], rows of the bias table
    mask: Option<Tensor>, // [W, 1, N, N] of shifted windows
}

impl Tiling {
    /// `x` is a map `[B, H, W, C]`; `full` keeps the window on maps smaller than it.
    fn of(x: &Tensor, window: i64, full: bool) -> Self {
        let size = x.size();
        let (height, width, kind, device) = (size[1], size[2], x.kind(), x.device());
        let shorter = height.min(width);
        let (side, shift) = if full || shorter > window { (window, window / 2) } else { (shorter, 0) };
        let mask = (shift > 0).then(|| {
            let (below, right) = (missing(height, side), missing(width, side));
            shift_mask(height + below, width + right, side, shift, kind).to_device(device)
        });
        let index = relative_position_index(side, window).to_device(device);
        Self { height, width, kind, device, window: side, shift, index, mask }
    }

    fn fits(&self, x: &Tensor) -> bool {
        let size = x.size();
        (self.height, self.width, self.kind, self.device) == (size[1], size[2], x.kind(), x.device())
    }
}

impl Clone for Tiling {
    /// Shares the tensors.
    fn clone(&self) -> Self {
        Self {
            index: self.index.shallow_clone(),
            mask: self.mask.as_ref().map(Tensor::shallow_clone),
            ..*self
        }
    }
}

/// The windows of one stage, whose blocks share what is computed for a size of maps.
#[derive(Debug)]
struct Windows {
    side: i64,
    full: bool,
    last: Mutex<Option<Tiling>>, // of the last size seen
}

impl Windows {
    fn new(side: i64, full: bool) -> Self {
        Self { side, full, last: Mutex::new(None) }
    }

    fn tiling(&self, x: &Tensor) -> Tiling {
        // A panic while it is locked leaves the last tiling or none.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(tiling) if tiling.fits(x) => tiling.clone(),
            _ => last.insert(Tiling::of(x, self.side, self.full)).clone(),
        }
    }
}

/// Multi-head attention within windows, with relative position bias.
#[derive(Debug)]
struct WindowAttention {
    qkv: nn::Linear,
    table: Tensor, // [(2K-1)^2, M]
    proj: nn::Linear,
    heads: i64,
    windows: Arc<Windows>,
    shifted: bool,
}

impl WindowAttention {
    fn new(p: &nn::Path<'_>, channels: i64, heads: i64, windows: Arc<Windows>, shifted: bool) -> Self {
        let positions = (2 * windows.side - 1).pow(2);
        Self {
            qkv: linear(&(p / "qkv"), channels, 3 * channels),
            table: p.var("relative_position_bias_table", &[positions, heads], INIT),
            proj: linear(&(p / "proj"), channels, channels),
            heads,
            windows,
            shifted,
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, mut x: Tensor) -> Tensor {
        let tiling = self.windows.tiling(&x);
        let (shift, window) = (if self.shifted { tiling.shift } else { 0 }, tiling.window);
        let bias = self.bias(x.size()[0], &tiling);
        // Assigned anew, not shadowed: each map is freed as soon as the next is there.
        x = pad_to_multiple(&x, window);
        let (height, width) = (x.size()[1], x.size()[2]);
        if shift > 0 {
            x = x.roll([-shift, -shift], [1, 2]);
        }
        x = partition(&x, window); // [B * W, N, C]
        x = self.attend(x, &bias); // [B * W, N, C]
        x = reverse(&x, window, height, width); // [B, H', W', C]
        if shift > 0 {
            x = x.roll([shift, shift], [1, 2]);
        }
        x.slice(1, 0, tiling.height, 1).slice(2, 0, tiling.width, 1)
    }

    /// What is added to the logits: `[1, M, N, N]`, with a mask `[B * W, M, N, N]`.
    fn bias(&self, batch: i64, tiling: &Tiling) -> Tensor {
        let tokens = tiling.window * tiling.window;
        let bias = self.table.index_select(0, &tiling.index).reshape([1, tokens, tokens, self.heads]);
        let bias = bias.permute([0, 3, 1, 2]).contiguous(); // [1, M, N, N]
        match &tiling.mask {
            Some(mask) if self.shifted => {
                let windows = mask.size()[0];
                (bias + mask) // [W, M, N, N]
                    .unsqueeze(0)
                    .expand([batch, windows, self.heads, tokens, tokens], true)
                    .reshape([batch * windows, self.heads, tokens, tokens])
            }
            _ => bias,
        }
    }

    // [B * W, N, C] -> [B * W, N, C]
    fn attend(&self, windows: Tensor, bias: &Tensor) -> Tensor {
        let (batch, tokens, channels) = windows.size3().expect("windows [B * W, N, C] by construction");
        let qkv = windows
            .apply(&self.qkv)
            .reshape([batch, tokens, 3, self.heads, channels / self.heads])
            .permute([2, 0, 3, 1, 4])
            .unbind(0); // 3 x [B * W, M, N, D]
        drop(windows);
        let (scale, grouped) = (None, false); // D^-0.5; as many keys as queries
        let out = Tensor::scaled_dot_product_attention(
            &qkv[0],
            &qkv[1],
            &qkv[2],
            Some(bias),
            0.0,
            false,
            scale,
            grouped,
        ); // [B * W, M, N, D]
        drop(qkv);
        out.transpose(1, 2).reshape([batch, tokens, channels]).apply(&self.proj)
    }
}

/// Pre-norm transformer block.
#[derive(Debug)]
struct SwinBlock {
    norm1: nn::LayerNorm,
    attn: WindowAttention,
    norm2: nn::LayerNorm,
    mlp: Mlp,
    drop_path: f64,
}

impl SwinBlock {
    /// Block `index` of a stage; every second one shifts its windows.
    fn new(
        p: &nn::Path<'_>,
        arch: &SwinArch,
        stage: usize,
        index: usize,
        windows: &Arc<Windows>,
        drop_path: f64,
    ) -> Self {
        let (channels, heads, shifted) = (arch.embed_dim << stage, arch.heads[stage], index % 2 == 1);
        Self {
            norm1: layer_norm(&(p / "norm1"), channels),
            attn: WindowAttention::new(&(p / "attn"), channels, heads, Arc::clone(windows), shifted),
            norm2: layer_norm(&(p / "norm2"), channels),
            mlp: Mlp::new(&(p / "mlp"), channels, hidden_channels(channels, arch.mlp_ratio)),
            drop_path,
        }
    }
}

impl ModuleT for SwinBlock {
    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let y = self.attn.forward(x.apply(&self.norm1));
        let x = x + drop_path(y, self.drop_path, train);
        let y = self.mlp.forward(&x.apply(&self.norm2));
        &x + drop_path(y, self.drop_path, train)
    }
}

impl SwinConfig {
    /// Builds the network under `p`.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`SwinConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Staged, ModelError> {
        let arch = self.arch()?;
        let rates = drop_path_rates(self.drop_path_rate, &arch.depths)?;
        let stem = PatchEmbed::new(&(p / "patch_embed"), arch.embed_dim);
        let stage = |l: usize| {
            let (layer, channels) = (p / "layers" / l, arch.embed_dim << l);
            let windows = Arc::new(Windows::new(arch.window, purpose == Purpose::Dense));
            let block = |(j, &rate)| SwinBlock::new(&(&layer / "blocks" / j), &arch, l, j, &windows, rate);
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
    window: i64,
}

impl SwinVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 6] =
        [Self::Tiny, Self::Small, Self::Base, Self::Base384, Self::Large, Self::Large384];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Base384 => "base_384",
            Self::Large => "large",
            Self::Large384 => "large_384",
        }
    }

    #[rustfmt::skip] // a table reads best as one
    const fn row(self) -> Row {
        match self {
            Self::Tiny     => Row { embed_dim: 96,  depths: [2, 2, 6, 2],  heads: [3, 6, 12, 24], window: 7 },
            Self::Small    => Row { embed_dim: 96,  depths: [2, 2, 18, 2], heads: [3, 6, 12, 24], window: 7 },
            Self::Base     => Row { embed_dim: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32], window: 7 },
            Self::Base384  => Row { embed_dim: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32], window: 12 },
            Self::Large    => Row { embed_dim: 192, depths: [2, 2, 18, 2], heads: [6, 12, 24, 48], window: 7 },
            Self::Large384 => Row { embed_dim: 192, depths: [2, 2, 18, 2], heads: [6, 12, 24, 48], window: 12 },
        }
    }
}
