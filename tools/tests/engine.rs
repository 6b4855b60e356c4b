//! The verbs that need libtorch, from outside: the whole path on a small synthetic set, and what bad input is answered with.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{ok, refused};

const RECIPE: &str = r#"
[data]
root = "synth"
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
loader = { batch_size = 2 }
augment = [{ op = "random_crop", size = [64, 64] }, { op = "flip" }]

[model.backbone]
family = "nat"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3
[model.decode]
channels = 8
[model.auxiliary]
channels = 8

[loss]
balance_power = 0.5

[train]
steps = 6
log_every = 2
eval_every = 3
checkpoint_every = 2
optimizer = { lr = 1e-3 }
"#;

/// A folder with a set of 64x64 images in data/synth, recipe.toml, and a finished run in runs/a.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            ok(
                at,
                &[
                    "data",
                    "synth",
                    "--out",
                    "data/synth",
                    "--images",
                    "6",
                    "--val-images",
                    "3",
                    "--size",
                    "64x64",
                ],
            );
            std::fs::write(at.join("recipe.toml"), RECIPE).unwrap();
            let printed = ok(at, &["train", "--config", "recipe.toml", "--out", "runs/a"]);
            assert!(printed.contains("mIoU"), "{printed}");
            folder
        })
        .path()
}

/// A fresh folder with the set and the recipe of [`trained`], to spoil.
fn copy() -> tempfile::TempDir {
    fn copy_folder(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy_folder(&path, &target);
            } else {
                std::fs::copy(&path, &target).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&trained().join("data"), &folder.path().join("data"));
    std::fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    folder
}

const BEST: &str = "runs/a/checkpoints/best.safetensors";

#[test]
fn a_run_leaves_everything_it_promises() {
    let run = trained().join("runs/a");
    for file in ["config.toml", "env.json", "class-table.json", "metrics.jsonl", "report.html"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    assert!(run.join("checkpoints/best.safetensors").is_file());
    assert!(run.join("checkpoints/step-0000006/manifest.json").is_file());
    let events = std::fs::read_dir(&run).unwrap().filter_map(Result::ok);
    assert!(
        events
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents"))
    );
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 3 + 2, "{log}");
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("data:image/png;base64,") && !report.contains("http://"));
}

#[test]
fn eval_and_score_of_its_saved_predictions_agree_to_the_bit() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_string();
    let (labels, eval, score) = (path("labels"), path("eval.json"), path("score.json"));
    let sheet = path("sheet.png");
    let words = ["eval", "--weights", BEST, "--save-predictions", &labels, "--json", &eval];
    ok(at, &[&words[..], &["--pictures", &sheet]].concat());
    assert!(image::open(sheet).unwrap().width() > 3 * 240, "image, ground truth, prediction");
    let predicted = format!("{labels}/val");
    let words = ["score", "semantic", "--gt-dir", "data/synth/semantic_val", "--pred-dir", &predicted];
    ok(at, &[&words[..], &["--classes", "data/synth/classes.json", "--json", &score]].concat());
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    assert_eq!(read(&eval), read(&score));
    assert_eq!(read(&eval)["task"], "semantic");
    let again = ["eval", "--weights", BEST, "--save-predictions", &labels];
    refused(
        at,
        &again,
        &["labels: expected an empty folder for the predictions, or none, got one with files"],
    );
    assert!(read(&eval)["metrics"]["mIoU"].as_f64().unwrap() > 0.0);
}

#[test]
fn several_scales_and_mirror_images_are_averaged_where_the_recipe_says_so() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_string();
    let views = ["--set", "inference.scales=[0.5, 1.0, 1.5]", "--set", "inference.flip=true"];
    let labels = path("labels");
    let eval = ["eval", "--weights", BEST, "--save-predictions", &labels];
    ok(at, &[&eval[..], &views].concat());
    let predict = |name: &str, more: &[&str]| {
        let folder = path(name);
        let words = ["predict", "--weights", BEST, "--out", &folder, "data/synth/val/000001.jpg"];
        ok(at, &[&words[..], more].concat());
        smalti_datasets::decode::labels(&Path::new(&folder).join("000001_labels.png")).unwrap()
    };
    let averaged = predict("views", &views);
    let file = Path::new(&labels).join("val/000001.png");
    assert_eq!(averaged, smalti_datasets::decode::labels(&file).unwrap(), "as in the evaluation");
    assert_ne!(averaged, predict("plain", &[]));
}

#[test]
fn a_benchmark_is_trained_on_and_evaluated_as_it_lies_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let own_files = ["root =", "train =", "val ="];
    let recipe: Vec<&str> =
        RECIPE.lines().filter(|line| !own_files.iter().any(|key| line.starts_with(key))).collect();
    let recipe = recipe.join("\n").replace("[data]", "[data]\nbenchmark = \"ade20k\"");
    std::fs::write(at.join("recipe.toml"), recipe).unwrap();
    let train = ["train", "--config", "recipe.toml", "--out", "runs/a"];
    refused(
        at,
        &train,
        &["`data.benchmark`", "at data/ADEChallengeData2016 or data/ade/ADEChallengeData2016"],
    );

    for (split, images) in [("training", 3), ("validation", 1)] {
        for kind in ["images", "annotations"] {
            std::fs::create_dir_all(at.join(format!("data/ADEChallengeData2016/{kind}/{split}"))).unwrap();
        }
        for i in 0..images {
            let file = |kind: &str, extension: &str| {
                at.join(format!("data/ADEChallengeData2016/{kind}/{split}/ADE_{i:08}.{extension}"))
            };
            let wall = |x: u32| x < 20 + 10 * i;
            let image =
                image::RgbImage::from_fn(64, 64, |x, _| image::Rgb([if wall(x) { 200 } else { 40 }; 3]));
            image.save(file("images", "jpg")).unwrap();
            // 0 is not labelled, 1 is wall, 150 is flag, the last.
            let value = |x, y| {
                if y == 0 {
                    0
                } else if wall(x) {
                    1
                } else {
                    150
                }
            };
            let labels = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([value(x, y)]));
            labels.save(file("annotations", "png")).unwrap();
        }
    }
    let printed = ok(at, &train);
    assert!(printed.contains("150 classes; 3 training and 1 validation images"), "{printed}");
    let eval = at.join("eval.json");
    let words = ["eval", "--weights", BEST, "--save-predictions", "labels", "--json", eval.to_str().unwrap()];
    ok(at, &words);
    let scores: Value = serde_json::from_slice(&std::fs::read(&eval).unwrap()).unwrap();
    assert!(scores["classes"]["wall"]["IoU"].is_number(), "{scores}");
    let labels = at.join("labels/images/validation/ADE_00000000.png");
    assert_eq!(smalti_datasets::decode::labels(&labels).unwrap().dim(), (64, 64));
    let shown = ok(at, &["config", "show", "runs/a/config.toml"]);
    assert!(shown.contains("benchmark = \"ade20k\"") && !shown.contains("classes ="), "{shown}");
}

#[test]
fn predict_needs_nothing_but_the_weights() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let weights = at.join(BEST);
    // From a folder that knows nothing of the data set.
    let images = at.join("data/synth/val");
    let odd = out.path().join("odd.png");
    image::RgbImage::from_pixel(17, 41, image::Rgb([90, 160, 60])).save(&odd).unwrap();
    let words = ["predict", "--weights", weights.to_str().unwrap(), "--out", "out"];
    ok(out.path(), &[&words[..], &[images.to_str().unwrap(), "*.png"]].concat());
    let labels = smalti_datasets::decode::labels(&out.path().join("out/odd_labels.png")).unwrap();
    assert_eq!(labels.dim(), (41, 17));
    assert!(labels.iter().all(|&label| label < 14));
    assert_eq!(std::fs::read_dir(out.path().join("out")).unwrap().count(), 2 * (3 + 1));
}

#[test]
fn one_bad_image_does_not_cost_the_others() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    std::fs::write(out.path().join("cut.jpg"), b"\xff\xd8\xff\xe0 not a whole file").unwrap();
    let good = at.join("data/synth/val/000001.jpg");
    let weights = at.join(BEST);
    let words = [
        "predict",
        "--weights",
        weights.to_str().unwrap(),
        "--out",
        "out",
        "cut.jpg",
        good.to_str().unwrap(),
    ];
    refused(out.path(), &words, &["1 of 2 images could not be read", "cut.jpg"]);
    assert!(out.path().join("out/000001_labels.png").is_file());
}

#[test]
fn a_stopped_run_resumes_to_the_same_weights() {
    let folder = copy();
    let at = folder.path();
    ok(at, &["train", "--config", "recipe.toml", "--out", "runs/whole"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_smalti"))
        .args(["train", "--config", "recipe.toml", "--out", "runs/cut"])
        .current_dir(at)
        .env_remove("SMALTI_DATA")
        .env("OMP_NUM_THREADS", "2")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Killed without warning as soon as a checkpoint is there, wherever the run is then.
    let first = at.join("runs/cut/checkpoints/step-0000002");
    let started = std::time::Instant::now();
    while !first.exists() && started.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    ok(at, &["train", "--resume", "--out", "runs/cut"]);
    let model =
        |run: &str| std::fs::read(at.join(run).join("checkpoints/step-0000006/model.safetensors")).unwrap();
    assert!(model("runs/cut") == model("runs/whole"), "the weights differ");
}

#[test]
fn sigterm_saves_and_ends_with_its_code() {
    let folder = copy();
    let at = folder.path();
    let words = ["train", "--config", "recipe.toml", "--out", "runs/term", "--set", "train.steps=100000"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_smalti"))
        .args(words)
        .current_dir(at)
        .env_remove("SMALTI_DATA")
        .env("OMP_NUM_THREADS", "2")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    while !at.join("runs/term/checkpoints/step-0000002").exists() && started.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut steps: Vec<String> = std::fs::read_dir(at.join("runs/term/checkpoints"))
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("step-"))
        .collect();
    steps.sort();
    assert!(!steps.is_empty());
}

#[test]
fn recipes_that_can_not_be_used() {
    let folder = copy();
    let at = folder.path();
    let with = |change: &str| {
        vec!["config".to_string(), "check".into(), "recipe.toml".into(), "--set".into(), change.into()]
    };
    let refused_with = |change: &str, expected: &[&str]| {
        let words = with(change);
        refused(at, &words.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    ok(at, &["config", "check", "recipe.toml"]);
    refused_with("train.stesp=3", &["unknown key", "stesp", "did you mean `steps`"]);
    refused_with("train.steps=many", &["train.steps", "many"]);
    refused_with("train.steps=0", &["`train.steps`: expected 1 or more, got 0"]);
    refused_with("model.backbone.family=swim", &["swim", "did you mean \"swin\"?"]);
    refused_with("model.backbone.heads=[3, 1, 2, 2]", &["model.backbone.heads", "got 3"]);
    refused_with("data.loader.batch_size=0", &["data.loader.batch_size"]);
    refused_with("inference.scales=[1.0, 9]", &["inference.scales.1: expected 0.1 to 4, got 9"]);
    refused_with("inference.short_edge=3", &["inference.short_edge: expected 32 pixels or more, got 3"]);
    refused(at, &["config", "check", "absent.toml"], &["absent.toml"]);
    std::fs::write(at.join("broken.toml"), "[data\n").unwrap();
    refused(at, &["config", "check", "broken.toml"], &["broken.toml:1"]);
    let shown = ok(at, &["config", "show", "recipe.toml"]);
    std::fs::write(at.join("shown.toml"), &shown).unwrap();
    assert_eq!(ok(at, &["config", "show", "shown.toml"]), shown, "a shown recipe reads as itself");
}

#[test]
fn data_that_can_not_be_trained_on() {
    let folder = copy();
    let at = folder.path();
    let train = ["train", "--config", "recipe.toml", "--out", "runs/x"];
    let train_with = |change: &str, expected: &[&str]| {
        refused(at, &[&train[..], &["--set", change]].concat(), expected);
    };
    train_with("data.root=nowhere", &["nowhere"]);
    train_with("data.classes=absent.json", &["absent.json"]);
    train_with("data.train.images=empty", &["empty"]);
    train_with("loss.class_weights=[1.0, 2.0]", &["loss"]);
    assert!(!at.join("runs/x/config.toml").exists(), "nothing was started");

    // An image cut in half, a label of another size, a label outside the classes: each is named.
    let spoil = |file: PathBuf, bytes: Vec<u8>| std::fs::write(file, bytes).unwrap();
    let image = at.join("data/synth/train/000003.jpg");
    let whole = std::fs::read(&image).unwrap();
    spoil(image.clone(), whole[..whole.len() / 2].to_vec());
    refused(at, &train, &["000003.jpg"]);
    std::fs::remove_file(&image).unwrap();
    std::fs::write(&image, &whole).unwrap();

    let label = at.join("data/synth/semantic_train/000002.png");
    let good = std::fs::read(&label).unwrap();
    image::GrayImage::new(64, 32).save(&label).unwrap();
    refused(at, &train, &["000002", "64"]);
    image::GrayImage::from_pixel(64, 64, image::Luma([77])).save(&label).unwrap();
    refused(at, &train, &["000002.png", "77"]);
    std::fs::write(&label, good).unwrap();
    assert!(!at.join("runs").exists(), "nothing was started");
    ok(at, &train);
}

#[test]
fn weights_that_do_not_fit() {
    let folder = copy();
    let at = folder.path();
    let weights = trained().join(BEST);
    let weights = weights.to_str().unwrap();
    let eval = |words: &[&str], expected: &[&str]| refused(at, &[&["eval"], words].concat(), expected);
    eval(&["--weights", "absent.safetensors"], &["absent.safetensors"]);
    std::fs::write(at.join("garbage.safetensors"), b"not a header").unwrap();
    eval(&["--weights", "garbage.safetensors"], &["garbage.safetensors"]);
    let whole = std::fs::read(weights).unwrap();
    std::fs::write(at.join("half.safetensors"), &whole[..whole.len() / 2]).unwrap();
    eval(&["--weights", "half.safetensors"], &["half.safetensors"]);
    eval(
        &["--weights", weights, "--set", "model.backbone.embed_dim=16"],
        &["do not fit this model", "other shape", "expected [16]"],
    );
    eval(
        &["--weights", weights, "--set", "model.backbone.depths=[2, 1, 1, 1]"],
        &["missing", "levels.0.blocks.1"],
    );
    eval(
        &["--weights", weights, "--set", "model.backbone.window=5"],
        &["rpb expected [1, 9, 9], got [1, 5, 5]"],
    );
    std::fs::write(at.join("data/synth/two.txt"), "atlantis\nutopia\n").unwrap();
    eval(
        &["--weights", weights, "--set", "data.classes=two.txt"],
        &[
            "expected a network for 2 classes",
            "the network lacks 0 \"atlantis\", 1 \"utopia\"; the set lacks ",
        ],
    );
}

#[test]
fn run_folders_that_are_taken_or_can_not_be_written() {
    let folder = copy();
    let at = folder.path();
    let run = trained().join("runs/a");
    let run = run.to_str().unwrap();
    refused(at, &["train", "--config", "recipe.toml", "--out", run], &["--resume"]);
    std::fs::write(at.join("file"), b"").unwrap();
    refused(at, &["train", "--config", "recipe.toml", "--out", "file/run"], &["file"]);
    let words = ["train", "--resume", "--config", "recipe.toml", "--out", run, "--data-root", "data"];
    refused(
        at,
        &[&words[..], &["--set", "train.optimizer.lr=1.0"]].concat(),
        &["another recipe", "lr = 1.0"],
    );
    refused(at, &["train", "--resume", "--out", "runs/none"], &["runs/none/config.toml"]);
}

/// Writes a safetensors file with one tensor.
fn tensor(at: &Path, name: &str, dtype: &str, shape: &[usize], bytes: &[u8]) -> String {
    let entry = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [0, bytes.len()] });
    let header = serde_json::to_vec(&serde_json::json!({ name: entry })).unwrap();
    let path = at.join("x.safetensors");
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], &header, bytes].concat()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The same with f32 values.
fn images(at: &Path, shape: &[usize], values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(at, "images", "F32", shape, &bytes)
}

/// Header and f32 values by name of a safetensors file.
fn read_tensors(path: &str) -> (Value, impl Fn(&str) -> Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = bytes[8 + length..].to_vec();
    let entries = header.clone();
    let values = move |name: &str| {
        let at = |i: usize| entries[name]["data_offsets"][i].as_u64().unwrap() as usize;
        let floats = data[at(0)..at(1)].chunks_exact(4);
        floats.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    (header, values)
}

#[test]
fn forward_writes_levels_and_logits() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_string();
    let (one, two) = (path("one.safetensors"), path("two.safetensors"));
    // Two unlike images of an odd size, then the second alone.
    let size = 3 * 64 * 75;
    let values: Vec<f32> =
        (0..2 * size).map(|i| (i as f32 * 0.37).sin() * if i < size { 1.0 } else { 2.0 }).collect();
    let forward = |x: &str, y: &str, more: &[&str]| {
        let words = ["forward", "--weights", BEST, "--input", x, "--output", y, "--device", "cpu"];
        ok(at, &[&words[..], more].concat())
    };
    let printed = forward(&images(out.path(), &[2, 3, 64, 75], &values), &two, &["--config", "recipe.toml"]);
    assert!(printed.contains("aux_logits") && printed.contains("[2, 14, 16, 19]"), "{printed}");
    forward(&images(out.path(), &[1, 3, 64, 75], &values[size..]), &one, &[]);

    let ((header, both), (_, second)) = (read_tensors(&two), read_tensors(&one));
    let shapes = [
        ("backbone.0", [2, 8, 16, 19]),
        ("backbone.1", [2, 16, 8, 10]),
        ("backbone.2", [2, 32, 4, 5]),
        ("backbone.3", [2, 64, 2, 3]),
        ("logits", [2, 14, 16, 19]),
        ("aux_logits", [2, 14, 4, 5]),
    ];
    assert_eq!(header.as_object().unwrap().len(), shapes.len() + 1, "{header}");
    assert!(header["__metadata__"]["config"].as_str().unwrap().contains("family = \"nat\""), "{header}");
    for (name, shape) in shapes {
        assert_eq!(header[name]["shape"], serde_json::json!(shape), "{name}");
        let (both, second) = (both(name), second(name));
        let top = second.iter().fold(0.0_f32, |top, value| top.max(value.abs()));
        assert!(top > 0.0 && top.is_finite(), "{name}: {top}");
        // Images do not see each other.
        for (a, b) in both[second.len()..].iter().zip(&second) {
            assert!((a - b).abs() <= 1e-5 * top, "{name}: {a}, {b}");
        }
        assert!(both[..second.len()] != second[..], "{name}");
    }
}

#[test]
fn what_forward_refuses() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_string();
    let (here, y) = (out.path(), path("y.safetensors"));
    let forward = |x: &str, expected: &[&str]| {
        refused(at, &["forward", "--weights", BEST, "--input", x, "--output", &y], expected);
    };
    let zeros = vec![0.0; 3 * 64 * 64];
    let bytes = vec![0; 8 * zeros.len()];
    let wrong = |x: String, expected: &str| forward(&x, &["x.safetensors: tensor `images`: ", expected]);
    wrong(tensor(here, "image", "F64", &[1, 3, 64, 64], &bytes), "expected it in the file, got [image]");
    wrong(tensor(here, "images", "F64", &[1, 3, 64, 64], &bytes), "expected f32, got Double");
    wrong(
        images(here, &[3, 64, 64], &zeros),
        "expected a shape [B, 3, H, W], H and W at least 32, got [3, 64, 64]",
    );
    wrong(images(here, &[3, 1, 64, 64], &zeros), "got [3, 1, 64, 64]");
    wrong(images(here, &[1, 3, 31, 32], &zeros[..3 * 31 * 32]), "got [1, 3, 31, 32]");
    let mut spoilt = zeros.clone();
    (spoilt[7], spoilt[9]) = (f32::NAN, f32::INFINITY);
    wrong(images(here, &[1, 3, 64, 64], &spoilt), "expected finite numbers, got 2 that are infinite or NaN");
    forward("absent.safetensors", &["absent.safetensors"]);

    // Weights without a head, weights of another network, a folder that is not there.
    let other = tensor(here, "norm0.weight", "F64", &[1], &bytes[..8]);
    let words = ["forward", "--weights", &other, "--input", &other, "--output", &y];
    refused(at, &words, &["tensor `images`: expected it in the file, got [norm0.weight]"]);
    let weights = path("weights.safetensors");
    std::fs::rename(&other, &weights).unwrap();
    let x = images(here, &[1, 3, 64, 64], &zeros);
    let words = ["forward", "--weights", &weights, "--input", &x, "--output", &y];
    refused(at, &words, &["weights.safetensors: says no recipe of its own"]);
    let words = [&words[..], &["--config", "recipe.toml"]].concat();
    refused(at, &words, &["weights.safetensors: expected `decode_head.conv_seg.weight`"]);
    let words = ["forward", "--weights", BEST, "--input", &x, "--output", &y];
    let deeper = [&words[..], &["--set", "model.backbone.depths=[2, 1, 1, 1]"]].concat();
    refused(at, &deeper, &["missing", "backbone.levels.0.blocks.1"]);
    let nowhere = path("no/folder/y.safetensors");
    refused(at, &["forward", "--weights", BEST, "--input", &x, "--output", &nowhere], &["no such folder"]);
    assert!(!Path::new(&y).exists());
}

#[test]
fn ops_are_timed_beside_their_floor() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["bench", "ops", "--op", "na2d", "--filter", "7x7", "--batch", "1", "--repeat", "1"];
    let printed = ok(folder.path(), &[&words[..], &["--device", "cpu", "--json", "ops.json"]].concat());
    assert!(printed.starts_with("2 threads, cpu, matrix product "), "{printed}");
    assert!(printed.contains("7x7, 16 heads, window 7, dilation 1"), "{printed}");

    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("ops.json")).unwrap()).unwrap();
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{report}");
    assert_eq!(results[0]["geometry"]["side"], 7);
    for pass in ["forward", "forward_backward"] {
        let number = |key: &str| results[0][pass][key].as_f64().unwrap();
        assert!(number("floor_ms") > 0.0 && number("gflops") > 0.0 && number("gbs") > 0.0, "{report}");
        assert!((number("ms") / number("floor_ms") / number("times_floor") - 1.0).abs() < 1e-9, "{report}");
    }
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |words: &[&str], expected: &[&str]| {
        refused(folder.path(), &[&["bench", "ops"], words].concat(), expected);
    };
    bench(
        &["--op", "ms-deform-attn", "--filter", "56x56"],
        &["no shape contains \"56x56\"", "512x512 input"],
    );
    bench(&["--device", "cuda:99"], &["`--device cuda:99`: libtorch sees"]);
    bench(&["--device", "gpu"], &["expected auto, cpu or cuda:N"]);
    bench(&["--repeat", "0"], &["--repeat"]);
    bench(&["--batch", "0"], &["--batch"]);
}
