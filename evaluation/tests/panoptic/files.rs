//! JSON files and folders of PNGs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use smalti_evaluation::panoptic::{PanopticDirs, PanopticOptions, PanopticResult, score_files};
use tempfile::TempDir;

fn write_png(path: &Path, width: u32, ids: &[u32]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, ids.len() as u32 / width);
    encoder.set_color(png::ColorType::Rgb);
    let rgb: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()[..3].to_vec()).collect();
    encoder.write_header().unwrap().write_image_data(&rgb).unwrap();
}

fn categories() -> Value {
    json!([{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}])
}

fn annotation(image: &Value, file: &str, segments: &Value) -> Value {
    json!({"image_id": image, "file_name": file, "segments_info": segments})
}

/// Two images of 4x1, "a" found, "b" missed.
struct Set {
    dir: TempDir,
    gt: Value,
    pred: Value,
}

impl Set {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write_png(&at("gt/a.png"), 4, &[300, 300, 70_000, 70_000]);
        write_png(&at("gt/b.png"), 4, &[9, 9, 9, 9]);
        write_png(&at("pred/a_pred.png"), 4, &[1, 1, 2, 2]);
        write_png(&at("pred/b.png"), 4, &[0, 0, 0, 0]);
        let segment = |id: u32, category: u32, area: u32| json!({"id": id, "category_id": category, "area": area, "iscrowd": 0, "bbox": [0, 0, 1, 1]});
        let gt = json!({
            "categories": categories(),
            "annotations": [
                annotation(&json!("a"), "a.png", &json!([segment(300, 1, 2), segment(70_000, 2, 2)])),
                annotation(&json!("b"), "b.png", &json!([segment(9, 2, 4)])),
            ],
        });
        let pred = json!({"annotations": [
            annotation(&json!("b"), "b.png", &json!([])),
            annotation(&json!("a"), "a_pred.png", &json!([{"id": 1, "category_id": 1}, {"id": 2, "category_id": 2}])),
        ]});
        Self { dir, gt, pred }
    }

    fn score(&self) -> Result<PanopticResult, String> {
        let at = |name: &str| self.dir.path().join(name);
        fs::write(at("gt.json"), self.gt.to_string()).unwrap();
        fs::write(at("pred.json"), self.pred.to_string()).unwrap();
        let dirs = PanopticDirs {
            gt_json: at("gt.json"),
            gt_dir: PanopticDirs::beside(&at("gt.json")),
            pred_json: at("pred.json"),
            pred_dir: at("pred"),
        };
        let options = PanopticOptions { boundary: false, keep_images: true };
        score_files(&dirs, options, &|_, _| {}).map_err(|err| {
            let source = std::error::Error::source(&err).map(|s| format!(": {s}")).unwrap_or_default();
            format!("{err}{source}")
        })
    }

    #[track_caller]
    fn refused(&self, expected: &[&str]) {
        let text = self.score().unwrap_err();
        for part in expected {
            assert!(text.contains(part), "no `{part}` in `{text}`");
        }
    }

    #[track_caller]
    fn warns(&self, expected: &str) -> PanopticResult {
        let result = self.score().unwrap();
        assert!(result.warnings.iter().any(|text| text.contains(expected)), "{:?}", result.warnings);
        result
    }
}

#[test]
fn images_are_joined_by_id_and_found_by_file_name() {
    let result = Set::new().score().unwrap();
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
    let scores = result.quality.finish();
    assert_eq!(scores.metrics.pq, Some((1.0 + 1.0 / 1.5) / 2.0));
    assert_eq!((scores.classes[1].tp, scores.classes[1].fn_), (1, 1));
    assert_eq!(result.quality.num_images(), 2);
}

#[test]
fn numbers_and_names_are_two_kinds_of_id() {
    let mut set = Set::new();
    set.gt["annotations"][1]["image_id"] = json!(7);
    set.pred["annotations"][0]["image_id"] = json!("7");
    set.refused(&["pred.json: image 7: expected a prediction for every image of", "1 of 2 have none"]);
    set.pred["annotations"][0]["image_id"] = json!(7);
    set.score().unwrap();
    set.pred["annotations"][0]["image_id"] = json!(7.5);
    set.refused(&["pred.json: not the expected JSON", "image id"]);
}

#[test]
fn what_the_reference_takes_in_silence_is_said() {
    let mut set = Set::new();
    let again = set.gt["annotations"][0].clone();
    set.gt["annotations"].as_array_mut().unwrap().push(again);
    let result = set
        .warns("1 ground truths are of an image that is listed twice; both entries count (first: image a)");
    assert_eq!(result.quality.counts()[0].tp, 2);

    let mut set = Set::new();
    let mut wrong = set.pred["annotations"][1].clone();
    wrong["segments_info"][0]["category_id"] = json!(2);
    set.pred["annotations"].as_array_mut().unwrap().insert(0, wrong);
    let result = set.warns("1 predictions are of an image that is listed twice; the last entry counts");
    assert_eq!(result.quality.counts()[0].tp, 1);

    let mut set = Set::new();
    set.pred["annotations"].as_array_mut().unwrap().push(annotation(&json!("zz"), "no.png", &json!([])));
    set.warns("1 predictions are of images without ground truth; they are not scored (first: image zz)");

    let mut set = Set::new();
    set.gt["categories"].as_array_mut().unwrap().push(json!({"id": 1, "name": "bus", "isthing": false}));
    let scores = set.warns("1 categories are listed again").quality.finish();
    assert_eq!((scores.classes[0].class.name.as_str(), scores.classes[0].class.is_thing), ("bus", false));

    let mut set = Set::new();
    set.gt["annotations"][0]["segments_info"][1]["area"] = json!(3.0);
    let result = set.warns("1 ground truth segments whose area in the JSON differs from the PNG; the JSON's counts (first: image a, segment 70000)");
    assert_eq!(result.quality.finish().classes[1].sq, Some(2.0 / 3.0));
}

#[test]
fn what_is_wrong_is_named() {
    let mut set = Set::new();
    set.pred["annotations"][1]["segments_info"].as_array_mut().unwrap().pop();
    set.refused(&["pred.json: image a (", "a_pred.png): segment 2 is in the PNG but not in the JSON"]);

    let mut set = Set::new();
    set.gt["annotations"][0]["segments_info"][0]["area"] = json!(0);
    set.refused(&["gt.json: image a (", "a.png): segment 300 has an area of 0"]);

    let mut set = Set::new();
    set.gt["annotations"][0]["segments_info"][0]["area"] = json!(-1);
    set.refused(&["gt.json: not the expected JSON", "whole number of pixels"]);

    let mut set = Set::new();
    set.gt["annotations"][0]["file_name"] = json!("gone.png");
    set.refused(&["gone.png: no such file"]);

    let mut set = Set::new();
    set.gt["categories"][0].as_object_mut().unwrap().remove("isthing");
    set.refused(&["gt.json", "isthing"]);

    let mut set = Set::new();
    set.gt["annotations"] = json!([]);
    set.refused(&["gt.json: annotations: expected at least one image"]);

    let set = Set::new();
    write_png(&set.dir.path().join("pred/b.png"), 2, &[0, 0, 0, 0]);
    set.refused(&["b.png: expected 1x4 (HxW)", "got 2x2"]);
    fs::write(set.dir.path().join("pred/b.png"), "no").unwrap();
    set.refused(&["b.png: expected a PNG label map, got an unknown format"]);
    fs::remove_dir_all(set.dir.path().join("pred")).unwrap();
    set.refused(&["pred: expected a folder of panoptic PNGs, got nothing"]);
}

#[test]
fn the_first_wrong_image_is_named_whatever_the_threads() {
    let mut set = Set::new();
    set.gt["annotations"] = (0..40).map(|i| annotation(&json!(i), "b.png", &json!([]))).collect();
    set.pred["annotations"] = set.gt["annotations"].clone();
    for bad in [11, 12, 30] {
        set.pred["annotations"][bad]["file_name"] = json!(format!("gone{bad}.png"));
    }
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| set.refused(&["gone11.png"]));
    }
}
