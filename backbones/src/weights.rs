//! Loading weights into a model, strictly: what is missing, surplus or of another shape is an error that lists it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tch::nn::VarStore;
use tch::{Tensor, no_grad};

use crate::{ModelError, safetensors_io};

/// How a set of named tensors differs from a model's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightsMismatch {
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the model lacks.
    pub surplus: Vec<String>,
    /// Name, shape in the model, shape in the file.
    pub shapes: Vec<(String, Vec<i64>, Vec<i64>)>,
}

impl WeightsMismatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.shapes.is_empty()
    }
}

/// How many names of each list an error shows.
const SHOWN: usize = 8;

impl fmt::Display for WeightsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let mut section = |title: &str, items: Vec<String>| {
            if items.is_empty() {
                return;
            }
            let more = items.len().saturating_sub(SHOWN);
            let text = items.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
            let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
            lines.push(format!("  {title}: {text}{rest}"));
        };
        section(&format!("missing ({})", self.missing.len()), self.missing.clone());
        section(&format!("surplus ({})", self.surplus.len()), self.surplus.clone());
        let shapes =
            self.shapes.iter().map(|(name, model, file)| format!("{name} expected {model:?}, got {file:?}"));
        section(&format!("other shape ({})", self.shapes.len()), shapes.collect());
        f.write_str(&lines.join("\n"))
    }
}

/// Named tensors of a store, sorted by name: parameters and buffers.
pub fn named_tensors(store: &VarStore) -> Vec<(String, Tensor)> {
    store.variables().into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Copies `tensors` into the parameters of the same names; all or nothing. Dtypes are converted to the model's.
///
/// # Errors
/// The mismatch, if names or shapes differ.
pub fn assign(store: &VarStore, tensors: &[(String, Tensor)]) -> Result<(), WeightsMismatch> {
    let given: BTreeMap<&str, &Tensor> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let own = named_tensors(store);
    let mut mismatch = WeightsMismatch::default();
    for (name, tensor) in &own {
        match given.get(name.as_str()) {
            None => mismatch.missing.push(name.clone()),
            Some(source) if source.size() != tensor.size() => {
                mismatch.shapes.push((name.clone(), tensor.size(), source.size()));
            }
            Some(_) => {}
        }
    }
    let known = |name: &str| own.binary_search_by(|(own, _)| own.as_str().cmp(name)).is_ok();
    mismatch.surplus = given.keys().filter(|name| !known(name)).map(ToString::to_string).collect();
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    no_grad(|| own.into_iter().for_each(|(name, mut tensor)| tensor.copy_(given[name.as_str()])));
    Ok(())
}

/// Reads a safetensors file into the model, strictly.
///
/// # Errors
/// [`ModelError::File`] if the file can not be read, [`ModelError::Weights`] if it does not fit; the model is unchanged then.
pub fn load(store: &VarStore, path: &Path) -> Result<(), ModelError> {
    let tensors = safetensors_io::read(path)?.tensors;
    assign(store, &tensors).map_err(|mismatch| ModelError::Weights { path: path.to_path_buf(), mismatch })
}
