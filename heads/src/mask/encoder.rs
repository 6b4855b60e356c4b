//! The pixel decoder's encoder: tokens of three levels that refine each other by multi-scale deformable attention.
//!
//! Paper: Zhu et al., Deformable DETR, ICLR 2021, <https://arxiv.org/abs/2010.04159>, section 4. Reference code: facebookresearch/
//! Mask2Former 9b0651c `pixel_decoder/msdeformattn.py` and `ops/modules/ms_deform_attn.py` (MIT and Apache-2.0), whose parameter
//! names these are. Differs from the reference: no dropout (0 in all published models), no valid ratios (they scale padding inside a
//! batch and are 1 wherever the reference runs it).
//! Shapes: maps `[B, C, H_l, W_l]`, coarsest first -> the same shapes.
//! Checked by: `tests/parity_mask.rs`.

use std::f64::consts::TAU;

use smalti_ops::ms_deform_attn;
use tch::nn;
use tch::{Device, Kind, Tensor};

use super::config::{LEVELS, MaskHeadConfig};
use super::layers::{FeedForward, layer_norm, linear, xavier};
use super::position::{reference_points, sine_embedding};
use crate::map_size;

/// The encoder.
#[derive(Debug)]
pub(super) struct DeformableEncoder {
    level_embed: Tensor, // [L, C]
    layers: Vec<EncoderLayer>,
    device: Device,
}

impl DeformableEncoder {
    /// Builds the encoder under `p`; `config` has passed its checks.
    pub(super) fn new(p: &nn::Path<'_>, config: &MaskHeadConfig) -> Self {
        let level_embed = p.randn("level_embed", &[LEVELS as i64, config.channels], 0.0, 1.0);
        let layers = p / "encoder" / "layers";
        Self {
            level_embed,
            layers: (0..config.encoder_layers).map(|i| EncoderLayer::new(&(&layers / i), config)).collect(),
            device: p.device(),
        }
    }

    /// Refines maps `[B, C, H_l, W_l]`, coarsest first, as many as the config has levels; the result has their shapes.
    pub(super) fn forward(&self, maps: &[Tensor]) -> Vec<Tensor> {
        let sizes: Vec<(i64, i64)> = maps.iter().map(map_size).collect();
        let tokens: Vec<Tensor> = maps.iter().map(|map| map.flatten(2, 3).transpose(1, 2)).collect();
        let tokens = Tensor::cat(&tokens, 1); // [B, S, C]
        let (batch, count, channels) = tokens.size3().expect("tokens [B, S, C] by construction");
        let places = self.places(&sizes, channels, tokens.kind());
        // Every token looks around its own place on all levels.
        let reference = reference_points(&sizes, tokens.kind(), self.device)
            .reshape([1, count, 1, 2])
            .expand([batch, count, LEVELS as i64, 2], false)
            .contiguous();

        let memory = self
            .layers
            .iter()
            .fold(tokens, |tokens, layer| layer.forward(&tokens, &places, &sizes, &reference));
        let mut start = 0;
        sizes
            .iter()
            .map(|&(height, width)| {
                let level = memory.narrow(1, start, height * width);
                start += height * width;
                level.transpose(1, 2).reshape([batch, channels, height, width])
            })
            .collect()
    }

    /// What tells the tokens apart, `[1, S, C]`: place in the map and level.
    fn places(&self, sizes: &[(i64, i64)], channels: i64, kind: Kind) -> Tensor {
        let of_level = |(level, &size): (i64, &(i64, i64))| {
            sine_embedding(size, channels, kind, self.device) + self.level_embed.get(level)
        };
        Tensor::cat(&(0..).zip(sizes).map(of_level).collect::<Vec<_>>(), 0).unsqueeze(0)
    }
}

/// Deformable self-attention and a feed-forward network, each added to its input and normed.
#[derive(Debug)]
struct EncoderLayer {
    self_attn: DeformableAttention,
    norm1: nn::LayerNorm,
    feed_forward: FeedForward,
}

impl EncoderLayer {
    fn new(p: &nn::Path<'_>, config: &MaskHeadConfig) -> Self {
        Self {
            self_attn: DeformableAttention::new(&(p / "self_attn"), config),
            norm1: layer_norm(&(p / "norm1"), config.channels),
            feed_forward: FeedForward::new(p, config.channels, config.encoder_hidden, "norm2"),
        }
    }

    // [B, S, C] -> [B, S, C]
    fn forward(&self, x: &Tensor, places: &Tensor, sizes: &[(i64, i64)], reference: &Tensor) -> Tensor {
        let attended = self.self_attn.forward(&(x + places), x, sizes, reference);
        self.feed_forward.forward(&(x + attended).apply(&self.norm1))
    }
}

/// Multi-scale deformable attention with its four linear layers.
#[derive(Debug)]
struct DeformableAttention {
    sampling_offsets: nn::Linear,
    attention_weights: nn::Linear,
    value_proj: nn::Linear,
    output_proj: nn::Linear,
    heads: i64,
    points: i64,
}

impl DeformableAttention {
    fn new(p: &nn::Path<'_>, config: &MaskHeadConfig) -> Self {
        let &MaskHeadConfig { channels, heads, points, .. } = config;
        let samples = heads * LEVELS as i64 * points;
        let (zero, glorot) = (nn::Init::Const(0.0), xavier(channels, channels));
        let offsets = p / "sampling_offsets";
        let sampling_offsets = nn::Linear {
            ws: offsets.zeros("weight", &[2 * samples, channels]),
            bs: Some(offsets.var_copy("bias", &first_offsets(heads, points, p.device()))),
        };
        Self {
            sampling_offsets,
            attention_weights: linear(&(p / "attention_weights"), channels, samples, zero, zero),
            value_proj: linear(&(p / "value_proj"), channels, channels, glorot, zero),
            output_proj: linear(&(p / "output_proj"), channels, channels, glorot, zero),
            heads,
            points,
        }
    }

    // queries and values [B, S, C] -> [B, S, C]
    fn forward(&self, queries: &Tensor, values: &Tensor, sizes: &[(i64, i64)], reference: &Tensor) -> Tensor {
        let (batch, count, channels) = values.size3().expect("tokens [B, S, C] by construction");
        let (heads, points, levels) = (self.heads, self.points, LEVELS as i64);
        let value = values.apply(&self.value_proj).reshape([batch, count, heads, channels / heads]);
        let offsets = queries.apply(&self.sampling_offsets).reshape([batch, count, heads, levels, points, 2]);
        let logits = queries.apply(&self.attention_weights).reshape([batch, count, heads, levels * points]);
        ms_deform_attn(&value, sizes, reference, &offsets, &logits) // [B, S, M, D]
            .expect("shapes are fixed at construction and the tokens are the levels'")
            .reshape([batch, count, channels])
            .apply(&self.output_proj)
    }
}

/// Where untrained heads look, `[M * L * P * 2]`, x and y in pixels: each in a direction of its own, on the square around the
/// reference point, point `p` at `p` times its side.
fn first_offsets(heads: i64, points: i64, device: Device) -> Tensor {
    let options = (Kind::Float, device);
    let angles = Tensor::arange(heads, options) * (TAU / heads as f64);
    let directions = Tensor::stack(&[angles.cos(), angles.sin()], 1); // [M, 2]
    let directions = &directions / directions.linalg_norm(f64::INFINITY, [1].as_slice(), true, None);
    let distances = Tensor::arange(points, options) + 1.0;
    let offsets = directions.reshape([heads, 1, 1, 2]) * distances.reshape([1, 1, points, 1]);
    offsets.expand([heads, LEVELS as i64, points, 2], false).reshape([-1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4 heads look right, down, left and up; cos and sin of pi leave some 1e-7.
    #[test]
    fn untrained_heads_look_in_all_directions() {
        let offsets = first_offsets(4, 2, Device::Cpu);
        assert_eq!(offsets.size(), [4 * 3 * 2 * 2]);
        let offsets = offsets.reshape([4, 3, 2, 2]);
        for (head, [x, y]) in [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]].into_iter().enumerate() {
            for (level, point) in [(0, 0), (0, 1), (2, 1)] {
                let at = |axis| offsets.double_value(&[head as i64, level, point, axis]);
                let distance = (point + 1) as f64;
                assert!((at(0) - x * distance).abs() < 1e-6, "head {head}, point {point}: {}", at(0));
                assert!((at(1) - y * distance).abs() < 1e-6, "head {head}, point {point}: {}", at(1));
            }
        }
    }
}
