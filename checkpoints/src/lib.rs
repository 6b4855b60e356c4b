//! Reads the checkpoints that exist in the world, as data: safetensors (also in parts), every format of `torch.save`, and
//! pickles of numpy arrays. Needs no libtorch and executes nothing.
//!
//! [`Checkpoint::open`] tells the format from the content and maps the file. What comes out is a tree of plain values and
//! a list of tensors that are descriptions of byte ranges: nothing is copied until a [`LazyTensor`] is asked for its bytes.
//! [`Checkpoint::state_dict`] finds the weights among the usual wrappers, [`family::guess`] says whose they may be.
//!
//! Everything in a file is a claim that is checked: lengths against the file, views against their storage, names against
//! a fixed list. Opening is all or nothing.
//!
//! [`layouts`] knows whose names tensors have and turns them into ours and back; [`mod@write`] writes them.

mod bytes;
mod checkpoint;
mod dtype;
mod error;
pub mod family;
mod formats;
pub mod hub;
pub mod layouts;
mod pickle;
mod state_dict;
mod tensor;
mod value;
pub mod write;
mod zip;

pub use checkpoint::{Checkpoint, NamedTensor};
pub use dtype::Dtype;
pub use error::{CheckpointError, Fault, FaultKind};
pub use formats::Format;
pub use formats::shards::parts_of_index;
pub use state_dict::{StateDict, Wrapper};
pub use tensor::LazyTensor;
pub use value::{Dict, Object, Value};
