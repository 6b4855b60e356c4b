//! Neighborhood attention in plain tch: slow, obvious, differentiable. What the kernels are tested against.

use tch::{Kind, Tensor};

use super::Window2d;

/// Per position of one axis: the map indices of its keys and their rows in the bias table, both `[size, window]`.
fn axis_tables(size: i64, window: i64, dilation: i64) -> (Tensor, Tensor) {
    let mut keys = Vec::new();
    let mut bias = Vec::new();
    for position in 0..size {
        let group: Vec<i64> = (position % dilation..size).step_by(dilation as usize).collect();
        let rank = position / dilation;
        let start = (rank - window / 2).clamp(0, group.len() as i64 - window);
        for key in start..start + window {
            keys.push(group[key as usize]);
            bias.push(key - rank + window - 1);
        }
    }
    let shape = [size, window];
    (Tensor::from_slice(&keys).reshape(shape), Tensor::from_slice(&bias).reshape(shape))
}

/// The definition, by gathering every key of every window. Same arguments as
/// [`neighborhood_attention_2d`](super::neighborhood_attention_2d), which checks them; memory is `Ky * Kx` times the input.
pub fn neighborhood_attention_2d(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    window: Window2d,
    scale: f64,
) -> Tensor {
    let size = q.size();
    let (b, h, w, m, d) = (size[0], size[1], size[2], size[3], size[4]);
    let (rows, row_bias) = axis_tables(h, window.size.0, window.dilation.0);
    let (columns, column_bias) = axis_tables(w, window.size.1, window.dilation.1);
    let keys = window.size.0 * window.size.1;

    // Flat index of key (i, j) of query (y, x): [H, W, Ky, Kx] -> [H * W * Ky * Kx]
    let pair = |rows: &Tensor, columns: &Tensor, width: i64| {
        (rows.reshape([h, 1, -1, 1]) * width + columns.reshape([1, w, 1, -1])).reshape([-1])
    };
    let flat = pair(&rows, &columns, w).to_device(q.device());
    let gather = |map: &Tensor| {
        // [B, H, W, M, D] -> [B, H * W, K, M, D] -> [B, H * W, M, K, D]
        map.reshape([b, h * w, m, d]).index_select(1, &flat).reshape([b, h * w, keys, m, d]).transpose(2, 3)
    };
    let query = q.reshape([b, h * w, m, 1, d]) * scale;
    let mut scores = query.matmul(&gather(k).transpose(-2, -1)); // [B, H * W, M, 1, K]
    if let Some(bias) = bias {
        let table = pair(&row_bias, &column_bias, window.bias_shape().1).to_device(q.device());
        let added = bias.reshape([m, -1]).index_select(1, &table); // [M, H * W * K]
        scores += added.reshape([m, h * w, keys]).transpose(0, 1).reshape([1, h * w, m, 1, keys]);
    }
    let kind = if q.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let weights = scores.softmax(-1, kind).to_kind(q.kind());
    weights.matmul(&gather(v)).reshape([b, h, w, m, d])
}
