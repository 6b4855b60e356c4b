//! Runs of the command, from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The `[model.backbone]` of a NAT that trains in a blink.
#[allow(dead_code, reason = "each file of tests is a program of its own, and not all train")]
pub const TINY_NAT: &str = r#"
[model.backbone]
family = "nat"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3
"#;

/// Runs a verb in a folder, on two threads.
pub fn smalti(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
    command.current_dir(folder).args(words).env_remove("SMALTI_DATA").env_remove("DETECTRON2_DATASETS");
    command.env("OMP_NUM_THREADS", "2").output().unwrap()
}

/// Runs a verb that must succeed; returns its stdout.
pub fn ok(folder: &Path, words: &[&str]) -> String {
    let out = smalti(folder, words);
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Runs a verb that must refuse its input: exit code 2, every part of `expected` in its message, no panic.
pub fn refused(folder: &Path, words: &[&str], expected: &[&str]) {
    refusal(folder, words, expected);
}

/// The same; returns its stderr.
pub fn refusal(folder: &Path, words: &[&str], expected: &[&str]) -> String {
    let out = smalti(folder, words);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{words:?}\n{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "{words:?}: no `{part}` in\n{stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains("stack backtrace"), "{stderr}");
    stderr.into_owned()
}

/// Every file below a folder, by its path there.
#[allow(dead_code, reason = "each file of tests is a program of its own, and not all compare files")]
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}
