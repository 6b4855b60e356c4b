//! `smalti data check` of class folders, as ImageNet lies on disk.

use std::fs;
use std::path::Path;

use png::ColorType;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ok, refused, write_png_as};

const CHECK: [&str; 6] = ["data", "check", "--config", "recipe.toml", "--json", "found.json"];

const RECIPE: &str = r#"
task = "classification"
[data]
root = "set"
[[data.augment]]
op = "random_resized_crop"
"#;

/// `data/set` with two images of each of two classes for training, one of each for validation; no two alike.
fn set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("recipe.toml"), RECIPE).unwrap();
    for (shade, file) in (1..).zip([
        "train/ant/1.png",
        "train/ant/2.png",
        "train/bee/1.png",
        "train/bee/2.png",
        "val/ant/v.png",
        "val/bee/v.png",
    ]) {
        write_png_as(&dir.path().join("data/set").join(file), ColorType::Rgb, 4, &[40 * shade; 48]);
    }
    dir
}

fn found(at: &Path) -> Value {
    serde_json::from_slice(&fs::read(at.join("found.json")).unwrap()).unwrap()
}

#[test]
fn both_splits_are_checked() {
    let dir = set();
    let printed = ok(dir.path(), &CHECK);
    for part in [
        "train: 4 of 4 images are good, 2 classes",
        "val: 2 of 2 images are good, 2 classes",
        "this set can be trained on",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let found = found(dir.path());
    assert_eq!((&found["absent"], &found["shared"]), (&json!([]), &json!([])));
    fs::create_dir(dir.path().join("data/set/val/cat")).unwrap();
    refused(dir.path(), &CHECK, &["val/cat: expected .jpg, .jpeg or .png images of this class, got none"]);
}

#[test]
fn one_split_is_enough() {
    for (gone, left, verdict) in [
        ("train", "val: 2 of 2 images are good", "what is there can be evaluated on"),
        ("val", "train: 4 of 4 images are good", "this set can be trained on"),
    ] {
        let dir = set();
        fs::remove_dir_all(dir.path().join("data/set").join(gone)).unwrap();
        let printed = ok(dir.path(), &CHECK);
        for part in [left, verdict, &format!("{gone}: not there")] {
            assert!(printed.contains(part), "no `{part}` in\n{printed}");
        }
        assert_eq!(found(dir.path())["absent"], json!([gone]));
        let asked = [&CHECK[..], &["--split", gone]].concat();
        refused(dir.path(), &asked, &[&format!("set/{gone}: no such file or folder (data.{gone})")]);
    }
    let dir = set();
    for split in ["train", "val"] {
        fs::remove_dir_all(dir.path().join("data/set").join(split)).unwrap();
    }
    refused(dir.path(), &CHECK, &["set/train: no such file or folder (data.train)"]);
}

#[test]
fn images_that_splits_share_are_told() {
    let dir = set();
    let set = dir.path().join("data/set");
    fs::copy(set.join("train/ant/2.png"), set.join("val/bee/copy.png")).unwrap();
    let printed = ok(dir.path(), &CHECK);
    for part in [
        "train and val share images: scores on val will flatter",
        "the same file in both: 1",
        "set/val/bee/copy.png and ",
        "set/train/ant/2.png",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let shared = &found(dir.path())["shared"];
    assert_eq!((shared.as_array().unwrap().len(), &shared[0]["identical"]), (1, &json!(true)));
    assert!(!ok(dir.path(), &[&CHECK[..], &["--split", "val"]].concat()).contains("share images"));
}

#[test]
fn copies_in_one_split_are_told_and_those_in_two_classes_apart() {
    let dir = set();
    let train = dir.path().join("data/set/train");
    fs::copy(train.join("ant/1.png"), train.join("ant/again.png")).unwrap();
    fs::copy(train.join("bee/1.png"), train.join("ant/bee.png")).unwrap();
    let printed = ok(dir.path(), &CHECK);
    for part in [
        "images that several classes have, of which one can be right: 1",
        "train/bee/1.png is the same file as data/set/train/ant/bee.png",
        "images that are there more than once: 1",
        "train/ant/again.png is the same file as data/set/train/ant/1.png",
        "this set can be trained on",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let of = |split: usize| found(dir.path())["splits"][split].clone();
    assert_eq!(of(0)["contradictions"].as_array().unwrap().len(), 1);
    assert_eq!(of(0)["copies"].as_array().unwrap().len(), 1);
    assert!(of(1).get("copies").is_none(), "{}", of(1));
}
