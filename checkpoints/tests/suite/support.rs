//! The fixtures that `scripts/goldens/make_checkpoints.py` wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What a file of `read/` holds, as its writers see it.
#[derive(Debug, Deserialize)]
pub struct Readable {
    pub format: String,
    pub wrapper: String,
    pub prefix: String,
    /// Name to element type, shape and bytes in hex.
    pub tensors: BTreeMap<String, (String, Vec<usize>, String)>,
    /// Tensors in the whole file, if others than those of the weights.
    pub all: Option<usize>,
}

/// How a file of `refused/` is refused.
#[derive(Debug, Deserialize)]
pub struct Refused {
    pub kind: String,
    pub words: Vec<String>,
}

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A table of fixtures: `read` or `refused`.
pub fn table<T: DeserializeOwned>(name: &str) -> BTreeMap<String, T> {
    let text = std::fs::read(folder(&format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Every file of a folder by name, the parts of a sharded checkpoint left out.
pub fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in folder(name).read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, std::fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}
