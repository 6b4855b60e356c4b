//! The folder of one run: who may write it, and what lies where.
//!
//! ```text
//! runs/<name>/
//!   config.toml        the resolved recipe
//!   init.json          of a run that started from weights: what was loaded, see `init`
//!   env.json           the starts of the run, newest last
//!   metrics.jsonl      see `metrics_log`
//!   events.out.*       see `events`
//!   checkpoints/       see `checkpoint`
//!   run.lock           held while a process writes here
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic;
use crate::checkpoint::CheckpointStore;
use crate::env::EnvInfo;
use crate::error::TrainError;
use crate::init::Started;

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoints";

/// A run's folder, locked against other processes for as long as this value lives. The operating system lets go of
/// the lock when the process ends, however it ends.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Whether an earlier start left something here.
    holds_run: bool,
    _lock: File,
}

impl RunDir {
    /// Creates the folder if need be and locks it. With `resume` it may hold the run to continue, or nothing yet:
    /// a requeued job passes the same arguments each time.
    ///
    /// # Errors
    /// The folder holds a run and `resume` is not set, another process is writing it, or it cannot be written.
    pub fn open(path: &Path, resume: bool) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(TrainError::io(path, "creating the folder"))?;
        let lock = lock(path)?;
        let found = what_is_there(path)?;
        if let Some(found) = &found
            && !resume
        {
            return Err(TrainError::RunExists { path: path.to_owned(), found: found.clone() });
        }
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(TrainError::io(&checkpoints, "creating the folder"))?;
        Ok(Self { path: path.to_owned(), holds_run: found.is_some(), _lock: lock })
    }

    /// Whether a run at `path`, opened or not, would go on from a checkpoint.
    ///
    /// # Errors
    /// The folder of checkpoints exists but cannot be read.
    pub fn has_checkpoint(path: &Path) -> Result<bool, TrainError> {
        Ok(!CheckpointStore::new(path.join(CHECKPOINTS), 1).is_empty()?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder held a run when it was opened.
    pub const fn holds_run(&self) -> bool {
        self.holds_run
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// `metrics.jsonl`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The resolved recipe that an earlier start wrote; `None` if there is none.
    ///
    /// # Errors
    /// The file exists but cannot be read.
    pub fn read_config(&self) -> Result<Option<String>, TrainError> {
        let path = self.path.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrainError::io(&path, "reading")(error)),
        }
    }

    /// Writes the resolved recipe.
    ///
    /// # Errors
    /// The file cannot be written; an earlier one is then untouched.
    pub fn write_config(&self, toml: &str) -> Result<(), TrainError> {
        atomic::write_file(&self.path.join(CONFIG), toml.as_bytes())
    }

    /// Writes what the run started from to `init.json`.
    ///
    /// # Errors
    /// The file cannot be written; an earlier one is then untouched.
    pub fn write_init(&self, started: &Started) -> Result<(), TrainError> {
        let path = self.path.join("init.json");
        let mut text = serde_json::to_vec_pretty(started)
            .map_err(|error| TrainError::io(&path, "writing")(error.into()))?;
        text.push(b'\n');
        atomic::write_file(&path, &text)
    }

    /// Adds a start of the run to `env.json`.
    ///
    /// # Errors
    /// The file cannot be written; an earlier one is then untouched.
    pub fn write_env(&self, env: &EnvInfo) -> Result<(), TrainError> {
        let path = self.path.join("env.json");
        let failed = || TrainError::io(&path, "writing");
        // Starts of before are of record value only: a file that cannot be read does not stop the run.
        let mut starts = fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
            .and_then(|mut old| Some(old.get_mut("starts")?.as_array_mut()?.split_off(0)))
            .unwrap_or_default();
        starts.push(serde_json::to_value(env).map_err(|error| failed()(error.into()))?);
        let mut text = serde_json::to_vec_pretty(&serde_json::json!({ "starts": starts }))
            .map_err(|error| failed()(error.into()))?;
        text.push(b'\n');
        atomic::write_file(&path, &text)
    }
}

/// The first trace of an earlier start.
fn what_is_there(path: &Path) -> Result<Option<String>, TrainError> {
    for name in [CONFIG, METRICS] {
        if path.join(name).exists() {
            return Ok(Some(name.to_owned()));
        }
    }
    let checkpoints = path.join(CHECKPOINTS);
    let mut entries = match fs::read_dir(&checkpoints) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => return Ok(None),
        Err(error) => return Err(TrainError::io(&checkpoints, "listing the folder")(error)),
    };
    Ok(entries.next().map(|_| format!("{CHECKPOINTS}/")))
}

/// Takes the lock of a run's folder.
fn lock(path: &Path) -> Result<File, TrainError> {
    let lock_path = path.join("run.lock");
    let failed = |action| TrainError::io(&lock_path, action);
    let mut file =
        OpenOptions::new().create(true).append(true).open(&lock_path).map_err(failed("opening"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&lock_path).unwrap_or_default();
            // Just locked, not yet signed.
            let owner = if owner.is_empty() { "another process" } else { owner.trim() }.to_owned();
            return Err(TrainError::RunLocked { path: path.to_owned(), owner });
        }
        // Some cluster file systems are mounted without locks; that must not keep a job from running.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            tracing::warn!(path = %lock_path.display(), "this file system has no locks: start one run here at a time");
        }
        Err(TryLockError::Error(error)) => return Err(failed("locking")(error)),
    }
    let owner = format!("process {} on {}\n", std::process::id(), crate::env::host_name());
    file.set_len(0).map_err(failed("writing"))?;
    file.write_all(owner.as_bytes()).map_err(failed("writing"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Start;

    #[test]
    fn a_second_run_is_refused_and_a_resume_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs/x");
        let run = RunDir::open(&path, false).unwrap();
        assert!(!run.holds_run());
        assert_eq!(run.read_config().unwrap(), None);
        run.write_config("seed = 1\n").unwrap();
        drop(run);

        let error = RunDir::open(&path, false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("already holds a run (config.toml)"), "{text}");
        assert!(text.contains("--resume") && text.contains("--out"), "{text}");
        assert_eq!(error.exit_code(), 2);

        let run = RunDir::open(&path, true).unwrap();
        assert!(run.holds_run());
        assert_eq!(run.read_config().unwrap().as_deref(), Some("seed = 1\n"));
    }

    #[test]
    fn a_start_that_left_no_trace_and_foreign_files_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
        drop(RunDir::open(dir.path(), false).unwrap());
        drop(RunDir::open(dir.path(), false).unwrap());
        assert!(!RunDir::open(dir.path(), true).unwrap().holds_run());
        fs::create_dir(dir.path().join("checkpoints/step-0000001")).unwrap();
        assert!(matches!(RunDir::open(dir.path(), false), Err(TrainError::RunExists { .. })));
    }

    #[test]
    fn two_processes_never_write_the_same_run() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path(), false).unwrap();
        let error = RunDir::open(dir.path(), true).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        assert_eq!(error.exit_code(), 2);
        drop(run);
        RunDir::open(dir.path(), true).unwrap();
    }

    #[test]
    fn env_keeps_every_start() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path(), false).unwrap();
        for resumed_from in [0, 300] {
            let start = Start { seed: 1, device: "cpu", libtorch: "2.11.0", resumed_from };
            run.write_env(&EnvInfo::collect(&start)).unwrap();
        }
        let text = fs::read_to_string(dir.path().join("env.json")).unwrap();
        let starts: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(starts["starts"][0]["resumed_from"], 0);
        assert_eq!(starts["starts"][1]["resumed_from"], 300);
    }

    #[test]
    fn a_file_in_the_way_is_an_error_naming_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        fs::write(&path, b"a file").unwrap();
        let error = RunDir::open(&path, false).unwrap_err();
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
