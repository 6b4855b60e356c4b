//! Random files scored by tidecv (`scripts/goldens/make_tide.py`).
#![allow(clippy::unwrap_used)] // helpers of tests

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smalti_datasets::rle::Rle;
use smalti_evaluation::instance::tide::{Tide, TideOptions, TideScores, score_files};
use smalti_evaluation::instance::{Detection, IouType, Region, Truth};

/// The reference adds in another order and multiplies by 100.
const TOLERANCE: f64 = 1e-12;

fn options(case: &Value) -> TideOptions {
    let [threshold, background]: [f64; 2] = serde_json::from_value(case["thresholds"].clone()).unwrap();
    TideOptions::new(threshold, background).unwrap()
}

fn by_files(case: &Value, categories: &Value, kind: IouType, dir: &Path) -> TideScores {
    let (gt, pred) = (dir.join("gt.json"), dir.join("pred.json"));
    let mut truth = case["gt"].clone();
    truth["categories"] = categories.clone();
    fs::write(&gt, truth.to_string()).unwrap();
    fs::write(&pred, case["pred"].to_string()).unwrap();
    score_files(&gt, &pred, kind, options(case), &|_, _| ()).unwrap().scores
}

fn region(record: &Value, kind: IouType) -> Region {
    if kind == IouType::Bbox {
        return Region::Box(serde_json::from_value(record["bbox"].clone()).unwrap());
    }
    let mask = &record["segmentation"];
    let size: [u32; 2] = serde_json::from_value(mask["size"].clone()).unwrap();
    Region::Mask(Rle::from_compressed(size, mask["counts"].as_str().unwrap()).unwrap())
}

/// Images get ids in the order in which the file lists them, by which the reference ranks equal scores.
fn in_memory(case: &Value, kind: IouType) -> TideScores {
    let mut tide = Tide::new(kind, options(case));
    for (place, image) in (0..).zip(case["gt"]["images"].as_array().unwrap()) {
        let of_image = |list: &Value| -> Vec<Value> {
            let all = list.as_array().unwrap().iter();
            all.filter(|record| record["image_id"] == image["id"]).cloned().collect()
        };
        let truths: Vec<Truth> = of_image(&case["gt"]["annotations"])
            .iter()
            .map(|record| Truth {
                id: 1,
                category: record["category_id"].as_i64().unwrap(),
                region: region(record, kind),
                area: 0.0,
                crowd: record["iscrowd"] == 1,
            })
            .collect();
        let detections: Vec<Detection> = of_image(&case["pred"])
            .iter()
            .map(|record| Detection {
                category: record["category_id"].as_i64().unwrap(),
                score: record["score"].as_f64().unwrap(),
                region: region(record, kind),
            })
            .collect();
        tide.add(place, &truths, &detections).unwrap();
    }
    tide.finish()
}

fn differences(expected: &Value, scores: &TideScores) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |name: &str, got: Option<f64>, expected: &Value| {
        let equal = match (got, expected.as_f64()) {
            (Some(got), Some(expected)) => (got - expected).abs() < TOLERANCE,
            (got, expected) => got.is_none() && expected.is_none(),
        };
        if !equal {
            wrong.push(format!("{name}: expected {expected}, got {got:?}"));
        }
    };
    same("AP", scores.ap, &expected["dAP"]["AP"]);
    for (name, error) in scores.named() {
        same(name, error.delta, &expected["dAP"][name]);
        if !expected.is_null() {
            same(&format!("number of {name}"), Some(error.count as f64), &expected["count"][name]);
        }
    }
    wrong
}

#[test]
fn every_case_has_the_references_numbers() {
    let file: Value = serde_json::from_str(include_str!("goldens/tide/cases.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        for (name, kind) in [("segm", IouType::Segm), ("bbox", IouType::Bbox)] {
            let from_files = by_files(case, &file["categories"], kind, dir.path());
            let from_memory = in_memory(case, kind);
            for (way, scores) in [("files", from_files), ("memory", from_memory)] {
                let wrong = differences(&case[name], &scores);
                if !wrong.is_empty() {
                    failures.push(format!("seed {} {name} {way}: {}", case["seed"], wrong.join("; ")));
                }
            }
        }
    }
    assert!(cases.len() >= 100);
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cocos_sample_has_the_references_numbers() {
    let Some(data) = std::env::var_os("SMALTI_DATA") else {
        println!("SKIPPED: SMALTI_DATA is not set");
        return;
    };
    let folder = Path::new(&data).join("coco-sample/eval-reference");
    if !folder.is_dir() {
        println!("SKIPPED: no coco-sample/eval-reference below $SMALTI_DATA");
        return;
    }
    let expected: Value = json!({
        "segm": {
            "dAP": {
                "AP": 0.518_008_115_551_298_2, "Cls": 0.161_860_008_529_744_53, "Loc": 0.116_007_227_894_586_87,
                "Both": 0.010_128_509_521_506_289, "Dupe": 0.0, "Bkg": 0.002_681_107_488_310_275,
                "Miss": 0.077_786_393_380_180_45, "FalsePos": 0.086_603_661_415_872_32,
                "FalseNeg": 0.237_458_381_088_366_28,
            },
            "count": {
                "Cls": 76, "Loc": 82, "Both": 7, "Dupe": 0, "Bkg": 4, "Miss": 109, "FalsePos": 169, "FalseNeg": 265,
            },
        },
        "bbox": {
            "dAP": {
                "AP": 0.642_049_888_173_342_5, "Cls": 0.222_460_397_441_685, "Loc": 0.002_278_910_237_071_016_8,
                "Both": 0.0, "Dupe": 0.000_189_729_712_370_336_76, "Bkg": 0.0, "Miss": 0.085_235_737_877_233_65,
                "FalsePos": 0.068_215_875_245_104_63, "FalseNeg": 0.176_849_785_352_171_83,
            },
            "count": {
                "Cls": 83, "Loc": 1, "Both": 0, "Dupe": 1, "Bkg": 0, "Miss": 97, "FalsePos": 85, "FalseNeg": 181,
            },
        },
    });
    for (name, kind) in [("segm", IouType::Segm), ("bbox", IouType::Bbox)] {
        let gt = folder.join("instances_val2014_100.json");
        let pred = folder.join(format!("instances_val2014_fake{name}100_results.json"));
        let found = score_files(&gt, &pred, kind, TideOptions::default(), &|_, _| ()).unwrap();
        let wrong = differences(&expected[name], &found.scores);
        assert!(wrong.is_empty(), "{name}: {}", wrong.join("; "));
        assert_eq!(found.images, 100);
    }
}
