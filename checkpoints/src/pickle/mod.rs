//! A reader of Python pickles that knows no code: an own stack machine over the opcodes of protocols 0 to 5.
//!
//! A pickle is a program that builds an object: it pushes constants, fills containers, names Python functions and calls
//! them. This reader runs the pushing and filling and answers names from a fixed list ([`globals`]): a few stand for
//! tensors, arrays and containers and are understood ([`call`], [`numpy`]), others are settings and records that trainers
//! leave in checkpoints and become inert nodes that keep their name and arguments. Every other name is an error, and
//! nothing is ever imported or executed.
//!
//! Format: Python's `pickletools` and PEP 3154, 574; torch's persistent ids, `torch/serialization.py` 2.11 (BSD-3-Clause).
//! Differs: out-of-band buffers, extension codes and bytes after the end are refused.
//! Bounds: nodes, memo and strings are paid from a [`Budget`] that grows with the length of the pickle; the object graph
//! becomes a tree in [`expand`], where depth is limited and a container inside itself is refused.
//! Checked by: `tests/suite` (Python's own pickles, hostile ones, damage) and the fuzz target `checkpoints`.

mod call;
mod expand;
mod globals;
mod heap;
mod input;
mod machine;
mod numpy;
mod text;

pub(crate) use expand::{Expanded, expand};
pub(crate) use globals::Global;
pub(crate) use heap::{Budget, Heap, Id, Node, Storage, TensorSpec};
pub(crate) use machine::{External, Loaded, Persistence, load};
