//! `smalti data prepare`: every conversion from outside. That results equal the official tools' is tested in `datasets`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{ok, refused, smalti};

/// A folder of the conversions' golden files, as text.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/goldens/conversions").join(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_conversion_writes_its_files_and_sums_up() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str], line: &str, file: &str| {
        let printed = ok(dir.path(), &[&["data", "prepare"], words].concat());
        assert!(printed.starts_with(line), "{printed}");
        assert!(dir.path().join(file).exists(), "{file}");
    };
    let (panoptic, instances) = (golden("coco/panoptic.json"), golden("coco/instances.json"));
    let (categories, cityscapes) = (golden("coco/categories.json"), golden("cityscapes/gtFine"));
    let ade = golden("ade20k/ADEChallengeData2016");

    let words = ["coco-panoptic-to-detection", "--json", &panoptic, "--out", "det.json", "--first-id", "1"];
    run(&words, "det.json: 6 images, ", "det.json");
    let value: Value = serde_json::from_slice(&fs::read(dir.path().join("det.json")).unwrap()).unwrap();
    assert_eq!(value["annotations"][0]["id"], 1);
    let words = ["coco-detection-to-panoptic", "--json", &instances, "--out", "pan.json"];
    run(&[&words[..], &["--categories", &categories]].concat(), "pan.json: 4 images, ", "pan/000040.png");
    let words = ["coco-panoptic-to-semantic", "--json", &panoptic];
    run(&[&words[..], &["--out-dir", "sem"]].concat(), "sem: 6 label maps, in ", "sem/000000.png");
    run(&[&words[..], &["--out-json", "sem.json"]].concat(), "sem.json: 6 images, ", "sem.json");

    let words = ["cityscapes-train-ids", "--gt-dir", &cityscapes, "--out", "cs"];
    run(&words, "cs: 6 label maps, in ", "cs/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png");
    let words = ["cityscapes-panoptic", "--gt-dir", &cityscapes, "--out", "cs", "--train-ids"];
    run(
        &words,
        "cs/cityscapes_panoptic_val_trainId.json: 3 images, ",
        "cs/cityscapes_panoptic_train_trainId.json",
    );

    for (verb, line, file) in [
        (
            "ade20k-semantic",
            "ade/annotations_detectron2/training: 2 label maps, in",
            "ade/annotations_detectron2/validation",
        ),
        (
            "ade20k-panoptic",
            "ade/ade20k_panoptic_train.json: 2 images, ",
            "ade/ade20k_panoptic_val/ADE_val_00000001.png",
        ),
        ("ade20k-instances", "ade/ade20k_instance_train.json: 2 images, ", "ade/ade20k_instance_val.json"),
    ] {
        run(&[verb, "--root", &ade, "--out", "ade"], line, file);
    }
}

#[test]
fn what_the_official_tool_hides_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let panoptic = golden("coco/panoptic.json");
    let words = ["data", "prepare", "coco-panoptic-to-detection", "--json", &panoptic, "--out", "det.json"];
    let ran = smalti(dir.path(), &words);
    assert!(ran.stderr.contains("warning: 1 segments of 1 PNGs are not in the JSON"), "{}", ran.stderr);
}

#[test]
fn wrong_input_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |words: &[&str], parts: &[&str]| {
        refused(dir.path(), &[&["data", "prepare"], words].concat(), parts);
    };
    refused(
        &["coco-panoptic-to-detection", "--json", "no.json", "--out", "x.json"],
        &["no.json: reading failed"],
    );
    refused(&["coco-panoptic-to-semantic", "--json", "no.json"], &["--out-dir <DIR>"]);
    refused(
        &["coco-panoptic-to-semantic", "--json", "a.json", "--out-dir", "a", "--out-json", "b.json"],
        &["cannot be used"],
    );
    refused(
        &["cityscapes-panoptic", "--gt-dir", "no"],
        &["no: expected folders val, train or test, found none"],
    );
    refused(&["cityscapes-panoptic", "--gt-dir", "no", "--split", "x"], &["no/x: no such file or folder"]);
    refused(&["ade20k-semantic", "--root", "no"], &["no/annotations/training: no such file or folder"]);
    fs::write(dir.path().join("bad.json"), r#"{"images": [], "annotations": [], "categories": [{"id": 1}]}"#)
        .unwrap();
    refused(
        &["coco-panoptic-to-detection", "--json", "bad.json", "--out", "bad.json"],
        &["bad.json", "would be overwritten"],
    );
    refused(
        &["coco-panoptic-to-detection", "--json", "bad.json", "--out", "x.json"],
        &["categories[0]: `isthing`"],
    );
    assert!(!dir.path().join("x.json").exists());
}
