//! The manifest of a checkpoint folder: size and BLAKE3 of each file, written last, so that a folder with a
//! manifest that verifies is whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Name of the manifest in a checkpoint folder.
pub(super) const MANIFEST: &str = "manifest.json";
/// Version of the folder's layout.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Steps completed.
    pub step: u64,
    files: BTreeMap<String, Digest>,
}

/// Length and hash of a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    bytes: u64,
    blake3: String,
}

impl Manifest {
    pub fn new(step: u64) -> Self {
        Self { format: FORMAT, step, files: BTreeMap::new() }
    }

    /// Writes and syncs one file of the folder and notes its digest.
    pub fn add<F>(&mut self, folder: &Path, name: &str, fill: F) -> Result<(), TrainError>
    where
        F: FnOnce(&Path, &mut dyn Write) -> Result<(), TrainError>,
    {
        let path = folder.join(name);
        let digest = write_synced(&path, |out| fill(&path, out))?;
        self.files.insert(name.to_owned(), digest);
        Ok(())
    }

    /// Writes and syncs the manifest itself; nothing may be added after.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        let path = folder.join(MANIFEST);
        let failed = || TrainError::io(&path, "writing");
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed()(error.into()))?;
        write_synced(&path, |out| out.write_all(&text).map_err(failed())).map(drop)
    }

    /// Reads the manifest of `folder` and checks every file of `names` against it.
    ///
    /// # Errors
    /// What is wrong, in words that name the file within the folder, expected and got.
    pub fn verify(folder: &Path, names: &[&str]) -> Result<Self, String> {
        let text = match std::fs::read(folder.join(MANIFEST)) {
            Ok(text) => text,
            Err(error) => return Err(format!("{MANIFEST}: {error}")),
        };
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| format!("{MANIFEST}: not valid: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!("{MANIFEST}: expected format {FORMAT}, got {}", manifest.format));
        }
        for name in names {
            let Some(expected) = manifest.files.get(*name) else {
                return Err(format!("{MANIFEST}: expected an entry for {name}, got none"));
            };
            let got = digest_of(&folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
            if got.bytes != expected.bytes {
                return Err(format!("{name}: expected {} bytes, got {}", expected.bytes, got.bytes));
            }
            if got.blake3 != expected.blake3 {
                return Err(format!(
                    "{name}: expected BLAKE3 {}, got {}",
                    short(&expected.blake3),
                    short(&got.blake3)
                ));
            }
        }
        Ok(manifest)
    }
}

/// Enough of a digest to tell two apart in a message; damaged manifests may hold anything.
fn short(hex: &str) -> &str {
    hex.get(..16).unwrap_or(hex)
}

pub(crate) fn digest_of(path: &Path) -> std::io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest { bytes, blake3: hasher.finalize().to_hex().to_string() });
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Creates `path`, lets `fill` write it, syncs it, and returns the digest of what was written.
fn write_synced<F>(path: &Path, fill: F) -> Result<Digest, TrainError>
where
    F: FnOnce(&mut dyn Write) -> Result<(), TrainError>,
{
    let failed = || TrainError::io(path, "writing");
    let file = File::create(path).map_err(failed())?;
    let mut out =
        Hashing { out: BufWriter::with_capacity(1 << 20, &file), hasher: blake3::Hasher::new(), bytes: 0 };
    fill(&mut out)?;
    out.flush().map_err(failed())?;
    file.sync_all().map_err(failed())?;
    Ok(Digest { bytes: out.bytes, blake3: out.hasher.finalize().to_hex().to_string() })
}

/// Digests what passes through, so that a file need not be read again.
struct Hashing<W> {
    out: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
