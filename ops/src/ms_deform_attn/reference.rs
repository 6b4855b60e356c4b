//! Multi-scale deformable attention in plain tch, by `grid_sample`: slow, obvious, differentiable. What the kernels are
//! tested against.

use tch::{Kind, Tensor};

/// The definition. Same arguments as [`ms_deform_attn`](super::ms_deform_attn()), which checks them; memory is several
/// times `Q * M * L * P * D`.
pub fn ms_deform_attn(
    value: &Tensor,
    levels: &[(i64, i64)],
    reference: &Tensor,
    offsets: &Tensor,
    logits: &Tensor,
) -> Tensor {
    let size = value.size();
    let (b, m, d) = (size[0], size[2], size[3]);
    let size = offsets.size();
    let (q, l, p) = (size[1], size[3], size[4]);
    let extents: Vec<i64> = levels.iter().flat_map(|&(height, width)| [width, height]).collect();
    let extents = Tensor::from_slice(&extents).to_device(value.device()).to_kind(offsets.kind());
    // [B, Q, 1, L, 1, 2] + [B, Q, M, L, P, 2]: fractions of the level
    let places = reference.reshape([b, q, 1, l, 1, 2]) + offsets / extents.reshape([1, 1, 1, l, 1, 2]);
    let grid = places * 2.0 - 1.0; // what grid_sample wants: -1 to 1 from edge to edge
    let kind = if value.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let weights = logits.softmax(-1, kind).to_kind(value.kind()).reshape([b, q, m, l, p]);

    let mut out = Tensor::zeros([b * m, d, q], (value.kind(), value.device()));
    let mut start = 0;
    for (level, &(height, width)) in (0..).zip(levels) {
        // [B, H * W, M, D] -> [B * M, D, H, W]
        let map = value.narrow(1, start, height * width).permute([0, 2, 3, 1]);
        let map = map.reshape([b * m, d, height, width]);
        // [B, Q, M, P, 2] -> [B * M, Q, P, 2]
        let points = grid.select(3, level).transpose(1, 2).reshape([b * m, q, p, 2]);
        let sampled = map.grid_sampler(&points, 0, 0, false); // [B * M, D, Q, P]
        // [B, Q, M, P] -> [B * M, 1, Q, P]
        let weight = weights.select(3, level).transpose(1, 2).reshape([b * m, 1, q, p]);
        out += (sampled * weight).sum_dim_intlist(-1, false, value.kind());
        start += height * width;
    }
    out.reshape([b, m, d, q]).permute([0, 3, 1, 2]) // [B, Q, M, D]
}
