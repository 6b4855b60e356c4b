//! Several sets mixed for training, from outside: both kinds of sets train, continue after a stop, and are described; sets
//! that do not fit are refused.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::path::Path;
use std::sync::OnceLock;

use crate::support::{TINY_NAT, ok, refused};

const SEMANTIC: &str = r#"
[data]
root = "day"
weight = 3
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
mix = [{ root = "night", images = "train", labels = "semantic_train" }]
loader = { batch_size = 2 }
augment = [{ op = "flip" }]
[model.decode]
channels = 8
[loss]
balance_power = 0.5
"#;

const PANOPTIC: &str = r#"
task = "panoptic"
[data]
root = "day"
train = { images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }
val = { images = "val", annotations = "annotations/panoptic_val.json", labels = "panoptic_val" }
mix = [{ root = "night", images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }]
loader = { batch_size = 2 }
augment = [{ op = "large_scale_jitter", size = [64, 64] }]
[model.head]
channels = 32
mask_channels = 32
heads = 4
norm_groups = 8
encoder_layers = 1
encoder_hidden = 32
points = 2
queries = 12
decoder_layers = 1
decoder_hidden = 32
[loss]
num_points = 64
"#;

const TRAIN: &str = "[train]\nsteps = 3\nlog_every = 1\neval_every = 3\ncheckpoint_every = 1\n";

/// A folder with two sets of 64x64 images, data/day and data/night, and both recipes.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for (name, images, seed) in [("day", "5", "1"), ("night", "2", "2")] {
                let out = format!("data/{name}");
                let words = ["data", "synth", "--out", &out, "--images", images, "--seed", seed];
                ok(folder.path(), &[&words[..], &["--val-images", "2", "--size", "64x64"]].concat());
            }
            for (name, recipe) in [("semantic", SEMANTIC), ("panoptic", PANOPTIC)] {
                let file = folder.path().join(format!("{name}.toml"));
                std::fs::write(file, [recipe, TINY_NAT, TRAIN].concat()).unwrap();
            }
            folder
        })
        .path()
}

#[test]
fn two_sets_train_as_one() {
    for (task, day, night) in [
        ("semantic", "day: 75.0 % of the samples, 5 images, each 1.20 times", "night: 25.0 %"),
        ("panoptic", "day: 50.0 % of the samples, 5 images, each 1.00 times", "2 images, each 2.50 times"),
    ] {
        let (config, out) = (format!("{task}.toml"), format!("runs/{task}"));
        let printed = ok(folder(), &["train", "--config", &config, "--out", &out]);
        for part in ["7 training and 2 validation images", day, night] {
            assert!(printed.contains(part), "{task}: no `{part}` in\n{printed}");
        }
        let weights = folder().join(&out).join("checkpoints/best.safetensors");
        assert!(weights.is_file());
        // The checkpoint of step 2 continues to the same weights.
        let last = folder().join(&out).join("checkpoints/step-0000003");
        let model = || std::fs::read(last.join("model.safetensors")).unwrap();
        let whole = model();
        std::fs::remove_dir_all(&last).unwrap();
        ok(folder(), &["train", "--resume", "--out", &out]);
        assert!(model() == whole, "{task}: another run after a stop");
    }
}

#[test]
fn a_mix_is_checked_and_described() {
    for task in ["semantic", "panoptic"] {
        let config = format!("{task}.toml");
        let words = ["--config", &config];
        let checked = ok(folder(), &[&["data", "check"], &words[..]].concat());
        let stats = ok(folder(), &[&["data", "stats"], &words[..]].concat());
        for part in ["training mixes 2 sets", "night: ", "data.mix.0, "] {
            assert!(checked.contains(part), "{task}: no `{part}` in\n{checked}");
            assert!(stats.contains(part), "{task}: no `{part}` in\n{stats}");
        }
        assert!(checked.contains("this set can be trained on"), "{checked}");
        let shown = ok(folder(), &["config", "show", &config]);
        assert!(shown.contains("[[data.mix]]") && shown.contains("root = \"night\""), "{shown}");
    }
}

#[test]
fn sets_that_do_not_mix_are_refused() {
    let at = folder();
    std::fs::write(at.join("data/night/other.txt"), "moose\n").unwrap();
    for verb in [&["train", "--out", "runs/x"][..], &["data", "check"]] {
        let with = |change: &str, expected: &[&str]| {
            refused(at, &[verb, &["--config", "semantic.toml", "--set", change]].concat(), expected);
        };
        with("data.mix.0.images=nowhere", &["nowhere"]);
        with("data.mix.0.weight=0", &["`data.mix.0.weight`: expected a number from 0.001 to 1e9, got 0"]);
    }
    let other = ["--config", "semantic.toml", "--set", "data.mix.0.classes=other.txt"];
    let named = ["`data.mix.0`: expected classes that the first set, ", "/day", "\"moose\" of ", "/night"];
    refused(at, &[&["train", "--out", "runs/x"], &other[..]].concat(), &named);
    assert!(!at.join("runs/x").exists(), "nothing was started");
}
