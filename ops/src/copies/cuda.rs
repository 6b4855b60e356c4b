//! Copies to a GPU on a stream of their own: `csrc/copies`.

use std::ffi::c_void;
use std::ptr;

use tch::Tensor;

use super::ring::Transport;
use crate::OpError;
use crate::native;

/// The GPU of this number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuda {
    pub index: usize,
}

/// A point in the stream of copies.
#[derive(Debug)]
pub(super) struct Event(*mut c_void);

// SAFETY: the event is recorded where it is made and never again. What is done with it after that, waiting for it and dropping it,
// only reads the handle of CUDA's event, and CUDA takes such calls from any thread, several at a time.
unsafe impl Send for Event {}
// SAFETY: as above; the functions that take `&Event` take a `const c10::Event*`.
unsafe impl Sync for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `smalti_copies_send`, which gave it away, and dropped once.
        unsafe { native::smalti_copies_forget(self.0) }
    }
}

impl Transport for Cuda {
    type Event = Event;

    fn staging(&self, bytes: usize) -> Result<Tensor, OpError> {
        let mut out = ptr::null_mut();
        // SAFETY: on success `out` holds a new tensor that `from_ptr` takes over.
        unsafe {
            native::check("upload", native::smalti_copies_staging(&raw mut out, bytes as i64))?;
            Ok(Tensor::from_ptr(out))
        }
    }

    fn send(&self, staging: &Tensor, bytes: usize) -> Result<(Tensor, Event), OpError> {
        let (mut out, mut event) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the tensor outlives the call, and libtorch keeps page-locked memory that is being read from being given out again.
        // On success `out` holds a new tensor that `from_ptr` takes over, and `event` an event that is ours to drop.
        unsafe {
            let message = native::smalti_copies_send(
                &raw mut out,
                &raw mut event,
                staging.as_ptr(),
                bytes as i64,
                self.index as i64,
            );
            native::check("upload", message)?;
            Ok((Tensor::from_ptr(out), Event(event)))
        }
    }

    fn finish(&self, event: &Event) -> Result<(), OpError> {
        // SAFETY: the event is live and only read.
        unsafe { native::check("upload", native::smalti_copies_finish(event.0)) }
    }

    fn receive(&self, copy: &Tensor, event: &Event) -> Result<(), OpError> {
        // SAFETY: tensor and event outlive the call, which keeps neither.
        unsafe { native::check("upload", native::smalti_copies_receive(copy.as_ptr(), event.0)) }
    }
}
