//! Activation checkpointing (Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, <https://arxiv.org/abs/1604.06174>):
//! memory for time. A segment of a network keeps its input alone; backward runs it again for what lies between.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::OpError;
use crate::native;

type Segment = Box<dyn Fn(&Tensor) -> Tensor + Send>;

/// `segment(input)`, with the gradients of both, keeping no activation between them.
///
/// The segment runs once now, without a graph, and once more in backward, on the thread that works on the graph then: random
/// draws and autocast are as they were the first time. Gradients of the parameters it reads are added to them where
/// backward passes by; `Tensor::run_backward` does not see these parameters. A segment must give the same output
/// for the same input and have no other effect: a batch norm in training would count its batch twice.
///
/// # Errors
/// [`OpError::Native`] if the segment panics, with its message, or libtorch refuses.
pub fn recompute(
    segment: impl Fn(&Tensor) -> Tensor + Send + 'static,
    input: &Tensor,
) -> Result<Tensor, OpError> {
    let segment: Box<Segment> = Box::new(Box::new(segment));
    let mut out = std::ptr::null_mut();
    // SAFETY: `segment` is a box that the extension owns from here on, and runs and drops by the functions beside it, never
    // two at a time: backward runs it when forward is over, and libtorch runs a node of the graph on one thread. The segment
    // is `Send`, so it may be another thread than this. On success `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        let segment = Box::into_raw(segment).cast::<c_void>();
        let message = native::smalti_recompute(&raw mut out, input.as_ptr(), segment, run, drop_segment);
        native::check("recompute", message)?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Runs a segment; null if it panicked (a panic must not cross the border, and the hook has printed it).
///
/// # Safety
/// `segment` comes from [`recompute`] and is not dropped yet, `input` is a live tensor that stays the caller's.
unsafe extern "C" fn run(segment: *mut c_void, input: *mut C_tensor) -> *mut C_tensor {
    // SAFETY: by the contract above; the clone shares the data and has its own handle.
    let (segment, input) = unsafe { (&*segment.cast::<Segment>(), Tensor::clone_from_ptr(input)) };
    let output = catch_unwind(AssertUnwindSafe(|| segment(&input)));
    match output {
        Ok(mut output) => {
            let pointer = output.as_mut_ptr();
            std::mem::forget(output); // the caller takes it over
            pointer
        }
        Err(_) => std::ptr::null_mut(),
    }
}

/// Drops a segment.
///
/// # Safety
/// `segment` comes from [`recompute`] and is not used any more.
unsafe extern "C" fn drop_segment(segment: *mut c_void) {
    // SAFETY: by the contract above.
    drop(unsafe { Box::from_raw(segment.cast::<Segment>()) });
}
