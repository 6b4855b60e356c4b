//! `smalti models` and `smalti bench model` from outside.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

fn smalti(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
    command.args(words).env("OMP_NUM_THREADS", "2").output().unwrap()
}

/// Runs a verb that must succeed, with `--json`; returns its stdout and what it wrote.
fn ok(words: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let out = smalti(&[words, &["--json", json.to_str().unwrap()]].concat());
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{words:?}\n{stdout}\n{stderr}");
    (stdout.into_owned(), serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap())
}

fn refused(words: &[&str], expected: &str) {
    let out = smalti(words);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{words:?}\n{stderr}");
    assert!(stderr.contains(expected), "{words:?}: no `{expected}` in\n{stderr}");
}

/// The cells of the first line that begins with these.
fn line<'a>(printed: &'a str, begin: &[&str]) -> Vec<&'a str> {
    let cells = |line: &'a str| line.split_whitespace().collect::<Vec<_>>();
    let found = printed.lines().map(cells).find(|cells| cells.starts_with(begin));
    found.unwrap_or_else(|| panic!("no line {begin:?} in\n{printed}"))
}

#[test]
fn all_variants_fit_a_terminal_with_ours_beside_the_reported() {
    let begun = Instant::now();
    let (printed, json) = ok(&["models"]);
    // Far below in a release build; nothing of a network's size is made.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert!(printed.lines().all(|line| line.chars().count() <= 120), "{printed}");
    let tiny = line(&printed, &["nat", "dinat_tiny"]);
    assert_eq!(tiny[2..], ["27.90", "28", "224", "4.30", "4.3", "82.7", "1k"], "{printed}");
    let giant = line(&printed, &["davit", "giant"]);
    assert_eq!((giant[2], giant[3], giant[4], giant[6]), ("1406.47", "1437", "512", "1038"), "{printed}");
    assert_eq!(line(&printed, &["nat", "nano"])[3], "-", "our own size");
    assert!(printed.contains("their downsampling overlaps"), "{printed}");

    let models = json.as_array().unwrap();
    let find = |family: &str, variant: &str| {
        models.iter().find(|model| model["family"] == family && model["variant"] == variant).unwrap()
    };
    let base = find("davit", "base");
    assert_eq!(base["classifier_parameters"], 87_954_408);
    let complexity = &base["complexity"][0];
    let total: u64 = complexity["by_op"].as_object().unwrap().values().map(|op| op.as_u64().unwrap()).sum();
    assert_eq!(complexity["multiply_adds"].as_u64(), Some(total));
    assert_eq!(complexity["size"], 224);
    assert_eq!(base["imagenet"][0]["top1"], 84.6);
    let dense = base["dense"].as_array().unwrap();
    assert!(dense.iter().any(|row| row["head"] == "UperNet" && row["scores"]["mIoU"] == 49.4), "{base}");
    assert!(models.iter().filter(|model| model["dense"].as_array().unwrap().is_empty()).count() < 10);
}

#[test]
fn a_family_has_every_report_with_head_and_schedule() {
    let (printed, json) = ok(&["models", "davit"]);
    assert!(json.as_array().unwrap().iter().all(|model| model["family"] == "davit"));
    let upernet = printed.lines().find(|line| line.contains("UperNet") && line.contains("small")).unwrap();
    for part in ["ADE20K semantic", "160k 512", "1k", "mIoU 48.8", "81", "1030"] {
        assert!(upernet.contains(part), "{upernet}");
    }
    assert!(printed.contains("Sources: DaViT repository."), "{printed}");

    let (printed, _) = ok(&["models", "nat"]);
    assert!(printed.lines().all(|line| line.chars().count() <= 120), "{printed}");

    // A part of a name finds variants of several families.
    let (printed, _) = ok(&["models", "dinat"]);
    assert!(printed.lines().all(|line| line.chars().count() <= 132), "{printed}");
    assert!(printed.contains("dinat_s tiny") && printed.contains("nat dinat_large_k11"), "{printed}");
    let large: Vec<_> = printed.lines().filter(|line| line.contains("dinat_large ")).collect();
    assert!(large.iter().any(|line| line.contains("89.5") && line.contains("384")), "{printed}");
    refused(&["models", "vit_huge"], "the families are nat, dinat_s, dat, davit, swin, convnext, resnet");
}

#[test]
fn classifiers_are_timed() {
    let words = ["bench", "model", "nat nano", "--batch", "2x64,1x96", "--repeat", "1", "--device", "cpu"];
    for train in [false, true] {
        let words = if train { [&words[..], &["--train"]].concat() } else { words.to_vec() };
        let (printed, json) = ok(&words);
        assert_eq!(line(&printed, &["nat", "nano", "2", "64"]).len(), 10, "{printed}");
        let results = json["results"].as_array().unwrap();
        assert_eq!((results.len(), &json["train"]), (2, &Value::Bool(train)));
        for result in results {
            let number = |key: &str| result[key].as_f64().unwrap();
            let passes = if train { 3.0 } else { 1.0 };
            let rate = passes * number("forward_gmac") / (number("ms") / 1e3);
            assert!((rate / number("gmac_per_second") - 1.0).abs() < 1e-9, "{result}");
            assert!(number("memory_mb") > 0.0 && number("cpu_ms") > 0.0, "{result}");
        }
    }
    refused(&["bench", "model", "giant"], "`--max-params 30`: every variant asked for has more");
    refused(&["bench", "model", "nothing"], "the families are nat");
    refused(&["bench", "model", "--batch", "8"], "expected images and side such as 8x224");
}

#[test]
fn networks_of_recipes_are_timed() {
    let recipe = |name: &str| format!("{}/../configs/synth/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    for (name, family) in [("mask2former_nat_nano", "mask2former"), ("upernet_nat_nano", "upernet")] {
        let config = recipe(name);
        let words =
            ["bench", "model", "--config", &config, "--batch", "1x64", "--repeat", "1", "--device", "cpu"];
        let words = [&words[..], &["--classes", "5"]].concat();
        let (printed, inference) = ok(&words);
        assert_eq!(line(&printed, &[family, name, "1", "64"]).len(), 10, "{printed}");
        let (_, step) = ok(&[&words[..], &["--train"]].concat());
        let number = |json: &Value, key: &str| json["results"][0][key].as_f64().unwrap();
        assert_eq!(number(&step, "forward_gmac"), number(&inference, "forward_gmac"));
        for (json, passes) in [(&inference, 1.0), (&step, 3.0)] {
            let rate = passes * number(json, "forward_gmac") / (number(json, "ms") / 1e3);
            assert!((rate / number(json, "gmac_per_second") - 1.0).abs() < 1e-9, "{json}");
            assert!(number(json, "cpu_ms") > 0.0, "{json}");
        }
        assert!(number(&step, "forward_gmac") > 0.01, "{step}");
    }
    let mask = recipe("mask2former_nat_nano");
    let weights =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mask2former_nat_nano_synth/model.safetensors");
    let of_14 =
        ["bench", "model", "--config", &mask, "--batch", "1x64", "--weights", weights, "--device", "cpu"];
    refused(&of_14, "class_embed"); // 133 classes are asked for, the file has 14
    refused(
        &["bench", "model", "--config", &recipe("classify_nat_nano")],
        "`smalti bench model FAMILY` times it",
    );
    refused(&["bench", "model", "swin", "--config", &mask], "cannot be used with");
    refused(&["bench", "model", "--classes", "5"], "--config");
    refused(&["bench", "model", "swin", "--classes", "5"], "cannot be used with");
}
