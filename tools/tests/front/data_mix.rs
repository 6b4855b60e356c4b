//! `smalti data show` of training sets that are mixed.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use smalti_datasets::decode;

use crate::support::ok;

const SEMANTIC: &str = r#"
[data]
root = "day"
weight = 3
train = { images = "train", labels = "semantic_train" }
val = { images = "val", labels = "semantic_val" }
mix = [{ root = "night", images = "train", labels = "semantic_train" }]
augment = [{ op = "flip" }]
"#;

const PANOPTIC: &str = r#"
task = "panoptic"
[data]
root = "day"
weight = 3
train = { images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }
val = { images = "val", annotations = "annotations/panoptic_val.json", labels = "panoptic_val" }
mix = [{ root = "night", images = "train", annotations = "annotations/panoptic_train.json", labels = "panoptic_train" }]
augment = [{ op = "flip" }]
"#;

/// A folder with two sets, data/day of 6 training images and data/night of 3, and a recipe of each task that mixes them.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for (name, images, seed) in [("day", "6", "1"), ("night", "3", "2")] {
                let out = format!("data/{name}");
                let words = ["data", "synth", "--out", &out, "--images", images, "--seed", seed];
                ok(folder.path(), &[&words[..], &["--val-images", "2", "--size", "64x64"]].concat());
            }
            for (name, recipe) in [("semantic", SEMANTIC), ("panoptic", PANOPTIC)] {
                fs::write(folder.path().join(format!("{name}.toml")), recipe).unwrap();
            }
            folder
        })
        .path()
}

/// Captions of a page that shows `num` images.
fn captions(task: &str, num: &str, more: &[&str]) -> Vec<String> {
    let (config, out) = (format!("{task}.toml"), format!("{task}-{num}{}.html", more.concat()));
    let words = ["data", "show", "--config", &config, "--num", num, "--out", &out];
    ok(folder(), &[&words[..], more].concat());
    let page = fs::read_to_string(folder().join(out)).unwrap();
    let lines = page.split(['<', '>']).map(str::trim);
    lines.filter(|text| text.contains("64x64") && !text.contains('=')).map(str::to_owned).collect()
}

#[test]
fn every_set_is_drawn_by_its_share_and_named() {
    for task in ["semantic", "panoptic"] {
        for (num, of_day, of_night) in [("4", 3, 1), ("8", 6, 2), ("40", 6, 3)] {
            let captions = captions(task, num, &[]);
            let of = |name: &str| captions.iter().filter(|text| text.starts_with(name)).count();
            assert_eq!((of("day: "), of("night: ")), (of_day, of_night), "{task} {num}: {captions:?}");
            assert_eq!(captions.len(), of_day + of_night, "{task} {num}");
        }
        let printed = ok(
            folder(),
            &[
                "data",
                "show",
                "--config",
                &format!("{task}.toml"),
                "--num",
                "4",
                "--out",
                &format!("{task}.png"),
            ],
        );
        assert!(printed.contains(&format!("4 of 9 images in {task}.png")), "{printed}");
        assert!(decode::image(&folder().join(format!("{task}.png"))).unwrap().dim().0 > 128);
    }
}

#[test]
fn the_validation_set_is_shown_as_it_is() {
    for task in ["semantic", "panoptic"] {
        let captions = captions(task, "9", &["--split=val"]);
        assert_eq!(captions.len(), 2, "{captions:?}");
        assert!(captions.iter().all(|text| !text.contains("day") && !text.contains("night")), "{captions:?}");
    }
}
