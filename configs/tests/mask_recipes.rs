//! Recipes of Mask2Former are the authors': networks, schedules, what is decayed.

use std::path::{Path, PathBuf};

use smalti_configs::{AnyRun, SemanticMaskRun, Task};
use smalti_datasets::transform::segments::ResizeShortestEdgeConfig;
use smalti_datasets::{AugmentConfig, SegmentSet, SemanticSet};
use smalti_heads::mask::post::SemanticMaskInferenceConfig;
use smalti_heads::{MaskConfig, MaskModel};
use smalti_ops::without_data::WithoutData;
use smalti_training::TrainConfig;
use tch::{Device, Tensor, nn};

/// What recipes of all tasks have.
struct Recipe {
    path: PathBuf,
    model: MaskConfig,
    train: TrainConfig,
    num_classes: usize,
}

/// A benchmark's recipe of Mask2Former.
fn read(path: PathBuf) -> Option<Recipe> {
    let none = "classes of a benchmark need no file";
    match AnyRun::load(&path, &[]).expect("valid") {
        AnyRun::Mask(run) => {
            let classes = SegmentSet::class_table(&run.data, run.segments(), None).expect(none);
            Some(Recipe { path, model: run.model, train: run.train, num_classes: classes.len() })
        }
        AnyRun::SemanticMask(run) => {
            let classes = SemanticSet::class_table(&run.data, None).expect(none);
            Some(Recipe { path, model: run.model, train: run.train, num_classes: classes.len() })
        }
        _ => None,
    }
}

/// Every recipe of Mask2Former for a benchmark.
fn recipes() -> Vec<Recipe> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for set in ["ade20k", "cityscapes", "coco"] {
        let entries = std::fs::read_dir(root.join(set)).expect("a folder of recipes");
        found.extend(entries.filter_map(|entry| read(entry.expect("an entry").path())));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn recipe(name: &str) -> Recipe {
    read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a recipe of Mask2Former")
}

/// The trainable parameters of a recipe by name, without data.
fn parameters(recipe: &Recipe) -> Vec<(String, Tensor)> {
    let _shapes = WithoutData::enter().expect("the mode");
    let store = nn::VarStore::new(Device::Cpu);
    MaskModel::new(&store.root(), &recipe.model, recipe.num_classes as i64).expect("a network");
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
    for recipe in recipes() {
        let (path, optimizer) = (&recipe.path, &recipe.train.optimizer);
        let exempt = |name: &str| optimizer.no_decay.iter().any(|part| name.contains(part));
        let parameters = parameters(&recipe);
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

#[test]
fn semantic_recipes_are_the_published_ones() {
    // Backbone, mIoU at one scale, at several, edge of ADE20K's crops.
    let ade20k = [
        ("r50", Some("47.2"), "49.2", 512),
        ("r101", Some("47.8"), "50.1", 512),
        ("swin_tiny", Some("47.7"), "49.6", 512),
        ("swin_small", Some("51.3"), "52.4", 512),
        ("swin_base", Some("52.4"), "53.7", 640),
        ("swin_base_in22k", Some("53.9"), "55.1", 640),
        ("swin_large", Some("56.1"), "57.3", 640),
        ("dinat_large", None, "58.1", 640),
    ];
    let cityscapes = [
        ("r50", Some("79.4"), "82.2", 1024),
        ("r101", Some("80.1"), "81.9", 1024),
        ("swin_tiny", Some("82.1"), "83.0", 1024),
        ("swin_small", Some("82.6"), "83.6", 1024),
        ("swin_base_in22k", Some("83.3"), "84.5", 1024),
        ("swin_large", Some("83.3"), "84.3", 1024),
        ("dinat_large", None, "84.5", 1024),
    ];
    for (set, rows, steps) in [("ade20k", &ade20k[..], 160_000), ("cityscapes", &cityscapes[..], 90_000)] {
        for &(backbone, one, several, edge) in rows {
            let name = format!("{set}/mask2former_semantic_{backbone}.toml");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
            let AnyRun::SemanticMask(run) = AnyRun::load(&path, &[]).expect("valid") else {
                panic!("{name}: a Mask2Former")
            };
            let SemanticMaskRun { task, data, model, train, inference, .. } = *run;
            // The authors see whole images; their test at several scales is in the head comment.
            assert_eq!(inference, SemanticMaskInferenceConfig::default(), "{name}");
            assert_eq!((task, data.files.to_string().as_str()), (Task::Semantic, set), "{name}");
            assert_eq!((model.head.queries, train.steps, data.loader.batch_size), (100, steps, 16), "{name}");
            let rate = train.optimizer.lr * train.schedule.factor(steps / 2, steps);
            assert!((rate / (1e-4 * 0.5f64.powf(0.9)) - 1.0).abs() < 1e-9, "{name}: {rate}");

            let eval = data.eval.as_ref().expect("sizes");
            let long = if set == "ade20k" { 4 * edge } else { 2048 };
            assert_eq!((eval.short_edge, eval.max_long_edge), (Some(edge), Some(long)), "{name}");
            let AugmentConfig::ResizeShortestEdge(resize) = &data.augment[0] else { panic!("{name}") };
            let ResizeShortestEdgeConfig { short_edges, max_long_edge, .. } = resize;
            let expected: Vec<u32> = (5..=20).map(|tenths| tenths * edge / 10).collect();
            assert_eq!((short_edges, *max_long_edge), (&expected, 4 * edge), "{name}");
            let crop = if set == "ade20k" { [edge as usize; 2] } else { [512, 1024] };
            assert_eq!(data.crop_size(), Some(crop), "{name}");

            let text = std::fs::read_to_string(&path).expect("readable");
            let text =
                text.lines().map(|line| line.trim_start_matches("# ").trim()).collect::<Vec<_>>().join(" ");
            for share in one.into_iter().chain([several]) {
                assert!(text.contains(&format!(" {share} %")), "{name} does not expect {share}");
            }
        }
    }
}
