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

fn switch(on: bool) -> Result<bool, OpError> {
    let mut before = 0;
    // SAFETY: writes one integer through a valid pointer.
    let message = unsafe { native::smalti_without_data(i32::from(on), &raw mut before) };
    // SAFETY: the return value of an extension function.
    unsafe { native::check("without_data", message)? };
    Ok(before != 0)
}
