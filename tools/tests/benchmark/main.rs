//! `smalti eval --benchmark` from outside: networks with next to random weights by every protocol, that `smalti score` says
//! the same of what they submit, and that shards report and submit the same together.
//!
//! Ground truth is made of predictions where chance would find nothing, so that there are scores to compare.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers outside #[test] functions may fail or skip the test that calls them

mod refusals;
mod sets;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb};
use serde_json::{Value, json};
use smalti_datasets::coco::Segmentation;

use crate::sets::{FRAME, HEIGHT, Ids, WIDTH, read_json, write_json};
use crate::support::{files, ok};

const BACKBONE: &str = r#"
[model.backbone]
family = "nat"
embed_dim = 8
depths = [1, 1, 1, 1]
heads = [1, 1, 2, 2]
mlp_ratio = 2.0
window = 3

[train]
steps = 1
"#;

const SEMANTIC: &str = r#"
augment = [{ op = "random_crop", size = [48, 48] }]
[model.decode]
channels = 8
[model.auxiliary]
channels = 8
"#;

const MASK: &str = r#"
augment = [{ op = "large_scale_jitter", size = [48, 48] }]
[model.head]
channels = 32
mask_channels = 32
heads = 4
norm_groups = 8
encoder_layers = 1
encoder_hidden = 32
points = 2
queries = 8
decoder_layers = 2
decoder_hidden = 32
[loss]
num_points = 64
[inference]
object_mask_threshold = 0.0
overlap_threshold = 0.0
max_instances = 20
"#;

/// A folder with a benchmark in `data` and a network for a task on it.
struct Trained {
    folder: tempfile::TempDir,
    /// `<benchmark>-<task>`.
    name: String,
}

impl Trained {
    fn new(benchmark: &str, task: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let (make, key): (fn(&Path), &str) = match (benchmark, task) {
            ("coco", "semantic") => (sets::coco, "coco_panoptic"),
            ("coco", _) => (sets::coco, "coco"),
            ("ade20k", _) => (sets::ade20k, "ade20k"),
            _ => (sets::cityscapes, "cityscapes"),
        };
        make(&at.join("data"));
        prepare(at, benchmark, task, "data", "all");
        let rest = if task == "semantic" { SEMANTIC } else { MASK };
        let data = format!("task = \"{task}\"\n[data]\nbenchmark = \"{key}\"\nloader = {{ batch_size = 2 }}");
        fs::write(at.join("recipe.toml"), format!("{data}{rest}{BACKBONE}")).unwrap();
        ok(at, &["train", "--config", "recipe.toml", "--out", "run"]);
        Self { folder, name: format!("{benchmark}-{task}") }
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the folder of a result.
    fn path(&self, name: &str) -> String {
        self.at().join(name).to_str().unwrap().to_owned()
    }

    /// Evaluates on a folder of data sets; the submission is `OUT`, the scores are returned.
    fn eval(&self, data: &str, out: &str) -> Value {
        let (json, submission) = (self.path(&format!("{out}.json")), self.path(out));
        let words = ["eval", "--weights", WEIGHTS, "--benchmark", &self.name, "--data-root", data];
        let printed = ok(self.at(), &[&words[..], &["--submission", &submission, "--json", &json]].concat());
        assert!(printed.contains("submission: "), "{printed}");
        read_json(Path::new(&json))
    }

    /// Evaluates in so many shards, the last one first, and adds them up; returns what is printed of the sum.
    fn eval_shards(&self, data: &str, out: &str, shards: usize) -> String {
        let (json, submission) = (self.path(&format!("{out}.json")), self.path(out));
        let parts = self.path(&format!("{out}_parts"));
        let words = ["eval", "--weights", WEIGHTS, "--benchmark", &self.name, "--data-root", data];
        let words = [&words[..], &["--parts", &parts, "--submission", &submission]].concat();
        for shard in (0..shards).rev().map(|index| format!("{index}/{shards}")) {
            ok(self.at(), &[&words[..], &["--shard", &shard]].concat());
            assert!(!Path::new(&submission).exists(), "shard {shard}");
        }
        ok(self.at(), &[&words[..], &["--json", &json]].concat())
    }

    /// What `smalti score` says.
    fn score(&self, words: &[&str]) -> Value {
        let json = self.path("score.json");
        ok(self.at(), &[&["score"], words, &["--json", &json]].concat());
        read_json(Path::new(&json))
    }
}

/// Makes of a benchmark's files those that a task reads.
fn prepare(at: &Path, benchmark: &str, task: &str, data: &str, split: &str) {
    let verb = match (benchmark, task) {
        ("ade20k", "panoptic") => "ade20k-panoptic",
        ("ade20k", "instance") => "ade20k-instances",
        _ => return,
    };
    let root = format!("{data}/ADEChallengeData2016");
    ok(at, &["data", "prepare", verb, "--root", &root, "--split", split]);
}

const WEIGHTS: &str = "run/checkpoints/best.safetensors";

/// The values of a grey PNG.
fn grey(path: &Path) -> GrayImage {
    image::open(path).unwrap().to_luma8()
}

/// Evaluates a first time and makes ground truth of what was predicted, where that is wanted; compares a second evaluation with
/// `score` and with shards of it, and one on the real samples as they are with `score`. Returns the scores of the second.
fn compare(
    trained: &Trained,
    make_truth: Option<&dyn Fn(&Path)>,
    score: impl Fn(&str, &str) -> Value,
    compared: fn(&Value) -> Value,
) -> Value {
    if let Some(make_truth) = make_truth {
        trained.eval("data", "first");
        make_truth(&trained.at().join("first"));
    }
    let scores = trained.eval("data", "second");
    assert_eq!(compared(&scores), compared(&score("data", "second")));
    compare_shards(trained, "second");
    if let Some(samples) = sets::samples(trained.at()) {
        let (benchmark, task) = trained.name.split_once('-').unwrap();
        prepare(trained.at(), benchmark, task, samples.to_str().unwrap(), "val");
        let data = samples.to_str().unwrap();
        let scores = trained.eval(data, "third");
        assert_eq!(compared(&scores), compared(&score(data, "third")));
    }
    scores
}

/// Shards report and submit what one process does, which has written `whole` and `whole.json`.
fn compare_shards(trained: &Trained, whole: &str) {
    let submitted = files(Path::new(&trained.path(whole)));
    assert!(!submitted.is_empty());
    let report = |out: &str| fs::read_to_string(trained.path(&format!("{out}.json"))).unwrap();
    for shards in [2, 3] {
        let out = format!("of_{shards}");
        let printed = trained.eval_shards("data", &out, shards);
        assert!(printed.contains(&format!("submission: {}", trained.path(&out))), "{printed}");
        assert_eq!(report(&out), report(whole), "{shards} shards");
        let together = files(Path::new(&trained.path(&out)));
        assert!(together.keys().eq(submitted.keys()), "{:?}, not {:?}", together.keys(), submitted.keys());
        for (name, bytes) in &submitted {
            assert!(together[name] == *bytes, "{name} of {shards} shards");
        }
    }
}

/// Everything; with plain names of classes, where the official ones have a space at the end; or the means alone, where `score`
/// does not know the names.
fn whole(scores: &Value) -> Value {
    scores.clone()
}

fn trimmed(scores: &Value) -> Value {
    let classes = scores["classes"].as_object().unwrap().iter();
    let classes = classes.map(|(name, of_class)| (name.trim_end().to_owned(), of_class.clone())).collect();
    let mut scores = scores.clone();
    scores["classes"] = Value::Object(classes);
    scores
}

fn means(scores: &Value) -> Value {
    scores["metrics"].clone()
}

fn positive(scores: &Value, metric: &str) {
    assert!(scores["metrics"][metric].as_f64().unwrap() > 0.0, "{metric}: {}", scores["metrics"]);
}

#[test]
fn ade20k_semantic() {
    let trained = Trained::new("ade20k", "semantic");
    let truth = |first: &Path| {
        let predicted = grey(&first.join("ADE_00000001.png"));
        assert_eq!(predicted.dimensions(), (WIDTH, HEIGHT));
        assert!(predicted.pixels().all(|Luma([value])| (1..=150).contains(value)));
        let path = trained.at().join("data/ADEChallengeData2016/annotations/validation/ADE_00000001.png");
        upper_half(&predicted, &path).save(&path).unwrap();
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/ADEChallengeData2016/annotations/validation");
        let words = ["semantic", "--gt-dir", &gt, "--pred-dir", submission];
        trained.score(&[&words[..], &["--num-classes", "151", "--ignore-label", "0"]].concat())
    };
    let scores = compare(&trained, Some(&truth), score, means);
    positive(&scores, "mIoU");
    assert_eq!(scores["classes"].as_object().unwrap().len(), 150);
}

/// The predicted values in the upper half, those of `path` below.
fn upper_half(predicted: &GrayImage, path: &Path) -> GrayImage {
    let truth = grey(path);
    let pick = |x, y| *if y < HEIGHT / 2 { predicted } else { &truth }.get_pixel(x, y);
    GrayImage::from_fn(WIDTH, HEIGHT, pick)
}

#[test]
fn coco_semantic() {
    let trained = Trained::new("coco", "semantic");
    let score = |data: &str, submission: &str| {
        let json = format!("{data}/coco/annotations/panoptic_val2017.json");
        let out = trained.path(&format!("{submission}_truth"));
        let words = ["data", "prepare", "coco-panoptic-to-semantic", "--json", &json, "--out-dir", &out];
        ok(trained.at(), &words);
        trained.score(&["semantic", "--gt-dir", &out, "--pred-dir", submission, "--num-classes", "133"])
    };
    let scores = compare(&trained, None, score, means);
    assert!(scores["metrics"]["aAcc"].is_number(), "{scores}");
}

#[test]
fn cityscapes_semantic() {
    let trained = Trained::new("cityscapes", "semantic");
    let truth = |first: &Path| {
        let predicted = grey(&first.join(format!("{FRAME}_pred_labelIds.png")));
        let folder = trained.at().join("data/cityscapes/gtFine/val/ulm");
        let path = folder.join(format!("{FRAME}_gtFine_labelIds.png"));
        let labels = upper_half(&predicted, &path);
        labels.save(&path).unwrap();
        let object = |value| if value == 26 { 26_001 } else { u16::from(value) };
        let ids = Ids::from_fn(WIDTH, HEIGHT, |x, y| Luma([object(labels.get_pixel(x, y).0[0])]));
        ids.save(folder.join(format!("{FRAME}_gtFine_instanceIds.png"))).unwrap();
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/cityscapes/gtFine/val");
        trained.score(&["cityscapes", "--gt-dir", &gt, "--pred-dir", submission, "--task", "semantic"])
    };
    let scores = compare(&trained, Some(&truth), score, whole);
    assert_eq!(scores["task"], "cityscapes-semantic");
    positive(&scores, "IoU_class");
}

#[test]
fn cityscapes_instance() {
    let trained = Trained::new("cityscapes", "instance");
    // The first object becomes the only one.
    let truth = |first: &Path| {
        let text = fs::read_to_string(first.join(format!("{FRAME}_pred.txt"))).unwrap();
        let (mask, rest) = text.lines().next().unwrap().split_once(' ').unwrap();
        let label: u16 = rest.split(' ').next().unwrap().parse().unwrap();
        let mask = grey(&first.join(mask));
        let value = |x, y| if mask.get_pixel(x, y).0[0] == 0 { 7 } else { label * 1000 };
        let ids = Ids::from_fn(WIDTH, HEIGHT, |x, y| Luma([value(x, y)]));
        let path = format!("data/cityscapes/gtFine/val/ulm/{FRAME}_gtFine_instanceIds.png");
        ids.save(trained.at().join(path)).unwrap();
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/cityscapes/gtFine/val");
        trained.score(&["cityscapes", "--gt-dir", &gt, "--pred-dir", submission, "--task", "instance"])
    };
    let scores = compare(&trained, Some(&truth), score, whole);
    assert_eq!(scores["task"], "cityscapes-instance");
    positive(&scores, "AP50");
}

#[test]
fn cityscapes_panoptic() {
    let trained = Trained::new("cityscapes", "panoptic");
    let score = |data: &str, submission: &str| {
        let (gt, out) = (format!("{data}/cityscapes/gtFine"), trained.path(&format!("{submission}_truth")));
        let words = ["data", "prepare", "cityscapes-panoptic", "--gt-dir", &gt, "--split", "val"];
        ok(trained.at(), &[&words[..], &["--out", &out]].concat());
        let gt = format!("{out}/cityscapes_panoptic_val.json");
        let pred = format!("{submission}/cityscapes_panoptic_val_smalti_results.json");
        trained.score(&["panoptic", "--gt", &gt, "--pred", &pred])
    };
    let scores = compare(&trained, None, score, whole);
    let classes = scores["classes"].as_object().unwrap();
    assert_eq!(classes.len(), 19);
    let wrong: u64 = classes.values().map(|class| class["FP"].as_u64().unwrap()).sum();
    assert!(wrong > 0, "segments were predicted: {scores}");
}

/// The prediction of the first image becomes its ground truth. `predicted` and `truth` are panoptic JSON files, with their PNGs in
/// folders beside them.
fn first_map_becomes_truth(predicted: &Path, truth: &Path) {
    let entry = read_json(predicted)["annotations"][0].clone();
    let mut set = read_json(truth);
    let annotation = &mut set["annotations"][0];
    assert_eq!(annotation["image_id"], entry["image_id"]);
    let png = |json: &Path, entry: &Value| json.with_extension("").join(entry["file_name"].as_str().unwrap());
    let own = png(truth, annotation);
    fs::copy(png(predicted, &entry), &own).unwrap();
    let ids = image::open(&own).unwrap().to_rgb8();
    let mut segments = entry["segments_info"].clone();
    for segment in segments.as_array_mut().unwrap() {
        let id = segment["id"].as_u64().unwrap();
        let area = ids
            .pixels()
            .filter(|Rgb([r, g, b])| u64::from(*r) + 256 * u64::from(*g) + 65_536 * u64::from(*b) == id);
        segment["area"] = area.count().into();
        segment["bbox"] = json!([0, 0, WIDTH, HEIGHT]);
        segment["iscrowd"] = 0.into();
    }
    annotation["segments_info"] = segments;
    write_json(truth, &set);
}

/// Of each image the first predicted object with pixels becomes its only one. `predicted` and `truth` are JSON files of instances.
fn first_objects_become_truth(predicted: &Path, truth: &Path) {
    let found = read_json(predicted);
    let mut set = read_json(truth);
    for annotation in set["annotations"].as_array_mut().unwrap() {
        let of_image = found.as_array().unwrap().iter().filter(|of| of["image_id"] == annotation["image_id"]);
        let area = |of: &Value| {
            let mask: Segmentation = serde_json::from_value(of["segmentation"].clone()).unwrap();
            mask.to_rle([HEIGHT, WIDTH]).unwrap().area()
        };
        let chosen = of_image.into_iter().find(|of| area(of) > 0).unwrap();
        annotation["segmentation"] = chosen["segmentation"].clone();
        annotation["category_id"] = chosen["category_id"].clone();
        annotation["area"] = area(chosen).into();
    }
    write_json(truth, &set);
}

#[test]
fn coco_panoptic() {
    let trained = Trained::new("coco", "panoptic");
    let truth = |first: &Path| {
        let predicted = first.join("panoptic_val2017_smalti_results.json");
        first_map_becomes_truth(
            &predicted,
            &trained.at().join("data/coco/annotations/panoptic_val2017.json"),
        );
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/coco/annotations/panoptic_val2017.json");
        let pred = format!("{submission}/panoptic_val2017_smalti_results.json");
        trained.score(&["panoptic", "--gt", &gt, "--pred", &pred])
    };
    let scores = compare(&trained, Some(&truth), score, whole);
    positive(&scores, "PQ");
    refusals::check(&trained);
    refusals::check_pieces(&trained);
}

#[test]
fn coco_instance() {
    let trained = Trained::new("coco", "instance");
    let truth = |first: &Path| {
        first_objects_become_truth(
            &first.join("detections_val2017_smalti_results.json"),
            &trained.at().join("data/coco/annotations/instances_val2017.json"),
        );
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/coco/annotations/instances_val2017.json");
        let pred = format!("{submission}/detections_val2017_smalti_results.json");
        trained.score(&["instance", "--gt", &gt, "--pred", &pred])
    };
    let scores = compare(&trained, Some(&truth), score, whole);
    positive(&scores, "AP");
}

#[test]
fn ade20k_panoptic() {
    let trained = Trained::new("ade20k", "panoptic");
    let truth = |first: &Path| {
        let predicted = first.join("ade20k_panoptic_val_smalti_results.json");
        let set = trained.at().join("data/ADEChallengeData2016/ade20k_panoptic_val.json");
        first_map_becomes_truth(&predicted, &set);
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/ADEChallengeData2016/ade20k_panoptic_val.json");
        let pred = format!("{submission}/ade20k_panoptic_val_smalti_results.json");
        trained.score(&["panoptic", "--gt", &gt, "--pred", &pred])
    };
    let scores = compare(&trained, Some(&truth), score, trimmed);
    positive(&scores, "PQ");
    assert_eq!(scores["classes"].as_object().unwrap().len(), 150);
}

#[test]
fn ade20k_instance() {
    let trained = Trained::new("ade20k", "instance");
    let truth = |first: &Path| {
        let predicted = first.join("ade20k_instance_val_smalti_results.json");
        let set = trained.at().join("data/ADEChallengeData2016/ade20k_instance_val.json");
        first_objects_become_truth(&predicted, &set);
    };
    let score = |data: &str, submission: &str| {
        let gt = format!("{data}/ADEChallengeData2016/ade20k_instance_val.json");
        let pred = format!("{submission}/ade20k_instance_val_smalti_results.json");
        trained.score(&["instance", "--gt", &gt, "--pred", &pred])
    };
    let scores = compare(&trained, Some(&truth), score, trimmed);
    positive(&scores, "AP");
    assert_eq!(scores["classes"].as_object().unwrap().len(), 100);
}
