//! Tensor files written atomically; the format itself is [`smalti_backbones::safetensors_io`].

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::Path;

pub use smalti_backbones::safetensors_io::{SafetensorsError, TensorEntry, TensorFile, inspect, read, write};
use tch::Tensor;

use crate::atomic;
use crate::error::TrainError;

/// Replaces the file at `path` by these tensors and metadata; see [`write()`] for what they may be.
///
/// # Errors
/// As [`write()`] and [`atomic::write_with`]; the earlier file is then untouched.
pub fn write_file<S, T>(
    path: &Path,
    tensors: &[(S, T)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), TrainError>
where
    S: AsRef<str>,
    T: Borrow<Tensor>,
{
    atomic::write_with(path, |out| Ok(write(path, out, tensors, metadata)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_tensor_keeps_the_earlier_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let one = Tensor::from(1.0_f32);
        write_file(&path, &[("a", &one)], &BTreeMap::new()).unwrap();
        let error = write_file(&path, &[("a", &one), ("a", &one)], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("the name twice"), "{error}");
        assert_eq!(read(&path).unwrap().tensors.len(), 1);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
