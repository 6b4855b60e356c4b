//! `smalti data check`, `show` and `stats` of benchmarks as they lie on disk.

use std::fs;
use std::path::Path;

use smalti_datasets::decode;
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png, write_png_as};

/// `recipe.toml` of a benchmark in an empty folder.
fn recipe(benchmark: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("recipe.toml"), format!("[data]\nbenchmark = \"{benchmark}\"\n")).unwrap();
    dir
}

/// A pair of Cityscapes' training images, 4x4: half road, half void.
fn cityscapes_frame(root: &Path, number: u32) {
    let stem = format!("train/ulm/ulm_{number:06}_000019");
    let image = root.join(format!("leftImg8bit/{stem}_leftImg8bit.png"));
    write_png_as(&image, png::ColorType::Rgb, 4, &[90; 48]);
    let labels = [[7; 8], [0; 8]].concat();
    write_png(&root.join(format!("gtFine/{stem}_gtFine_labelIds.png")), 4, &labels);
}

const CHECK: [&str; 6] = ["data", "check", "--config", "recipe.toml", "--split", "train"];

#[test]
fn a_sound_benchmark_is_checked_counted_and_drawn() {
    let dir = recipe("cityscapes");
    let root = dir.path().join("data/cityscapes");
    (0..2).for_each(|number| cityscapes_frame(&root, number));
    let printed = ok(dir.path(), &CHECK);
    for part in ["2 of 2 pairs are good", "road", "ignored", "can be trained on"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let printed = ok(dir.path(), &["data", "stats", "--config", "recipe.toml", "--split", "train"]);
    assert!(printed.contains("2 images, 32 pixels, 50.00 % of them ignored"), "{printed}");
    ok(dir.path(), &["data", "show", "--config", "recipe.toml", "--out", "sheet.png"]);
    assert!(decode::image(&dir.path().join("sheet.png")).unwrap().dim().0 > 4);
}

#[test]
fn what_is_wrong_with_a_benchmark_is_listed() {
    let dir = recipe("cityscapes");
    let root = dir.path().join("data/cityscapes");
    (0..4).for_each(|number| cityscapes_frame(&root, number));
    let labels =
        |number: u32| root.join(format!("gtFine/train/ulm/ulm_{number:06}_000019_gtFine_labelIds.png"));
    write_png(&labels(1), 4, &[[255; 12].as_slice(), &[7; 4]].concat());
    write_png(&labels(2), 2, &[7; 8]);
    fs::remove_file(labels(3)).unwrap();
    let ran = smalti(dir.path(), &CHECK);
    assert_eq!(ran.code, Some(2), "{}\n{}", ran.stdout, ran.stderr);
    for part in [
        "1 of 3 pairs are good",
        "ulm_000003_000019_gtFine_labelIds.png: no such file or folder (label map of ",
        "expected the image's 4x4, got 4x2",
        "value 255: 12 pixels in 1 label maps",
        "expected label ids 0..=33",
    ] {
        assert!(ran.stdout.contains(part), "no `{part}` in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("try data."), "nothing to set: {}", ran.stdout);
    assert!(ran.stderr.contains("can't be trained on"), "{}", ran.stderr);
}

#[test]
fn recipes_of_benchmarks_that_do_not_fit_are_refused() {
    let dir = recipe("coco_panoptic");
    let everywhere = ["`data.benchmark`", "at data/coco, got no such folder", "--data-root DIR"];
    refused(dir.path(), &CHECK, &everywhere);
    refused(dir.path(), &[&CHECK[..], &["--data-root", "x"]].concat(), &["at x/coco, got no such folder"]);
    let with = |set: &'static str| [&CHECK[..], &["--set", set]].concat();
    refused(
        dir.path(),
        &with("data.root=mine"),
        &["`data.root`: expected the folder of coco_panoptic at data/mine"],
    );
    let beside = "expected no such key beside `benchmark = \"coco_panoptic\"`";
    refused(
        dir.path(),
        &with("data.ignore_label=0"),
        &["--set data.ignore_label=0", "`data.ignore_label`", beside],
    );
    refused(dir.path(), &with("data.train.list=a.txt"), &["`data.train`", beside, "got a table"]);
    refused(dir.path(), &with("data.benchmark=coco"), &["unknown value \"coco\"", "coco_panoptic"]);
    fs::create_dir_all(dir.path().join("data/coco/train2017")).unwrap();
    refused(dir.path(), &CHECK, &["data/coco/annotations/panoptic_train2017.json: no such file or folder"]);
}
