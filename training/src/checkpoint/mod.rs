//! Checkpoints that survive kills, full disks and flipped bits.
//!
//! ```text
//! checkpoints/
//!   step-0000300/       model, optimizer and rng .safetensors, state.json, manifest.json
//!   best.safetensors    weights of the best evaluation
//!   .tmp-*              being written or being deleted
//! ```
//!
//! A checkpoint is written under a temporary name, synced, and renamed. Its manifest is written last and holds the
//! digest of every file; [`CheckpointStore::latest`] takes the newest folder that agrees with its manifest and says
//! which newer ones it had to pass over.

mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use tch::Tensor;

pub(crate) use self::manifest::{Digest, digest_of};
use self::manifest::{MANIFEST, Manifest};
use crate::atomic;
use crate::error::TrainError;
use crate::safetensors_io;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const RNG: &str = "rng.safetensors";
const STATE: &str = "state.json";
const FILES: [&str; 4] = [MODEL, OPTIMIZER, RNG, STATE];
const PREFIX: &str = "step-";
const TEMPORARY: &str = ".tmp-";

/// Everything needed to continue a run as if it had never stopped.
#[derive(Debug)]
pub struct Snapshot {
    /// Parameters and buffers by name.
    pub model: Vec<(String, Tensor)>,
    /// Optimiser state, such as `<parameter>.exp_avg`.
    pub optimizer: Vec<(String, Tensor)>,
    /// Random generator states, such as `cpu`.
    pub rng: Vec<(String, Tensor)>,
    /// The rest: loader position, schedule, best score, digest of the configuration. Finite floats come back to
    /// the bit; JSON has no others.
    pub state: Value,
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct Loaded {
    /// Steps completed when it was saved.
    pub step: u64,
    /// Its folder.
    pub path: PathBuf,
    /// Its content; tensors on the CPU.
    pub snapshot: Snapshot,
}

/// A checkpoint that [`CheckpointStore::latest`] passed over; displays as
/// "step-0000300 is damaged (model.safetensors: expected 123 bytes, got 45)".
#[derive(Debug)]
pub struct Skipped {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong, with expected and got.
    pub why: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        write!(f, "{} is damaged ({})", name.display(), self.why)
    }
}

/// The checkpoints of one run. One process at a time may save; see [`RunDir`](crate::run_dir::RunDir) for the lock.
#[derive(Debug)]
pub struct CheckpointStore {
    dir: PathBuf,
    keep: usize,
}

impl CheckpointStore {
    /// A store in `dir` (created at the first save) that keeps the `keep` newest checkpoints, at least one.
    pub fn new(dir: impl Into<PathBuf>, keep: usize) -> Self {
        Self { dir: dir.into(), keep: keep.max(1) }
    }

    /// Saves a checkpoint after `step` completed steps and returns its folder. One of the same step is replaced;
    /// older ones beyond `keep` go, and so do newer ones: they belong to a course of the run that was given up.
    ///
    /// # Errors
    /// The folder is not writable or the disk is full: earlier checkpoints are untouched, no temporary files stay.
    pub fn save(&self, step: u64, snapshot: &Snapshot) -> Result<PathBuf, TrainError> {
        fs::create_dir_all(&self.dir).map_err(TrainError::io(&self.dir, "creating the folder"))?;
        // Cut writes only occupy space that this one may need. Whole ones stay until the new one is in place.
        self.remove_temporary(|folder| !folder.join(MANIFEST).exists());
        let temporary = self.dir.join(format!("{TEMPORARY}{}-{}", folder_name(step), std::process::id()));
        let path = self.dir.join(folder_name(step));
        let saved = write_folder(&temporary, step, snapshot).and_then(|()| self.put(&temporary, &path));
        if let Err(error) = saved {
            remove_quietly(&temporary);
            return Err(error);
        }
        self.prune(step);
        Ok(path)
    }

    /// Loads the newest checkpoint that is whole, with the damaged ones passed over on the way, newest first.
    /// `None` if there is no checkpoint at all.
    ///
    /// # Errors
    /// Checkpoints exist but none is whole, or the folder cannot be read.
    pub fn latest(&self) -> Result<Option<(Loaded, Vec<Skipped>)>, TrainError> {
        let mut skipped = Vec::new();
        for (step, path) in self.candidates()? {
            match load(&path, step) {
                Ok(snapshot) => return Ok(Some((Loaded { step, path, snapshot }, skipped))),
                Err(why) => skipped.push(Skipped { path, why }),
            }
        }
        if skipped.is_empty() {
            return Ok(None);
        }
        let reasons = skipped.iter().map(ToString::to_string).collect();
        Err(TrainError::NoGoodCheckpoint { path: self.dir.clone(), reasons })
    }

    /// Whether there is no checkpoint, whole or damaged: where [`latest`](Self::latest) gives `None`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_empty(&self) -> Result<bool, TrainError> {
        Ok(self.candidates()?.is_empty())
    }

    /// Replaces `best.safetensors` by these weights, atomically, and returns its path. `metadata` says what they
    /// are, such as the step and the score.
    ///
    /// # Errors
    /// As [`CheckpointStore::save`]; the earlier file is then untouched.
    pub fn save_best(
        &self,
        weights: &[(String, Tensor)],
        metadata: &BTreeMap<String, String>,
    ) -> Result<PathBuf, TrainError> {
        fs::create_dir_all(&self.dir).map_err(TrainError::io(&self.dir, "creating the folder"))?;
        let path = self.best_path();
        safetensors_io::write_file(&path, weights, metadata)?;
        Ok(path)
    }

    /// Where [`CheckpointStore::save_best`] writes.
    pub fn best_path(&self) -> PathBuf {
        self.dir.join("best.safetensors")
    }

    /// Moves a finished folder to its name. A folder of that name steps aside first; should the process die just
    /// then, both carry temporary names, and `latest` looks at those too.
    fn put(&self, temporary: &Path, path: &Path) -> Result<(), TrainError> {
        let failed = || TrainError::io(path, "moving the finished checkpoint");
        let aside = aside(path);
        if path.exists() {
            remove_quietly(&aside);
            fs::rename(path, &aside).map_err(failed())?;
        }
        if let Err(error) = fs::rename(temporary, path) {
            // Best effort: the error that matters is the one at hand.
            fs::rename(&aside, path).ok();
            return Err(failed()(error));
        }
        atomic::sync_folder(&self.dir)
    }

    /// Deletes what is beyond `keep` and what is newer than `step`. Failing to delete is no reason to stop a run.
    fn prune(&self, step: u64) {
        self.remove_temporary(|_| true);
        let Ok(all) = self.folders() else { return };
        let older = all.iter().filter(|(other, _)| *other < step).skip(self.keep - 1);
        let newer = all.iter().filter(|(other, _)| *other > step);
        for (_, path) in older.chain(newer) {
            // Renamed first: a deletion that is cut leaves no half checkpoint under a good name.
            let aside = aside(path);
            let gone = fs::rename(path, &aside).and_then(|()| fs::remove_dir_all(&aside));
            if let Err(error) = gone {
                tracing::warn!(path = %path.display(), %error, "an old checkpoint could not be deleted");
            }
        }
    }

    /// Folders named `step-<n>`, newest first.
    fn folders(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let mut found: Vec<_> = entries(&self.dir)?
            .into_iter()
            .filter_map(|path| Some((path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()?, path)))
            .collect();
        found.sort_by(|a: &(u64, PathBuf), b| b.cmp(a));
        Ok(found)
    }

    /// All folders that may hold a checkpoint, newest first. Among them those that were whole but not yet renamed
    /// when the process died; damaged ones of that kind are not worth a word.
    fn candidates(&self) -> Result<Vec<(u64, PathBuf)>, TrainError> {
        let mut found = self.folders()?;
        for path in entries(&self.dir)? {
            if is_temporary(&path)
                && path.join(MANIFEST).exists()
                && let Ok(manifest) = Manifest::verify(&path, &FILES)
            {
                found.push((manifest.step, path));
            }
        }
        // Stable: of one step, the folder with the proper name comes first.
        found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
        Ok(found)
    }

    fn remove_temporary(&self, which: impl Fn(&Path) -> bool) {
        for path in entries(&self.dir).unwrap_or_default() {
            if is_temporary(&path) && which(&path) {
                remove_quietly(&path);
            }
        }
    }
}

/// `step-0000300`: padded, so that a plain listing is in order.
fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:07}")
}

/// The temporary name under which an unwanted folder waits for its deletion.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY}old-{name}"))
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// Paths in a folder; none if it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let failed = || TrainError::io(dir, "listing the folder");
    match fs::read_dir(dir) {
        Ok(listing) => listing.map(|entry| entry.map(|entry| entry.path()).map_err(failed())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed()(error)),
    }
}

/// Clean-up after the fact: what cannot be removed is tried again at the next save.
fn remove_quietly(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "not removed");
    }
}

fn write_folder(folder: &Path, step: u64, snapshot: &Snapshot) -> Result<(), TrainError> {
    remove_quietly(folder); // a process of the same id, killed while writing the same step
    fs::create_dir(folder).map_err(TrainError::io(folder, "creating the folder"))?;
    let mut manifest = Manifest::new(step);
    let groups = [(MODEL, &snapshot.model), (OPTIMIZER, &snapshot.optimizer), (RNG, &snapshot.rng)];
    for (name, tensors) in groups {
        manifest.add(folder, name, |path, out| {
            Ok(safetensors_io::write(path, out, tensors, &BTreeMap::new())?)
        })?;
    }
    manifest.add(folder, STATE, |path, out| {
        serde_json::to_writer_pretty(out, &snapshot.state)
            .map_err(|error| TrainError::io(path, "writing")(error.into()))
    })?;
    manifest.write(folder)?;
    atomic::sync_folder(folder)
}

/// Loads one checkpoint, or says in words what is wrong with it.
fn load(folder: &Path, step: u64) -> Result<Snapshot, String> {
    let manifest = Manifest::verify(folder, &FILES)?;
    if manifest.step != step {
        return Err(format!("{MANIFEST}: expected step {step}, got {}", manifest.step));
    }
    let tensors = |name: &str| match safetensors_io::read(&folder.join(name)) {
        Ok(file) => Ok(file.tensors),
        Err(error) => Err(with_sources(&error)),
    };
    let state = fs::read(folder.join(STATE)).map_err(|error| format!("{STATE}: {error}"))?;
    Ok(Snapshot {
        model: tensors(MODEL)?,
        optimizer: tensors(OPTIMIZER)?,
        rng: tensors(RNG)?,
        state: serde_json::from_slice(&state).map_err(|error| format!("{STATE}: {error}"))?,
    })
}

/// A message followed by those of its sources: what is kept here is text only.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
