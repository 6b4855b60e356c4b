//! Arrays of the host to a device, to a GPU beside its computing.
//!
//! An [`Uploader`] copies the arrays of a batch into page-locked memory, starts one copy to the GPU on a stream of its own and comes
//! back; [`Upload::wait`] makes the stream that computes wait for it. So the copy of a batch that is sent while the one before is
//! computed costs no time. The page-locked memory is two buffers that take turns, each as large as the largest batch, rounded
//! up to a power of two; one is filled again when the copy from it is done. On a CPU the arrays become tensors at once, and that is
//! all.
//!
//! Checked by: tests below, against a device that copies as late as it may; `ops/tests/copies.rs` on a GPU, where there is one.

mod cuda;
mod host;
mod ring;
#[cfg(test)]
mod tests;

use tch::{Device, Tensor};

use crate::OpError;
use cuda::Cuda;
pub use host::{HostArray, HostValues};
use ring::{Coming, Ring};

/// Takes arrays to a device.
#[derive(Debug)]
pub struct Uploader(Way);

#[derive(Debug)]
enum Way {
    AtOnce(Device),
    Beside(Ring<Cuda>),
}

/// Arrays on their way to a device. May go to another thread.
#[derive(Debug)]
pub struct Upload(State);

#[derive(Debug)]
enum State {
    There(Vec<Tensor>),
    Coming(Coming<Cuda>),
}

impl Uploader {
    /// Takes arrays to `device`. Takes memory when it is used first.
    pub fn new(device: Device) -> Self {
        Self(match device {
            Device::Cuda(index) => Way::Beside(Ring::new(Cuda { index })),
            device => Way::AtOnce(device),
        })
    }

    /// Whether copies go on while the host and the device do something else.
    pub fn overlaps(&self) -> bool {
        matches!(self.0, Way::Beside(_))
    }

    /// Starts the copy of these arrays; they may be changed as soon as this returns.
    ///
    /// # Errors
    /// [`OpError`] if host or device have no memory for them, or there is no such device.
    pub fn upload(&mut self, arrays: &[HostArray<'_>]) -> Result<Upload, OpError> {
        Ok(Upload(match &mut self.0 {
            Way::AtOnce(device) => {
                let there = |array: &HostArray<'_>| Ok(array.tensor()?.f_to_device(*device)?);
                State::There(arrays.iter().map(there).collect::<Result<_, OpError>>()?)
            }
            Way::Beside(ring) => State::Coming(ring.send(arrays)?),
        }))
    }
}

impl Upload {
    /// The arrays as tensors, in their order. What this thread computes on the device from now on runs after the copy; the
    /// host does not wait.
    ///
    /// # Errors
    /// [`OpError::Native`] if the copy failed.
    pub fn wait(self) -> Result<Vec<Tensor>, OpError> {
        match self.0 {
            State::There(tensors) => Ok(tensors),
            State::Coming(coming) => coming.receive(),
        }
    }
}
