//! The objects of a pickle while it is read: nodes that refer to each other by number.

use std::sync::Arc;

use super::globals::Global;
use super::numpy::ArrayType;
use crate::bytes::Bytes;
use crate::dtype::StatedDtype;
use crate::error::Fault;
use crate::tensor::MAX_DIMS;

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub u32);

/// What a pickle can build.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: its little-endian two's complement bytes.
    LongInt(Bytes),
    Float(f64),
    /// Valid UTF-8.
    Text(Bytes),
    Bytes(Bytes),
    /// A string of Python 2, which had one type for text and bytes.
    Either(Bytes),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Box<Dict>),
    /// A name of the list, not called yet.
    Global(Global),
    Storage(Arc<Storage>),
    Tensor(Box<TensorSpec>),
    /// A numpy element type.
    ArrayType(ArrayType),
    /// A numpy array that waits for its content.
    EmptyArray,
    /// An inert object.
    Object(Box<Object>),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Dict {
    pub entries: Vec<(Id, Id)>,
    /// Attributes beside the entries, as torch's state dicts have in `_metadata`.
    pub attributes: Option<Id>,
}

/// An object that is kept by name and never made.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub name: String,
    /// What it was called with, a tuple.
    pub args: Option<Id>,
    pub items: Vec<Id>,
    pub entries: Vec<(Id, Id)>,
    pub state: Option<Id>,
}

/// Where the bytes of a tensor are.
#[derive(Debug, Clone)]
pub(crate) enum Storage {
    /// Under a name, elsewhere in the file.
    Named { key: String, dtype: StatedDtype, elements: usize, skip: usize },
    /// Part of an untyped storage, whose `elements` are bytes.
    Untyped { key: String, bytes: usize },
    /// At hand.
    Inline(Bytes),
}

impl Storage {
    fn key(&self) -> &str {
        match self {
            Self::Named { key, .. } | Self::Untyped { key, .. } => key,
            Self::Inline(_) => "",
        }
    }
}

/// A tensor as the file describes it, nothing checked but that the numbers are not negative.
#[derive(Debug, Clone)]
pub(crate) struct TensorSpec {
    pub dtype: StatedDtype,
    pub storage: Arc<Storage>,
    /// In elements.
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Memory that a file may still ask for.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    whole: usize,
}

impl Budget {
    /// For the structure that `bytes` of pickle describe: 64 times as much, with a floor and a ceiling. A pickled tensor
    /// takes some 200 bytes in the file and 1500 here.
    pub fn structure(bytes: usize) -> Self {
        Self::of(bytes.saturating_mul(64).saturating_add(1 << 20).min(1 << 30))
    }

    pub fn of(bytes: usize) -> Self {
        Self { left: bytes, whole: bytes }
    }

    /// Takes `bytes`, or says that there are no more.
    pub fn take(&mut self, bytes: usize, record: &str) -> Result<(), Fault> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::too_large(record, format!("at most {} bytes of memory", self.whole), "more")),
        }
    }
}

/// All nodes of a pickle.
#[derive(Debug)]
pub(crate) struct Heap {
    nodes: Vec<Node>,
    /// For nodes and their lists.
    pub structure: Budget,
    /// For bytes that had to be decoded out of text.
    pub payload: Budget,
}

/// Bytes that a node costs, its place in the stack and the memo included.
const NODE: usize = size_of::<Node>() + 24;

impl Heap {
    /// For a pickle of this many bytes.
    pub fn new(bytes: usize) -> Self {
        // Decoded bytes are never longer than their text, and are decoded twice at most: as a literal, then as bytes.
        Self {
            nodes: Vec::new(),
            structure: Budget::structure(bytes),
            payload: Budget::of(bytes.saturating_mul(2)),
        }
    }

    pub fn add(&mut self, node: Node, record: &str) -> Result<Id, Fault> {
        let extra = match &node {
            Node::Object(object) => size_of::<Object>() + object.name.len(),
            Node::Tensor(spec) => size_of::<TensorSpec>() + 16 * spec.shape.len(),
            Node::Storage(storage) => size_of::<Storage>() + storage.key().len() + 32,
            Node::Dict(_) => size_of::<Dict>(),
            _ => 0,
        };
        self.structure.take(NODE + extra, record)?;
        let id = u32::try_from(self.nodes.len())
            .map_err(|_| Fault::too_large(record, "fewer than 2^32 objects", "more"))?;
        self.nodes.push(node);
        Ok(Id(id))
    }

    pub fn get(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// A text, or a Python 2 string that is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Text(bytes) | Node::Either(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A whole number that is no size: it may be negative.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A number of elements.
    pub fn size(&self, id: Id) -> Option<usize> {
        self.int(id).and_then(|value| usize::try_from(value).ok())
    }

    /// Sizes or strides of a tensor, in a tuple or list.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.sequence(id).filter(|items| items.len() <= MAX_DIMS)?;
        items.iter().map(|&item| self.size(item)).collect()
    }

    /// Items of a tuple or list.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// All storages that the pickle names.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// What a node is, for errors.
    pub fn kind(&self, id: Id) -> String {
        match self.get(id) {
            Node::None => "None".to_owned(),
            Node::Bool(_) => "a bool".to_owned(),
            Node::Int(value) => value.to_string(),
            Node::LongInt(_) => "an integer beyond 64 bits".to_owned(),
            Node::Float(_) => "a float".to_owned(),
            Node::Text(_) | Node::Either(_) => "a string".to_owned(),
            Node::Bytes(_) => "bytes".to_owned(),
            Node::List(_) => "a list".to_owned(),
            Node::Tuple(items) => format!("a tuple of {}", items.len()),
            Node::Set(_) => "a set".to_owned(),
            Node::Dict(_) => "a dict".to_owned(),
            Node::Global(global) => global.to_string(),
            Node::Storage(_) => "a storage".to_owned(),
            Node::Tensor(_) => "a tensor".to_owned(),
            Node::ArrayType(_) => "an element type".to_owned(),
            Node::EmptyArray => "an array without content".to_owned(),
            Node::Object(object) => format!("an object of {}", object.name),
        }
    }
}
