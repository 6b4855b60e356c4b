//! Help, versions, usage errors, completions, closed pipes.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{ok, smalti};

fn here() -> &'static Path {
    Path::new(".")
}

#[test]
fn help_names_every_verb_and_the_exit_codes() {
    let text = ok(here(), &["--help"]);
    for part in ["score", "data", "completions", "Exit codes: 0 done, 1 the run failed, 2", "Example:"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(ok(here(), &["--version"]).starts_with("smalti "));
}

#[test]
fn help_of_a_verb_shows_purpose_flags_and_example() {
    let cases: [(&[&str], &[&str]); 10] = [
        (
            &["score", "semantic"],
            &[
                "mIoU",
                "--gt-dir <DIR>",
                "--pred-dir <DIR>",
                "--num-classes <K>",
                "--ignore-label <ID>",
                "--per-class",
                "--versus <DIR>",
                "--boundary",
            ],
        ),
        (&["score", "errors", "panoptic"], &["--gt <FILE>", "--pred-dir <DIR>", "--out <FILE>"]),
        (&["score", "errors", "semantic"], &["--out <FILE>", "--top <N>", "--json <FILE>"]),
        (&["data", "synth"], &["--images <N>", "--size <HxW>", "--seed <S>"]),
        (&["data", "check"], &["exit code 2", "--config <FILE>", "--data-root <DIR>", "--json <FILE>"]),
        (&["data", "show"], &["--split <SPLIT>", "--num <N>", "--augment", "--out <FILE>"]),
        (&["data", "stats"], &["--json <FILE>", "--chart <FILE>"]),
        (&["weights", "inspect"], &["<SRC>", "--wrapper <NAME>", "--all", "--json <FILE>"]),
        (
            &["bench", "loader"],
            &["[CASE]", "lsj-instance", "--config <FILE>", "--data <DIR>", "--samples <N>"],
        ),
        (&["completions"], &["bash", "zsh", "fish"]),
    ];
    for (verb, parts) in cases {
        let text = ok(here(), &[verb, &["--help"]].concat());
        let example = format!("  smalti {}", verb.join(" "));
        for part in parts.iter().copied().chain(["Example", example.as_str()]) {
            assert!(text.contains(part), "{verb:?}: no `{part}` in\n{text}");
        }
    }
}

#[test]
fn usage_errors_end_with_2_and_name_what_is_wrong() {
    let cases: [(&[&str], &str); 7] = [
        (&["score", "semantic", "--gt-dri", "x"], "--gt-dir"),
        (&["scor"], "score"),
        (&["score", "semantic", "--gt-dir", "a", "--pred-dir", "b"], "--num-classes <K>"),
        (&["score", "semantic", "--gt-dir", "a", "--pred-dir", "b", "--num-classes", "0"], "1..=255"),
        (
            &[
                "score",
                "semantic",
                "--gt-dir",
                "a",
                "--pred-dir",
                "b",
                "--num-classes",
                "2",
                "--ignore-label",
                "300",
            ],
            "300",
        ),
        (&["data", "synth", "--out", "x", "--size", "256"], "expected height and width such as 256x256"),
        (&["-q", "-v", "completions", "bash"], "cannot be used with"),
    ];
    for (words, part) in cases {
        let ran = smalti(here(), words);
        assert_eq!(ran.code, Some(2), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(part), "{words:?}: no `{part}` in\n{}", ran.stderr);
    }
    assert_eq!(smalti(here(), &[]).code, Some(2), "no verb");
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ok(here(), &["completions", shell]);
        assert!(script.contains("semantic") && script.contains("gt-dir"), "{shell}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smalti"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}
