//! Multi-scale deformable attention.
//!
//! Paper: Deformable DETR (ICLR 2021), Zhu et al., section 4.1. Every query looks at a few points of every feature level,
//! at learned offsets from its reference point, and sums the bilinear samples by softmax weights over all levels and
//! points. What lies outside a level is zero. Softmax, offsets and normalisation are part of the op: its inputs are the raw
//! outputs of the linear layers, and no sampling locations or weights are kept for the backward pass.
//!
//! Checked by: `tests/ms_deform_attn.rs` against [`mod@reference`], hand-computed cases, and gradcheck in f64.

pub mod reference;

use tch::Tensor;

use crate::OpError;
use crate::native;

const OP: &str = "ms_deform_attn";

/// Deformable attention of every query: `sum over levels and points of softmax(logits) * bilinear(value, place)`.
///
/// # Shapes
/// - `value`: `[B, S, M, D]`, the levels one after the other, each row by row; f64, f32, bf16 or f16. Strides are free as
///   long as channels are contiguous. Half types are computed in f32.
/// - `levels`: height and width of each level; `S` is the sum of their products.
/// - `reference`: `[B, Q, L, 2]`, x and y as fractions of the level: 0 is the left or upper edge, 1 the other.
/// - `offsets`: `[B, Q, M, L, P, 2]`, x and y in pixels of the level.
/// - `logits`: `[B, Q, M, L * P]`, the softmax is over the last axis.
/// - result: `[B, Q, M, D]`, contiguous, dtype of `value` (the autocast dtype inside autocast).
///
/// `reference`, `offsets` and `logits` may be of another floating dtype than `value`; keep them f32. A position that is NaN or
/// infinite reads zero. 1 to 256 points over all levels, 1 to 1024 channels per head. Gradients flow to `value`, `reference`, `offsets` and `logits`; they are deterministic for any number of
/// threads.
///
/// # Errors
/// [`OpError::Argument`] if shapes, dtypes or devices disagree.
pub fn ms_deform_attn(
    value: &Tensor,
    levels: &[(i64, i64)],
    reference: &Tensor,
    offsets: &Tensor,
    logits: &Tensor,
) -> Result<Tensor, OpError> {
    let sizes: Vec<i64> = levels.iter().flat_map(|&(height, width)| [height, width]).collect();
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers come from live tensors that outlive the call, `sizes` holds two numbers a level, and on success
    // `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        let message = native::smalti_ms_deform_attn(
            &raw mut out,
            value.as_ptr(),
            reference.as_ptr(),
            offsets.as_ptr(),
            logits.as_ptr(),
            sizes.as_ptr(),
            levels.len() as i64,
        );
        native::check(OP, message)?;
        Ok(Tensor::from_ptr(out))
    }
}
