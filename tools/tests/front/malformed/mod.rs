//! Input that is wrong, from outside: each must be refused with exit code 2 and a few lines that name the file, or be
//! scored with a warning; within seconds, in little memory, without a panic.

mod cityscapes;
mod coco;
mod panoptic;
mod pngs;
mod semantic;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;

/// Address space of a run in KiB: what a worker thread reserves and never touches counts, so it is more than is used.
const MEMORY: &str = "800000";
const SECONDS: u64 = 10;

/// What must come of one wrong input.
enum Outcome {
    /// Exit code 2; the message holds all of these.
    Refused(&'static [&'static str]),
    /// Exit code 0, a warning that holds all of these, and this metric at this value; with `--strict` exit code 2.
    Warned(&'static [&'static str], &'static str, Option<f64>),
    /// Exit code 0 and this metric at this value: unusual, but clear.
    Scored(&'static str, Option<f64>),
}

use Outcome::{Refused, Scored, Warned};

/// One wrong input: what is changed in a good folder, and what must come of it.
type Bad = (&'static str, fn(&Path), Outcome);

/// Makes a good folder for each case, spoils it, and scores it with `words`.
fn check(good: fn(&Path), words: &[&str], cases: &[Bad]) {
    let unspoilt = tempfile::tempdir().unwrap();
    good(unspoilt.path());
    let ran = run(unspoilt.path(), words);
    assert_eq!(ran.code, Some(0), "the good folder: {}", ran.stderr);
    let mut wrong = Vec::new();
    for (name, spoil, outcome) in cases {
        let dir = tempfile::tempdir().unwrap();
        good(dir.path());
        spoil(dir.path());
        if let Err(why) = holds(dir.path(), words, outcome) {
            wrong.push(format!("{name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn holds(dir: &Path, words: &[&str], outcome: &Outcome) -> Result<(), String> {
    let ran = run(dir, words);
    let all_in = |parts: &[&str]| match parts.iter().find(|part| !ran.stderr.contains(**part)) {
        Some(part) => Err(format!("no `{part}` in {}", ran.stderr)),
        None => Ok(()),
    };
    let code = |expected| {
        if ran.code == Some(expected) {
            return Ok(());
        }
        Err(format!("exit code {:?}, expected {expected}: {}", ran.code, ran.stderr))
    };
    if ran.stderr.contains("panicked") || ran.stderr.lines().count() > 8 {
        return Err(format!("a panic or too many lines: {}", ran.stderr));
    }
    match outcome {
        Refused(parts) => code(2).and_then(|()| all_in(parts)),
        Warned(parts, metric, value) => {
            code(0)?;
            all_in(&["warning: "])?;
            all_in(parts)?;
            equals(&ran.metric(metric), *value)?;
            let strict = run(dir, &[words, &["--strict"]].concat());
            if strict.code == Some(2) {
                Ok(())
            } else {
                Err(format!("--strict: {:?} {}", strict.code, strict.stderr))
            }
        }
        Scored(metric, value) => {
            code(0)?;
            equals(&ran.metric(metric), *value)
        }
    }
}

fn equals(got: &Value, expected: Option<f64>) -> Result<(), String> {
    let same = match (got.as_f64(), expected) {
        (Some(got), Some(expected)) => (got - expected).abs() < 1e-12,
        (None, None) => got.is_null(),
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("the metric is {got}, expected {expected:?}")) }
}

struct Ran {
    code: Option<i32>,
    stderr: String,
    scores: Value,
}

impl Ran {
    fn metric(&self, name: &str) -> Value {
        self.scores["metrics"]
            .get(name)
            .cloned()
            .unwrap_or_else(|| Value::String(format!("no metric {name}")))
    }
}

/// Runs `smalti score WORDS --json scores.json` with little memory and a time limit.
fn run(dir: &Path, words: &[&str]) -> Ran {
    let began = Instant::now();
    let out = Command::new("sh")
        .args([
            "-c",
            "ulimit -v \"$0\" 2>/dev/null; exec \"$@\"",
            MEMORY,
            env!("CARGO_BIN_EXE_smalti"),
            "score",
        ])
        .args(words)
        .args(["--json", "scores.json"])
        .current_dir(dir)
        .env("RAYON_NUM_THREADS", "2")
        .env_remove("SMALTI_LOG")
        .timeout(Duration::from_secs(SECONDS))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut stderr = text(&out.stderr);
    if began.elapsed() >= Duration::from_secs(SECONDS) {
        stderr += "no end within the time limit";
    }
    let scores = fs::read(dir.join("scores.json")).ok().and_then(|b| serde_json::from_slice(&b).ok());
    Ran { code: out.status.code(), stderr, scores: scores.unwrap_or_default() }
}

/// Writes a text file, with the folders above it.
fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Replaces text in a file; it must be there.
fn replace(dir: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join(name)).unwrap();
    assert!(text.contains(from), "no `{from}` in {name}");
    put(dir, name, text.replacen(from, to, 1));
}

/// A file cut at each structural position must be refused.
fn cut_everywhere(good: fn(&Path), words: &[&str], name: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    good(dir.path());
    let whole = fs::read(dir.path().join(name)).unwrap();
    let structural = |at: &usize| matches!(whole[*at], b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"');
    for at in (0..whole.len()).filter(structural) {
        for end in [at, at + 1] {
            if whole[end..].trim_ascii().is_empty() {
                continue;
            }
            put(dir.path(), name, &whole[..end]);
            let said = holds(dir.path(), words, &Refused(&["error: "]));
            assert!(said.is_ok(), "{name} cut to {end} bytes: {}", said.unwrap_err());
        }
    }
}

/// Puts a folder where a file was.
fn folder_instead(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).unwrap();
    fs::create_dir(dir.join(name)).unwrap();
}

/// Puts a link to nowhere where a file was.
fn link_to_nowhere(dir: &Path, name: &str) {
    fs::remove_file(dir.join(name)).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.join(name)).unwrap();
}
