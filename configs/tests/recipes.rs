//! Every recipe of the repository can be used, names its task and opens with what it is.

use std::path::{Path, PathBuf};

use smalti_backbones::catalog;
use smalti_configs::{AnyRun, RunConfig, Task};
use smalti_datasets::SemanticSet;
use smalti_heads::SemanticModel;
use smalti_ops::without_data::WithoutData;
use tch::{Device, Tensor, nn};

fn recipes() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of recipes");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let sets = ["ade20k", "camvid", "cityscapes", "coco", "imagenet", "synth"];
    let mut recipes: Vec<PathBuf> = sets.iter().flat_map(|set| files(set)).collect();
    recipes.sort();
    recipes
}

#[test]
fn every_recipe_is_valid_and_reads_as_itself() {
    let recipes = recipes();
    assert!(recipes.len() >= 50, "{recipes:?}");
    for path in recipes {
        let run = AnyRun::load(&path, &[]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("# "), "{}: opens with what it is", path.display());
        assert!(text.contains(&format!("task = \"{}\"", run.task().name())), "{}", path.display());
        let folder = tempfile::tempdir().expect("a folder");
        let shown = folder.path().join("shown.toml");
        std::fs::write(&shown, run.to_toml()).expect("writable");
        assert_eq!(AnyRun::load(&shown, &[]).expect("a shown recipe"), run, "{}", path.display());
    }
}

#[test]
fn imagenet_recipes_follow_the_papers_schedule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("imagenet/nat_tiny.toml");
    let AnyRun::Classification(run) = AnyRun::load(&path, &[]).expect("valid") else {
        panic!("a classifier")
    };
    let (train, epoch) = (&run.train, 1251);
    assert_eq!(epoch, 1_281_167 / run.data.loader.batch_size as u64);
    assert_eq!(train.steps, 310 * epoch);
    let rate = |step| train.optimizer.lr * train.schedule.factor(step, train.steps);
    let close =
        |got: f64, expected: f64| assert!((got / expected - 1.0).abs() < 1e-6, "{got} is not {expected}");
    close(rate(0), 1e-6);
    close(rate(300 * epoch), 5e-6);
    close(rate(310 * epoch - 1), 5e-6);
    close(rate(150 * epoch), f64::midpoint(1e-3, 5e-6));
    assert!(rate(20 * epoch) > 0.98e-3);
}

/// Parameters of a recipe's network in millions; what is built has no data.
fn parameters_m(run: &RunConfig) -> f64 {
    let classes = SemanticSet::class_table(&run.data, None).expect("a benchmark's classes need no file");
    let _shapes = WithoutData::enter().expect("the mode");
    let store = nn::VarStore::new(Device::Cpu);
    SemanticModel::new(&store.root(), &run.model, classes.len() as i64).expect("a network");
    store.trainable_variables().iter().map(Tensor::numel).sum::<usize>() as f64 / 1e6
}

#[test]
fn ade20k_recipes_are_those_of_the_published_networks() {
    // Drop path as the authors' configs have it.
    let rates = [("mini", 0.2), ("tiny", 0.3), ("small", 0.5), ("base", 0.5)];
    for (prefix, dilations) in [("", None), ("dinat_", Some("uper_512"))] {
        for (size, drop_path) in rates {
            let variant = format!("{prefix}{size}");
            let family = if prefix.is_empty() { "nat" } else { "dinat" };
            let name = format!("ade20k/upernet_{family}_{size}.toml");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
            let run = RunConfig::load(&path, &[]).expect("valid");
            let backbone = toml::Value::try_from(&run.model.backbone).expect("a table");
            assert_eq!(backbone["variant"].as_str(), Some(variant.as_str()), "{name}");
            assert_eq!(backbone["drop_path_rate"].as_float(), Some(drop_path), "{name}");
            assert_eq!(backbone.get("dilations").and_then(toml::Value::as_str), dilations, "{name}");

            let variants = catalog::variants();
            let row = variants.iter().find(|row| (row.family, row.name) == ("nat", variant.as_str()));
            let published =
                row.expect("a variant").dense().find(|row| row.head == "UperNet").expect("published");
            assert_eq!((published.data, published.crop), ("ADE20K", Some(512)), "{name}");
            let expected = published.parameters_m.expect("reported");
            let got = parameters_m(&run);
            assert!((got - expected).abs() <= 0.5, "{name}: {got} M parameters, published are {expected} M");
            let text = std::fs::read_to_string(&path).expect("readable");
            let (_, miou) = published.scores.reported().find(|(name, _)| *name == "mIoU").expect("reported");
            assert!(text.contains(&format!("mIoU {miou:.1} %")), "{name} does not expect {miou}");
        }
    }
}

#[test]
fn upernet_recipes_follow_the_authors_schedule() {
    for (set, steps, power) in [("ade20k", 160_000, 1.0), ("cityscapes", 90_000, 0.9)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(set).join("upernet_nat_tiny.toml");
        let run = RunConfig::load(&path, &[]).expect("valid");
        assert_eq!(run.data.files.to_string(), set);
        let train = &run.train;
        assert_eq!((run.data.loader.batch_size, train.steps), (16, steps), "{set}");
        let rate = |step| train.optimizer.lr * train.schedule.factor(step, steps);
        let close = |got: f64, expected: f64| {
            assert!((got / expected - 1.0).abs() < 1e-9, "{set}: {got} is not {expected}");
        };
        close(rate(0), 6e-11);
        close(rate(1500), 6e-5 * (1.0 - 1500.0 / steps as f64).powf(power));
        close(rate(steps / 2), 6e-5 * 0.5f64.powf(power));
    }
}

#[test]
fn a_verb_of_segmentation_refuses_a_classifier() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("imagenet/nat_tiny.toml");
    let error = RunConfig::load(&path, &[]).expect_err("another task");
    assert_eq!(error.to_string(), "`task`: expected \"semantic\", got \"classification\"");
    assert_eq!(AnyRun::load(&path, &[]).expect("valid").task(), Task::Classification);
}
