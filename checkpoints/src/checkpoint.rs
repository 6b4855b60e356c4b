//! Opening a file or folder, and what it holds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::Bytes;
use crate::error::{CheckpointError, Fault};
use crate::formats::{self, Format, shards};
use crate::hub;
use crate::pickle::Expanded;
use crate::tensor::LazyTensor;
use crate::value::Value;

/// A tensor and where it stands.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    path: Vec<Arc<str>>,
    tensor: LazyTensor,
}

impl NamedTensor {
    pub(crate) fn new(path: Vec<Arc<str>>, tensor: LazyTensor) -> Self {
        Self { path, tensor }
    }

    /// Keys from the root of the file down to the tensor.
    pub fn path(&self) -> &[Arc<str>] {
        &self.path
    }

    /// The path with dots: `model.levels.0.norm.weight`.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// The tensor.
    pub fn tensor(&self) -> &LazyTensor {
        &self.tensor
    }
}

/// A checkpoint, read but for the bytes of its tensors.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    format: Format,
    files: Vec<PathBuf>,
    file_bytes: u64,
    tree: Value,
    tensors: Vec<NamedTensor>,
}

impl Checkpoint {
    /// Opens a file, the index of a file in parts, a folder that holds one of them, or a repository's folder in Hugging Face's
    /// cache.
    ///
    /// # Errors
    /// What cannot be read, is damaged, names code, or asks for more memory than a file of its size has a reason to.
    /// Nothing is executed, and nothing is half opened.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let found = if path.is_dir() { find(path)? } else { path.to_owned() };
        let path = found.as_path();
        let bytes = Bytes::map(path).map_err(CheckpointError::io(path, "opening"))?;
        let Some(index) = shards::index(&bytes) else {
            return Self::of(path, &bytes);
        };
        let (Expanded { tree, tensors }, files) = shards::read(path, &index)?;
        let mut file_bytes = 0;
        for file in &files {
            file_bytes += file.metadata().map_err(CheckpointError::io(file, "reading"))?.len();
        }
        Ok(Self { path: found, format: Format::Sharded, files, file_bytes, tree, tensors })
    }

    /// Reads bytes at hand, of any format that is one file; `path` is what errors call them.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        Self::of(path, &bytes.into())
    }

    fn of(path: &Path, bytes: &Bytes) -> Result<Self, CheckpointError> {
        let (format, Expanded { tree, tensors }) =
            formats::read(bytes).map_err(|fault| fault.in_file(path))?;
        Ok(Self {
            path: path.to_owned(),
            format,
            files: vec![path.to_owned()],
            file_bytes: bytes.len() as u64,
            tree,
            tensors,
        })
    }

    /// The file that was opened; for a folder the file that was found in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The files that hold the tensors.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Their length in all.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Everything in the file; tensors are numbers of [`tensors`](Self::tensors).
    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// All tensors of the file in its order, those of optimisers and averages too.
    pub fn tensors(&self) -> &[NamedTensor] {
        &self.tensors
    }
}

/// The weights in a folder, by the names that Hugging Face's libraries give them; else the only candidate.
fn find(folder: &Path) -> Result<PathBuf, CheckpointError> {
    const NAMES: [&str; 4] = [
        "model.safetensors.index.json",
        "model.safetensors",
        "pytorch_model.bin.index.json",
        "pytorch_model.bin",
    ];
    if let Some(snapshot) = hub::snapshot(folder) {
        return find(&snapshot?);
    }
    if let Some(path) = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Ok(path);
    }
    let failed = || CheckpointError::io(folder, "listing the folder");
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(failed())? {
        files.push(entry.map_err(failed())?.path());
    }
    files.sort();
    let endings: [fn(&Path) -> bool; 3] = [
        |path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(".index.json")),
        |path| path.extension() == Some(OsStr::new("safetensors")),
        |path| {
            path.extension().and_then(OsStr::to_str).is_some_and(|e| ["pth", "pt", "bin", "pkl"].contains(&e))
        },
    ];
    for fits in endings {
        let fitting: Vec<_> = files.iter().filter(|path| fits(path)).collect();
        match fitting[..] {
            [] => {}
            [one] => return Ok(one.clone()),
            [first, ..] => {
                let name = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let got = format!("{} of them, {name} first", fitting.len());
                let fault = Fault::choice("folder", "one file of weights", got, "give the path of the file");
                return Err(fault.in_file(folder));
            }
        }
    }
    let fault = Fault::choice(
        "folder",
        "model.safetensors, its index, pytorch_model.bin, or one file of weights",
        "none",
        "give the path of the file",
    );
    Err(fault.in_file(folder))
}
