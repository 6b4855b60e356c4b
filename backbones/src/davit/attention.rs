//! The two attentions of DaViT. Both read one packed qkv projection and differ in what attends to what: pixels of a window
//! to each other, or channels of a head to each other over all pixels.

use tch::Tensor;
use tch::nn;

use super::config::ChannelAttentionVersion;
use crate::layers::{linear, linear_no_bias};
use crate::windows::{missing, pad_to_multiple, partition, reverse};

/// Query, key and value projection in one, and the projection of the result.
#[derive(Debug)]
struct Projections {
    qkv: nn::Linear,
    proj: nn::Linear,
    heads: i64,
}

impl Projections {
    fn new(p: &nn::Path<'_>, channels: i64, heads: i64, qkv_bias: bool) -> Self {
        let qkv = if qkv_bias { linear } else { linear_no_bias };
        Self {
            qkv: qkv(&(p / "qkv"), channels, 3 * channels),
            proj: linear(&(p / "proj"), channels, channels),
            heads,
        }
    }

    // [B, N, C] -> 3 x [B, M, N, D], views of one tensor
    fn split(&self, x: &Tensor) -> [Tensor; 3] {
        let (batch, tokens, channels) = x.size3().expect("tokens [B, N, C] by construction");
        let qkv = x
            .apply(&self.qkv)
            .reshape([batch, tokens, 3, self.heads, channels / self.heads])
            .permute([2, 0, 3, 1, 4]); // [3, B, M, N, D]
        qkv.unbind(0).try_into().expect("3 parts by construction")
    }

    // [B, M, N, D] -> [B, N, C]
    fn join(&self, out: &Tensor) -> Tensor {
        let (batch, heads, tokens, head_dim) = out.size4().expect("heads [B, M, N, D] by construction");
        out.transpose(1, 2).reshape([batch, tokens, heads * head_dim]).apply(&self.proj)
    }
}

/// Multi-head self-attention inside windows that tile the map; they are not shifted and have no position bias.
#[derive(Debug)]
pub(super) struct WindowAttention {
    projections: Projections,
    window: i64,
}

impl WindowAttention {
    pub(super) fn new(p: &nn::Path<'_>, channels: i64, heads: i64, qkv_bias: bool, window: i64) -> Self {
        Self { projections: Projections::new(p, channels, heads, qkv_bias), window }
    }

    // [B, H, W, C] -> [B, H, W, C]; `x` is normed, so what pads it are zeros after the norm (see the family's traps)
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let (_, height, width, _) = x.size4().expect("a map [B, H, W, C] by construction");
        let window = self.window;
        let windows = partition(&pad_to_multiple(x, window), window); // [B * W, N, C], W windows of N pixels
        let [q, k, v] = self.projections.split(&windows); // 3 x [B * W, M, N, D]
        let out =
            Tensor::scaled_dot_product_attention(&q, &k, &v, None::<Tensor>, 0.0, false, None::<f64>, false);
        let (below, right) = (missing(height, window), missing(width, window));
        reverse(&self.projections.join(&out), window, height + below, width + right)
            .slice(1, 0, height, 1)
            .slice(2, 0, width, 1) // [B, H, W, C]
    }
}

/// Self-attention between the channels of a head; every pixel of the map is a feature of its channels.
#[derive(Debug)]
pub(super) struct ChannelAttention {
    projections: Projections,
    version: ChannelAttentionVersion,
}

impl ChannelAttention {
    pub(super) fn new(
        p: &nn::Path<'_>,
        channels: i64,
        heads: i64,
        qkv_bias: bool,
        version: ChannelAttentionVersion,
    ) -> Self {
        Self { projections: Projections::new(p, channels, heads, qkv_bias), version }
    }

    // [B, H, W, C] -> [B, H, W, C]
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let [q, k, v] = self.projections.split(&x.flatten(1, 2)); // 3 x [B, M, N, D]
        let (_, _, tokens, head_dim) = q.size4().expect("heads [B, M, N, D] by construction");
        // The pair that makes the scores [B, M, D, D], and what they weigh.
        let (left, right, values, features) = match self.version {
            ChannelAttentionVersion::V1 => (k, v, q, head_dim),
            ChannelAttentionVersion::V2 => (q, k, v, tokens),
        };
        let scores = (left * (features as f64).powf(-0.5)).transpose(-2, -1).matmul(&right);
        let weights = scores.softmax(-1, None);
        let out = values.matmul(&weights.transpose(-2, -1)); // [B, M, N, D]
        self.projections.join(&out).view_as(x)
    }
}
