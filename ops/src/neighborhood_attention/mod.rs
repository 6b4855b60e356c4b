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

use tch::{Kind, Tensor};

use crate::OpError;
use crate::native;

pub use one_d::{Window1d, neighborhood_attention_1d};

const OP: &str = "neighborhood_attention_2d";
/// Largest window per axis that the kernels' score buffer holds.
const MAX_WINDOW: i64 = 63;
/// Most channels per head that the kernels' query buffer holds.
const MAX_HEAD_DIM: i64 = 1024;

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
/// Gradients flow to `q`, `k`, `v` and `bias`; they are deterministic for any number of threads.
///
/// # Errors
/// [`OpError::Argument`] if shapes or dtypes disagree, the window is even or too large, or the map is smaller than window
/// times dilation (pad it first, see the NAT block).
pub fn neighborhood_attention_2d(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    window: Window2d,
    scale: f64,
) -> Result<Tensor, OpError> {
    check_arguments(q, k, v, bias, window)?;
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers come from live tensors that outlive the call, `bias` may be null by the function's contract, and
    // on success `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        let message = native::smalti_na2d(
            &raw mut out,
            q.as_ptr(),
            k.as_ptr(),
            v.as_ptr(),
            native::pointer(bias),
            window.size.0,
            window.size.1,
            window.dilation.0,
            window.dilation.1,
            scale,
        );
        native::check(OP, message)?;
        Ok(Tensor::from_ptr(out))
    }
}

fn argument(what: &'static str, expected: impl Into<String>, got: impl Into<String>) -> OpError {
    OpError::Argument { op: OP, what, expected: expected.into(), got: got.into() }
}

fn check_arguments(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    window: Window2d,
) -> Result<(), OpError> {
    let size = q.size();
    let [_, height, width, heads, head_dim] = size[..] else {
        return Err(argument("q", "5 dimensions [B, H, W, M, D]", format!("{size:?}")));
    };
    for (name, tensor) in [("k", k), ("v", v)] {
        if tensor.size() != size {
            return Err(argument(name, format!("the shape of q, {size:?}"), format!("{:?}", tensor.size())));
        }
        if tensor.kind() != q.kind() {
            return Err(argument(
                name,
                format!("the dtype of q, {:?}", q.kind()),
                format!("{:?}", tensor.kind()),
            ));
        }
        if tensor.device() != q.device() {
            return Err(argument(
                name,
                format!("the device of q, {:?}", q.device()),
                format!("{:?}", tensor.device()),
            ));
        }
    }
    if !matches!(q.kind(), Kind::Double | Kind::Float | Kind::BFloat16 | Kind::Half) {
        return Err(argument("q", "f64, f32, bf16 or f16", format!("{:?}", q.kind())));
    }
    if !(1..=MAX_HEAD_DIM).contains(&head_dim) {
        return Err(argument("q", format!("1 to {MAX_HEAD_DIM} channels per head"), head_dim.to_string()));
    }
    for (size, dilation) in [(window.size.0, window.dilation.0), (window.size.1, window.dilation.1)] {
        if size % 2 != 1 || !(1..=MAX_WINDOW).contains(&size) {
            return Err(argument("window", format!("odd sizes from 1 to {MAX_WINDOW}"), size.to_string()));
        }
        if dilation < 1 {
            return Err(argument("dilation", "1 or more", dilation.to_string()));
        }
    }
    let (min_height, min_width) = window.min_map();
    if height < min_height || width < min_width {
        let expected = format!("a map of at least window * dilation = {min_height}x{min_width}");
        return Err(argument("q", expected, format!("{height}x{width}")));
    }
    if let Some(bias) = bias {
        let (rows, columns) = window.bias_shape();
        if bias.size() != [heads, rows, columns] {
            let expected = format!("[heads, 2 Ky - 1, 2 Kx - 1] = [{heads}, {rows}, {columns}]");
            return Err(argument("bias", expected, format!("{:?}", bias.size())));
        }
        if bias.device() != q.device() {
            return Err(argument(
                "bias",
                format!("the device of q, {:?}", q.device()),
                format!("{:?}", bias.device()),
            ));
        }
    }
    Ok(())
}
