//! `smalti score panoptic`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png_as};

const WORDS: [&str; 6] = ["score", "panoptic", "--gt", "gt.json", "--pred", "pred.json"];

fn write_ids(path: &Path, ids: &[u32]) {
    let rgb: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()[..3].to_vec()).collect();
    write_png_as(path, png::ColorType::Rgb, 5, &rgb);
}

fn write_json(dir: &Path, name: &str, value: &Value) {
    fs::write(dir.join(name), value.to_string()).unwrap();
}

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

/// Two images of 5x2. In the first, car 256 has 6 of its 8 pixels found; in the second, sky 9 is predicted as car.
/// Car: PQ 0.75 / 1.5. Sky: PQ 0. Tree does not occur.
fn two_images() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_ids(&at("gt/1.png"), &[256, 256, 256, 256, 0, 256, 256, 256, 256, 0]);
    write_ids(&at("pred/1.png"), &[3, 3, 3, 0, 0, 3, 3, 3, 0, 0]);
    write_ids(&at("gt/2.png"), &[9; 10]);
    write_ids(&at("pred/2.png"), &[70_000; 10]);
    let segment = |id: u32, category: u32, area: u32| json!({"id": id, "category_id": category, "area": area, "iscrowd": 0});
    let image = |id: u32, segments: Value| json!({"image_id": id, "file_name": format!("{id}.png"), "segments_info": segments});
    let gt = json!({
        "categories": [
            {"id": 1, "name": "car", "isthing": 1},
            {"id": 4, "name": "sky", "isthing": 0},
            {"id": 5, "name": "tree", "isthing": 0},
        ],
        "annotations": [image(1, json!([segment(256, 1, 8)])), image(2, json!([segment(9, 4, 10)]))],
    });
    let pred = json!({"annotations": [
        image(1, json!([{"id": 3, "category_id": 1}])),
        image(2, json!([{"id": 70_000, "category_id": 1}])),
    ]});
    write_json(dir.path(), "gt.json", &gt);
    write_json(dir.path(), "pred.json", &pred);
    dir
}

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    WORDS.iter().chain(words).copied().collect()
}

#[test]
fn json_has_the_numbers_of_the_hand_count() {
    let dir = two_images();
    let printed = ok(dir.path(), &with(&["--json", "scores.json"]));
    let scores = read(dir.path(), "scores.json");
    let expected = json!({
        "task": "panoptic",
        "metrics": {
            "PQ": 0.25, "SQ": 0.375, "RQ": 1.0 / 1.5 / 2.0,
            "PQ_th": 0.5, "SQ_th": 0.75, "RQ_th": 1.0 / 1.5,
            "PQ_st": 0.0, "SQ_st": 0.0, "RQ_st": 0.0,
        },
        "classes": {
            "car": {"PQ": 0.5, "SQ": 0.75, "RQ": 1.0 / 1.5, "TP": 1, "FP": 1, "FN": 0},
            "sky": {"PQ": 0.0, "SQ": 0.0, "RQ": 0.0, "TP": 0, "FP": 0, "FN": 1},
            "tree": {"PQ": null, "SQ": null, "RQ": null, "TP": 0, "FP": 0, "FN": 0},
        },
    });
    assert_eq!(scores, expected);
    for part in ["PQ_th", "50.00", "thing", "2 images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
}

#[test]
fn boundaries_lower_the_score() {
    let dir = two_images();
    ok(dir.path(), &with(&["--boundary", "--json", "scores.json"]));
    // Two rows are all boundary: the same as masks.
    assert_eq!(read(dir.path(), "scores.json")["metrics"]["PQ"], 0.25);
}

#[test]
fn what_the_official_scorer_takes_in_silence_is_a_warning_or_refused() {
    let dir = two_images();
    let mut gt = read(dir.path(), "gt.json");
    gt["annotations"][0]["segments_info"][0]["area"] = json!(7);
    write_json(dir.path(), "gt.json", &gt);
    let ran = smalti(dir.path(), &WORDS);
    assert_eq!(ran.code, Some(0));
    let text = "1 ground truth segments whose area in the JSON differs from the PNG";
    assert!(ran.stderr.contains(&format!("warning: {text}")), "{}", ran.stderr);
    refused(dir.path(), &with(&["--strict"]), &["refused by --strict", text, "image 1, segment 256"]);
}

#[test]
fn intervals_and_comparisons_are_over_images() {
    let dir = two_images();
    let mut other = read(dir.path(), "pred.json");
    other["annotations"][1]["segments_info"][0]["category_id"] = json!(4);
    write_json(dir.path(), "other.json", &other);
    let words =
        with(&["--ci", "50", "--versus", "other.json", "--versus-dir", "pred", "--json", "scores.json"]);
    let printed = ok(dir.path(), &words);
    assert!(printed.contains("95 % interval") && printed.contains("difference"), "{printed}");
    let scores = read(dir.path(), "scores.json");
    assert_eq!(scores["versus"]["metrics"]["PQ_st"], 1.0);
    assert_eq!(scores["versus"]["difference"]["PQ_th"]["difference"], 0.5 - 0.75);
    assert!(scores["ci"]["metrics"]["PQ"]["low"].as_f64().unwrap() <= 0.25);
}

#[test]
fn wrong_input_is_named() {
    let dir = two_images();
    refused(dir.path(), &["score", "panoptic", "--gt", "gt.json"], &["--pred"]);
    refused(dir.path(), &with(&["--pred-dir", "nowhere"]), &["nowhere: expected a folder of panoptic PNGs"]);
    refused(dir.path(), &with(&["--versus-dir", "pred"]), &["--versus"]);

    let good = read(dir.path(), "pred.json");
    let with_pred = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        let mut pred = good.clone();
        change(&mut pred);
        write_json(dir.path(), "pred.json", &pred);
        refused(dir.path(), &WORDS, expected);
    };
    with_pred(
        &|pred| pred["annotations"][0]["image_id"] = json!("1"),
        &["pred.json: image 1: expected a prediction"],
    );
    with_pred(
        &|pred| pred["annotations"][0]["segments_info"][0]["id"] = json!(4),
        &["pred.json: image 1 (", "1.png)", "segment 3 is in the PNG but not in the JSON"],
    );
    with_pred(
        &|pred| pred["annotations"][0]["segments_info"][0]["category_id"] = json!(2),
        &["category_id 2"],
    );
    with_pred(&|pred| pred["annotations"] = json!({}), &["pred.json", "not the expected JSON", "line 1"]);
    write_json(dir.path(), "pred.json", &good);
    write_png_as(&dir.path().join("pred/2.png"), png::ColorType::Grayscale, 5, &[1; 10]);
    refused(dir.path(), &WORDS, &["2.png", "segment ids as 8-bit RGB"]);
    fs::remove_file(dir.path().join("pred/2.png")).unwrap();
    refused(dir.path(), &WORDS, &["2.png: no such file"]);
}
