//! Real files: the COCO sample below `$SMALTI_DATA`, if it is there.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;
use smalti_datasets::label_png::{LabelPng, PixelMap};
use smalti_evaluation::panoptic::{
    GtSegment, ImageId, PanopticDirs, PanopticOptions, PanopticQuality, PredSegment, SegmentMap, score_files,
};

fn sample() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let found =
        bases.into_iter().flatten().map(|base| base.join("coco-sample/annotations")).find(|dir| dir.is_dir());
    if found.is_none() {
        println!("SKIPPED: no coco-sample below $SMALTI_DATA or ../../shared/data");
    }
    found
}

#[test]
fn ground_truth_against_itself_is_perfect() {
    let Some(dir) = sample() else { return };
    let json = dir.join("panoptic_val2017.json");
    let folder = PanopticDirs::beside(&json);
    let dirs =
        PanopticDirs { gt_json: json.clone(), gt_dir: folder.clone(), pred_json: json, pred_dir: folder };
    for boundary in [false, true] {
        let options = PanopticOptions { boundary, keep_images: false };
        let result = score_files(&dirs, options, &|_, _| {}).unwrap();
        assert!(result.warnings.is_empty(), "{:?}", result.warnings);
        let scores = result.quality.finish();
        assert!(scores.metrics.named().iter().all(|(_, value)| *value == Some(1.0)), "{:?}", scores.metrics);
        assert_eq!(result.quality.num_images(), 80);
        assert!(scores.classes.iter().all(|class| class.fp == 0 && class.fn_ == 0));
    }
}

/// The predictions of `scripts/goldens/make_panoptic_sample.py`: ground truth, spoilt by its rules. `[H, W]`
fn spoilt(gt: &PixelMap<'_, u32>) -> Vec<u32> {
    let mut out = vec![0; gt.pixels.len()];
    for y in 3..gt.height {
        let from = &gt.pixels[(y - 3) * gt.width..][..gt.width - 5];
        out[y * gt.width + 5..(y + 1) * gt.width].copy_from_slice(from);
    }
    for id in &mut out {
        if *id % 7 == 0 {
            *id = 0;
        }
    }
    out
}

#[test]
fn spoilt_ground_truth_has_panopticapis_numbers() {
    let Some(dir) = sample() else { return };
    let expected: Value = serde_json::from_str(include_str!("../goldens/panoptic/coco_sample.json")).unwrap();
    let json: Value =
        serde_json::from_slice(&std::fs::read(dir.join("panoptic_val2017.json")).unwrap()).unwrap();
    let classes = super::goldens::classes(&json["categories"]);
    let next = |id: i64| {
        let place = classes.iter().position(|class| class.id == id).unwrap();
        classes[(place + 1) % classes.len()].id
    };
    let mut quality = PanopticQuality::new(classes.clone()).unwrap();
    let mut png = LabelPng::new();
    for annotation in json["annotations"].as_array().unwrap() {
        let path = dir.join("panoptic_val2017").join(annotation["file_name"].as_str().unwrap());
        let map = png.ids(&path).unwrap();
        let pixels = spoilt(&map);
        let gt_segments: Vec<GtSegment> =
            serde_json::from_value(annotation["segments_info"].clone()).unwrap();
        let left: BTreeSet<i64> = pixels.iter().map(|&id| i64::from(id)).collect();
        let pred_segments: Vec<PredSegment> = gt_segments
            .iter()
            .filter(|segment| left.contains(&segment.id))
            .map(|&GtSegment { id, category_id, .. }| PredSegment {
                id,
                category_id: if id % 11 == 0 { next(category_id) } else { category_id },
            })
            .collect();
        let pred = SegmentMap {
            map: PixelMap { height: map.height, width: map.width, pixels: &pixels },
            segments: &pred_segments,
        };
        let image = ImageId::Number(annotation["image_id"].as_i64().unwrap());
        quality.add(&image, SegmentMap { map, segments: &gt_segments }, pred).unwrap();
    }
    let scores = quality.finish();
    assert_eq!(quality.num_images() as u64, expected["images"].as_u64().unwrap());
    let close = |name: &str, got: Option<f64>, expected: &Value| {
        // panopticapi lists 0 for classes that do not occur.
        let (got, expected) = (got.unwrap_or_default(), expected.as_f64().unwrap());
        assert!((got - expected).abs() < 1e-12, "{name}: expected {expected}, got {got}");
    };
    for (group, means) in ["All", "Things", "Stuff"].iter().zip(scores.metrics.named().chunks(3)) {
        for (i, &(name, got)) in means.iter().enumerate() {
            close(name, got, &expected["groups"][group][i]);
        }
    }
    for row in &scores.classes {
        for (i, got) in [row.pq, row.sq, row.rq].into_iter().enumerate() {
            close(&row.class.name, got, &expected["classes"][row.class.id.to_string()][i]);
        }
    }
}
