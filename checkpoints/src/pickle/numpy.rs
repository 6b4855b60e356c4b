//! numpy's arrays, scalars and element types, as every version from 1.0 to 2.x pickles them.

use std::sync::Arc;

use super::heap::{Id, Node, Storage, TensorSpec};
use super::machine::Machine;
use super::text;
use crate::bytes::Bytes;
use crate::dtype::{Dtype, StatedDtype};
use crate::error::{Fault, shown};
use crate::tensor::{LazyTensor, byte_len};

/// An element type: numpy's code such as `f4`, and the byte order.
#[derive(Debug, Clone)]
pub(crate) struct ArrayType {
    code: String,
    big_endian: bool,
}

impl ArrayType {
    fn stated(&self) -> StatedDtype {
        match Dtype::from_numpy(&self.code) {
            Some(dtype) => StatedDtype::Known(dtype),
            None => StatedDtype::Other { name: format!("numpy {}", shown(&self.code)), size: None },
        }
    }
}

const BIG_ENDIAN: &str = "convert it where it was made: array.astype(array.dtype.newbyteorder('<'))";

impl Machine<'_> {
    /// `dtype(code, align, copy)`.
    pub(super) fn array_type(&mut self, args: Id) -> Result<Node, Fault> {
        let Some(code) = self.arg(args, 0).and_then(|id| self.heap.text(id)).filter(|code| code.len() <= 32)
        else {
            return Err(self.wrong("the code of a numpy element type", args));
        };
        let bare = code.trim_start_matches(['<', '>', '|', '=']);
        Ok(Node::ArrayType(ArrayType { code: bare.to_owned(), big_endian: code.starts_with('>') }))
    }

    /// `(version, byte order, ...)`.
    pub(super) fn array_type_state(&self, mut array_type: ArrayType, state: Id) -> Result<ArrayType, Fault> {
        match self.arg(state, 1).and_then(|id| self.heap.text(id)) {
            Some(order @ ("<" | "|" | "=" | ">")) => {
                array_type.big_endian = order == ">";
                Ok(array_type)
            }
            _ => Err(self.wrong("the state of a numpy element type", state)),
        }
    }

    /// `(version, shape, type, Fortran order, bytes)`, where the oldest have no version.
    pub(super) fn array_content(&mut self, state: Id) -> Result<Node, Fault> {
        let parts = self.heap.sequence(state).unwrap_or_default();
        let &[shape, array_type, order, content] = (match parts {
            [_, rest @ ..] if parts.len() == 5 => rest,
            all => all,
        }) else {
            return Err(self.wrong("the content of a numpy array", state));
        };
        let fortran = match self.heap.get(order) {
            Node::Bool(fortran) => *fortran,
            Node::Int(flag @ 0..=1) => *flag == 1,
            _ => return Err(self.wrong("a bool: whether the array is in Fortran order", order)),
        };
        self.array(array_type, shape, fortran, content)
    }

    /// `_frombuffer(bytes, type, shape, order)`.
    pub(super) fn array_from_buffer(&mut self, args: Id) -> Result<Node, Fault> {
        let Some(&[content, array_type, shape, order]) = self.heap.sequence(args) else {
            return Err(self.wrong("bytes, type, shape and order of a numpy array", args));
        };
        let fortran = match self.heap.text(order) {
            Some("C" | "A" | "K") => false,
            Some("F") => true,
            _ => return Err(self.wrong("the order C or F of a numpy array", order)),
        };
        self.array(array_type, shape, fortran, content)
    }

    fn array(&mut self, array_type: Id, shape: Id, fortran: bool, content: Id) -> Result<Node, Fault> {
        let Node::ArrayType(array_type) = self.heap.get(array_type) else {
            return Err(self.wrong("a numpy element type", array_type));
        };
        let (dtype, big_endian) = (array_type.stated(), array_type.big_endian);
        let Some(shape) = self.heap.sizes(shape) else {
            return Err(self.wrong("the shape of an array", shape));
        };
        let inline = |bytes: Bytes| Arc::new(Storage::Inline(bytes));
        let StatedDtype::Known(known) = dtype else {
            // Named, never read: labels and random states stand beside weights.
            let strides = vec![0; shape.len()];
            let storage = inline(Vec::new().into());
            return Ok(Node::Tensor(Box::new(TensorSpec { dtype, storage, offset: 0, shape, strides })));
        };
        if big_endian && known.size() > 1 {
            return Err(Fault::unsupported(
                self.place(),
                "little-endian elements",
                "big-endian ones",
                BIG_ENDIAN,
            ));
        }
        let bytes = self.raw(content)?;
        if byte_len(known, &shape) != Some(bytes.len()) {
            let expected = format!("the {known} elements of shape {shape:?}");
            return Err(Fault::damaged(self.place(), expected, format!("{} bytes", bytes.len())));
        }
        let strides = if fortran {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            LazyTensor::row_major(&reversed).map(|strides| strides.into_iter().rev().collect())
        } else {
            LazyTensor::row_major(&shape)
        };
        let strides = strides.unwrap_or_default();
        Ok(Node::Tensor(Box::new(TensorSpec { dtype, storage: inline(bytes), offset: 0, shape, strides })))
    }

    /// Bytes, also where protocol 0 or Python 2 made text of them.
    fn raw(&mut self, id: Id) -> Result<Bytes, Fault> {
        let text = match self.heap.get(id) {
            Node::Bytes(bytes) | Node::Either(bytes) => return Ok(bytes.clone()),
            Node::Text(text) => text.clone(),
            _ => return Err(self.wrong("bytes", id)),
        };
        let record = self.record();
        self.heap.payload.take(text.len(), record)?;
        let decoded = std::str::from_utf8(&text).ok().and_then(text::latin1);
        decoded.map(Bytes::from).ok_or_else(|| self.wrong("bytes", id))
    }

    /// `scalar(type, bytes)`.
    pub(super) fn array_scalar(&mut self, args: Id) -> Result<Node, Fault> {
        let Some(&[array_type, content]) = self.heap.sequence(args) else {
            return Err(self.wrong("type and bytes of a numpy scalar", args));
        };
        let Node::ArrayType(array_type) = self.heap.get(array_type) else {
            return Err(self.wrong("a numpy element type", array_type));
        };
        let (stated, code) = (array_type.stated(), array_type.code.clone());
        if array_type.big_endian && array_type.code != "b1" {
            return Err(Fault::unsupported(
                self.place(),
                "little-endian elements",
                "big-endian ones",
                BIG_ENDIAN,
            ));
        }
        let StatedDtype::Known(dtype) = stated else {
            return Ok(Self::inert(&format!("numpy {}", shown(&code)), args));
        };
        let bytes = self.raw(content)?;
        let whole = || text::little_endian(&bytes).unwrap_or_default();
        let node = match (dtype, &bytes[..]) {
            (Dtype::F64, &[a, b, c, d, e, f, g, h]) => {
                Node::Float(f64::from_le_bytes([a, b, c, d, e, f, g, h]))
            }
            (Dtype::F32, &[a, b, c, d]) => Node::Float(f32::from_le_bytes([a, b, c, d]).into()),
            (Dtype::F16, [_, _]) => Self::inert("numpy f2", args),
            (Dtype::Bool, &[flag]) => Node::Bool(flag != 0),
            (Dtype::U8, &[byte]) => Node::Int(byte.into()),
            (Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8, bytes) if bytes.len() == dtype.size() => {
                Node::Int(whole())
            }
            _ => {
                let expected = format!("{} bytes of {dtype}", dtype.size());
                return Err(Fault::damaged(self.place(), expected, bytes.len().to_string()));
            }
        };
        Ok(node)
    }
}
