//! Panoptic and instance segmentation from outside: training, evaluation and prediction on a small synthetic set, and that
//! scores of saved predictions are those of the evaluation.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{ok, refused};

const RECIPE: &str = r#"
task = "panoptic"
[data]
root = "synth"
train = { images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }
val = { images = "val", annotations = "annotations/panoptic_val.json", labels = "panoptic_val" }
loader = { batch_size = 2 }
augment = [{ op = "flip" }, { op = "large_scale_jitter", size = [64, 64], scale = [0.8, 1.25] }]

[model.backbone]
family = "nat"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3
[model.head]
channels = 32
mask_channels = 32
heads = 4
norm_groups = 8
encoder_layers = 1
encoder_hidden = 32
points = 2
queries = 12
decoder_layers = 2
decoder_hidden = 32

[loss]
num_points = 128
# So few steps would teach "no object" alone.
no_object_weight = 0.0

[inference]
object_mask_threshold = 0.0
overlap_threshold = 0.0
max_instances = 20

[train]
steps = 20
log_every = 5
eval_every = 10
checkpoint_every = 5
optimizer = { lr = 2e-3, clip_norm = 1.0 }
"#;

/// The same for instances.
fn instance_recipe() -> String {
    let lines = RECIPE.replace("panoptic_", "instances_").replace("\"panoptic\"", "\"instance\"");
    lines.replace(", labels = \"instances_train\"", "").replace(", labels = \"instances_val\"", "")
}

/// A folder with a set of 64x64 images in data/synth and both recipes.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let synth = ["data", "synth", "--out", "data/synth", "--images", "6", "--val-images", "4"];
            ok(folder.path(), &[&synth[..], &["--size", "64x64"]].concat());
            std::fs::write(folder.path().join("panoptic.toml"), RECIPE).unwrap();
            std::fs::write(folder.path().join("instance.toml"), instance_recipe()).unwrap();
            folder
        })
        .path()
}

/// The same with a finished run of `task`, "panoptic" or "instance", in runs/<task>. Test runners may give every test a process
/// of its own, so each trains what it needs and no more.
fn trained(task: &str) -> &'static Path {
    static TRAINED: [OnceLock<()>; 2] = [OnceLock::new(), OnceLock::new()];
    let (place, metric) = if task == "panoptic" { (0, "PQ") } else { (1, "AP") };
    TRAINED[place].get_or_init(|| {
        let (config, out) = (format!("{task}.toml"), format!("runs/{task}"));
        let printed = ok(folder(), &["train", "--config", &config, "--out", &out]);
        assert!(printed.contains(&format!("best {metric} ")), "{printed}");
    });
    folder()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn best(task: &str) -> String {
    format!("runs/{task}/checkpoints/best.safetensors")
}

/// The panoptic network that `make demo` begins with. It has seen no validation scene.
fn shipped() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("models/mask2former_nat_nano_synth/model.safetensors").to_str().unwrap().to_owned()
}

/// Evaluates a network into `out`: eval.json and the folder `saved`. `tasks` is how many it does.
fn evaluate(weights: &str, tasks: u32, out: &Path) -> Value {
    let (saved, json) = (out.join("saved"), out.join("eval.json"));
    let words = ["eval", "--weights", weights, "--save-predictions", saved.to_str().unwrap()];
    let sheet = out.join("sheet.png");
    let more = ["--json", json.to_str().unwrap(), "--pictures", sheet.to_str().unwrap()];
    ok(folder(), &[&words[..], &more].concat());
    // A row an image; columns: the image, its ground truth and every task that the network does.
    let (sheet, columns) = (image::open(sheet).unwrap(), 2 + tasks);
    assert_eq!(sheet.width(), columns * (4 * 64 + 12) + 12, "pictures of 64 pixels are enlarged fourfold");
    assert!(sheet.height() > 4 * (4 * 64));
    read(&json)
}

fn score(words: &[&str], out: &Path) -> Value {
    let json = out.join("score.json");
    ok(folder(), &[&["score"], words, &["--json", json.to_str().unwrap()]].concat());
    read(&json)
}

#[test]
fn a_run_leaves_log_report_and_weights() {
    for (task, keys) in
        [("panoptic", &["PQ", "PQ_th", "AP", "mIoU"][..]), ("instance", &["AP", "AP50", "AR100"][..])]
    {
        let run = trained(task).join("runs").join(task);
        let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4 + 2, "{log}");
        for part in ["loss_class", "loss_mask", "loss_dice", "num_masks"] {
            assert!(lines[0][part].as_f64().unwrap() > 0.0, "{part}: {}", lines[0]);
        }
        let parts = ["loss_class", "loss_mask", "loss_dice"];
        let sum: f64 = parts.iter().map(|part| lines[0][part].as_f64().unwrap()).sum();
        let loss = lines[0]["loss"].as_f64().unwrap();
        assert!((sum / loss - 1.0).abs() < 1e-4, "parts make up the loss: {sum}, {loss}");
        for key in keys {
            assert!(lines[5].get(key).is_some(), "{key}: {}", lines[5]);
        }
        let report = std::fs::read_to_string(run.join("report.html")).unwrap();
        assert!(
            report.contains("data:image/png;base64,") && report.contains(&format!("{task} segmentation"))
        );
    }
}

#[test]
fn scores_of_saved_panoptic_predictions_are_those_of_the_evaluation() {
    let out = tempfile::tempdir().unwrap();
    let eval = evaluate(&shipped(), 3, out.path());
    let saved = out.path().join("saved");
    let file = |name: &str| saved.join(name).to_str().unwrap().to_owned();
    assert_eq!(eval["task"], "panoptic");

    let gt = ["--gt", "data/synth/annotations/panoptic_val.json", "--gt-dir", "data/synth/panoptic_val"];
    let panoptic = score(&[&["panoptic"], &gt[..], &["--pred", &file("panoptic.json")]].concat(), out.path());
    assert_eq!((&eval["metrics"], &eval["classes"]), (&panoptic["metrics"], &panoptic["classes"]));
    let predicted = read(&saved.join("panoptic.json"));
    let segments = predicted["annotations"].as_array().unwrap().iter().map(|image| &image["segments_info"]);
    assert!(segments.map(|list| list.as_array().unwrap().len()).sum::<usize>() > 0, "{predicted}");

    let gt = ["--gt-dir", "data/synth/semantic_val", "--classes", "data/synth/classes.json"];
    let semantic = score(&[&["semantic"], &gt[..], &["--pred-dir", &file("semantic")]].concat(), out.path());
    assert_eq!(eval["semantic"], semantic);
    assert!(semantic["metrics"]["mIoU"].as_f64().unwrap() > 0.0);

    // The set's instance file has the things of its panoptic one.
    let words = ["instance", "--gt", "data/synth/annotations/instances_val.json"];
    let instance = score(&[&words[..], &["--pred", &file("instances.json")]].concat(), out.path());
    assert_eq!(eval["instance"], instance);
}

#[test]
fn scores_of_saved_instances_are_those_of_the_evaluation() {
    trained("instance");
    let out = tempfile::tempdir().unwrap();
    let eval = evaluate(&best("instance"), 1, out.path());
    let results = out.path().join("saved/instances.json");
    assert!(read(&results).as_array().unwrap().len() >= 4);
    let gt = ["instance", "--gt", "data/synth/annotations/instances_val.json"];
    let instance = score(&[&gt[..], &["--pred", results.to_str().unwrap()]].concat(), out.path());
    assert_eq!(eval, instance);
}

#[test]
fn the_shipped_model_segments_scenes() {
    let weights = shipped();
    assert!(std::fs::metadata(&weights).unwrap().len() < 8_000_000);
    let folder = tempfile::tempdir().unwrap();
    let synth = ["data", "synth", "--out", "data/synth", "--images", "1", "--val-images", "12"];
    ok(folder.path(), &[&synth[..], &["--size", "128x128"]].concat());
    ok(folder.path(), &["eval", "--weights", &weights, "--json", "scores.json"]);
    let scores = read(&folder.path().join("scores.json"));
    let number = |place: &str| scores.pointer(place).and_then(Value::as_f64).unwrap();
    for (place, least) in
        [("/metrics/PQ", 0.6), ("/instance/metrics/AP", 0.3), ("/semantic/metrics/mIoU", 0.7)]
    {
        assert!(number(place) > least, "{place}: {}", number(place));
    }
}

#[test]
fn an_image_is_predicted_for_every_task() {
    let out = tempfile::tempdir().unwrap();
    let predict = |run: &str, more: &[&str]| {
        let folder = out.path().join(format!("{run}{}", more.concat()));
        let words = ["predict", "--weights", &best(run), "data/synth/val/000001.jpg"];
        ok(trained(run), &[&words[..], &["--out", folder.to_str().unwrap()], more].concat());
        assert!(folder.join("000001_overlay.png").is_file());
        folder
    };
    let panoptic = predict("panoptic", &[]);
    let ids = image::open(panoptic.join("000001_panoptic.png")).unwrap();
    assert_eq!((ids.width(), ids.height()), (64, 64));
    assert!(read(&panoptic.join("predictions.json"))[0]["segments_info"].is_array());
    let semantic = predict("panoptic", &["--task", "semantic"]);
    assert!(semantic.join("000001_labels.png").is_file());
    for run in ["panoptic", "instance"] {
        let folder = predict(run, if run == "instance" { &[] } else { &["--task", "instance"] });
        let found = read(&folder.join("predictions.json"));
        assert!(found[0]["instances"].as_array().is_some_and(|list| !list.is_empty()), "{found}");
    }
}

#[test]
fn a_run_that_was_stopped_ends_as_one_that_was_not() {
    let (at, out) = (trained("panoptic"), tempfile::tempdir().unwrap());
    let folder = out.path().join("run");
    let folder = folder.to_str().unwrap();
    let train = ["train", "--config", "panoptic.toml", "--out", folder];
    // Everything up to step 15 is kept, as after a kill.
    ok(at, &train);
    let step = |n: u32| Path::new(folder).join(format!("checkpoints/step-{n:07}"));
    let model = |run: &Path| std::fs::read(run.join("model.safetensors")).unwrap();
    let whole = model(&step(20));
    std::fs::remove_dir_all(step(20)).unwrap();
    ok(at, &["train", "--resume", "--out", folder]);
    assert!(model(&step(20)) == whole, "the weights differ");
    assert!(model(&at.join("runs/panoptic/checkpoints/step-0000020")) == whole, "two runs differ");
}

/// Takes all segments of things, or of stuff, from the set: its files in data/NAME.
fn with_one_kind_alone(at: &Path, name: &str, things: bool) {
    let (from, to) = (at.join("data/synth"), at.join("data").join(name));
    for split in ["train", "val"] {
        let labels = to.join(format!("panoptic_{split}"));
        std::fs::create_dir_all(&labels).unwrap();
        std::fs::create_dir_all(to.join(split)).unwrap();
        for image in std::fs::read_dir(from.join(split)).unwrap().flatten() {
            std::fs::copy(image.path(), to.join(split).join(image.file_name())).unwrap();
        }
        let mut file = read(&from.join(format!("annotations/panoptic_{split}.json")));
        let mut kept = Vec::new();
        file["categories"].as_array_mut().unwrap().retain(|category| {
            let keep = (category["isthing"] == 1) == things;
            kept.extend(keep.then(|| category["id"].clone()));
            keep
        });
        for image in file["annotations"].as_array_mut().unwrap() {
            let segments = image["segments_info"].as_array_mut().unwrap();
            segments.retain(|segment| kept.contains(&segment["category_id"]));
            let ids: Vec<u64> = segments.iter().map(|segment| segment["id"].as_u64().unwrap()).collect();
            let png = image["file_name"].as_str().unwrap();
            let mut pixels = image::open(from.join(format!("panoptic_{split}")).join(png)).unwrap().to_rgb8();
            for image::Rgb(rgb) in pixels.pixels_mut() {
                let id = rgb.iter().rev().fold(0, |id, &byte| id * 256 + u64::from(byte));
                if !ids.contains(&id) {
                    *rgb = [0; 3];
                }
            }
            pixels.save(labels.join(png)).unwrap();
        }
        std::fs::create_dir_all(to.join("annotations")).unwrap();
        std::fs::write(to.join(format!("annotations/panoptic_{split}.json")), file.to_string()).unwrap();
    }
}

/// As the reference, panoptic segmentation of nothing but things, or nothing but stuff, is learned and scored; what there is none of has
/// no score.
#[test]
fn a_panoptic_set_may_lack_things_or_stuff() {
    let at = folder();
    for (name, things, scored, absent) in [
        ("things", true, ["PQ", "PQ_th"], ["PQ_st", "SQ_st"]),
        ("stuff", false, ["PQ", "PQ_st"], ["PQ_th", "RQ_th"]),
    ] {
        with_one_kind_alone(at, name, things);
        let (root, run) = (format!("data.root={name}"), format!("runs/{name}"));
        ok(at, &["data", "check", "--config", "panoptic.toml", "--set", &root]);
        let train = ["train", "--config", "panoptic.toml", "--set", &root, "--out", &run];
        let printed = ok(at, &[&train[..], &["--set", "train.steps=2"]].concat());
        assert!(printed.contains("best PQ ") && !printed.contains("NaN"), "{printed}");

        let out = tempfile::tempdir().unwrap();
        let eval = evaluate(&best(name), 3, out.path());
        let metrics = &eval["metrics"];
        assert!(scored.iter().all(|metric| metrics[metric].is_number()), "{metrics}");
        assert!(absent.iter().all(|metric| metrics[metric].is_null()), "{metrics}");
        assert!(eval["semantic"]["metrics"]["mIoU"].is_number(), "{eval}");
        assert_eq!(eval["instance"]["metrics"]["AP"].is_number(), things, "{eval}");
        let saved = |file: &str| out.path().join("saved").join(file).to_str().unwrap().to_owned();
        let annotations = format!("data/{name}/annotations/panoptic_val.json");
        let gt = ["panoptic", "--gt", &annotations, "--gt-dir", &format!("data/{name}/panoptic_val")];
        let score = score(&[&gt[..], &["--pred", &saved("panoptic.json")]].concat(), out.path());
        assert_eq!(*metrics, score["metrics"]);
        let words = ["predict", "--weights", &best(name), "data/synth/val/000001.jpg"];
        ok(at, &[&words[..], &["--out", &saved("pictures")]].concat());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let at = trained("instance");
    let train = |change: &str, expected: &[&str]| {
        let words = ["train", "--config", "panoptic.toml", "--out", "runs/x", "--set", change];
        refused(at, &words, expected);
    };
    train("task=semantic", &["panoptic.toml", "unknown key"]);
    train("data.val.annotations=absent.json", &["absent.json"]);
    train("data.augment=[{ op = \"random_crop\", size = [16, 16] }]", &["`data.augment`", "[16, 16]"]);
    train("model.head.queries=0", &["model.head.queries", "got 0"]);
    let other = ["eval", "--weights", &best("instance"), "--config", "panoptic.toml"];
    let lacking =
        ["best.safetensors", "expected a network for 14 classes", "got one for 8", "the network lacks "];
    refused(at, &other, &lacking);
    let swapped = at.join("data/synth/annotations/swapped.json");
    let mut file = read(&at.join("data/synth/annotations/instances_val.json"));
    let name = |file: &Value, i: usize| file["categories"][i]["name"].clone();
    let (first, second) = (name(&file, 0), name(&file, 1));
    (file["categories"][0]["name"], file["categories"][1]["name"]) = (second.clone(), first);
    std::fs::write(&swapped, file.to_string()).unwrap();
    let other =
        ["eval", "--weights", &best("instance"), "--set", "data.val.annotations=annotations/swapped.json"];
    refused(at, &other, &[&format!("expected {second} as class 0"), "got it as class 1"]);
    assert!(!at.join("runs/x/config.toml").exists(), "nothing was started");
}
