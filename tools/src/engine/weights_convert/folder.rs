//! A folder that appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use smalti::output::InputError;
use smalti_checkpoints::layouts::Content;
use smalti_checkpoints::write;
use tempfile::TempDir;

/// Files on their way into a folder: they lie beside it until all are there.
pub struct Folder {
    hidden: TempDir,
    place: PathBuf,
}

impl Folder {
    /// Prepares the folder `place`, which must not be there, or be empty.
    pub fn new(place: &Path) -> Result<Self> {
        let shown = place.display();
        if place.exists() {
            let empty = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
            if !empty {
                bail!(InputError::new(format!(
                    "{shown}: expected a folder to make, got one with files in it, or a file"
                )));
            }
        }
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)
            .with_context(|| format!("{}: making the folder failed", parent.display()))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".smalti-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777)); // as any new folder, less the umask
        }
        let hidden =
            builder.tempdir_in(parent).with_context(|| format!("{shown}: making the folder failed"))?;
        Ok(Self { hidden, place: place.to_owned() })
    }

    /// Where to write a file now.
    pub fn path(&self, name: &str) -> PathBuf {
        self.hidden.path().join(name)
    }

    /// Writes `model.safetensors`, one tensor in memory at a time.
    pub fn weights(&self, tensors: &[(String, Content)], metadata: &BTreeMap<String, String>) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(self.path("model.safetensors"))?);
            write::safetensors(&mut out, tensors, metadata)?;
            out.flush()?;
            out.get_ref().sync_all()
        };
        write().with_context(|| format!("{}: writing model.safetensors failed", self.place.display()))
    }

    /// Puts the folder in its place.
    pub fn keep(self) -> Result<()> {
        let hidden = self.hidden.keep();
        fs::rename(&hidden, &self.place).or_else(|error| {
            let _ = fs::remove_dir_all(&hidden); // what was hidden has no use; the error is the other one
            Err(error)
                .with_context(|| format!("{}: putting the folder in its place failed", self.place.display()))
        })
    }
}
