//! Every recipe of the repository can be used, names its task and opens with what it is.

use std::path::{Path, PathBuf};

use smalti_configs::{AnyRun, RunConfig, Task};

fn recipes() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of recipes");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let mut recipes: Vec<PathBuf> =
        ["camvid", "imagenet", "synth"].iter().flat_map(|set| files(set)).collect();
    recipes.sort();
    recipes
}

#[test]
fn every_recipe_is_valid_and_reads_as_itself() {
    let recipes = recipes();
    assert!(recipes.len() >= 7, "{recipes:?}");
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

#[test]
fn a_verb_of_segmentation_refuses_a_classifier() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("imagenet/nat_tiny.toml");
    let error = RunConfig::load(&path, &[]).expect_err("another task");
    assert_eq!(error.to_string(), "`task`: expected \"semantic\", got \"classification\"");
    assert_eq!(AnyRun::load(&path, &[]).expect("valid").task(), Task::Classification);
}
