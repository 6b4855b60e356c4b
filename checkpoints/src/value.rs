//! What a checkpoint holds, as a tree of plain values in which tensors are numbers of a list.

use std::sync::Arc;

/// A value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Python's `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond 64 bits, of which only the length is kept.
    LongInt {
        /// Bytes in the file.
        bytes: usize,
    },
    /// A float.
    Float(f64),
    /// A string.
    Text(Arc<str>),
    /// Bytes, of which only the length is kept.
    Bytes {
        /// How many.
        len: usize,
    },
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A set, in the order of the file.
    Set(Vec<Value>),
    /// A dict, ordered or not.
    Dict(Dict),
    /// The tensor of this number in [`Checkpoint::tensors`](crate::Checkpoint::tensors).
    Tensor(usize),
    /// A tensor or array of an element type that is not read.
    Foreign {
        /// Its element type, as the file calls it.
        dtype: Arc<str>,
        /// Sizes, outermost first.
        shape: Vec<usize>,
    },
    /// Anything else that is harmless: the name of a Python class or function, and what it was given. Never made.
    Object(Box<Object>),
}

/// A dict in the order of the file; no text is a key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dict {
    /// Keys and values.
    pub entries: Vec<(Value, Value)>,
    /// Attributes beside the entries: `_metadata` of torch's state dicts, `__metadata__` of safetensors.
    pub attributes: Option<Box<Value>>,
}

impl Dict {
    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| matches!(k, Value::Text(text) if &**text == key)).map(|(_, v)| v)
    }

    /// Entries whose keys are texts.
    pub fn texts(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter().filter_map(|(key, value)| match key {
            Value::Text(text) => Some((text, value)),
            _ => None,
        })
    }
}

/// An inert object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Module and name.
    pub name: Arc<str>,
    /// What it was called with: a tuple, or `None`.
    pub args: Value,
    /// Items that were appended.
    pub items: Vec<Value>,
    /// Keys and values that were set.
    pub entries: Vec<(Value, Value)>,
    /// Its attributes: most often a dict, or `None`.
    pub state: Value,
}

impl Value {
    /// The dict, if it is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// What it is in a word or two, for messages: `a list of 3`.
    pub fn kind(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(_) => "a bool".to_owned(),
            Self::Int(_) | Self::LongInt { .. } => "an integer".to_owned(),
            Self::Float(_) => "a float".to_owned(),
            Self::Text(_) => "a string".to_owned(),
            Self::Bytes { len } => format!("{len} bytes"),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Tuple(items) => format!("a tuple of {}", items.len()),
            Self::Set(items) => format!("a set of {}", items.len()),
            Self::Dict(dict) => format!("a dict of {}", dict.entries.len()),
            Self::Tensor(_) => "a tensor".to_owned(),
            Self::Foreign { dtype, shape } => format!("a {dtype} tensor of shape {shape:?}"),
            Self::Object(object) => format!("an object of {}", object.name),
        }
    }
}
