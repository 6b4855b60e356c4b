//! Semantic segmentation with Mask2Former from outside: training, evaluation and prediction on a small synthetic set, and that
//! the score of saved predictions is that of the evaluation.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{ok, refused};

const RECIPE: &str = r#"
task = "semantic"
[data]
root = "synth"
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
loader = { batch_size = 2 }
eval = { short_edge = 72 }
augment = [
    { op = "resize_shortest_edge", short_edges = [48, 64, 80], max_long_edge = 128 },
    { op = "random_crop", size = [64, 64] },
    { op = "photometric" },
    { op = "flip" },
]

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
norm_groups = 32
encoder_layers = 1
encoder_hidden = 32
points = 4
queries = 12
decoder_layers = 2
decoder_hidden = 32

[loss]
num_points = 128

[train]
steps = 20
log_every = 10
eval_every = 20
checkpoint_every = 10
optimizer = { lr = 2e-3, clip_norm = 1.0 }
"#;

const BEST: &str = "runs/maps/checkpoints/best.safetensors";

/// A folder with a set of 64x64 images in data/synth, the recipe, and its finished run in runs/maps.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let synth = ["data", "synth", "--out", "data/synth", "--images", "6", "--val-images", "4"];
            ok(folder.path(), &[&synth[..], &["--size", "64x64"]].concat());
            std::fs::write(folder.path().join("maps.toml"), RECIPE).unwrap();
            let printed = ok(folder.path(), &["train", "--config", "maps.toml", "--out", "runs/maps"]);
            assert!(printed.contains("best mIoU "), "{printed}");
            folder
        })
        .path()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_leaves_log_report_and_weights_and_resumes_to_the_same_bits() {
    let at = trained();
    let run = at.join("runs/maps");
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 + 1, "{log}");
    for part in ["loss_class", "loss_mask", "loss_dice", "num_masks"] {
        assert!(lines[0][part].as_f64().unwrap() > 0.0, "{part}: {}", lines[0]);
    }
    assert!(lines[2]["mIoU"].is_number() && lines[2]["classes"]["sky"].get("Acc").is_some(), "{}", lines[2]);
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("data:image/png;base64,") && report.contains("semantic segmentation"));

    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("run");
    let folder = folder.to_str().unwrap();
    ok(at, &["train", "--config", "maps.toml", "--out", folder]);
    let step = |run: &Path| run.join("checkpoints/step-0000020");
    std::fs::remove_dir_all(step(Path::new(folder))).unwrap();
    ok(at, &["train", "--resume", "--out", folder]);
    let model = |run: &Path| std::fs::read(step(run).join("model.safetensors")).unwrap();
    assert!(model(Path::new(folder)) == model(&run), "the weights differ");
}

#[test]
fn the_score_of_saved_predictions_is_that_of_the_evaluation() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let eval =
        ["eval", "--weights", BEST, "--save-predictions", &path("saved"), "--json", &path("eval.json")];
    ok(at, &eval);
    let gt =
        ["score", "semantic", "--gt-dir", "data/synth/semantic_val", "--classes", "data/synth/classes.json"];
    let pred = format!("{}/val", path("saved"));
    ok(at, &[&gt[..], &["--pred-dir", &pred, "--json", &path("score.json")]].concat());
    let (evaluated, scored) = (read(&out.path().join("eval.json")), read(&out.path().join("score.json")));
    assert!(evaluated["metrics"]["mIoU"].as_f64().unwrap() > 0.0, "{evaluated}");
    assert_eq!(evaluated, scored);

    // A prediction of an image of the set is the map that its evaluation saved.
    ok(at, &["predict", "--weights", BEST, "--out", &path("seen"), "data/synth/val/000001.jpg"]);
    let image = |name: String| image::open(name).unwrap().to_luma8();
    assert_eq!(image(path("seen/000001_labels.png")), image(format!("{pred}/000001.png")));
    assert!(out.path().join("seen/000001_overlay.png").is_file());
    let asked = [
        "predict",
        "--weights",
        BEST,
        "--task",
        "panoptic",
        "--out",
        &path("x"),
        "data/synth/val/000001.jpg",
    ];
    refused(at, &asked, &["this network predicts its own task alone, semantic"]);
}

/// Views and windows of the set's 64x64 images, which enter the network at 72x72.
const VIEWS: [&str; 4] = ["--set", "inference.scales=[0.75, 1.25]", "--set", "inference.flip=true"];
const WINDOWS: [&str; 2] = ["--set", "inference.slide={ crop = [48, 48], stride = [24, 24] }"];

#[test]
fn views_and_windows_are_evaluated_and_predicted_alike() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let evaluated = |name: &str, settings: &[&str]| {
        let (json, maps) = (path(&format!("{name}.json")), path(name));
        let eval = ["eval", "--weights", BEST, "--save-predictions", &maps, "--json", &json];
        ok(at, &[&eval[..], settings].concat());
        let labels = |image: &str| image::open(format!("{maps}/val/{image}.png")).unwrap().to_luma8();
        (read(Path::new(&json)), ["000001", "000002", "000003", "000004"].map(labels))
    };
    let plain = evaluated("plain", &[]);
    // One view said in words is the plain one, and so is a window that covers it.
    assert!(evaluated("one", &["--set", "inference.scales=[1.0]"]) == plain);
    assert!(evaluated("whole", &["--set", "inference.slide={ crop = [96, 96], stride = [1, 1] }"]) == plain);

    let both = [&VIEWS[..], &WINDOWS[..]].concat();
    // This little network sees one class nearly everywhere. What views change is tested on others in
    // training/src/semantic_mask/predict/tests.rs, and that they do anything here by the next test.
    for (name, settings) in [("views", &VIEWS[..]), ("windows", &WINDOWS[..]), ("both", &both[..])] {
        let (scores, maps) = evaluated(name, settings);
        let score = path("score.json");
        let gt = ["--gt-dir", "data/synth/semantic_val", "--classes", "data/synth/classes.json"];
        let pred = format!("{}/val", path(name));
        ok(at, &[&["score", "semantic", "--pred-dir", &pred, "--json", &score][..], &gt].concat());
        assert_eq!(scores, read(Path::new(&score)), "{name}");

        let seen = path(&format!("{name}_seen"));
        let predict = ["predict", "--weights", BEST, "--out", &seen, "data/synth/val/000001.jpg"];
        ok(at, &[&predict[..], settings].concat());
        let map = image::open(format!("{seen}/000001_labels.png")).unwrap().to_luma8();
        assert!(map == maps[0], "{name}");
    }
}

#[test]
fn views_of_a_recipe_hold_while_training() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let run = out.path().join("run");
    let to = run.to_str().unwrap();
    let train = ["train", "--config", "maps.toml", "--weights", BEST, "--out", to, "--set", "train.steps=1"];
    ok(at, &[&train[..], &VIEWS, &WINDOWS].concat());
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();

    let weights = run.join("checkpoints/best.safetensors");
    let json = out.path().join("eval.json");
    let eval = ["eval", "--weights", weights.to_str().unwrap(), "--json", json.to_str().unwrap()];
    ok(at, &eval);
    assert_eq!(
        read(&json)["metrics"]["mIoU"],
        last["mIoU"],
        "the recipe of the weights says how they are evaluated"
    );
    ok(at, &[&eval[..], &["--set", "inference={}"]].concat());
    assert_ne!(read(&json)["metrics"]["aAcc"], last["aAcc"], "one whole view is something else");
}

#[test]
fn a_network_starts_one_of_fewer_queries() {
    let (at, out) = (trained(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let train = ["train", "--config", "maps.toml", "--weights", BEST, "--set", "train.steps=1"];
    let fewer = ["--set", "model.head.queries=8"];
    refused(
        at,
        &[&train[..], &fewer, &["--out", &path("strict")]].concat(),
        &["query_feat`: expected 8 queries, got 12"],
    );
    ok(at, &[&train[..], &fewer, &["--partial", "--out", &path("partial")]].concat());
    assert!(out.path().join("partial/init.json").is_file());
}

#[test]
fn what_does_not_fit_is_refused() {
    let at = trained();
    let train = |change: &str, expected: &[&str]| {
        refused(at, &["train", "--config", "maps.toml", "--out", "runs/x", "--set", change], expected);
    };
    train("model.decode.channels=8", &["maps.toml", "unknown key `model.decode`"]);
    train("data.eval.size_divisor=1", &["`data.eval.size_divisor`", "got 1"]);
    train("task=panoptic", &["`data.train`", "annotations"]);
    train("model.head.queries=0", &["model.head.queries", "got 0"]);
    train("inference.scales=[1.0, 9.0]", &["inference.scales.1: expected 0.1 to 4, got 9"]);
    train("inference.scales=[]", &["inference.scales: expected 1 to 16 numbers, got 0"]);
    train("inference.flip=2", &["inference.flip"]);
    train(
        "inference.slide={ crop = [16, 64], stride = [8, 8] }",
        &[
            "inference.slide: expected crop of 32 or more and 1 <= stride <= crop, got crop [16, 64], stride [8, 8]",
        ],
    );
    train("inference.short_edge=64", &["unknown key `inference.short_edge`"]);
    assert!(!at.join("runs/x/config.toml").exists(), "nothing was started");
}
