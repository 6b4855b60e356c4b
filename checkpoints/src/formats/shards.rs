//! A checkpoint in parts: `NAME.index.json` with `{"weight_map": {tensor: file}}`, and the files beside it, each of any
//! other format. Hugging Face's `save_pretrained` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::bytes::Bytes;
use crate::checkpoint::NamedTensor;
use crate::error::{CheckpointError, Fault, shown};
use crate::pickle::Expanded;
use crate::value::{Dict, Value};

#[derive(Deserialize)]
struct Index {
    /// The file of every tensor.
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, each with its tensors; `None` if the bytes are no index.
pub(crate) fn index(bytes: &[u8]) -> Option<BTreeMap<String, BTreeSet<String>>> {
    const LONGEST: usize = 100_000_000;
    if bytes.len() > LONGEST || !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Index { weight_map } = serde_json::from_slice(bytes).ok()?;
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        files.entry(file).or_default().insert(tensor);
    }
    Some(files)
}

/// The names of the parts that an index names, each a file beside it.
///
/// # Errors
/// What cannot be read, is no index, or names files elsewhere.
pub fn parts_of_index(path: &Path) -> Result<Vec<String>, CheckpointError> {
    let bytes = Bytes::map(path).map_err(CheckpointError::io(path, "opening"))?;
    let Some(files) = index(&bytes) else {
        let fault = Fault::damaged("file", "the index of a file in parts", "something else");
        return Err(fault.in_file(path));
    };
    for file in files.keys() {
        beside(file).map_err(|fault| fault.in_file(path))?;
    }
    Ok(files.into_keys().collect())
}

/// A part is a file beside its index.
fn beside(file: &str) -> Result<(), Fault> {
    let mut steps = Path::new(file).components();
    if matches!((steps.next(), steps.next()), (Some(Component::Normal(_)), None)) {
        return Ok(());
    }
    Err(Fault::damaged("weight_map", "names of files beside the index", shown(file)))
}

/// Reads all parts; each must hold exactly the tensors that the index says.
pub(crate) fn read(
    path: &Path,
    files: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(Expanded, Vec<PathBuf>), CheckpointError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut all, mut paths) = (BTreeMap::new(), Vec::new());
    for (file, names) in files {
        beside(file).map_err(|fault| fault.in_file(path))?;
        let part = folder.join(file);
        let bytes = Bytes::map(&part).map_err(CheckpointError::io(&part, "opening a part"))?;
        let (_, expanded) = super::read(&bytes).map_err(|fault| fault.in_file(&part))?;
        let mut left = names.clone();
        for tensor in expanded.tensors {
            let name = tensor.name();
            if !left.remove(&name) {
                let fault =
                    Fault::damaged(shown(&name), "the tensors that the index names", "one that it does not");
                return Err(fault.in_file(&part));
            }
            all.insert(name, tensor);
        }
        if let Some(name) = left.first() {
            let expected = format!("a tensor `{}`, as the index says", shown(name));
            return Err(Fault::damaged("part", expected, "none of this name").in_file(&part));
        }
        paths.push(part);
    }
    let (mut entries, mut tensors) = (Vec::new(), Vec::new());
    for (name, tensor) in all {
        entries.push((Value::Text(name.as_str().into()), Value::Tensor(tensors.len())));
        tensors.push(NamedTensor::new(vec![name.into()], tensor.tensor().clone()));
    }
    Ok((Expanded { tree: Value::Dict(Dict { entries, attributes: None }), tensors }, paths))
}
