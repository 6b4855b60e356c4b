//! Trainings that start from weights, from outside: what they begin with, what they say and write of it, how they resume,
//! what they refuse.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use smalti_checkpoints::{Checkpoint, LazyTensor};

use crate::support::{TINY_NAT, ok, refused};

const CLASSIFIER: &str = r#"
task = "classification"
[data]
root = "set"
loader = { batch_size = 4 }
eval = { size = 32 }
augment = [{ op = "random_resized_crop", size = 32 }]
[train]
steps = 1
"#;

const SEGMENTATION: &str = r#"
task = "semantic"
[data]
root = "synth"
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
loader = { batch_size = 2 }
augment = [{ op = "random_crop", size = [64, 64] }]
[model.decode]
channels = 8
[model.auxiliary]
channels = 8
[train]
steps = 6
log_every = 2
eval_every = 3
checkpoint_every = 2
keep_checkpoints = 3
optimizer = { lr = 1e-3 }
"#;

/// One step that changes no parameter.
const STILL: [&str; 4] =
    ["--set", "train.steps=1", "--set", "train.optimizer.lr_factors=[{ prefix = '', factor = 0.0 }]"];

/// A folder with both kinds of data (8 and 14 classes), both recipes, and the weights of a classifier in classifier.safetensors.
fn prepared() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            let synth = |words: &[&str]| {
                ok(at, &[&["data", "synth", "--size", "64x64", "--out"], words].concat());
            };
            synth(&["data/synth", "--images", "6", "--val-images", "3"]);
            synth(&["data/set", "--images", "16", "--val-images", "8", "--layout", "classes"]);
            std::fs::write(at.join("classifier.toml"), format!("{CLASSIFIER}{TINY_NAT}")).unwrap();
            std::fs::write(at.join("segmentation.toml"), format!("{SEGMENTATION}{TINY_NAT}")).unwrap();
            ok(at, &["train", "--config", "classifier.toml", "--out", "runs/classifier"]);
            std::fs::copy(at.join("runs/classifier/checkpoints/best.safetensors"), at.join(WEIGHTS)).unwrap();
            folder
        })
        .path()
}

const WEIGHTS: &str = "classifier.safetensors";

/// Every tensor of a file: sizes and bytes.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let checkpoint = Checkpoint::open(path).unwrap();
    let weights = checkpoint.state_dict(None).unwrap();
    let entry = |(name, tensor): (String, &LazyTensor)| {
        (name, (tensor.shape().to_vec(), tensor.to_bytes().into_owned()))
    };
    weights.tensors.into_iter().map(entry).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Checkpoints of other code bases, from the heads' tests.
fn foreign(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heads/tests/layouts").canonicalize().unwrap().join(name)
}

#[test]
fn segmentation_starts_from_a_classifier_s_backbone() {
    let at = prepared();
    let words = ["train", "--config", "segmentation.toml", "--weights", WEIGHTS, "--out", "runs/first_step"];
    let printed = ok(at, &[&words[..], &STILL].concat());
    for part in [
        "classifier.safetensors, a classifier: ",
        " tensors, part = \"backbone\"",
        "8 keep their initial values (only dense backbones have norms of levels): backbone.norm0.bias, ",
        "2 of the file are left out (no part of the backbone): head.bias, head.weight",
        "2 of the file are left out (only classifiers have a norm before the last layer): norm.bias, norm.weight",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }

    let run = at.join("runs/first_step");
    let (before, after) =
        (tensors(&at.join(WEIGHTS)), tensors(&run.join("checkpoints/step-0000001/model.safetensors")));
    let backbone: Vec<_> =
        before.keys().filter(|name| !name.starts_with("norm.") && !name.starts_with("head.")).collect();
    for name in &backbone {
        assert!(before[*name] == after[&format!("backbone.{name}")], "{name} differs");
    }

    let init = json(&run.join("init.json"));
    assert_eq!((&init["holds"], &init["part"]), (&"a classifier".into(), &"backbone".into()));
    assert_eq!(init["loaded"].as_array().unwrap().len(), backbone.len());
    assert!(
        init["loaded"]
            .as_array()
            .unwrap()
            .contains(&serde_json::json!(["backbone.patch_embed.norm.weight", "patch_embed.norm.weight"]))
    );
    let initial: Vec<&Value> = init["initial"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["names"].as_array().unwrap())
        .collect();
    assert_eq!(initial.len() + backbone.len(), after.len());
    assert!(Path::new(init["weights"].as_str().unwrap()).is_absolute());
    assert_eq!(init["bytes"], std::fs::metadata(at.join(WEIGHTS)).unwrap().len());
    assert_eq!(init["blake3"].as_str().unwrap().len(), 64);
    let recipe = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(recipe.contains("[train.init]\nweights = \"classifier.safetensors\"\n"), "{recipe}");
    assert!(!at.join("runs/classifier/init.json").exists());
}

#[test]
fn a_resumed_run_needs_the_weights_no_more() {
    let at = prepared();
    std::fs::copy(at.join(WEIGHTS), at.join("gone.safetensors")).unwrap();
    let train = |out: &str, more: &[&str]| {
        let words = ["train", "--config", "segmentation.toml", "--weights", "gone.safetensors", "--out", out];
        ok(at, &[&words[..], more].concat())
    };
    train("runs/whole", &[]);
    train("runs/cut", &[]);
    train("runs/early", &[]);
    for step in ["step-0000004", "step-0000006"] {
        std::fs::remove_dir_all(at.join("runs/cut/checkpoints").join(step)).unwrap();
    }
    std::fs::remove_dir_all(at.join("runs/early/checkpoints")).unwrap();
    std::fs::remove_file(at.join("gone.safetensors")).unwrap();

    // A scheduler passes the same words again; a person need not.
    let init = std::fs::read(at.join("runs/cut/init.json")).unwrap();
    let printed = train("runs/cut", &["--resume"]);
    assert!(printed.contains("resuming after step 2 of 6") && !printed.contains("starts from"), "{printed}");
    ok(at, &["train", "--resume", "--out", "runs/cut"]);
    assert!(std::fs::read(at.join("runs/cut/init.json")).unwrap() == init);
    let last =
        |run: &str| std::fs::read(at.join(run).join("checkpoints/step-0000006/model.safetensors")).unwrap();
    assert!(last("runs/cut") == last("runs/whole"), "the weights differ");
    ok(at, &["eval", "--weights", "runs/cut/checkpoints/best.safetensors"]);

    // Without any checkpoint a run starts anew, and then it must have the weights; others are another recipe.
    refused(at, &["train", "--resume", "--out", "runs/early"], &["gone.safetensors: opening failed"]);
    let words = ["train", "--resume", "--out", "runs/cut", "--weights", WEIGHTS];
    refused(
        at,
        &words,
        &["another recipe", "weights = \"gone.safetensors\"", "weights = \"classifier.safetensors\""],
    );
}

#[test]
fn another_class_list_keeps_all_but_the_last_layer() {
    let at = prepared();
    for split in ["train", "val"] {
        for class in ["ball", "candy"] {
            let (from, to) =
                (at.join("data/set").join(split).join(class), at.join("data/few").join(split).join(class));
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let train =
        ["train", "--config", "classifier.toml", "--weights", WEIGHTS, "--set", "data.root=few", "--out"];
    for more in [&[][..], &["--set", "train.init.part=all"]] {
        refused(
            at,
            &[&train[..], &["runs/refused"], more].concat(),
            &[
                "classifier.safetensors: `head`: expected 2 classes, got 8; `train.init.part = \"all_but_classes\"`",
            ],
        );
    }
    assert!(!at.join("runs/refused").exists(), "nothing was started");
    let before = tensors(&at.join(WEIGHTS));
    for part in ["all_but_classes", "backbone"] {
        let (out, set) = (format!("runs/{part}"), format!("train.init.part={part}"));
        let printed = ok(at, &[&train[..], &[&out, "--set", &set], &STILL].concat());
        assert!(printed.contains("2 keep their initial values"), "{printed}");
        let after = tensors(&at.join(&out).join("checkpoints/step-0000001/model.safetensors"));
        assert!(after.keys().eq(before.keys()));
        for (name, tensor) in &after {
            assert_eq!(*tensor == before[name], !name.starts_with("head."), "{part}: {name}");
        }
    }
}

#[test]
fn a_converted_upernet_is_fine_tuned_on_other_classes() {
    let at = prepared();
    let source = foreign("mmseg_upernet_swin");
    ok(at, &["weights", "convert", source.to_str().unwrap(), "upernet"]);
    let data = [
        "data.root=synth",
        "data.train={ images = 'train', labels = 'semantic_train' }",
        "data.val={ images = 'val', labels = 'semantic_val' }",
        "data.loader.batch_size=2",
    ];
    let mut words =
        vec!["train", "--config", "upernet/config.toml", "--weights", "upernet/model.safetensors"];
    words.extend(data.iter().flat_map(|set| ["--set", *set]));
    words.extend_from_slice(&STILL);
    refused(
        at,
        &[&words[..], &["--out", "runs/refused_upernet"]].concat(),
        &["upernet/model.safetensors: `decode_head.conv_seg`: expected 14 classes, got 5"],
    );
    assert!(!at.join("runs/refused_upernet").exists(), "nothing was started");
    // All that fits, if that is asked for.
    let printed = ok(at, &[&words[..], &["--partial", "--out", "runs/partial"]].concat());
    assert!(
        printed.contains("part = \"all\"\n  4 keep their initial values (of another size in the file): "),
        "{printed}"
    );
    let record: Value =
        serde_json::from_slice(&std::fs::read(at.join("runs/partial/init.json")).unwrap()).unwrap();
    assert_eq!(record["initial"][0]["names"].as_array().unwrap().len(), 4);
    words.extend_from_slice(&["--set", "train.init.part=all_but_classes", "--out", "runs/upernet"]);
    let printed = ok(at, &words);
    assert!(printed.contains("a network with decode_head: "), "{printed}");
    assert!(printed.contains("keep their initial values (their rows are classes)"), "{printed}");
    let before = tensors(&at.join("upernet/model.safetensors"));
    let after = tensors(&at.join("runs/upernet/checkpoints/step-0000001/model.safetensors"));
    assert!(after.keys().eq(before.keys()));
    // A step moves the statistics of batch norms, whatever the rate.
    for (name, tensor) in after.iter().filter(|(name, _)| !name.contains(".running_")) {
        assert_eq!(*tensor == before[name], !name.contains(".conv_seg."), "{name}");
    }
}

/// A Mask2Former of 5 queries and 3 classes starts one of 8 queries and 14 classes.
#[test]
fn a_converted_mask2former_is_fine_tuned_on_other_classes_with_other_queries() {
    let at = prepared();
    let source = foreign("hf_mask2former");
    ok(at, &["weights", "convert", source.to_str().unwrap(), "mask2former"]);
    let data = [
        "data.root=synth",
        "data.train={ images = 'train', annotations = 'annotations/panoptic_train.json', labels = 'panoptic_train' }",
        "data.val={ images = 'val', annotations = 'annotations/panoptic_val.json', labels = 'panoptic_val' }",
        "data.loader.batch_size=2",
        "data.eval={}",
        "loss.num_points=64",
        "model.head.queries=8",
    ];
    let mut words =
        vec!["train", "--config", "mask2former/config.toml", "--weights", "mask2former/model.safetensors"];
    words.extend(data.iter().flat_map(|set| ["--set", *set]));
    words.extend_from_slice(&STILL);
    refused(
        at,
        &[&words[..], &["--out", "runs/refused_mask2former"]].concat(),
        &[
            "mask2former/model.safetensors: `sem_seg_head.predictor.class_embed`: expected 14 classes, got 3",
            "`sem_seg_head.predictor.query_feat`: expected 8 queries, got 5",
            "--partial",
        ],
    );
    assert!(!at.join("runs/refused_mask2former").exists(), "nothing was started");
    let printed = ok(at, &[&words[..], &["--partial", "--out", "runs/mask2former"]].concat());
    assert!(printed.contains("4 keep their initial values (of another size in the file): "), "{printed}");
    let before = tensors(&at.join("mask2former/model.safetensors"));
    let after = tensors(&at.join("runs/mask2former/checkpoints/step-0000001/model.safetensors"));
    assert!(after.keys().eq(before.keys()));
    for (name, tensor) in &after {
        let other = ["class_embed", "query_feat", "query_embed"].iter().any(|layer| name.contains(layer));
        assert_eq!(*tensor == before[name], !other, "{name}");
    }
}

#[test]
fn weights_that_no_training_can_start_from() {
    let at = prepared();
    let train = |weights: &str, more: &[&str], expected: &[&str]| {
        let words = ["train", "--config", "segmentation.toml", "--out", "runs/none", "--weights", weights];
        refused(at, &[&words[..], more].concat(), expected);
    };
    train("absent.safetensors", &[], &["absent.safetensors: opening failed"]);
    let (folder, pickle) = (foreign("hf_dinat"), foreign("mmseg_upernet_swin/iter_160000.pth"));
    for (path, got) in [(&folder, "got a folder"), (&pickle, "got torch (zip)")] {
        let path = path.to_str().unwrap();
        let remedy = format!("`smalti weights convert {path} OUT` makes one");
        train(path, &[], &["expected a safetensors file with smalti's names", got, &remedy]);
    }
    let names = folder.join("model.safetensors");
    train(
        names.to_str().unwrap(),
        &[],
        &["do not fit this model", "missing (", "surplus (", "of another code base? `smalti weights convert"],
    );
    train(
        WEIGHTS,
        &["--set", "model.backbone.window=5"],
        &["backbone.levels.0.blocks.0.attn.rpb expected [1, 9, 9], got [1, 5, 5]", "interpolates them"],
    );
    train(WEIGHTS, &["--set", "model.backbone.depths=[1, 1, 2, 1]"], &["missing", "levels.2.blocks.1."]);
    train(
        WEIGHTS,
        &["--set", "train.init.part=all"],
        &["`train.init.part = \"all\"`: expected a network with decode_head, got a classifier"],
    );
    assert!(!at.join("runs/none").exists(), "nothing was started");

    let check = |changes: &[&str], expected: &[&str]| {
        let sets: Vec<&str> = changes.iter().flat_map(|change| ["--set", *change]).collect();
        let words = [&["config", "check", "segmentation.toml"][..], &sets].concat();
        if expected.is_empty() { drop(ok(at, &words)) } else { refused(at, &words, expected) }
    };
    // As with the data: whether a file is there is asked by the training.
    check(&["train.init.weights=absent.safetensors"], &[]);
    check(
        &["train.init.weights="],
        &["`train.init.weights`: expected a safetensors file, got an empty path"],
    );
    check(&["train.init.part=all"], &["train.init", "weights"]);
    check(&["train.init.weights=x", "train.init.part=al"], &["train.init.part", "did you mean \"all\"?"]);
    check(&["train.init.weights=x", "train.init.prat=all"], &["unknown key", "did you mean `part`?"]);
}
