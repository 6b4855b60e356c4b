//! CamVid as a recipe has it, where the set is at hand.

use std::path::Path;
use std::sync::Arc;

use smalti_datasets::{DataConfig, Loader, Recipe, SemanticSet, Split, check, stats};

use crate::support::{camvid, own};

const RECIPE: &str = r#"
[data]
root = "camvid"
classes = "classes.json"
ignore_label = 11
[data.train]
list = "train.txt"
[data.val]
list = "val.txt"
[[data.augment]]
op = "random_resize"
scale = [2048, 512]
[[data.augment]]
op = "random_crop"
size = [512, 512]
cat_max_ratio = 0.75
[[data.augment]]
op = "flip"
[[data.augment]]
op = "photometric"
"#;

fn config(root: &Path, overrides: &[&str]) -> DataConfig {
    let mut overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    overrides.push(format!("data.root={}", root.display()));
    let cfg: DataConfig =
        Recipe::from_text(RECIPE, Path::new("camvid.toml"), &overrides).unwrap().table("data").unwrap();
    cfg.validate().unwrap();
    cfg
}

#[test]
fn loads_by_a_recipe() {
    let Some(root) = camvid() else { return };
    let cfg = config(&root, &["data.loader.batch_size=2"]);
    let set = SemanticSet::open(&cfg, Split::Train, None).unwrap();
    assert_eq!((set.len(), set.classes().len(), set.name(0)), (367, 11, "images/train/0001TP_006690"));
    let batch = Loader::new(Arc::new(set), &cfg, 0, 0).unwrap().next().unwrap();
    assert_eq!(batch.images.dim(), (2, 3, 512, 512));
    assert!(batch.labels.iter().all(|v| *v < 11 || *v == 255));
    let mean = batch.images.mean().unwrap();
    assert!(mean.abs() < 2.0, "{mean}");
}

#[test]
fn check_and_stats_agree_with_its_readme() {
    let Some(root) = camvid() else { return };
    let set = SemanticSet::scan(&config(&root, &[]), Split::Val, None).unwrap();
    let report = check(&set, &|| {});
    assert!(report.trainable() && report.hints.is_empty());
    assert_eq!((report.images, report.good), (101, 101));
    let found = stats(&set, &|| {}).unwrap();
    // Shares in percent of all pixels, from the README of the set.
    for (class, expected) in [(0, 9.18), (3, 28.95), (9, 0.65), (10, 2.22)] {
        let percent = 100.0 * found.classes[class].pixels as f64 / found.pixels as f64;
        assert!((percent - expected).abs() < 0.006, "class {class}: {percent}");
    }
    assert!((100.0 * found.ignored_pixels as f64 / found.pixels as f64 - 1.70).abs() < 0.006);

    let mut cfg = config(&root, &[]);
    own(&mut cfg).ignore_label = None;
    let report = check(&SemanticSet::scan(&cfg, Split::Val, None).unwrap(), &|| {});
    assert!(!report.trainable());
    assert_eq!(report.hints[0].setting, "data.ignore_label = 11", "the class file says so");
}
