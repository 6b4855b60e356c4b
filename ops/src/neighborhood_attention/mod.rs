//! Neighborhood attention, 1D and 2D, with dilation and relative position bias.
//!
//! Paper: Neighborhood Attention Transformer (CVPR 2023) and Dilated Neighborhood Attention Transformer (2022), Hassani et
//! al. Every query sees exactly `window` keys per axis: at borders the window shifts inwards, it never shrinks and
//! nothing is padded. With dilation `d` positions of equal index modulo `d` form a group, per axis; windows live inside
//! their group. Differs from NATTEN >= 0.20: the relative position bias and its gradient are here.
//!
//! Checked by: `tests/neighborhood_attention.rs` against [`mod@reference`], hand-computed cases, and gradcheck in f64.

mod one_d;
pub mod reference;

use tch::Tensor;

use crate::OpError;
use crate::native;

pub use one_d::{Window1d, neighborhood_attention_1d};

const OP: &str = "neighborhood_attention_2d";

/// Window size and dilation, (y, x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window2d {
    /// Keys per axis, odd.
    pub size: (i64, i64),
    /// Distance between neighbouring keys per axis.
    pub dilation: (i64, i64),
}

impl Window2d {
    /// The same size and dilation on both axes.
    pub const fn square(size: i64, dilation: i64) -> Self {
        Self { size: (size, size), dilation: (dilation, dilation) }
    }

    /// Smallest map (height, width) that the op takes: size times dilation.
    pub const fn min_map(&self) -> (i64, i64) {
        (self.size.0 * self.dilation.0, self.size.1 * self.dilation.1)
    }

    /// Shape of the bias table of one head: `(2 Ky - 1, 2 Kx - 1)`.
    pub const fn bias_shape(&self) -> (i64, i64) {
        (2 * self.size.0 - 1, 2 * self.size.1 - 1)
    }
}

/// Attention of every query to the keys in its window: `softmax(scale * q k^T + bias) v`.
///
/// # Shapes
/// - `q`, `k`, `v`: `[B, H, W, M, D]`, any strides (views of a packed qkv projection are read in place as long as
///   channels are contiguous), one dtype of f64, f32, bf16, f16. Half types are computed in f32.
/// - `bias`: `[M, 2 Ky - 1, 2 Kx - 1]`, added after scaling; entry `(i, j)` belongs to a key `i - (Ky - 1)` group ranks below
///   and `j - (Kx - 1)` right of its query.
/// - result: `[B, H, W, M, D]`, contiguous, dtype of `q` (the autocast dtype inside autocast).
///
/// Windows are odd, 1 to 13 per axis, heads have 1 to 1024 channels. Gradients flow to `q`, `k`, `v` and `bias`; they are
/// deterministic for any number of threads.
///
/// # Errors
/// [`OpError::Argument`] if shapes, dtypes or devices disagree, the window is even or too large, or the map is smaller than window
/// times dilation (pad it first, see the NAT block).
pub fn neighborhood_attention_2d(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    window: Window2d,
    scale: f64,
) -> Result<Tensor, OpError> {
    let pair = |(y, x): (i64, i64)| [y, x];
    let (size, dilation) = (pair(window.size), pair(window.dilation));
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers come from live tensors that outlive the call, `bias` may be null by the function's contract, both
    // arrays hold two numbers, and on success `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        let message = native::smalti_na2d(
            &raw mut out,
            q.as_ptr(),
            k.as_ptr(),
            v.as_ptr(),
            native::pointer(bias),
            size.as_ptr(),
            dilation.as_ptr(),
            scale,
        );
        native::check(OP, message)?;
        Ok(Tensor::from_ptr(out))
    }
}
