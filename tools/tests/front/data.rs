//! `smalti data synth`, `check`, `show` and `stats`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use smalti_datasets::decode;
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png, write_png_as};

const RECIPE: &str = r#"
[data]
root = "set"
train = { images = "images", labels = "labels" }
val = { images = "images", labels = "labels" }
[[data.augment]]
op = "random_crop"
size = [3, 3]
[[data.augment]]
op = "flip"
[model.of.something.else]
"#;

/// `recipe.toml` and `data/set` with two images of 4x4, two classes: `a` has both, `b` only road and ignored pixels.
fn small_set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("recipe.toml"), RECIPE).unwrap();
    let set = dir.path().join("data/set");
    for name in ["a", "b"] {
        write_png_as(&set.join(format!("images/{name}.png")), png::ColorType::Rgb, 4, &[100; 48]);
    }
    fs::write(
        set.join("classes.json"),
        r#"{"classes": [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]}"#,
    )
    .unwrap();
    write_png(&set.join("labels/a.png"), 4, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    write_png(&set.join("labels/b.png"), 4, &[0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
    dir
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const CHECK: [&str; 6] = ["data", "check", "--config", "recipe.toml", "--split", "train"];

#[test]
fn check_passes_a_good_set() {
    let dir = small_set();
    let printed = ok(dir.path(), &["data", "check", "--config", "recipe.toml", "--json", "c.json"]);
    for part in ["2 of 2 pairs are good", "road", "car", "ignored", "can be trained on"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let found = read(&dir.path().join("c.json"));
    assert_eq!(found["trainable"], true);
    assert_eq!(found["splits"].as_array().unwrap().len(), 2);
    // Both images are one picture, of which is told.
    for part in ["images that are there more than once: 1", "images/b.png is the same file as "] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let copies = &found["splits"][0]["copies"];
    assert!(copies[0]["others"][0].as_str().unwrap().ends_with("images/b.png"), "{copies}");
}

#[test]
fn check_lists_what_is_wrong_and_ends_with_2() {
    let dir = small_set();
    let set = dir.path().join("data/set");
    // A value outside, another size, a cut file, an image without labels.
    write_png(&set.join("labels/b.png"), 4, &[[0; 12].as_slice(), &[2, 2, 2, 7]].concat());
    for (name, width) in [("c", 4), ("d", 4), ("e", 4)] {
        write_png_as(&set.join(format!("images/{name}.png")), png::ColorType::Rgb, width, &[9; 48]);
    }
    write_png(&set.join("labels/c.png"), 2, &[0; 8]);
    write_png(&set.join("labels/d.png"), 4, &[0; 16]);
    let whole = fs::read(set.join("labels/d.png")).unwrap();
    fs::write(set.join("labels/d.png"), &whole[..40]).unwrap();
    let ran = smalti(dir.path(), &[&CHECK[..], &["--json", "c.json"]].concat());
    assert_eq!(ran.code, Some(2), "{}\n{}", ran.stdout, ran.stderr);
    for part in [
        "value 2: 3 pixels",
        "value 7: 1 pixels",
        "expected the image's 4x4, got 4x2",
        "d.png: truncated or damaged",
    ] {
        assert!(ran.stdout.contains(part), "no `{part}` in\n{}", ran.stdout);
    }
    assert!(
        ran.stdout.contains("e.png") && ran.stderr.contains("can't be trained on"),
        "{}\n{}",
        ran.stdout,
        ran.stderr
    );
    let found = read(&dir.path().join("c.json"));
    assert_eq!(found["trainable"], false);
    assert_eq!(found["splits"][0]["outside"][0]["pixels"], 3);
}

#[test]
fn stats_count_by_hand() {
    let dir = small_set();
    let words = [
        "data",
        "stats",
        "--config",
        "recipe.toml",
        "--split",
        "train",
        "--json",
        "s.json",
        "--chart",
        "c.png",
    ];
    let printed = ok(dir.path(), &words);
    assert!(printed.contains("2 images, 32 pixels, 12.50 % of them ignored"), "{printed}");
    assert!(printed.contains("mean = [100.00, 100.00, 100.00]"), "{printed}");
    let stats = &read(&dir.path().join("s.json"))["train"];
    assert_eq!((&stats["pixels"], &stats["ignored_pixels"]), (&32.into(), &4.into()));
    assert_eq!(stats["classes"][1]["name"], "car");
    assert_eq!(stats["classes"][1]["share"], 4.0 / 28.0);
    assert!(decode::image(&dir.path().join("c.png")).unwrap().dim().1 > 300);
}

#[test]
fn show_draws_a_sheet_with_and_without_transforms() {
    let dir = small_set();
    let words = ["data", "show", "--config", "recipe.toml", "--num", "9", "--out", "sheet.png"];
    let printed = ok(dir.path(), &words);
    assert!(printed.contains("2 of 2 images in sheet.png"), "{printed}");
    let plain = decode::image(&dir.path().join("sheet.png")).unwrap();
    ok(dir.path(), &[&words[..], &["--augment", "--seed", "1"]].concat());
    let augmented = decode::image(&dir.path().join("sheet.png")).unwrap();
    assert_ne!(plain, augmented);
    ok(dir.path(), &[&words[..], &["--augment", "--seed", "1"]].concat());
    assert_eq!(augmented, decode::image(&dir.path().join("sheet.png")).unwrap(), "same seed, same sheet");
    let to_nowhere = ["data", "show", "--config", "recipe.toml", "--out", "no/sheet.png"];
    refused(dir.path(), &to_nowhere, &["no/sheet.png: writing failed"]);
}

#[test]
fn synth_is_deterministic_checked_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let synth = |out: &'static str, seed: &'static str| {
        let mut words = vec!["data", "synth", "--out", out, "--images", "4", "--val-images", "2"];
        words.extend(["--size", "48x64", "--seed", seed]);
        words
    };
    let printed = ok(dir.path(), &synth("data/synth", "7"));
    assert!(printed.contains("4 training and 2 validation images of 48x64"), "{printed}");
    ok(dir.path(), &synth("twin", "7"));
    for file in ["train/000001.jpg", "semantic_val/000001.png", "annotations/panoptic_train.json"] {
        let (one, two) = (dir.path().join("data/synth").join(file), dir.path().join("twin").join(file));
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap(), "{file}");
    }
    assert!(ok(dir.path(), &synth("twin", "7")).contains("is there already"));
    refused(dir.path(), &synth("twin", "8"), &["twin"]);
    refused(dir.path(), &["data", "synth", "--out", "x", "--size", "8x8"], &["size", "expected", "8"]);
    let recipe = RECIPE.replace("\"set\"", "\"synth\"").replace("\"images\"", "\"train\"");
    fs::write(dir.path().join("recipe.toml"), recipe.replace("\"labels\"", "\"semantic_train\"")).unwrap();
    assert!(ok(dir.path(), &CHECK).contains("4 of 4 pairs are good"));
}

#[test]
fn recipes_that_do_not_fit_are_refused() {
    let dir = small_set();
    refused(dir.path(), &["data", "check", "--config", "none.toml"], &["none.toml: no such file"]);
    let with = |set: &'static str| [&CHECK[..], &["--set", set]].concat();
    refused(dir.path(), &with("data.rooot=x"), &["--set data.rooot=x", "rooot", "root"]);
    refused(dir.path(), &with("data.root=nowhere"), &["nowhere"]);
    refused(dir.path(), &with("data.classes=none.json"), &["none.json"]);
    refused(dir.path(), &with("data.ignore_label=high"), &["ignore_label", "high"]);
    fs::write(dir.path().join("recipe.toml"), "[data\n").unwrap();
    refused(dir.path(), &CHECK, &["recipe.toml:1: invalid TOML"]);
}
