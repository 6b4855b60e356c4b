//! The block that NAT, DiNAT and `DiNAT_s` are made of: neighborhood attention, which DAT++ has too, and an MLP. Maps are
//! channels-last.
//!
//! Trap: a map smaller than window * dilation is zero-padded right and bottom after the norm and before the qkv projection,
//! without a mask: padded tokens have k = bias_k, v = bias_v and take part in the softmax.

use smalti_ops::{Window2d, neighborhood_attention_2d};
use tch::Tensor;
use tch::nn::{self, Module, ModuleT};

use crate::layers::{INIT, Mlp, drop_path, layer_norm, linear};

/// Multi-head neighborhood attention with relative position bias.
#[derive(Debug)]
pub(crate) struct NeighborhoodAttention {
    qkv: nn::Linear,
    rpb: Tensor, // [M, 2K-1, 2K-1]
    proj: nn::Linear,
    heads: i64,
    window: Window2d,
}

impl NeighborhoodAttention {
    pub(crate) fn new(p: &nn::Path<'_>, channels: i64, heads: i64, window: Window2d) -> Self {
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
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
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

/// What fixes a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    pub channels: i64,
    pub heads: i64,
    /// Width of the MLP's hidden layer.
    pub hidden: i64,
    /// Initial value of the layer scale, if there is one.
    pub layer_scale: Option<f64>,
    pub window: Window2d,
    pub drop_path: f64,
}

impl BlockConfig {
    /// Scalars in a block.
    pub(crate) const fn parameters(&self) -> i64 {
        const fn linear(inputs: i64, outputs: i64) -> i64 {
            inputs * outputs + outputs
        }
        let (rows, columns) = self.window.bias_shape();
        let attention = linear(self.channels, 3 * self.channels)
            + linear(self.channels, self.channels)
            + self.heads * rows * columns;
        let mlp = linear(self.channels, self.hidden) + linear(self.hidden, self.channels);
        let scales = if self.layer_scale.is_some() { 2 * self.channels } else { 0 };
        2 * (2 * self.channels) + attention + mlp + scales
    }
}

/// Pre-norm transformer block.
#[derive(Debug)]
pub(crate) struct NeighborhoodBlock {
    norm1: nn::LayerNorm,
    attn: NeighborhoodAttention,
    norm2: nn::LayerNorm,
    mlp: Mlp,
    gammas: Option<[Tensor; 2]>, // layer scale, [C] each
    drop_path: f64,
}

impl NeighborhoodBlock {
    pub(crate) fn new(p: &nn::Path<'_>, config: &BlockConfig) -> Self {
        let channels = config.channels;
        Self {
            norm1: layer_norm(&(p / "norm1"), channels),
            attn: NeighborhoodAttention::new(&(p / "attn"), channels, config.heads, config.window),
            norm2: layer_norm(&(p / "norm2"), channels),
            mlp: Mlp::new(&(p / "mlp"), channels, config.hidden),
            gammas: config.layer_scale.map(|value| {
                ["gamma1", "gamma2"].map(|name| p.var(name, &[channels], nn::Init::Const(value)))
            }),
            drop_path: config.drop_path,
        }
    }
}

impl ModuleT for NeighborhoodBlock {
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
