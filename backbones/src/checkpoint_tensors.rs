//! Tensors of foreign checkpoints as tensors of libtorch: the one place where both are known.

use smalti_checkpoints::{CheckpointError, Dtype, LazyTensor};
use tch::{Kind, TchError, Tensor};

/// What keeps a checkpoint's tensor from becoming libtorch's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A byte of a bool tensor that is no bool.
    #[error("tensor `{name}`: expected booleans stored as 0 or 1, got {byte}")]
    Bool {
        /// Name of the tensor.
        name: String,
        /// The byte.
        byte: u8,
    },
    /// libtorch refused to copy the bytes.
    #[error("tensor `{name}` could not be copied")]
    Copy {
        /// Name of the tensor.
        name: String,
        /// libtorch's reason.
        source: TchError,
    },
}

/// The element type under libtorch's name.
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::Bool => Kind::Bool,
    }
}

/// A copy on the CPU, row by row, without gradient; the bytes are read from the file now, and only these.
///
/// # Errors
/// A bool tensor with other bytes than 0 and 1, or libtorch's refusal.
pub fn tensor(name: &str, stored: &LazyTensor) -> Result<Tensor, ConversionError> {
    if let Some(byte) = stored.bad_bool() {
        return Err(ConversionError::Bool { name: name.to_owned(), byte });
    }
    // No size is beyond i64: the reader has counted the elements.
    let shape: Vec<i64> = stored.shape().iter().map(|&size| size as i64).collect();
    Tensor::f_from_data_size(&stored.to_bytes(), &shape, kind(stored.dtype()))
        .map_err(|source| ConversionError::Copy { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smalti_checkpoints::Checkpoint;

    use super::*;

    /// Every element type, a view, an empty tensor and a scalar, through libtorch and back to the same bytes.
    #[test]
    fn every_element_type_keeps_its_bits() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/fixtures/read/zip.pth");
        let checkpoint = Checkpoint::open(&path).unwrap();
        let weights = checkpoint.state_dict(None).unwrap();
        assert_eq!(weights.tensors.len(), 21);
        for (name, stored) in weights.tensors {
            let tensor = tensor(&name, stored).unwrap();
            assert_eq!(tensor.kind(), kind(stored.dtype()), "{name}");
            let mut bytes = vec![0; stored.byte_len()];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            assert_eq!(bytes, *stored.to_bytes(), "{name}");
            let shape: Vec<i64> = stored.shape().iter().map(|&size| size as i64).collect();
            assert_eq!(tensor.size(), shape, "{name}");
        }
    }

    #[test]
    fn a_bool_is_0_or_1() {
        let header = r#"{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[1, 7]].concat();
        let checkpoint = Checkpoint::from_bytes(Path::new("memory"), bytes).unwrap();
        let error = tensor("w", checkpoint.tensors()[0].tensor()).unwrap_err();
        assert_eq!(error.to_string(), "tensor `w`: expected booleans stored as 0 or 1, got 7");
    }
}
