//! What a call of a known name, and the state given to an object, amount to.

use std::sync::Arc;

use super::globals::Global;
use super::heap::{Dict, Id, Node, Storage, TensorSpec};
use super::machine::Machine;
use super::text;
use crate::dtype::StatedDtype;
use crate::error::{Fault, shown};

impl Machine<'_> {
    /// The result of `global(*args)`; `args` is a tuple.
    pub(super) fn call(&mut self, global: &Global, args: Id) -> Result<Node, Fault> {
        match global {
            Global::RebuildTensor => self.rebuild_tensor(args),
            Global::RebuildTensorV3 => self.rebuild_tensor_v3(args),
            Global::RebuildParameter => {
                let tensor = self.arg(args, 0);
                match tensor.map(|id| self.heap.get(id)) {
                    Some(tensor @ Node::Tensor(_)) => Ok(tensor.clone()),
                    _ => Err(self.wrong("a parameter made of a tensor", args)),
                }
            }
            Global::Size | Global::Tuple => self.copied(args).map(Node::Tuple),
            Global::List => self.copied(args).map(Node::List),
            Global::Set => self.copied(args).map(Node::Set),
            Global::Dict => self.dict(args),
            Global::DefaultDict => Ok(Node::Dict(Box::default())),
            Global::ByteString => self.byte_string(args),
            Global::Encode => self.encode(args),
            Global::Reconstructor => self.reconstruct(args),
            Global::NewObject => {
                let parts = self.heap.sequence(args).unwrap_or_default();
                let Some((&class, rest)) = parts.split_first() else {
                    return Err(self.wrong("a class", args));
                };
                let rest = rest.to_vec();
                self.pay(size_of_val(&*rest))?;
                let rest = self.add(Node::Tuple(rest))?;
                self.instance(class, rest)
            }
            Global::ArrayReconstruct => Ok(Node::EmptyArray),
            Global::ArrayFromBuffer => self.array_from_buffer(args),
            Global::ArrayScalar => self.array_scalar(args),
            Global::ArrayType => self.array_type(args),
            Global::Inert(name) => Ok(Self::inert(name, args)),
            Global::TypedStorage(_) | Global::UntypedStorage | Global::TorchDtype(_) | Global::Array => {
                Err(Fault::forbidden(self.place(), format!("a call of {global}")))
            }
        }
    }

    /// Gives `state` to an object: the opcode BUILD.
    pub(super) fn build(&mut self, target: Id, state: Id) -> Result<(), Fault> {
        match self.heap.get(target) {
            Node::EmptyArray => {
                let tensor = self.array_content(state)?;
                *self.heap.get_mut(target) = tensor;
            }
            Node::ArrayType(array_type) => {
                let array_type = array_type.clone();
                let array_type = self.array_type_state(array_type, state)?;
                *self.heap.get_mut(target) = Node::ArrayType(array_type);
            }
            // Attributes that someone hung on a tensor are no part of its value.
            Node::Tensor(_) => {}
            _ => match self.heap.get_mut(target) {
                Node::Dict(dict) => dict.attributes = Some(state),
                Node::Object(object) => object.state = Some(state),
                _ => return Err(self.wrong("an object that takes a state", target)),
            },
        }
        Ok(())
    }

    /// Argument number `index`.
    pub(super) fn arg(&self, args: Id, index: usize) -> Option<Id> {
        self.heap.sequence(args).and_then(|args| args.get(index)).copied()
    }

    /// `(storage, offset, size, stride, ...)`; version 2 adds gradients, hooks and a dict of rare flags.
    fn rebuild_tensor(&mut self, args: Id) -> Result<Node, Fault> {
        self.plain_metadata(args, 6)?;
        let Some(Node::Storage(storage)) = self.arg(args, 0).map(|id| self.heap.get(id)) else {
            return Err(self.wrong("a tensor made of a storage", args));
        };
        let storage = Arc::clone(storage);
        let Storage::Named { dtype, .. } = &*storage else {
            return Err(self.wrong("a typed storage", args));
        };
        let dtype = dtype.clone();
        self.tensor(args, storage, dtype)
    }

    /// `(storage, offset, size, stride, requires_grad, hooks, dtype, ...)` over an untyped storage.
    fn rebuild_tensor_v3(&mut self, args: Id) -> Result<Node, Fault> {
        self.plain_metadata(args, 7)?;
        let storage = self.arg(args, 0).map(|id| self.heap.get(id));
        let dtype = self.arg(args, 6).map(|id| self.heap.get(id));
        let (Some(Node::Storage(storage)), Some(Node::Global(Global::TorchDtype(dtype)))) = (storage, dtype)
        else {
            return Err(self.wrong("a tensor made of a storage and an element type", args));
        };
        let (storage, dtype) = (Arc::clone(storage), dtype.clone());
        self.tensor(args, storage, dtype)
    }

    /// Views that are conjugated or negated when read say so in a dict at the end.
    fn plain_metadata(&self, args: Id, index: usize) -> Result<(), Fault> {
        match self.arg(args, index).map(|id| (id, self.heap.get(id))) {
            None | Some((_, Node::None)) => Ok(()),
            Some((_, Node::Dict(dict))) if dict.entries.is_empty() => Ok(()),
            Some((id, _)) => {
                let help = "save contiguous copies: {k: v.clone() for k, v in state_dict.items()}";
                Err(Fault::unsupported(self.place(), "a plain tensor", shown(&self.heap.kind(id)), help))
            }
        }
    }

    fn tensor(&mut self, args: Id, storage: Arc<Storage>, dtype: StatedDtype) -> Result<Node, Fault> {
        let offset = self.arg(args, 1).and_then(|id| self.heap.size(id));
        let shape = self.arg(args, 2).and_then(|id| self.heap.sizes(id));
        let strides = self.arg(args, 3).and_then(|id| self.heap.sizes(id));
        match (offset, shape, strides) {
            (Some(offset), Some(shape), Some(strides)) if shape.len() == strides.len() => {
                Ok(Node::Tensor(Box::new(TensorSpec { dtype, storage, offset, shape, strides })))
            }
            _ => {
                let got = [1, 2, 3].map(|i| self.arg(args, i).map(|id| self.numbers(id)).unwrap_or_default());
                let got = format!("offset {}, shape {}, strides {}", got[0], got[1], got[2]);
                let expected = "offset, shape and strides of a tensor, none negative";
                Err(Fault::damaged(self.place(), expected, shown(&got)))
            }
        }
    }

    /// The first numbers of a tuple, for errors.
    fn numbers(&self, id: Id) -> String {
        let Some(items) = self.heap.sequence(id) else { return self.heap.kind(id) };
        let numbers: Vec<_> = items.iter().take(8).map(|&item| self.heap.kind(item)).collect();
        format!("[{}{}]", numbers.join(", "), if items.len() > 8 { ", ..." } else { "" })
    }

    /// Takes memory for a list that the pickle does not spell out.
    fn pay(&mut self, bytes: usize) -> Result<(), Fault> {
        let record = self.record();
        self.heap.structure.take(bytes, record)
    }

    /// The items of the one argument, or none.
    fn copied(&mut self, args: Id) -> Result<Vec<Id>, Fault> {
        let Some(items) = self.arg(args, 0) else { return Ok(Vec::new()) };
        let Some(items) = self.heap.sequence(items).map(<[Id]>::to_vec) else {
            return Err(self.wrong("a list or tuple of items", items));
        };
        self.pay(size_of_val(&*items))?;
        Ok(items)
    }

    /// `OrderedDict()`, or from pairs as Python 2 wrote it.
    fn dict(&mut self, args: Id) -> Result<Node, Fault> {
        let mut entries = Vec::new();
        for pair in self.copied(args)? {
            let Some(&[key, value]) = self.heap.sequence(pair) else {
                return Err(self.wrong("a pair of key and value", pair));
            };
            entries.push((key, value));
        }
        self.pay(size_of_val(&*entries))?;
        Ok(Node::Dict(Box::new(Dict { entries, attributes: None })))
    }

    /// `_codecs.encode(text, 'latin1')`.
    fn encode(&mut self, args: Id) -> Result<Node, Fault> {
        let encoding = self.arg(args, 1).and_then(|id| self.heap.text(id));
        if !matches!(encoding, Some("latin1" | "latin-1" | "iso-8859-1")) {
            return Err(self.wrong("bytes written as text in latin1", args));
        }
        self.latin1(args)
    }

    /// `bytearray()`, `bytearray(bytes)` or `bytearray(text, 'latin-1')`.
    fn byte_string(&mut self, args: Id) -> Result<Node, Fault> {
        match self.arg(args, 0).map(|id| self.heap.get(id)) {
            None => Ok(Node::Bytes(Vec::new().into())),
            Some(Node::Bytes(bytes) | Node::Either(bytes)) => Ok(Node::Bytes(bytes.clone())),
            _ => self.latin1(args),
        }
    }

    fn latin1(&mut self, args: Id) -> Result<Node, Fault> {
        let text = self.arg(args, 0).map(|id| self.heap.get(id));
        let Some(Node::Text(bytes) | Node::Either(bytes)) = text else {
            return Err(self.wrong("bytes written as text in latin1", args));
        };
        let (bytes, record) = (bytes.clone(), self.record());
        self.heap.payload.take(bytes.len(), record)?;
        let decoded = std::str::from_utf8(&bytes).ok().and_then(text::latin1);
        decoded.map(|bytes| Node::Bytes(bytes.into())).ok_or_else(|| {
            Fault::damaged(self.place(), "bytes written as text in latin1", "other characters")
        })
    }

    /// `copyreg._reconstructor(class, base, state)`.
    fn reconstruct(&mut self, args: Id) -> Result<Node, Fault> {
        let Some(class) = self.arg(args, 0) else {
            return Err(self.wrong("a class", args));
        };
        match self.arg(args, 2) {
            // A subclass of dict or list comes with what it holds.
            Some(held) if !matches!(self.heap.get(held), Node::None) => {
                let rest = self.add(Node::Tuple(vec![held]))?;
                self.instance(class, rest)
            }
            _ => {
                let rest = self.add(Node::Tuple(Vec::new()))?;
                self.instance(class, rest)
            }
        }
    }

    /// An object of a class; only of one on the list.
    fn instance(&mut self, class: Id, args: Id) -> Result<Node, Fault> {
        match self.heap.get(class) {
            Node::Global(global @ (Global::Inert(_) | Global::Dict | Global::List | Global::Set)) => {
                let global = global.clone();
                self.call(&global, args)
            }
            _ => {
                Err(Fault::forbidden(self.place(), format!("an object of {}", shown(&self.heap.kind(class)))))
            }
        }
    }
}
