//! COCO files: the published numbers of real results, and odd and damaged files.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests stop where they cannot go on; skips are said

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use smalti_evaluation::EvalError;
use smalti_evaluation::instance::files::{FileScores, score_results};
use smalti_evaluation::instance::{GroundTruth, IouType, MaxDets};

fn run(gt: &Path, pred: &Path, kind: IouType) -> Result<FileScores, EvalError> {
    score_results(&GroundTruth::load(gt, kind)?, pred, MaxDets::default(), &|_, _| {})
}

/// Scores JSON that is written as it stands.
fn score_text(gt: &str, pred: &str, kind: IouType) -> Result<FileScores, String> {
    let dir = tempfile::tempdir().unwrap();
    let (gt_path, pred_path) = (dir.path().join("gt.json"), dir.path().join("pred.json"));
    fs::write(&gt_path, gt).unwrap();
    fs::write(&pred_path, pred).unwrap();
    run(&gt_path, &pred_path, kind).map_err(|err| err.to_string().replace(dir.path().to_str().unwrap(), ""))
}

fn score(gt: &Value, pred: &Value, kind: IouType) -> FileScores {
    score_text(&gt.to_string(), &pred.to_string(), kind).unwrap()
}

/// One image of 10x10 with one square of 4x4 of category 3, in the three forms of a mask.
fn gt(segmentation: &Value) -> Value {
    json!({
        "images": [{"id": 8, "height": 10, "width": 10}],
        "annotations": [{"id": 1, "image_id": 8, "category_id": 3, "area": 16, "bbox": [1, 1, 4, 4], "iscrowd": 0,
                         "segmentation": segmentation}],
        "categories": [{"id": 3, "name": "cat"}],
    })
}

fn polygon() -> Value {
    json!([[1, 1, 5, 1, 5, 5, 1, 5]])
}

fn runs() -> Value {
    json!({"size": [10, 10], "counts": [11, 4, 6, 4, 6, 4, 6, 4, 55]})
}

/// The same square as a string: 11 4 6, then differences 0, 0, ..., 49 to the run before the last one.
fn text() -> Value {
    json!({"size": [10, 10], "counts": ";4600000a1"})
}

fn dets(segmentation: &Value) -> Value {
    json!([{"image_id": 8, "category_id": 3, "score": 0.5, "segmentation": segmentation}])
}

fn data(name: &str) -> Option<PathBuf> {
    let env = std::env::var_os("SMALTI_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let found =
        [env, Some(beside)].into_iter().flatten().map(|base| base.join(name)).find(|path| path.exists());
    if found.is_none() {
        println!("SKIPPED: no {name} below $SMALTI_DATA or ../../shared/data");
    }
    found
}

#[test]
fn real_results_score_what_pycocotools_says() {
    let Some(dir) = data("coco-sample/eval-reference") else { return };
    let expected: Value = serde_json::from_slice(&fs::read(dir.join("expected.json")).unwrap()).unwrap();
    for (name, kind) in [("bbox", IouType::Bbox), ("segm", IouType::Segm)] {
        let pred = dir.join(format!("instances_val2014_fake{name}100_results.json"));
        let scored = run(&dir.join("instances_val2014_100.json"), &pred, kind).unwrap();
        for ((metric, got), want) in
            scored.scores.metrics.named().iter().zip(expected[name].as_array().unwrap())
        {
            let (got, want) = (got.unwrap(), want.as_f64().unwrap());
            assert!((got - want).abs() < 1e-12, "{name} {metric}: expected {want}, got {got}");
        }
    }
}

#[test]
fn every_form_of_mask_is_the_same_mask() {
    for truth in [polygon(), runs(), text()] {
        for pred in [polygon(), runs(), text()] {
            let scored = score(&gt(&truth), &dets(&pred), IouType::Segm);
            assert_eq!(scored.scores.metrics.ar_first, Some(1.0), "{truth} {pred}");
            assert!(scored.oddities.sentences().is_empty());
        }
    }
    // Masks give boxes where boxes are compared, boxes masks where masks are.
    let boxes = json!([{"image_id": 8, "category_id": 3, "score": 0.5, "bbox": [1, 1, 4, 4]}]);
    assert_eq!(score(&gt(&text()), &dets(&text()), IouType::Bbox).scores.metrics.ar_first, Some(1.0));
    assert_eq!(score(&gt(&text()), &boxes, IouType::Segm).scores.metrics.ar_first, Some(1.0));
    assert_eq!(score(&gt(&text()), &boxes, IouType::Boundary).scores.metrics.ar_first, Some(1.0));
}

#[test]
fn a_box_in_the_first_result_decides_about_areas() {
    let far = json!([[6, 6, 9, 6, 9, 9, 6, 9]]);
    let det = |score: f64, segmentation: &Value, bbox: Option<[i32; 4]>| {
        let mut det = json!({"image_id": 8, "category_id": 3, "score": score, "segmentation": segmentation});
        if let Some(bbox) = bbox {
            det["bbox"] = json!(bbox);
        }
        det
    };
    // The wrong one is small by its mask and large by its box: among small objects it then does not count.
    let large = Some([0, 0, 100, 100]);
    let both = json!([det(0.9, &far, large), det(0.5, &text(), Some([1, 1, 4, 4]))]);
    let scored = score(&gt(&text()), &both, IouType::Segm);
    assert!(scored.scores.metrics.ap_small.unwrap() > 0.99 && scored.scores.metrics.ap.unwrap() < 0.51);
    assert_eq!(scored.oddities.box_areas, 2);
    let without = json!([det(0.9, &far, None), det(0.5, &text(), large)]);
    assert!(score(&gt(&text()), &without, IouType::Segm).scores.metrics.ap_small.unwrap() < 0.51);
    let only_first = json!([det(0.9, &far, large), det(0.5, &text(), None)]).to_string();
    let err = score_text(&gt(&text()).to_string(), &only_first, IouType::Segm).err().unwrap();
    assert!(err.contains("result 1") && err.contains("`bbox`, as the first result has one"), "{err}");
}

#[test]
fn what_stands_out_is_counted() {
    let mut odd = gt(&text());
    let first = odd["annotations"][0].clone();
    let mut second = first.clone();
    (second["id"], second["area"]) = (json!(0), json!(5000));
    let mut stray = first.clone();
    (stray["id"], stray["category_id"]) = (json!(5), json!(77));
    odd["annotations"] = json!([first, second, stray, first]);
    odd["images"] = json!([odd["images"][0], odd["images"][0]]);
    let pred = r#"[{"image_id": 8, "category_id": 4, "score": 1, "segmentation": null_or_so},
        {"image_id": 8, "category_id": 3, "score": NaN, "segmentation": {"size": [10, 11], "counts": [11, 4, 95]}}]"#
        .replace("null_or_so", &text().to_string());
    let found = score_text(&odd.to_string(), &pred, IouType::Segm).unwrap().oddities;
    let got = [
        found.zero_ids,
        found.areas_elsewhere,
        found.repeated_ids,
        found.repeated_images,
        found.stray_truths,
        found.unknown_categories,
        found.sizes_differ,
        found.odd_scores,
    ];
    assert_eq!((got, found.sentences().len()), ([1; 8], 8), "{found:?}");
    let nothing = score(&gt(&text()), &json!([]), IouType::Segm);
    assert!(nothing.oddities.no_detections);
    assert_eq!(nothing.scores.metrics.ap, Some(0.0));
}

#[test]
fn ids_may_be_text_or_whole_floats() {
    let gt = gt(&text()).to_string();
    let pred = dets(&text()).to_string();
    let named = |text: &str| {
        text.replace("\"image_id\":8", "\"image_id\":\"town_1\"").replace("\"id\":8", "\"id\":\"town_1\"")
    };
    let scored = score_text(&named(&gt), &named(&pred), IouType::Segm).unwrap();
    assert_eq!(scored.scores.metrics.ar_first, Some(1.0));
    let floats = pred.replace("\"image_id\":8", "\"image_id\":8.0");
    assert_eq!(score_text(&gt, &floats, IouType::Segm).unwrap().scores.metrics.ar_first, Some(1.0));
    let err = score_text(&gt, &named(&pred), IouType::Segm).err().unwrap();
    assert!(
        err.contains("result 0 (byte 1): `image_id`: expected an image of the ground truth, got town_1"),
        "{err}"
    );
}

#[test]
fn files_that_are_cut_anywhere_are_refused() {
    let (gt, pred) = (gt(&polygon()).to_string(), dets(&text()).to_string());
    for end in 0..pred.len() {
        assert!(score_text(&gt, &pred[..end], IouType::Segm).is_err(), "{}", &pred[..end]);
    }
    for end in 0..gt.len() {
        assert!(score_text(&gt[..end], &pred, IouType::Segm).is_err(), "{}", &gt[..end]);
    }
}

#[test]
fn wrong_records_are_named() {
    let good = (gt(&text()).to_string(), dets(&text()).to_string());
    let fails = |in_gt: bool, from: &str, to: &str, part: &str| {
        let (mut gt, mut pred) = good.clone();
        let side = if in_gt { &mut gt } else { &mut pred };
        assert!(side.contains(from), "{side} has no {from}");
        *side = side.replace(from, to);
        let err = score_text(&gt, &pred, IouType::Segm).err().unwrap_or_else(|| panic!("{to}: accepted"));
        assert!(err.contains(part), "{to}: {err}");
    };
    fails(false, "\"score\":0.5", "\"score\":\"0.5\"", "pred.json: result 0");
    fails(false, "\"score\":0.5", "\"score\":\"0.5\"", "`score`: expected a number, got text");
    fails(false, "\"score\":0.5,", "", "expected a `score`, got none");
    fails(
        false,
        "\"category_id\":3",
        "\"category_id\":3.5",
        "`category_id`: expected a whole number, got 3.5",
    );
    fails(false, ";4600000a1", ";4600000", "runs cover");
    fails(false, ";4600000a1", ";4600000a2", "runs cover");
    fails(false, ";4600000a1", "~", "0x7e");
    fails(false, "[10,10]", "[10]", "`size`: expected 2 numbers, got 1");
    fails(false, "[10,10]", "[4294967295,4294967295]", "at most");
    fails(false, "[10,10]", "[-1,10]", "got -1");
    fails(false, &text().to_string(), "[]", "a polygon without parts");
    fails(false, &text().to_string(), "[[1,2,3,4]]", "4 numbers");
    fails(false, &text().to_string(), "[1,2,3,4,5,6]", "expected array, got int");
    fails(false, &text().to_string(), "null", "expected polygons or run lengths, got null");
    fails(false, "[{", "{\"annotations\":[{", "");
    fails(false, "[{", "[7,{", "result 0 (byte 1): expected an object, got a number");
    fails(true, "\"images\"", "\"pictures\"", "gt.json: the whole file: expected a list `images`, got none");
    fails(true, "\"area\":16,", "", "expected a `area`, got none");
    fails(true, "\"area\":16,", "", "annotation 0");
    fails(true, "\"area\":16,", "", "id 1, image 8");
    fails(true, &text().to_string(), "{\"size\":[10,10]}", "expected run lengths with `counts`, got none");
    let swapped = score_text(&good.1, &good.0, IouType::Segm).err().unwrap();
    assert!(swapped.contains("are these results?"), "{swapped}");
    let swapped = score_text(&good.0, &good.0, IouType::Segm).err().unwrap();
    assert!(swapped.contains("are these annotations?"), "{swapped}");
}

/// Of several wrong records the first is named, however the blocks are shared out.
#[test]
fn the_first_wrong_record_is_named() {
    let one = dets(&text())[0].to_string();
    let wrong = one.replace("0.5", "\"x\"");
    let mut all = vec![one; 20_000];
    all[7000] = wrong.clone();
    all[15_000] = wrong;
    let pred = format!("[{}]", all.join(",\n"));
    for _ in 0..5 {
        let err = score_text(&gt(&text()).to_string(), &pred, IouType::Segm).err().unwrap();
        assert!(err.contains("result 7000 (byte"), "{err}");
    }
}
