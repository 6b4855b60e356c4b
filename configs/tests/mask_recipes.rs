//! Recipes of Mask2Former are the authors': networks, schedules, what is decayed.

use std::path::{Path, PathBuf};

use smalti_configs::{AnyRun, MaskRun};
use smalti_datasets::SegmentSet;
use smalti_heads::MaskModel;
use smalti_ops::without_data::WithoutData;
use tch::{Device, Tensor, nn};

/// Every recipe of Mask2Former, with its path.
fn recipes() -> Vec<(PathBuf, MaskRun)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for set in ["ade20k", "cityscapes", "coco", "synth"] {
        for entry in std::fs::read_dir(root.join(set)).expect("a folder of recipes") {
            let path = entry.expect("an entry").path();
            if let AnyRun::Mask(run) = AnyRun::load(&path, &[]).expect("valid") {
                found.push((path, *run));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn recipe(name: &str) -> MaskRun {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    match AnyRun::load(&path, &[]).expect("valid") {
        AnyRun::Mask(run) => *run,
        other => panic!("{name}: {other:?}"),
    }
}

/// The trainable parameters of a benchmark's recipe by name, without data.
fn parameters(run: &MaskRun) -> Vec<(String, Tensor)> {
    let classes = SegmentSet::class_table(&run.data, run.segments(), None).expect("classes need no file");
    let _shapes = WithoutData::enter().expect("the mode");
    let store = nn::VarStore::new(Device::Cpu);
    MaskModel::new(&store.root(), &run.model, classes.len() as i64).expect("a network");
    let mut all: Vec<_> =
        store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn networks_are_as_large_as_published() {
    // Millions of parameters in the paper's tables of COCO.
    let published = [
        ("r50", 44.0),
        ("r101", 63.0),
        ("swin_tiny", 47.0),
        ("swin_small", 69.0),
        ("swin_base", 107.0),
        ("swin_base_in22k", 107.0),
        ("swin_large", 216.0),
        ("dinat_large", 220.0),
    ];
    for task in ["panoptic", "instance"] {
        for (backbone, expected) in published {
            let name = format!("coco/mask2former_{task}_{backbone}.toml");
            let count: usize = parameters(&recipe(&name)).iter().map(|(_, tensor)| tensor.numel()).sum();
            let millions = count as f64 / 1e6;
            assert!(
                (millions - expected).abs() < 1.0,
                "{name}: {millions} M parameters, published {expected} M"
            );
        }
    }
}

#[test]
fn norms_and_embeddings_are_not_decayed() {
    for (path, run) in recipes() {
        if path.parent().is_some_and(|folder| folder.ends_with("synth")) {
            continue; // has settings of its own
        }
        let optimizer = &run.train.optimizer;
        let exempt = |name: &str| optimizer.no_decay.iter().any(|part| name.contains(part));
        let parameters = parameters(&run);
        for (name, tensor) in &parameters {
            // Only norms have weights with one dimension.
            let is_norm = name.ends_with(".weight") && tensor.dim() == 1;
            let is_embedding =
                ["query_feat", "query_embed", "predictor.level_embed"].iter().any(|e| name.contains(e));
            let expected = is_norm || is_embedding;
            if expected {
                assert!(exempt(name), "{}: {name} is decayed", path.display());
            } else if tensor.dim() > 1 && !name.contains("relative_position_bias_table") {
                assert!(!exempt(name), "{}: {name} is not decayed", path.display());
            }
        }
        for part in &optimizer.no_decay {
            let hits = parameters.iter().any(|(name, _)| name.contains(part));
            assert!(hits, "{}: no parameter's name has {part:?} in it", path.display());
        }
    }
}

#[test]
fn schedules_are_the_authors() {
    let rates = |name: &str, at: &[u64]| -> (u64, Vec<f64>) {
        let train = recipe(name).train;
        let rate = |&step: &u64| train.optimizer.lr * train.schedule.factor(step, train.steps);
        (train.steps, at.iter().map(rate).collect())
    };
    let close = |got: &[f64], expected: &[f64]| {
        assert!(got.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{got:?}, {expected:?}");
    };
    let (steps, found) = rates("coco/mask2former_panoptic_swin_tiny.toml", &[0, 327_777, 327_778, 355_092]);
    assert_eq!(steps, 368_750);
    close(&found, &[1e-4, 1e-4, 1e-5, 1e-6]);
    let (steps, found) = rates("coco/mask2former_instance_dinat_large.toml", &[655_555, 655_556, 710_184]);
    assert_eq!(steps, 737_500);
    close(&found, &[1e-4, 1e-5, 1e-6]);
    let (steps, found) = rates("cityscapes/mask2former_panoptic_r50.toml", &[0, 45_000]);
    assert_eq!(steps, 90_000);
    close(&found, &[1e-4, 1e-4 * 0.5f64.powf(0.9)]);
}
