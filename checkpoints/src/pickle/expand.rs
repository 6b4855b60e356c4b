//! From the objects of a pickle, which may refer to each other in any way, to a tree and a list of tensors.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::heap::{Budget, Heap, Id, Node, Storage, TensorSpec};
use super::machine::Loaded;
use crate::bytes::Bytes;
use crate::checkpoint::NamedTensor;
use crate::dtype::StatedDtype;
use crate::error::{Fault, shown};
use crate::tensor::LazyTensor;
use crate::value::{Dict, Object, Value};

/// Deepest nesting; configs of trainers go ten deep.
const MAX_DEPTH: usize = 100;

/// A tree, and the tensors that it names by number.
#[derive(Debug)]
pub(crate) struct Expanded {
    pub tree: Value,
    pub tensors: Vec<NamedTensor>,
}

/// Makes the tree of a pickle of `bytes` bytes. `storage` finds the bytes of a storage by its key.
pub(crate) fn expand(
    loaded: &Loaded,
    bytes: usize,
    record: &str,
    storage: &dyn Fn(&str) -> Result<Bytes, Fault>,
) -> Result<Expanded, Fault> {
    let mut walk = Walk {
        heap: &loaded.heap,
        record,
        storage,
        budget: Budget::structure(bytes),
        open: HashSet::new(),
        texts: HashMap::new(),
        path: Vec::new(),
        tensors: Vec::new(),
    };
    let tree = walk.value(loaded.root)?;
    Ok(Expanded { tree, tensors: walk.tensors })
}

struct Walk<'a> {
    heap: &'a Heap,
    record: &'a str,
    storage: &'a dyn Fn(&str) -> Result<Bytes, Fault>,
    budget: Budget,
    /// Containers that the walk is inside of.
    open: HashSet<Id>,
    /// One string for all places that share it.
    texts: HashMap<Id, Arc<str>>,
    path: Vec<Arc<str>>,
    tensors: Vec<NamedTensor>,
}

impl Walk<'_> {
    fn value(&mut self, id: Id) -> Result<Value, Fault> {
        self.budget.take(size_of::<Value>(), self.record)?;
        Ok(match self.heap.get(id) {
            Node::None => Value::None,
            Node::Bool(value) => Value::Bool(*value),
            Node::Int(value) => Value::Int(*value),
            Node::LongInt(bytes) => Value::LongInt { bytes: bytes.len() },
            Node::Float(value) => Value::Float(*value),
            Node::Text(_) | Node::Either(_) => self.text(id)?,
            Node::Bytes(bytes) => Value::Bytes { len: bytes.len() },
            Node::Global(global) => bare_object(&global.to_string()),
            Node::Storage(_) => bare_object("torch.Storage"),
            Node::ArrayType(_) => bare_object("numpy.dtype"),
            Node::EmptyArray => {
                return Err(Fault::damaged(self.here(), "the content of an array", "none"));
            }
            Node::Tensor(spec) => self.tensor(spec)?,
            Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::Dict(_) | Node::Object(_) => {
                return self.container(id);
            }
        })
    }

    /// The place as errors call it.
    fn here(&self) -> String {
        if self.path.is_empty() {
            self.record.to_owned()
        } else {
            format!("`{}`", shown(&self.path.join(".")))
        }
    }

    fn text(&mut self, id: Id) -> Result<Value, Fault> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(Value::Text(Arc::clone(text)));
        }
        let (Node::Text(bytes) | Node::Either(bytes)) = self.heap.get(id) else { return Ok(Value::None) };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Ok(Value::Bytes { len: bytes.len() });
        };
        self.budget.take(text.len() + 64, self.record)?;
        let text: Arc<str> = text.into();
        self.texts.insert(id, Arc::clone(&text));
        Ok(Value::Text(text))
    }

    fn container(&mut self, id: Id) -> Result<Value, Fault> {
        if self.path.len() >= MAX_DEPTH {
            let expected = format!("containers at most {MAX_DEPTH} deep");
            return Err(Fault::too_large(self.here(), expected, "deeper ones"));
        }
        if !self.open.insert(id) {
            let help = "save the weights alone: torch.save(model.state_dict(), FILE)";
            let got = "a container that holds itself";
            return Err(Fault::unsupported(self.here(), "a tree of values", got, help));
        }
        let heap = self.heap;
        let value = match heap.get(id) {
            Node::List(items) => Value::List(self.items(items)?),
            Node::Tuple(items) => Value::Tuple(self.items(items)?),
            Node::Set(items) => Value::Set(self.items(items)?),
            Node::Dict(dict) => {
                let entries = self.entries(&dict.entries)?;
                let attributes = dict.attributes.map(|id| self.below("(attributes)", id)).transpose()?;
                Value::Dict(Dict { entries, attributes: attributes.map(Box::new) })
            }
            Node::Object(object) => {
                self.budget.take(size_of::<Object>() + object.name.len(), self.record)?;
                let args = object.args.map(|id| self.below("(arguments)", id)).transpose()?;
                let items = self.items(&object.items)?;
                let entries = self.entries(&object.entries)?;
                // What an object holds goes by the names of its attributes.
                let state = object.state.map(|id| self.value(id)).transpose()?;
                Value::Object(Box::new(Object {
                    name: object.name.as_str().into(),
                    args: args.unwrap_or(Value::None),
                    items,
                    entries,
                    state: state.unwrap_or(Value::None),
                }))
            }
            _ => Value::None,
        };
        self.open.remove(&id);
        Ok(value)
    }

    fn below(&mut self, name: &str, id: Id) -> Result<Value, Fault> {
        self.path.push(name.into());
        let value = self.value(id);
        self.path.pop();
        value
    }

    fn items(&mut self, items: &[Id]) -> Result<Vec<Value>, Fault> {
        items.iter().enumerate().map(|(i, &item)| self.below(&i.to_string(), item)).collect()
    }

    fn entries(&mut self, entries: &[(Id, Id)]) -> Result<Vec<(Value, Value)>, Fault> {
        let mut keys = HashSet::new();
        let mut out = Vec::new();
        for &(key, value) in entries {
            self.budget.take(64, self.record)?;
            let key = self.below("(key)", key)?;
            let segment: Arc<str> = match &key {
                Value::Text(text) => {
                    if !keys.insert(Arc::clone(text)) {
                        return Err(Fault::damaged(self.here(), "each key once", shown(text)));
                    }
                    Arc::clone(text)
                }
                Value::Int(number) => number.to_string().into(),
                other => other.kind().into(),
            };
            self.path.push(segment);
            let value = self.value(value);
            self.path.pop();
            out.push((key, value?));
        }
        Ok(out)
    }

    fn tensor(&mut self, spec: &TensorSpec) -> Result<Value, Fault> {
        let cost = size_of::<NamedTensor>() + 16 * (spec.shape.len() + self.path.len());
        self.budget.take(cost, self.record)?;
        let name = self.here();
        let dtype = match &spec.dtype {
            StatedDtype::Known(dtype) => *dtype,
            StatedDtype::Other { name, .. } => {
                return Ok(Value::Foreign { dtype: name.as_str().into(), shape: spec.shape.clone() });
            }
        };
        let part = |key: &str, skip: usize, elements: usize, size: usize| {
            let range = skip.checked_mul(size).zip(elements.checked_mul(size));
            let range = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
            let whole = (self.storage)(key)?;
            range.and_then(|range| whole.slice(range)).ok_or_else(|| {
                let expected = format!("a storage `{}` of {elements} elements from {skip} on", shown(key));
                Fault::damaged(name.as_str(), expected, format!("{} bytes", whole.len()))
            })
        };
        let storage = match &*spec.storage {
            Storage::Inline(bytes) => bytes.clone(),
            Storage::Untyped { key, bytes } => part(key, 0, *bytes, 1)?,
            Storage::Named { key, dtype, elements, skip } => {
                part(key, *skip, *elements, dtype.size().unwrap_or(1))?
            }
        };
        let (shape, strides) = (spec.shape.clone(), spec.strides.clone());
        let tensor = LazyTensor::new(&name, dtype, shape, strides, &storage, spec.offset)?;
        self.tensors.push(NamedTensor::new(self.path.clone(), tensor));
        Ok(Value::Tensor(self.tensors.len() - 1))
    }
}

/// A name that nothing was called with.
fn bare_object(name: &str) -> Value {
    let (items, entries) = (Vec::new(), Vec::new());
    Value::Object(Box::new(Object {
        name: name.into(),
        args: Value::None,
        items,
        entries,
        state: Value::None,
    }))
}
