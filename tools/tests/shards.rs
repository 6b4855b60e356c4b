//! Evaluations with any number of threads and processes, from outside: scores and predictions are the same to the bit, and
//! parts that do not belong together are refused.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{TINY_NAT, files, ok, refused};

const TRAIN: &str = r"
[train]
steps = 2
eval_every = 2
checkpoint_every = 1
optimizer = { lr = 1e-3 }
";

const SEMANTIC: &str = r#"
[data]
root = "synth"
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
loader = { batch_size = 2 }
augment = [{ op = "random_crop", size = [64, 64] }]
[model.decode]
channels = 8
"#;

const PANOPTIC: &str = r#"
task = "panoptic"
[data]
root = "synth"
train = { images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }
val = { images = "val", annotations = "annotations/panoptic_val.json", labels = "panoptic_val" }
loader = { batch_size = 2 }
augment = [{ op = "large_scale_jitter", size = [64, 64], scale = [0.8, 1.25] }]
[model.head]
channels = 16
mask_channels = 16
heads = 2
norm_groups = 4
encoder_layers = 1
encoder_hidden = 16
points = 2
queries = 12
decoder_layers = 2
decoder_hidden = 16
[loss]
num_points = 64
no_object_weight = 0.0
[inference]
object_mask_threshold = 0.0
overlap_threshold = 0.0
max_instances = 20
"#;

const CLASSIFICATION: &str = r#"
task = "classification"
[data]
root = "classes"
loader = { batch_size = 3 }
eval = { size = 32 }
augment = [{ op = "random_resized_crop", size = 32 }]
"#;

/// A folder with sets of 64x64 images, of which seven are to be scored.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let synth = ["data", "synth", "--images", "4", "--val-images", "7", "--size", "64x64", "--out"];
            ok(folder.path(), &[&synth[..], &["data/synth"]].concat());
            let classes =
                ["data", "synth", "--images", "8", "--val-images", "16", "--size", "40x40", "--out"];
            ok(folder.path(), &[&classes[..], &["data/classes", "--layout", "classes"]].concat());
            folder
        })
        .path()
}

/// The weights of a short training, below [`folder`].
fn trained(task: &str) -> &'static str {
    static TRAINED: [OnceLock<String>; 3] = [const { OnceLock::new() }; 3];
    let (place, recipe) = match task {
        "semantic" => (0, SEMANTIC),
        "panoptic" => (1, PANOPTIC),
        _ => (2, CLASSIFICATION),
    };
    TRAINED[place].get_or_init(|| {
        let (config, out) = (format!("{task}.toml"), format!("runs/{task}"));
        fs::write(folder().join(&config), [recipe, TINY_NAT, TRAIN].concat()).unwrap();
        ok(folder(), &["train", "--config", &config, "--out", &out]);
        format!("{out}/checkpoints/best.safetensors")
    })
}

fn eval(task: &str, words: &[&str]) -> String {
    ok(folder(), &[&["eval", "--weights", trained(task)], words].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (task, least) in [("semantic", 7), ("panoptic", 7 + 7 + 2)] {
        let of_threads = ["1", "2"].map(|threads| {
            let out = tempfile::tempdir().unwrap();
            let (json, saved) = (out.path().join("scores.json"), out.path().join("saved"));
            let threads = format!("data.loader.workers={threads}");
            let words = ["--set", &threads, "--json", text(&json), "--save-predictions", text(&saved)];
            eval(task, &words);
            let below = files(out.path());
            assert!(below.len() > least, "{task}: {} files", below.len());
            below
        });
        assert!(of_threads[0] == of_threads[1], "{task}");
    }
}

#[test]
fn three_shards_have_the_scores_of_one_process() {
    for task in ["semantic", "panoptic", "classification"] {
        let out = tempfile::tempdir().unwrap();
        let [whole, sum, parts] = ["whole.json", "sum.json", "parts"].map(|name| out.path().join(name));
        let printed = eval(task, &["--json", text(&whole)]);
        for shard in ["2/3", "0/3"] {
            let said = eval(task, &["--shard", shard, "--parts", text(&parts)]);
            assert!(said.contains(&format!("shard {shard}: ")), "{said}");
        }
        // As a launcher starts it.
        let launched = Command::new(env!("CARGO_BIN_EXE_smalti"))
            .current_dir(folder())
            .args(["eval", "--weights", trained(task), "--parts", text(&parts)])
            .env_remove("SMALTI_DATA")
            .envs([("RANK", "1"), ("WORLD_SIZE", "3"), ("LOCAL_RANK", "1"), ("OMP_NUM_THREADS", "2")])
            .output()
            .unwrap();
        assert!(launched.status.success(), "{}", String::from_utf8_lossy(&launched.stderr));
        assert_eq!(files(&parts).len(), 3, "a part each and nothing else");
        assert_eq!(eval(task, &["--parts", text(&parts), "--json", text(&sum)]), printed);
        assert_eq!(fs::read_to_string(&sum).unwrap(), fs::read_to_string(&whole).unwrap(), "{task}");
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let parts = out.path().join("parts");
    let at = |name: &str| parts.join(name);
    let sum = |more: &[&str], expected: &[&str]| {
        let words = [&["eval", "--weights", trained("semantic"), "--parts", text(&parts)], more].concat();
        refused(folder(), &words, expected);
    };
    sum(&[], &["parts"]);
    fs::create_dir(&parts).unwrap();
    sum(&[], &["expected parts of an evaluation", "got no JSON file"]);
    for shard in ["0/3", "2/3"] {
        eval("semantic", &["--shard", shard, "--parts", text(&parts)]);
    }
    sum(&[], &["expected the parts of 3 shards, got 2; missing: 1/3"]);
    fs::copy(at("part-0-of-3.json"), at("again.json")).unwrap();
    sum(&[], &["part-0-of-3.json: shard 0/3, which is in", "again.json already"]);
    fs::remove_file(at("again.json")).unwrap();
    eval("semantic", &["--shard", "1/2", "--parts", text(&parts)]);
    sum(&[], &["part-1-of-2.json: expected one of 3 parts as", "part-0-of-3.json, got one of 2"]);
    fs::remove_file(at("part-1-of-2.json")).unwrap();
    eval("semantic", &["--shard", "1/3", "--parts", text(&parts)]);

    let foreign = |what: &str| format!("part-0-of-3.json: a part of another evaluation, with another {what}");
    sum(&["--set", "inference.short_edge=32"], &[&foreign("recipe or --set")]);
    sum(
        &["--set", "data.val.images=train", "--set", "data.val.labels=semantic_train"],
        &[&foreign("validation set")],
    );
    let other = ["eval", "--weights", "runs/semantic/checkpoints/step-0000001/model.safetensors", "--parts"];
    refused(folder(), &[&other[..], &[text(&parts)]].concat(), &[&foreign("weights")]);

    let cut = fs::read(at("part-1-of-3.json")).unwrap();
    fs::write(at("part-1-of-3.json"), &cut[..cut.len() / 2]).unwrap();
    sum(&[], &["part-1-of-3.json: expected a part of an evaluation, as `eval --shard` writes it"]);
    sum(&["--shard", "3/3"], &["--shard", "expected K/N"]);
    sum(&["--save-predictions", "x"], &["--parts", "--save-predictions"]);
    sum(&["--shard", "1/3", "--json", "x"], &["`--json`: a shard, here 1/3"]);
}
