//! 1D neighborhood attention: the 2D op on a map of one row.

use tch::Tensor;

use super::{Window2d, neighborhood_attention_2d};
use crate::OpError;

/// Window size and dilation of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window1d {
    /// Keys, odd.
    pub size: i64,
    /// Distance between neighbouring keys.
    pub dilation: i64,
}

/// Attention of every query to the keys in its window along a sequence; see [`neighborhood_attention_2d`].
///
/// # Shapes
/// - `q`, `k`, `v`: `[B, N, M, D]`, any strides.
/// - `bias`: `[M, 2 K - 1]`.
/// - result: `[B, N, M, D]`, contiguous.
///
/// # Errors
/// As [`neighborhood_attention_2d`], with the sequence as a map of one row.
pub fn neighborhood_attention_1d(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    window: Window1d,
    scale: f64,
) -> Result<Tensor, OpError> {
    let refuse = |what: &str, expected: &str, got: &Tensor| OpError::Argument {
        op: "neighborhood_attention_1d",
        what: what.to_string(),
        expected: expected.to_string(),
        got: format!("{:?}", got.size()),
    };
    for (name, tensor) in [("q", q), ("k", k), ("v", v)] {
        if tensor.dim() != 4 {
            return Err(refuse(name, "4 dimensions [B, N, M, D]", tensor));
        }
    }
    if let Some(bias) = bias.filter(|bias| bias.dim() != 2) {
        return Err(refuse("bias", "2 dimensions [M, 2 K - 1]", bias));
    }
    let row = |t: &Tensor| t.unsqueeze(1); // [B, 1, N, M, D]
    let bias = bias.map(row); // [M, 1, 2 K - 1]
    let window = Window2d { size: (1, window.size), dilation: (1, window.dilation) };
    let out = neighborhood_attention_2d(&row(q), &row(k), &row(v), bias.as_ref(), window, scale)?;
    Ok(out.squeeze_dim(1))
}
