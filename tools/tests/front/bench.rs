//! `smalti bench loader`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ok, refused, write_png, write_png_as};

/// `data/ade`, as much of ADE20K as training reads: two images of 40x60 with classes 1 and 2.
fn ade20k() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data/ADEChallengeData2016");
    for number in 1..=2 {
        let name = |kind: &str| format!("{kind}/training/ADE_train_{number:08}.png");
        let pixels: Vec<u8> = (0..40 * 60 * 3).map(|i| (i * 7 % 251) as u8).collect();
        write_png_as(&root.join(name("images")), png::ColorType::Rgb, 60, &pixels);
        let labels: Vec<u8> = (0..40 * 60).map(|i| if i % 60 < 30 { 1 } else { 2 }).collect();
        write_png(&root.join(name("annotations")), 60, &labels);
    }
    dir
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_case_is_timed_and_its_stages_add_up() {
    let dir = ade20k();
    let words = ["bench", "loader", "ade", "--threads", "2", "--samples", "20", "--json", "l.json"];
    let printed = ok(dir.path(), &words);
    for part in
        ["ade: 2 images, batches of 4", "CPU ms an image", "decode", "masks", "other", "decoding alone:"]
    {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let found = read(&dir.path().join("l.json"));
    assert_eq!((&found["threads"], &found["samples"]), (&Value::from(2), &Value::from(20)));
    assert!(found["images_per_second"].as_f64().unwrap() > 0.0 && found["cpu_ms"].as_f64().unwrap() > 0.0);
    let stages = found["stages"].as_array().unwrap();
    let shares: f64 = stages.iter().map(|stage| stage["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{stages:?}");
    for name in ["decode", "annotations", "resize", "masks", "batch"] {
        let stage = stages.iter().find(|stage| stage["stage"] == name).unwrap();
        assert!(stage["cpu_ms"].as_f64().unwrap() > 0.0, "{name}: {stages:?}");
    }
}

#[test]
fn recipes_and_folders_are_taken() {
    let dir = ade20k();
    let recipe =
        "[data]\nbenchmark = \"ade20k\"\n[data.loader]\nbatch_size = 2\n[[data.augment]]\nop = \"flip\"\n";
    fs::write(dir.path().join("recipe.toml"), recipe).unwrap();
    let from = ["--config", "recipe.toml", "--set", "data.loader.batch_size=3", "--samples", "10"];
    let printed = ok(dir.path(), &[&["bench", "loader"], &from[..]].concat());
    assert!(printed.contains("recipe.toml: 2 images, batches of 3"), "{printed}");
    let folder = ["bench", "loader", "ade", "--data", "data/ADEChallengeData2016", "--samples", "10"];
    assert!(ok(dir.path(), &folder).contains("ade: 2 images"));
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let dir = ade20k();
    let loader = |words: &[&'static str]| [&["bench", "loader"], words].concat();
    refused(dir.path(), &loader(&[]), &["<CASE>"]);
    refused(dir.path(), &loader(&["lsj-instance"]), &["`data.benchmark`", "coco", "--data-root DIR"]);
    refused(dir.path(), &loader(&["ade", "--data", "nowhere"]), &["data.root", "nowhere"]);
    refused(dir.path(), &loader(&["ade", "--config", "recipe.toml"]), &["cannot be used with"]);
}
