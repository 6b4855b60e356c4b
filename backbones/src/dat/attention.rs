//! Deformable attention: every pixel attends to few keys, which the map itself says where to sample. `M` heads of `D`
//! channels form `G` groups, each with keys of its own; `N = Hk * Wk` keys a group.

use tch::Tensor;
use tch::nn;

use super::config::DatArch;
use super::position_bias::RelativeBias;
use super::positions::{key_positions, position_kind, query_positions};
use crate::layers::{conv, layer_norm};

/// A 1x1 convolution, applied as the linear map that it is.
#[derive(Debug)]
pub(super) struct Pointwise(nn::Conv2D);

impl Pointwise {
    pub(super) fn new(p: &nn::Path<'_>, inputs: i64, outputs: i64, bias: bool) -> Self {
        Self(conv(p, inputs, outputs, 1, nn::ConvConfig { bias, ..Default::default() }))
    }

    // [.., I] -> [.., O]
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.0.ws.flatten(1, -1), self.0.bs.as_ref())
    }
}

/// The network that says how far each key moves; all groups share it.
#[derive(Debug)]
struct OffsetNet {
    depthwise: nn::Conv2D,
    norm: nn::LayerNorm,
    out: Pointwise,
    groups: i64,
    stride: i64,
    padding: i64,
}

impl OffsetNet {
    fn new(p: &nn::Path<'_>, channels: i64, groups: i64, kernel: i64, stride: i64) -> Self {
        let of_group = channels / groups;
        let padding = kernel / 2;
        let config = nn::ConvConfig { stride, padding, groups: of_group, ..Default::default() };
        Self {
            depthwise: conv(&(p / 0), of_group, of_group, kernel, config),
            norm: layer_norm(&(p / 1 / "norm"), of_group),
            out: Pointwise::new(&(p / 3), of_group, 2, false),
            groups,
            stride,
            padding,
        }
    }

    // queries [B, H, W, C] -> offsets [B * G, Hk, Wk, 2] as (y, x)
    fn forward(&self, q: &Tensor) -> Tensor {
        let (_, _, _, channels) = q.size4().expect("a map [B, H, W, C] by construction");
        // The shared kernels, once a group, make one convolution of all channels: no group's map is copied.
        let weight = self.depthwise.ws.repeat([self.groups, 1, 1, 1]);
        let bias = self.depthwise.bs.as_ref().map(|bias| bias.repeat([self.groups]));
        let pair = |value: i64| [value, value];
        let (stride, padding) = (pair(self.stride), pair(self.padding));
        let x = q.permute([0, 3, 1, 2]).conv2d(&weight, bias, stride, padding, [1, 1], channels); // [B, C, Hk, Wk]
        let (batch, _, rows, columns) = x.size4().expect("a convolved map");
        let x = x.permute([0, 2, 3, 1]).reshape([batch, rows, columns, self.groups, channels / self.groups]);
        let offsets = self.out.forward(&x.apply(&self.norm).gelu("none")); // [B, Hk, Wk, G, 2]
        offsets.permute([0, 3, 1, 2, 4]).reshape([batch * self.groups, rows, columns, 2])
    }
}

/// Multi-head attention of all pixels to sampled keys.
#[derive(Debug)]
pub(super) struct DeformableAttention {
    offsets: OffsetNet,
    proj_q: Pointwise,
    proj_k: Pointwise,
    proj_v: Pointwise,
    proj_out: Pointwise,
    bias: Option<RelativeBias>,
    heads: i64,
    groups: i64,
    range_factor: f64,
}

impl DeformableAttention {
    pub(super) fn new(p: &nn::Path<'_>, arch: &DatArch, stage: usize) -> Self {
        let (channels, groups) = (arch.embed_dim << stage, arch.groups[stage]);
        let (kernel, stride) = (arch.offset_kernels[stage], arch.strides[stage]);
        let proj = |name: &str| Pointwise::new(&(p / name), channels, channels, true);
        Self {
            offsets: OffsetNet::new(&(p / "conv_offset"), channels, groups, kernel, stride),
            proj_q: proj("proj_q"),
            proj_k: proj("proj_k"),
            proj_v: proj("proj_v"),
            proj_out: proj("proj_out"),
            bias: RelativeBias::new(p, arch, stage),
            heads: arch.heads[stage],
            groups,
            range_factor: arch.offset_range_factor[stage],
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let (batch, height, width, channels) = x.size4().expect("a map [B, H, W, C] by construction");
        let q = self.proj_q.forward(x); // [B, H, W, C]
        let kind = position_kind(x);
        let positions = key_positions(&self.offsets.forward(&q), self.range_factor, kind); // [B * G, Hk, Wk, 2]
        let sampled = self.sample(x, &positions); // [B, N, C]
        let heads = |x: Tensor| x.reshape([batch, -1, self.heads, channels / self.heads]).transpose(1, 2);
        let [q, k, v] = [q, self.proj_k.forward(&sampled), self.proj_v.forward(&sampled)].map(heads); // [B, M, ., D]
        let out = match &self.bias {
            None => attend(&q, &k, &v, None),
            Some(bias) => {
                let queries = query_positions(height, width, (kind, x.device())); // [H * W, 2]
                let keys = positions.flatten(1, 2); // [B * G, N, 2]
                let at_once = bias.queries_at_once(batch, keys.size()[1]);
                attend_in_parts([&q, &k, &v], &queries, at_once, |queries| bias.forward(queries, &keys))
            }
        }; // [B, M, H * W, D]
        self.proj_out.forward(&out.transpose(1, 2).reshape([batch, height, width, channels]))
    }

    // map [B, H, W, C] read at [B * G, Hk, Wk, 2] -> [B, N, C]
    fn sample(&self, x: &Tensor, positions: &Tensor) -> Tensor {
        let (batch, height, width, channels) = x.size4().expect("a map [B, H, W, C] by construction");
        let maps =
            x.permute([0, 3, 1, 2]).reshape([batch * self.groups, channels / self.groups, height, width]);
        let (bilinear, zeros, align_corners) = (0, 0, true);
        maps.to_kind(positions.kind())
            .grid_sampler(positions, bilinear, zeros, align_corners) // [B * G, C / G, Hk, Wk]
            .reshape([batch, channels, -1])
            .transpose(1, 2)
            .to_kind(x.kind())
    }
}

// q [B, M, L, D], k and v [B, M, N, D], bias [B, M, L, N] -> [B, M, L, D]; scores are scaled by D^-0.5
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<Tensor>) -> Tensor {
    let bias = bias.map(|bias| bias.to_kind(q.kind()));
    Tensor::scaled_dot_product_attention(q, k, v, bias, 0.0, false, None::<f64>, false)
}

/// Attention of `at_once` queries after the other, so that the bias of all pairs never exists at once. `bias` makes that of
/// queries at positions `[L, 2]`: `[B, M, L, N]`.
fn attend_in_parts(
    [q, k, v]: [&Tensor; 3],
    positions: &Tensor,
    at_once: i64,
    bias: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    let parts = q.split(at_once, 2).into_iter().zip(positions.split(at_once, 0));
    let outs: Vec<_> = parts.map(|(q, positions)| attend(&q, k, v, Some(bias(&positions)))).collect();
    Tensor::cat(&outs, 2) // [B, M, H * W, D]
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Values and gradients do not depend on how many queries are looked at together.
    #[test]
    fn parts_make_the_whole() {
        let numbers = |shape: &[i64], frequency: f64| {
            let flat = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
            (flat * frequency).sin().reshape(shape).set_requires_grad(true)
        };
        let run = |at_once: i64| {
            let [q, k, v] =
                [numbers(&[2, 2, 7, 4], 1.1), numbers(&[2, 2, 3, 4], 1.7), numbers(&[2, 2, 3, 4], 2.3)];
            let (positions, keys) = (numbers(&[7, 2], 0.9), numbers(&[4, 3, 2], 0.7));
            let bias = |queries: &Tensor| {
                let apart = queries.unsqueeze(1) - keys.unsqueeze(1); // [B * M, L, N, 2]
                apart
                    .square()
                    .sum_dim_intlist([-1_i64].as_slice(), false, None::<Kind>)
                    .reshape([2, 2, -1, 3])
            };
            let out = attend_in_parts([&q, &k, &v], &positions, at_once, bias);
            (&out * out.cos()).sum(Kind::Double).backward();
            [&q, &k, &v, &positions, &keys]
                .map(Tensor::grad)
                .into_iter()
                .chain([out.detach()])
                .collect::<Vec<_>>()
        };
        let whole = run(7);
        for at_once in [1, 3, 6, 100] {
            for (index, (part, whole)) in run(at_once).iter().zip(&whole).enumerate() {
                let error = (part - whole).abs().max().double_value(&[]);
                assert!(error < 1e-13, "{at_once} at once, tensor {index}: {error:e}");
            }
        }
    }
}
