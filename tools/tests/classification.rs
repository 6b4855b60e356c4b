//! Image classifiers from outside: the whole path on a small synthetic set, and what bad input is answered with.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{ok, refused};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const RECIPE: &str = r#"
task = "classification"

[data]
root = "set"
loader = { batch_size = 4 }
eval = { size = 32 }
mix = {}
augment = [
    { op = "random_resized_crop", size = 32 },
    { op = "flip" },
    { op = "rand_augment" },
    { op = "random_erasing" },
]

[model.backbone]
family = "nat"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3

[loss]
label_smoothing = 0.1

[train]
steps = 6
log_every = 2
eval_every = 3
checkpoint_every = 2
optimizer = { lr = 1e-3 }
schedule = { decay = { kind = "cosine", cooldown_steps = 1 } }
"#;

const BEST: &str = "runs/a/checkpoints/best.safetensors";

/// A folder with a set of 40x40 images of 8 classes, recipe.toml, and a finished run in runs/a.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            let words = ["data", "synth", "--layout", "classes", "--out", "data/set", "--size", "40x40"];
            ok(at, &[&words[..], &["--images", "16", "--val-images", "8"]].concat());
            std::fs::write(at.join("recipe.toml"), RECIPE).unwrap();
            let checked = ok(at, &["data", "check", "--config", "recipe.toml"]);
            assert!(checked.contains("16 of 16 images are good, 8 classes"), "{checked}");
            let printed = ok(at, &["train", "--config", "recipe.toml", "--out", "runs/a"]);
            assert!(printed.contains("8 classes; 16 training and 8 validation images"), "{printed}");
            assert!(printed.contains("best top1"), "{printed}");
            folder
        })
        .path()
}

#[test]
fn a_run_leaves_everything_it_promises() {
    let run = trained().join("runs/a");
    for file in ["config.toml", "env.json", "metrics.jsonl", "report.html", "checkpoints/best.safetensors"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let classes = read(&run.join("class-table.json"));
    assert_eq!(classes[0]["folder"], "ball");
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 3 + 2, "{log}");
    assert!(log.contains("loss_class") && log.contains("\"top5\""), "{log}");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("image classification") && report.contains("data:image/png;base64,"));
}

#[test]
fn eval_gives_what_the_training_ended_with() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let json = out.path().join("eval.json");
    let last = "runs/a/checkpoints/step-0000006/model.safetensors";
    let printed = ok(at, &["eval", "--weights", last, "--json", json.to_str().unwrap()]);
    assert!(printed.contains("top1") && printed.contains("flower"), "{printed}");
    let scores = read(&json);
    assert_eq!((&scores["task"], &scores["images"]), (&"classification".into(), &8.into()));
    let log = std::fs::read_to_string(at.join("runs/a/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    for name in ["top1", "top5", "mAcc"] {
        assert_eq!(scores["metrics"][name], last[name], "{name}");
    }
    refused(at, &["eval", "--weights", BEST, "--save-predictions", "x"], &["label maps"]);
    refused(at, &["eval", "--weights", BEST, "--pictures", "x.png"], &["--pictures"]);
}

#[test]
fn predict_needs_nothing_but_the_weights() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let weights = at.join(BEST);
    image::RgbImage::from_pixel(17, 41, image::Rgb([90, 160, 60])).save(out.path().join("odd.png")).unwrap();
    std::fs::write(out.path().join("cut.jpg"), b"\xff\xd8\xff\xe0 not a whole file").unwrap();
    let words = ["predict", "--weights", weights.to_str().unwrap(), "--out", "out", "odd.png"];
    let printed = ok(out.path(), &words);
    assert!(printed.contains("odd.png: "), "{printed}");
    let predictions = read(&out.path().join("out/predictions.json"));
    let classes = predictions[0]["classes"].as_array().unwrap();
    assert_eq!((predictions[0]["image"].as_str(), classes.len()), (Some("odd.png"), 5));
    let shares: Vec<f64> = classes.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares.iter().sum::<f64>() <= 1.0 + 1e-9, "{shares:?}");
    refused(
        out.path(),
        &[&words[..], &["cut.jpg"]].concat(),
        &["1 of 2 images could not be read", "cut.jpg"],
    );
}

#[test]
fn recipes_and_data_that_can_not_be_used() {
    let at = trained();
    let check = |change: &str, expected: &[&str]| {
        refused(at, &["config", "check", "recipe.toml", "--set", change], expected);
    };
    check("task=classificaton", &["`task`", "classificaton", "did you mean"]);
    check("data.mix.mixupp=1", &["unknown key", "mixupp"]);
    check("data.augment.0.size=16", &["data.augment", "32 pixels"]);
    check("data.augment.1.op=random_crop", &["random_crop"]);
    check("loss.label_smoothing=1.5", &["loss.label_smoothing"]);
    check("train.schedule.decay.cooldown_steps=6", &["cooldown_steps", "less than the 6 steps"]);
    let shown = ok(at, &["config", "show", "recipe.toml"]);
    assert!(shown.starts_with("task = \"classification\""), "{shown}");

    let train = ["train", "--config", "recipe.toml", "--out", "runs/x"];
    refused(at, &[&train[..], &["--set", "data.val=absent"]].concat(), &["absent", "data.val"]);
    refused(at, &[&train[..], &["--set", "data.root=nowhere"]].concat(), &["nowhere"]);
    assert!(!at.join("runs/x").exists(), "nothing was started");
    refused(at, &["data", "stats", "--config", "recipe.toml"], &["data stats", "classification"]);
    refused(at, &["eval", "--weights", BEST, "--set", "model.backbone.embed_dim=16"], &["other shape"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("set/val/ball")).unwrap();
    std::fs::copy(at.join("data/set/val/ball/000001.jpg"), folder.path().join("set/val/ball/1.jpg")).unwrap();
    let root = folder.path().to_str().unwrap();
    refused(at, &["eval", "--weights", BEST, "--data-root", root], &["no folder for its \"candy\""]);
}

#[test]
fn check_names_every_image_that_can_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for file in ["train/a/1.png", "train/a/2.png", "val/a/1.png"] {
        let path = at.join("data/set").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::new(33, 40).save(&path).unwrap();
    }
    std::fs::write(at.join("recipe.toml"), RECIPE).unwrap();
    ok(at, &["data", "check", "--config", "recipe.toml"]);
    std::fs::write(at.join("data/set/train/a/2.png"), "").unwrap();
    let check = ["data", "check", "--config", "recipe.toml", "--json", "found.json"];
    refused(at, &check, &["recipe.toml: this set can't be trained on as it is"]);
    let found = read(&at.join("found.json"));
    assert_eq!(
        (&found["trainable"], &found["splits"][1]["unreadable"]),
        (&false.into(), &serde_json::json!([]))
    );
    let bad = found["splits"][0]["unreadable"][0].as_str().unwrap();
    assert!(bad.ends_with("train/a/2.png: the file is empty (0 bytes)"), "{bad}");
    refused(at, &["train", "--config", "recipe.toml", "--out", "runs/x"], &["2.png"]);
}
