//! `smalti score instance`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ok, refused, smalti};

const WORDS: [&str; 6] = ["score", "instance", "--gt", "gt.json", "--pred", "pred.json"];

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    WORDS.iter().chain(words).copied().collect()
}

/// Six images with a cat each; results find the cats of the first `found`, and something else in the third.
fn set(found: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let square = |x: u32| json!([[x, 1, x + 4, 1, x + 4, 5, x, 5]]);
    let images: Vec<Value> = (1..=6).map(|i| json!({"id": i, "height": 10, "width": 20})).collect();
    let annotations: Vec<Value> = (1..=6)
        .map(|i| json!({"id": i, "image_id": i, "category_id": 3, "area": 16, "iscrowd": 0, "bbox": [1, 1, 4, 4], "segmentation": square(1)}))
        .collect();
    let categories = json!([{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}]);
    let gt = json!({"images": images, "annotations": annotations, "categories": categories});
    let det = |image: usize, x: u32| json!({"image_id": image, "category_id": 3, "score": 0.9, "segmentation": square(x)});
    let mut dets: Vec<Value> = (1..=found).map(|i| det(i, 1)).collect();
    dets.push(det(3, 10));
    fs::write(dir.path().join("gt.json"), gt.to_string()).unwrap();
    fs::write(dir.path().join("pred.json"), json!(dets).to_string()).unwrap();
    dir
}

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

#[test]
fn prints_and_writes_the_twelve_numbers() {
    let dir = set(2);
    let printed = ok(dir.path(), &with(&["--json", "s.json"]));
    let scores = read(dir.path(), "s.json");
    assert_eq!((&scores["task"], &scores["max_dets"]), (&json!("instance"), &json!([1, 10, 100])));
    let names: Vec<&String> = scores["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    );
    // Two of six found before anything wrong: precision 1 on the recalls 0 to 0.33.
    let ap = scores["metrics"]["AP"].as_f64().unwrap();
    assert!((ap - 34.0 / 101.0).abs() < 1e-12, "{ap}");
    assert_eq!(scores["metrics"]["AR1"], 2.0 / 6.0);
    assert!(scores["metrics"]["APl"].is_null() && scores["classes"]["dog"]["AP"].is_null());
    assert_eq!(scores["classes"]["cat"]["AP"], scores["metrics"]["AP"]);
    for part in ["cat", "33.66", "AR100", "6 images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    for kind in ["bbox", "boundary"] {
        ok(dir.path(), &with(&["--iou-type", kind, "--json", "k.json"]));
        assert_eq!(read(dir.path(), "k.json")["metrics"], scores["metrics"], "{kind}");
    }
}

#[test]
fn intervals_and_comparison_come_on_request() {
    let (dir, other) = (set(5), set(1));
    fs::copy(other.path().join("pred.json"), dir.path().join("old.json")).unwrap();
    let printed = ok(dir.path(), &with(&["--ci", "100", "--versus", "old.json", "--json", "s.json"]));
    assert!(printed.contains("95 % interval") && printed.contains("versus %"), "{printed}");
    let scores = read(dir.path(), "s.json");
    let versus = &scores["versus"];
    assert_eq!(versus["metrics"]["AR1"], 1.0 / 6.0);
    assert!((versus["difference"]["AR1"]["difference"].as_f64().unwrap() - 4.0 / 6.0).abs() < 1e-12);
    assert!(versus["difference"]["AR1"]["p"].as_f64().unwrap() < 0.1);
    assert!(
        scores["ci"]["metrics"]["AP"]["low"].as_f64().unwrap() < scores["metrics"]["AP"].as_f64().unwrap()
    );
    assert!(versus["difference"]["APl"].is_null());
}

#[test]
fn warnings_are_errors_if_asked() {
    let dir = set(2);
    let zero = fs::read_to_string(dir.path().join("gt.json")).unwrap().replacen(
        "\"id\":1,\"image_id\"",
        "\"id\":0,\"image_id\"",
        1,
    );
    let zero = zero.replacen("\"id\":1,\"iscrowd\"", "\"id\":0,\"iscrowd\"", 1);
    fs::write(dir.path().join("gt.json"), zero).unwrap();
    let ran = smalti(dir.path(), &WORDS);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("warning: ground truth objects with the id 0"), "{}", ran.stderr);
    refused(dir.path(), &with(&["--strict"]), &["refused by --strict", "with the id 0", ": 1"]);
    fs::write(dir.path().join("pred.json"), "[]").unwrap();
    assert!(smalti(dir.path(), &WORDS).stderr.contains("warning: there is no detection in the results"));
}

#[test]
fn wrong_files_and_arguments_are_refused() {
    let dir = set(2);
    refused(dir.path(), &with(&["--max-dets", "1,10"]), &["expected three ascending numbers"]);
    refused(dir.path(), &with(&["--max-dets", "10,1,100"]), &["expected three ascending numbers"]);
    refused(dir.path(), &["score", "instance", "--gt", "none.json", "--pred", "pred.json"], &["none.json"]);
    fs::write(dir.path().join("bad.json"), r#"[{"image_id": 1, "category_id": 3, "score": 1,"#).unwrap();
    refused(
        dir.path(),
        &["score", "instance", "--gt", "gt.json", "--pred", "bad.json"],
        &["error: bad.json: byte", "the file ends inside element 0"],
    );
    fs::write(dir.path().join("bad.json"), r#"[{"image_id": 7, "category_id": 3, "score": 1}]"#).unwrap();
    refused(
        dir.path(),
        &["score", "instance", "--gt", "gt.json", "--pred", "bad.json"],
        &["bad.json: result 0 (byte 1): `image_id`: expected an image of the ground truth, got 7"],
    );
}
