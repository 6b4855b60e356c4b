//! `smalti data check`, `stats` and `show` of instance and panoptic sets, with a recipe and without, and of sets with a split
//! that is not there.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smalti_datasets::decode;
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png, write_png_as};

/// `data/set`: two images of 24x32, instances of both as `instances.json`, and segments as `panoptic.json` with their PNGs.
fn set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data/set");
    for (seed, name) in [(5, "1"), (11, "2")] {
        let pixels: Vec<u8> = (0..24 * 32 * 3).map(|i: u32| (i * seed / 7) as u8).collect();
        write_png_as(&root.join(format!("images/{name}.png")), png::ColorType::Rgb, 32, &pixels);
        let ids = (0..24 * 32)
            .flat_map(|i| if i / 32 < 10 { [1, 0, 0] } else { [2 + u8::from(i % 32 > 20), 0, 0] });
        let png = root.join(format!("panoptic/{name}.png"));
        write_png_as(&png, png::ColorType::Rgb, 32, &ids.collect::<Vec<u8>>());
    }
    let images = json!([
        {"id": 1, "file_name": "1.png", "height": 24, "width": 32},
        {"id": 2, "file_name": "2.png", "height": 24, "width": 32},
    ]);
    let instance = |id: u32, image: u32, left: u32| {
        let (right, top, bottom) = (left + 10, 4, 14);
        json!({"id": id, "image_id": image, "category_id": id % 2 + 1, "iscrowd": 0, "area": 100,
            "bbox": [left, 4, 10, 10], "segmentation": [[left, top, right, top, right, bottom, left, bottom]]})
    };
    let categories = json!([{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "dog", "isthing": 1}]);
    let instances = json!({"images": images, "categories": categories,
        "annotations": [instance(1, 1, 2), instance(2, 1, 18), instance(3, 2, 6)]});
    fs::write(root.join("instances.json"), instances.to_string()).unwrap();
    let segments = |image: u32| {
        json!({"image_id": image, "file_name": format!("{image}.png"), "segments_info": [
            {"id": 1, "category_id": 3, "iscrowd": 0, "area": 320, "bbox": [0, 0, 32, 10]},
            {"id": 2, "category_id": 1, "iscrowd": 0, "area": 294, "bbox": [0, 10, 21, 14]},
            {"id": 3, "category_id": 2, "iscrowd": 0, "area": 154, "bbox": [21, 10, 11, 14]},
        ]})
    };
    let mut all = categories.as_array().unwrap().clone();
    all.push(json!({"id": 3, "name": "sky", "isthing": 0}));
    let panoptic = json!({"images": images, "categories": all, "annotations": [segments(1), segments(2)]});
    fs::write(root.join("panoptic.json"), panoptic.to_string()).unwrap();
    for task in ["instance", "panoptic"] {
        let file = if task == "instance" { "instances.json" } else { "panoptic.json" };
        let recipe = format!(
            "task = \"{task}\"\n[data]\nroot = \"set\"\ntrain = {{ images = \"images\", annotations = \"{file}\" }}\n"
        );
        fs::write(dir.path().join(format!("{task}.toml")), recipe).unwrap();
    }
    dir
}

fn change(dir: &TempDir, file: &str, pointer: &str, value: Value) {
    let path = dir.path().join("data/set").join(file);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    fs::write(path, json.to_string()).unwrap();
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn sound_sets_pass_with_and_without_a_recipe() {
    let dir = set();
    let printed = ok(
        dir.path(),
        &["data", "check", "--config", "instance.toml", "--json", "c.json", "--html", "c.html"],
    );
    for part in [
        "train: 2 of 2 images are good",
        "3 instances, 0 images without one",
        "val: not there",
        "can be trained on",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let found = read(&dir.path().join("c.json"));
    assert_eq!((&found["trainable"], &found["absent"][0]), (&json!(true), &json!("val")));
    assert_eq!(found["splits"][0]["categories"][1]["objects"], 2);
    assert!(fs::read_to_string(dir.path().join("c.html")).unwrap().contains("train: 2 of 2 images are good"));
    let bare = ["--images", "data/set/images", "--annotations", "data/set/panoptic.json"];
    let printed = ok(dir.path(), &[&["data", "check"][..], &bare].concat());
    assert!(printed.contains("panoptic.json: 2 of 2 images are good"), "{printed}");
    assert!(printed.contains("6 segments, 0 images without one, 0.00 % of the pixels void"), "{printed}");
}

#[test]
fn what_is_wrong_ends_with_2_and_warnings_do_not() {
    let dir = set();
    change(&dir, "instances.json", "/annotations/0/area", json!(7));
    let printed = ok(dir.path(), &["data", "check", "--config", "instance.toml"]);
    for part in ["warning: areas that do not fit their masks: 1", "`area` is 7, its mask has 100 pixels"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    change(&dir, "instances.json", "/annotations/0/category_id", json!(9));
    let ran = smalti(dir.path(), &["data", "check", "--config", "instance.toml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stdout.contains("error: annotations of categories that are not listed: 1"), "{}", ran.stdout);
    assert!(ran.stderr.contains("instance.toml: this set can't be trained on as it is"), "{}", ran.stderr);
    refused(
        dir.path(),
        &["data", "check", "--config", "instance.toml", "--set", "task=panoptic"],
        &["expected panoptic annotations, got instance ones: set task = \"instance\""],
    );
    refused(
        dir.path(),
        &["data", "check", "--config", "instance.toml", "--set", "task=panoptik"],
        &[
            "`task`: expected one of \"semantic\", \"classification\", \"panoptic\", \"instance\", got \"panoptik\"",
        ],
    );
}

#[test]
fn splits_with_the_same_images_and_other_classes_are_noticed() {
    let dir = set();
    let with_val = |file: &str| {
        let recipe = fs::read_to_string(dir.path().join("instance.toml")).unwrap();
        let val = format!("{recipe}val = {{ images = \"images\", annotations = \"{file}\" }}\n");
        fs::write(dir.path().join("both.toml"), val).unwrap();
    };
    with_val("instances.json");
    let printed = ok(dir.path(), &["data", "check", "--config", "both.toml", "--json", "c.json"]);
    assert!(printed.contains("train and val share images"), "{printed}");
    assert!(printed.contains("the same file in both: 2"), "{printed}");
    assert_eq!(read(&dir.path().join("c.json"))["shared"][1]["identical"], true);
    fs::copy(dir.path().join("data/set/instances.json"), dir.path().join("data/set/other.json")).unwrap();
    change(&dir, "other.json", "/categories/0/name", json!("lynx"));
    with_val("other.json");
    let ran = smalti(dir.path(), &["data", "check", "--config", "both.toml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("train and val have different categories"), "{}", ran.stdout);
}

#[test]
fn arguments_must_go_together() {
    let dir = set();
    for (words, part) in [
        (&["data", "check"][..], "--config"),
        (&["data", "check", "--images", "x"], "--annotations"),
        (&["data", "check", "--annotations", "x"], "--images"),
        (&["data", "check", "--config", "x", "--images", "x", "--annotations", "x"], "cannot be used with"),
        (&["data", "stats", "--images", "x", "--annotations", "none.json"], "none.json"),
    ] {
        let ran = smalti(dir.path(), words);
        assert_eq!(ran.code, Some(2), "{words:?}");
        assert!(ran.stderr.contains(part), "{words:?}: {}", ran.stderr);
    }
}

#[test]
fn stats_of_objects() {
    let dir = set();
    let words = ["data", "stats", "--config", "panoptic.toml", "--json", "s.json", "--html", "s.html"];
    let printed = ok(dir.path(), &words);
    for part in [
        "train: 2 images, 6 segments, 0 of them crowds",
        "segments an image: 3 to 3, median 3, half of them 3 to 3, mean 3.0",
        "small (below 32x32): 100.0 %",
        "pixels without a segment: 0.00 %",
        "████████████████████",
        "val: not there",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    assert_eq!(read(&dir.path().join("s.json"))["train"]["classes"][2]["pixels"], 640);
    assert!(fs::metadata(dir.path().join("s.html")).unwrap().len() > 1000);
    let bare = [
        "data",
        "stats",
        "--images",
        "data/set/images",
        "--annotations",
        "data/set/instances.json",
        "--chart",
        "c.png",
    ];
    assert!(ok(dir.path(), &bare).contains("3 instances, 0 of them crowds"));
    assert!(decode::image(&dir.path().join("c.png")).unwrap().dim().1 > 300);
}

#[test]
fn show_draws_each_transform_before_and_after() {
    let dir = set();
    let sheet = |recipe: &str, more: &[&str]| {
        let words = ["data", "show", "--config", recipe, "--out", "sheet.png"];
        assert!(ok(dir.path(), &[&words[..], more].concat()).contains("2 of 2 images in sheet.png"));
        decode::image(&dir.path().join("sheet.png")).unwrap()
    };
    for recipe in ["instance.toml", "panoptic.toml"] {
        let untouched = sheet(recipe, &["--augment"]);
        for op in [
            "{ op = 'large_scale_jitter', size = [24, 32] }",
            "{ op = 'resize_shortest_edge', short_edges = [12, 40], max_long_edge = 100 }",
            "{ op = 'random_crop', size = [12, 12] }",
            "{ op = 'flip', prob = 1 }",
            "{ op = 'photometric' }",
        ] {
            let set = format!("data.augment=[{op}]");
            let augmented = sheet(recipe, &["--augment", "--seed", "3", "--set", &set]);
            assert_ne!(augmented, untouched, "{op}");
            assert_eq!(
                augmented,
                sheet(recipe, &["--augment", "--seed", "3", "--set", &set]),
                "{op}: same seed"
            );
            assert_eq!(sheet(recipe, &["--set", &set]), sheet(recipe, &[]), "{op}: not asked for");
        }
    }
    ok(dir.path(), &["data", "show", "--config", "panoptic.toml", "--out", "page.html"]);
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert_eq!(page.matches("data:image/png;base64").count(), 2);
    let bare = ["data", "show", "--images", "data/set/images", "--annotations", "data/set/instances.json"];
    ok(dir.path(), &[&bare[..], &["--out", "bare.png", "--num", "1"]].concat());
}

/// A benchmark of which only validation images were downloaded.
#[test]
fn a_split_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data/ADEChallengeData2016");
    let name = "validation/ADE_val_00000001";
    write_png_as(&root.join(format!("images/{name}.jpg")), png::ColorType::Rgb, 4, &[90; 48]);
    write_png(&root.join(format!("annotations/{name}.png")), 4, &[3; 16]);
    fs::write(dir.path().join("r.toml"), "[data]\nbenchmark = \"ade20k\"\n").unwrap();
    let printed = ok(dir.path(), &["data", "check", "--config", "r.toml", "--json", "c.json"]);
    for part in ["val: 1 of 1 pairs are good", "train: not there", "training needs the training images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    assert_eq!(read(&dir.path().join("c.json"))["absent"], json!(["train"]));
    assert!(ok(dir.path(), &["data", "stats", "--config", "r.toml"]).contains("val: 1 images"));
    refused(dir.path(), &["data", "check", "--config", "r.toml", "--split", "train"], &["images/training"]);
    fs::remove_dir_all(root.join("images")).unwrap();
    refused(dir.path(), &["data", "check", "--config", "r.toml"], &["no such"]);
}

/// The official samples, as they lie on this machine.
#[test]
fn real_samples_are_checked() {
    let data = std::env::var_os("SMALTI_DATA").map(std::path::PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let found = [data, Some(beside)].into_iter().flatten().find(|base| base.join("coco-sample").is_dir());
    let Some(base) = found else {
        println!("SKIPPED: no coco-sample below $SMALTI_DATA or ../../shared/data");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for (task, benchmark, folder, part) in [
        ("instance", "coco", "coco-sample", "train: 100 of 100 images are good"),
        ("panoptic", "coco", "coco-sample", "val: 80 of 80 images are good"),
        ("panoptic", "cityscapes", "cityscapes-sample", "val: 1 of 1 images are good"),
        ("semantic", "ade20k", "ade20k-sample/ADEChallengeData2016", "train: not there"),
    ] {
        let root = base.join(folder);
        let recipe = format!("task = \"{task}\"\n[data]\nbenchmark = \"{benchmark}\"\nroot = {root:?}\n");
        fs::write(dir.path().join("r.toml"), recipe).unwrap();
        let printed = ok(dir.path(), &["data", "check", "--config", "r.toml"]);
        assert!(printed.contains(part), "{task} {benchmark}: no `{part}` in\n{printed}");
    }
}
