//! Building and running networks for their shapes: tensors without data.

use std::marker::PhantomData;

use crate::OpError;
use crate::native;

/// While this lives, tensors that this thread makes on any named device have sizes and a type but no data: a network of any
/// size is built in milliseconds and its forward pass runs through every op, computes nothing and takes no memory.
///
/// What such a tensor holds can not be read, and tch has no name for its device: use it to learn shapes or to
/// [count](crate::flops::count). Tensors made from Rust values (`Tensor::from_slice`) keep their data.
#[derive(Debug)]
pub struct WithoutData {
    before: bool,
    // A setting of the thread, so the guard must not leave it.
    not_send: PhantomData<*const ()>,
}

impl WithoutData {
    /// Enters the mode.
    ///
    /// # Errors
    /// [`OpError::Native`] if libtorch refuses.
    pub fn enter() -> Result<Self, OpError> {
        Ok(Self { before: switch(true)?, not_send: PhantomData })
    }
}

impl Drop for WithoutData {
    fn drop(&mut self) {
        // Leaving can only fail where entering failed before.
        let _ = switch(self.before);
    }
}

/// Runs `body` [without data](WithoutData) and tells the bytes that its tensors would take at their peak, in f32 where autocast would
/// halve them, with the copies that convolutions on a CPU make of maps that lie channels-first. Those that are there before are not
/// counted, nor is other scratch memory of kernels, which do not run.
///
/// Peaks are not nested: within `body` no other may be taken.
///
/// # Errors
/// [`OpError::Native`] if libtorch refuses the mode.
pub fn peak_bytes<T>(body: impl FnOnce() -> T) -> Result<(T, u64), OpError> {
    let _mode = WithoutData::enter()?;
    // SAFETY: both read counters of this thread.
    let before = unsafe { native::smalti_footprint_begin() };
    let result = body();
    // SAFETY: as above.
    let peak = unsafe { native::smalti_footprint_peak() };
    Ok((result, peak.abs_diff(before)))
}

fn switch(on: bool) -> Result<bool, OpError> {
    let mut before = 0;
    // SAFETY: writes one integer through a valid pointer.
    let message = unsafe { native::smalti_without_data(i32::from(on), &raw mut before) };
    // SAFETY: the return value of an extension function.
    unsafe { native::check("without_data", message)? };
    Ok(before != 0)
}
