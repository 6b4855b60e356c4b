//! Random cases scored by panopticapi and boundary-iou-api (`scripts/goldens/make_panoptic.py`).

use serde_json::Value;
use smalti_datasets::label_png::PixelMap;
use smalti_evaluation::panoptic::{
    GtSegment, ImageId, PanopticClass, PanopticQuality, PanopticScores, PredSegment, SegmentMap,
};

/// The references add f64 in the order of images.
const TOLERANCE: f64 = 1e-12;

pub fn classes(categories: &Value) -> Vec<PanopticClass> {
    let class = |c: &Value| PanopticClass {
        id: c["id"].as_i64().unwrap(),
        name: c["name"].as_str().unwrap().into(),
        is_thing: c["isthing"] == 1,
    };
    categories.as_array().unwrap().iter().map(class).collect()
}

fn map(runs: &Value) -> Vec<u32> {
    let runs: Vec<u32> = serde_json::from_value(runs.clone()).unwrap();
    runs.chunks(2).flat_map(|run| vec![run[0]; run[1] as usize]).collect()
}

fn score(mut quality: PanopticQuality, images: &Value) -> Option<PanopticScores> {
    for (index, image) in images.as_array().unwrap().iter().enumerate() {
        let [height, width]: [usize; 2] = serde_json::from_value(image["size"].clone()).unwrap();
        let (gt, pred) = (map(&image["gt"]), map(&image["pred"]));
        let gt_segments: Vec<GtSegment> = serde_json::from_value(image["gt_segments"].clone()).unwrap();
        let pred_segments: Vec<PredSegment> = serde_json::from_value(image["pred_segments"].clone()).unwrap();
        let gt = SegmentMap { map: PixelMap { height, width, pixels: &gt }, segments: &gt_segments };
        let pred = SegmentMap { map: PixelMap { height, width, pixels: &pred }, segments: &pred_segments };
        quality.add(&ImageId::Number(index as i64), gt, pred).ok()?;
    }
    Some(quality.finish())
}

/// Names of numbers that differ.
fn differences(expected: &Value, scores: Option<&PanopticScores>) -> Vec<String> {
    let Some(scores) = scores else {
        return if expected == "refused" { vec![] } else { vec!["refused".into()] };
    };
    if expected == "refused" {
        return vec!["not refused".into()];
    }
    let mut wrong = Vec::new();
    let mut same = |name: String, got: Option<f64>, expected: &Value| {
        let equal = got
            .zip(expected.as_f64())
            .map_or(got.is_none() && expected.is_null(), |(a, b)| (a - b).abs() < TOLERANCE);
        if !equal {
            wrong.push(format!("{name}: expected {expected}, got {got:?}"));
        }
    };
    for (group, means) in ["all", "things", "stuff"].iter().zip(scores.metrics.named().chunks(3)) {
        means.iter().enumerate().for_each(|(i, &(name, got))| {
            same(name.into(), got, expected[group].get(i).unwrap_or(&Value::Null));
        });
    }
    for row in expected.get("classes").map_or(&[][..], |_| &scores.classes) {
        let expected = &expected["classes"][row.class.id.to_string()];
        for (i, got) in [row.tp, row.fp, row.fn_].into_iter().enumerate() {
            same(format!("{} count {i}", row.class.name), Some(got as f64), &expected[3 + i]);
        }
        // The reference lists 0 for classes that do not occur.
        for (i, got) in [row.pq, row.sq, row.rq].into_iter().enumerate() {
            same(format!("{} score {i}", row.class.name), got.or(Some(0.0)), &expected[i]);
        }
    }
    wrong
}

#[test]
fn every_case_has_the_references_numbers() {
    let file: Value = serde_json::from_str(include_str!("../goldens/panoptic/cases.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let quality = PanopticQuality::new(classes(&file["categories"])).unwrap();
        for (name, quality) in [("mask", quality.clone()), ("boundary", quality.with_boundary())] {
            let scores = score(quality, &case["images"]);
            let wrong = differences(&case[name], scores.as_ref());
            if !wrong.is_empty() {
                failures.push(format!("seed {} {name}: {}", case["seed"], wrong.join("; ")));
            }
        }
    }
    assert!(cases.len() >= 200);
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
