//! A convolution together with what ends a residual branch: the sum with the shortcut and the ReLU.
//!
//! In evaluation on a CPU oneDNN takes all three in one pass, and on channels-last maps without bringing them into another
//! order before and after (docs/benchmarks.md). Checked by: `tests/convolution.rs`, against libtorch's ops one by one.

use tch::Tensor;

use crate::OpError;
use crate::native;

/// `relu(convolution + residual)` with square kernels, stride and zero padding alike along both axes.
///
/// One pass where the input is f32 on a CPU and nothing records a graph; elsewhere, under autocast too, libtorch's ops one after
/// the other, with gradients for all.
///
/// # Shapes
/// - `input`: `[B, C, H, W]`, fastest channels-last in memory.
/// - `weight`: `[C', C, K, K]`; `bias`: `[C']`.
/// - `residual`: `[B, C', H', W']`, as the result.
/// - result: `[B, C', H', W']`, `H' = (H + 2 padding - K) / stride + 1`; channels-last if `input` is.
///
/// # Errors
/// [`OpError::Native`] if shapes, dtypes or devices disagree.
pub fn conv2d_relu(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    residual: Option<&Tensor>,
    stride: i64,
    padding: i64,
) -> Result<Tensor, OpError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers come from live tensors that outlive the call, null stands for no residual, and on success `out`
    // holds a new tensor that `from_ptr` takes over.
    unsafe {
        let message = native::smalti_conv2d_relu(
            &raw mut out,
            input.as_ptr(),
            weight.as_ptr(),
            bias.as_ptr(),
            native::pointer(residual),
            stride,
            padding,
        );
        native::check("conv2d_relu", message)?;
        Ok(Tensor::from_ptr(out))
    }
}
