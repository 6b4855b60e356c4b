//! Arrays of the host that are to become tensors.

use std::borrow::Cow;

use tch::{Kind, Tensor};

use crate::OpError;

/// An array of the host in row-major order.
#[derive(Debug)]
pub struct HostArray<'a> {
    values: HostValues<'a>,
    shape: Vec<i64>,
}

/// Its values, of the types that data come in.
#[derive(Debug)]
pub enum HostValues<'a> {
    /// Images.
    Float(&'a [f32]),
    /// Label maps, masks, class ids of a table.
    Byte(Cow<'a, [u8]>),
    /// Indices.
    Int(Vec<i64>),
}

impl<'a> From<&'a [f32]> for HostValues<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Float(values)
    }
}

impl<'a> From<&'a [u8]> for HostValues<'a> {
    fn from(values: &'a [u8]) -> Self {
        Self::Byte(Cow::Borrowed(values))
    }
}

impl From<Vec<u8>> for HostValues<'_> {
    fn from(values: Vec<u8>) -> Self {
        Self::Byte(Cow::Owned(values))
    }
}

impl From<Vec<i64>> for HostValues<'_> {
    fn from(values: Vec<i64>) -> Self {
        Self::Int(values)
    }
}

impl<'a> HostArray<'a> {
    /// `values` as an array of this shape.
    ///
    /// # Errors
    /// [`OpError::Argument`] if there are more or fewer values than the shape has places.
    pub fn new(values: impl Into<HostValues<'a>>, shape: &[usize]) -> Result<Self, OpError> {
        let values = values.into();
        let (places, got) = (shape.iter().product::<usize>(), values.len());
        if places != got {
            return Err(OpError::Argument {
                op: "upload",
                what: "the values of an array".to_string(),
                expected: format!("{places} for the shape {shape:?}"),
                got: got.to_string(),
            });
        }
        Ok(Self { values, shape: shape.iter().map(|&size| size as i64).collect() })
    }

    /// The same as a tensor on the CPU.
    ///
    /// # Errors
    /// [`OpError::Tch`] if there is no memory for it.
    pub fn tensor(&self) -> Result<Tensor, OpError> {
        let flat = match &self.values {
            HostValues::Float(values) => Tensor::f_from_slice(values),
            HostValues::Byte(values) => Tensor::f_from_slice(values),
            HostValues::Int(values) => Tensor::f_from_slice(values),
        };
        Ok(flat?.f_reshape(&self.shape)?)
    }

    pub(super) fn shape(&self) -> &[i64] {
        &self.shape
    }

    pub(super) fn kind(&self) -> Kind {
        match self.values {
            HostValues::Float(_) => Kind::Float,
            HostValues::Byte(_) => Kind::Uint8,
            HostValues::Int(_) => Kind::Int64,
        }
    }

    /// Where the values lie and how many bytes they take.
    pub(super) fn memory(&self) -> (*const u8, usize) {
        match &self.values {
            HostValues::Float(values) => (values.as_ptr().cast(), size_of_val(*values)),
            HostValues::Byte(values) => (values.as_ptr(), values.len()),
            HostValues::Int(values) => (values.as_ptr().cast(), size_of_val(values.as_slice())),
        }
    }
}

impl HostValues<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Byte(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }
}
