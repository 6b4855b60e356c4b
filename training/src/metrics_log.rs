//! `metrics.jsonl`: one JSON object a line, append only, the numbers of a run for machines.
//!
//! ```text
//! {"kind":"train","step":10,"epoch":0.1,"loss":1.2,"loss_decode":1.0,"loss_aux":0.2,"lr":0.00006,...}
//! {"kind":"eval","step":100,"mIoU":0.41,...,"classes":{"Sky":{"IoU":0.9,"Acc":0.95}}}
//! ```
//!
//! Numbers are in full precision; one that is not finite is `null`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::atomic;
use crate::error::TrainError;

/// Averages since the record before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainRecord {
    /// Steps completed.
    pub step: u64,
    /// Passes through the training set, with a fraction.
    pub epoch: f64,
    /// Weighted sum of all losses.
    pub loss: f64,
    /// The single losses, by key such as `loss_decode`.
    pub losses: Vec<(String, f64)>,
    /// Base learning rate of the last step.
    pub lr: f64,
    /// Gradient norm before clipping, of the last step.
    pub grad_norm: f64,
    /// Training images per second of wall time.
    pub images_per_s: f64,
    /// Seconds of training so far, over all resumes, evaluation included.
    pub wall_s: f64,
}

impl Serialize for TrainRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "train")?;
        map.serialize_entry("step", &self.step)?;
        map.serialize_entry("epoch", &self.epoch)?;
        map.serialize_entry("loss", &self.loss)?;
        for (name, value) in &self.losses {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("lr", &self.lr)?;
        map.serialize_entry("grad_norm", &self.grad_norm)?;
        map.serialize_entry("images_per_s", &self.images_per_s)?;
        map.serialize_entry("wall_s", &self.wall_s)?;
        map.end()
    }
}

/// Scores of one evaluation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EvalRecord {
    /// Steps completed.
    pub step: u64,
    /// Seconds of training so far.
    pub wall_s: f64,
    /// Scores by name, such as `mIoU`; fractions or `null`.
    pub metrics: Map<String, Value>,
    /// Scores by class and name.
    pub classes: Map<String, Value>,
}

impl EvalRecord {
    /// Takes `metrics` and `classes` out of scores as `smalti score --json` has them; what is absent stays empty.
    pub fn from_scores(step: u64, wall_s: f64, scores: &Value) -> Self {
        let part = |key: &str| scores.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        Self { step, wall_s, metrics: part("metrics"), classes: part("classes") }
    }
}

impl Serialize for EvalRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "eval")?;
        map.serialize_entry("step", &self.step)?;
        map.serialize_entry("wall_s", &self.wall_s)?;
        for (name, value) in &self.metrics {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("classes", &self.classes)?;
        map.end()
    }
}

/// The open file of a run.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
}

impl MetricsLog {
    /// Opens `path` for appending after `step` completed steps (0 for a new run). What is left in it from beyond
    /// that step, and a last line that a kill cut, are dropped first; the file is replaced as a whole.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        match std::fs::read(path) {
            Ok(old) => {
                let kept = keep_until(&old, step);
                if kept.len() != old.len() {
                    tracing::debug!(path = %path.display(), step, "dropped records beyond the checkpoint");
                    atomic::write_file(path, &kept)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(TrainError::io(path, "reading")(error)),
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(TrainError::io(path, "opening"))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends one record as one line, in one call: a kill cuts at most the last line.
    ///
    /// # Errors
    /// The write fails.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
        let failed = || TrainError::io(&self.path, "writing");
        let mut line = serde_json::to_vec(record).map_err(|error| failed()(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed())
    }

    /// Makes all records durable; called with every checkpoint, whose resume relies on them.
    ///
    /// # Errors
    /// The operating system cannot write what it was given.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::io(&self.path, "syncing"))
    }
}

/// The lines that are whole records of at most `step` steps.
fn keep_until(text: &[u8], step: u64) -> Vec<u8> {
    let is_kept = |line: &&[u8]| {
        line.ends_with(b"\n")
            && serde_json::from_slice::<Value>(line)
                .is_ok_and(|record| record["step"].as_u64().is_some_and(|at| at <= step))
    };
    text.split_inclusive(|&byte| byte == b'\n').filter(is_kept).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn train(step: u64) -> TrainRecord {
        TrainRecord {
            step,
            epoch: step as f64 / 100.0,
            loss: 1.25,
            losses: vec![("loss_decode".into(), 1.0), ("loss_aux".into(), 0.25)],
            lr: 6e-5,
            grad_norm: f64::NAN,
            images_per_s: 1.0 / 3.0,
            wall_s: 12.5,
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn records_have_the_documented_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        log.append(&train(10)).unwrap();
        let scores = json!({
            "task": "semantic",
            "metrics": {"mIoU": 0.41, "mAcc": null},
            "classes": {"Sky": {"IoU": 0.9}},
        });
        log.append(&EvalRecord::from_scores(100, 20.0, &scores)).unwrap();
        log.sync().unwrap();
        let expected = [
            r#"{"kind":"train","step":10,"epoch":0.1,"loss":1.25,"loss_decode":1.0,"loss_aux":0.25,"lr":0.00006,"grad_norm":null,"images_per_s":0.3333333333333333,"wall_s":12.5}"#,
            r#"{"kind":"eval","step":100,"wall_s":20.0,"mIoU":0.41,"mAcc":null,"classes":{"Sky":{"IoU":0.9}}}"#,
        ];
        assert_eq!(lines(&path), expected);
    }

    #[test]
    fn resuming_drops_what_lies_beyond_and_the_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        for step in [10, 20, 30, 40] {
            log.append(&train(step)).unwrap();
        }
        let whole = lines(&path);
        log.file.write_all(b"{\"kind\":\"train\",\"step\":2").unwrap();
        drop(log);

        let mut log = MetricsLog::open(&path, 20).unwrap();
        assert_eq!(lines(&path), whole[..2]);
        log.append(&train(30)).unwrap();
        assert_eq!(lines(&path), whole[..3]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_run_starts_empty_and_a_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        MetricsLog::open(&path, 0).unwrap().append(&train(10)).unwrap();
        MetricsLog::open(&path, 0).unwrap();
        assert!(lines(&path).is_empty());
        let error = MetricsLog::open(dir.path(), 0).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().starts_with(&dir.path().display().to_string()));
    }

    proptest! {
        #[test]
        fn any_cut_keeps_the_whole_lines_before_it(cut in 0_usize..2000) {
            let mut text = Vec::new();
            for step in 1..=10 {
                serde_json::to_writer(&mut text, &train(step)).unwrap();
                text.push(b'\n');
            }
            let cut = cut % text.len();
            let kept = keep_until(&text[..cut], 10);
            let whole = text[..cut].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            prop_assert_eq!(kept, &text[..whole]);
        }
    }
}
