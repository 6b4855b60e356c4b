//! A results file of many blocks scores the same in whatever order its detections lie, and the same as objects in memory.

#![allow(clippy::unwrap_used)] // helpers of tests stop where they cannot go on

use std::path::Path;

use serde_json::{Value, json};
use smalti_datasets::json_blocks::JsonBlocks;
use smalti_datasets::rle::Rle;
use smalti_evaluation::instance::{
    Detection, GroundTruth, InstanceAp, IouType, MaxDets, Region, Truth, files,
};

const IMAGES: i64 = 40;
const CATEGORIES: i64 = 3;
/// Height and width.
const SIZE: [u32; 2] = [40, 50];

/// Numbers without a pattern, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % end
    }
}

fn rectangle([x, y, width, height]: [u32; 4]) -> Rle {
    let mask = ndarray::Array2::from_shape_fn((SIZE[0] as usize, SIZE[1] as usize), |(row, column)| {
        let (row, column) = (row as u32, column as u32);
        u8::from((x..x + width).contains(&column) && (y..y + height).contains(&row))
    });
    Rle::encode(&mask).unwrap()
}

fn place(dice: &mut Dice) -> [u32; 4] {
    [dice.below(35), dice.below(25), 3 + dice.below(12), 3 + dice.below(12)]
}

/// Of each image its id, objects and detections; some of these are an object moved by a pixel or none. Scores repeat.
fn scene() -> Vec<(i64, Vec<Truth>, Vec<Detection>)> {
    let mut dice = Dice(7);
    let mut id = 0;
    let image = |image: i64| {
        let mut truths = Vec::new();
        let mut detections = Vec::new();
        for _ in 0..dice.below(6) {
            let (category, bbox) = (i64::from(dice.below(CATEGORIES as u32)), place(&mut dice));
            let mask = rectangle(bbox);
            id += 1;
            let (area, crowd) = (f64::from(mask.area()), dice.below(8) == 0);
            truths.push(Truth { id, category, region: Region::Mask(mask), area, crowd });
            let moved = [bbox[0] + dice.below(2), bbox[1], bbox[2], bbox[3]];
            let (score, region) = (f64::from(10 + dice.below(40)) / 50.0, Region::Mask(rectangle(moved)));
            detections.push(Detection { category, score, region });
        }
        for _ in 0..20 {
            let (category, score) =
                (i64::from(dice.below(CATEGORIES as u32)), f64::from(dice.below(50)) / 50.0);
            detections.push(Detection { category, score, region: Region::Mask(rectangle(place(&mut dice))) });
        }
        (image, truths, detections)
    };
    (0..IMAGES).map(image).collect()
}

fn segmentation(region: &Region) -> Value {
    let Region::Mask(rle) = region else { unreachable!("all are masks") };
    json!({"size": rle.size(), "counts": rle.to_compressed()})
}

/// Detections as records of the file, with some text that makes blocks of few of them.
fn records(scene: &[(i64, Vec<Truth>, Vec<Detection>)]) -> Vec<Value> {
    let note = "x".repeat(5000);
    let record = |image: i64, det: &Detection| {
        json!({
            "image_id": image, "category_id": det.category, "score": det.score,
            "segmentation": segmentation(&det.region), "note": note,
        })
    };
    scene.iter().flat_map(|(image, _, dets)| dets.iter().map(move |det| record(*image, det))).collect()
}

fn write_truth(path: &Path, scene: &[(i64, Vec<Truth>, Vec<Detection>)]) {
    let images: Vec<Value> =
        scene.iter().map(|(id, ..)| json!({"id": id, "height": SIZE[0], "width": SIZE[1]})).collect();
    let categories: Vec<Value> =
        (0..CATEGORIES).map(|id| json!({"id": id, "name": id.to_string()})).collect();
    let object = |image: i64, truth: &Truth| {
        json!({
            "id": truth.id, "image_id": image, "category_id": truth.category, "area": truth.area,
            "iscrowd": u8::from(truth.crowd), "segmentation": segmentation(&truth.region),
        })
    };
    let annotations: Vec<Value> =
        scene.iter().flat_map(|(image, truths, _)| truths.iter().map(move |t| object(*image, t))).collect();
    let file = json!({"images": images, "annotations": annotations, "categories": categories});
    std::fs::write(path, file.to_string()).unwrap();
}

#[test]
fn the_order_of_detections_in_the_file_does_not_matter() {
    let scene = scene();
    let dir = tempfile::tempdir().unwrap();
    let (gt, pred) = (dir.path().join("gt.json"), dir.path().join("pred.json"));
    write_truth(&gt, &scene);
    let by_image = records(&scene);
    let score = |record: &Value| record["score"].as_f64().unwrap();
    let mut by_score = by_image.clone();
    by_score.sort_by(|a, b| score(b).total_cmp(&score(a))); // stable: ties of an image stay in order
    let mut by_category = by_image.clone();
    by_category.sort_by_key(|record| record["category_id"].as_i64());
    // Image 3 goes on behind all others, long after a block that held a whole part of it.
    let (third, mut comes_back): (Vec<Value>, Vec<Value>) =
        by_image.iter().cloned().partition(|record| record["image_id"] == 3);
    let at = comes_back.iter().position(|record| record["image_id"] == 4).unwrap();
    comes_back.splice(at..at, third[..5].iter().cloned());
    comes_back.extend_from_slice(&third[5..]);

    for kind in [IouType::Segm, IouType::Boundary] {
        let mut expected = InstanceAp::new(kind, MaxDets::default());
        for (image, truths, detections) in &scene {
            expected.add(*image, truths, detections).unwrap();
        }
        let expected = expected.finish();
        assert!(expected.metrics.ap.unwrap() > 0.02, "{:?}", expected.metrics.ap);
        let truth = GroundTruth::load(&gt, kind).unwrap();
        for records in [&by_image, &by_score, &by_category, &comes_back] {
            std::fs::write(&pred, Value::from(records.clone()).to_string()).unwrap();
            assert!(JsonBlocks::open(&pred).unwrap().count() >= 6, "too few blocks to show anything");
            let found = files::score_results(&truth, &pred, MaxDets::default(), &|_, _| ()).unwrap();
            assert_eq!(found.detections, records.len());
            assert_eq!(found.scores.metrics, expected.metrics);
        }
    }
}
