//! Staging memory that serves upload after upload, and the order of what is done with it.

use std::ptr;
use std::sync::Arc;

use tch::{Kind, Tensor};

use super::host::HostArray;
use crate::OpError;

/// Buffers that take turns: one is filled while the other may still be read.
const BUFFERS: usize = 2;

/// Where an array begins in its buffer is a multiple of so many bytes, as of tensors that libtorch allocates on a GPU.
const ALIGNMENT: usize = 512;

/// A way to a device that goes on while the host does.
pub(super) trait Transport {
    /// A point among the copies, which passes when those before it are done.
    type Event;

    /// Memory of the host to copy from, `[bytes]` u8.
    fn staging(&self, bytes: usize) -> Result<Tensor, OpError>;

    /// Starts the copy of the first `bytes` of `staging`, whose memory must stay as it is until the event has passed. Returns
    /// where it goes, `[bytes]` u8.
    fn send(&self, staging: &Tensor, bytes: usize) -> Result<(Tensor, Self::Event), OpError>;

    /// Waits for an event.
    fn finish(&self, event: &Self::Event) -> Result<(), OpError>;

    /// Lets what this thread computes on the device from now on wait for the event, and keeps the copy's memory until it has
    /// run.
    fn receive(&self, copy: &Tensor, event: &Self::Event) -> Result<(), OpError>;
}

/// Uploads through a few buffers, whatever their number.
#[derive(Debug)]
pub(super) struct Ring<T: Transport> {
    transport: T,
    buffers: [Option<Buffer<T::Event>>; BUFFERS],
    /// Which buffer is filled next.
    turn: usize,
}

#[derive(Debug)]
struct Buffer<E> {
    memory: Tensor,
    /// Passes when the copy from it is done.
    copied: Arc<E>,
}

/// Arrays on their way.
#[derive(Debug)]
pub(super) struct Coming<T: Transport> {
    transport: T,
    copy: Tensor,
    copied: Arc<T::Event>,
    parts: Vec<Part>,
}

/// An array within a copy.
#[derive(Debug)]
struct Part {
    offset: usize,
    bytes: usize,
    kind: Kind,
    shape: Vec<i64>,
}

impl<T: Transport + Copy> Ring<T> {
    pub fn new(transport: T) -> Self {
        Self { transport, buffers: [const { None }; BUFFERS], turn: 0 }
    }

    /// Copies the arrays into a buffer and starts the copy to the device, one for all of them.
    pub fn send(&mut self, arrays: &[HostArray<'_>]) -> Result<Coming<T>, OpError> {
        let parts = parts(arrays);
        // At least one byte, so that arrays without any have a place too.
        let bytes = parts.last().map_or(1, |last| (last.offset + last.bytes).max(1));
        let staging = self.claim(bytes)?;
        for (array, part) in arrays.iter().zip(&parts) {
            let (from, length) = array.memory();
            debug_assert!(length == part.bytes && part.offset + length <= staging.numel());
            // SAFETY: `from` are `length` bytes that `array` borrows. The buffer has `bytes` at least, of which this part is
            // `offset..offset + length`; `claim` has waited for the last copy from it, and nothing else knows it.
            unsafe {
                let to = staging.data_ptr().cast::<u8>().add(part.offset);
                ptr::copy_nonoverlapping(from, to, length);
            }
        }
        let (copy, copied) = self.transport.send(&staging, bytes)?;
        let copied = Arc::new(copied);
        self.buffers[self.turn] = Some(Buffer { memory: staging, copied: Arc::clone(&copied) });
        self.turn = (self.turn + 1) % BUFFERS;
        Ok(Coming { transport: self.transport, copy, copied, parts })
    }

    /// Takes the buffer whose turn it is, when nothing reads it any more; makes it anew if it is too small.
    fn claim(&mut self, bytes: usize) -> Result<Tensor, OpError> {
        if let Some(buffer) = self.buffers[self.turn].take() {
            self.transport.finish(&buffer.copied)?;
            if buffer.memory.numel() >= bytes {
                return Ok(buffer.memory);
            }
        }
        // libtorch rounds page-locked memory up to a power of two anyway.
        self.transport.staging(bytes.next_power_of_two())
    }
}

/// Where each array goes.
fn parts(arrays: &[HostArray<'_>]) -> Vec<Part> {
    let mut end = 0_usize;
    let place = |array: &HostArray<'_>| {
        let (offset, bytes) = (end.next_multiple_of(ALIGNMENT), array.memory().1);
        end = offset + bytes;
        Part { offset, bytes, kind: array.kind(), shape: array.shape().to_vec() }
    };
    arrays.iter().map(place).collect()
}

impl<T: Transport> Coming<T> {
    /// The arrays as tensors, which what is computed from now on may use.
    pub fn receive(self) -> Result<Vec<Tensor>, OpError> {
        self.transport.receive(&self.copy, &self.copied)?;
        self.parts.iter().map(|part| part.of(&self.copy)).collect()
    }
}

impl Part {
    fn of(&self, copy: &Tensor) -> Result<Tensor, OpError> {
        let bytes = copy.f_narrow(0, self.offset as i64, self.bytes as i64)?;
        let view = bytes.f_view_dtype(self.kind)?.f_reshape(&self.shape)?;
        // Not that view: to autograd a change of one view in place is one of all views of the copy.
        let mut own = Tensor::f_empty([0], (self.kind, copy.device()))?;
        Ok(own.f_set_source_tensor_(&view)?)
    }
}
