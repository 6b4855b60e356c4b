//! What `smalti_datasets::prepare` refuses, and that it then leaves no annotation file behind.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::path::Path;

use serde_json::{Value, json};
use smalti_datasets::Split;
use smalti_datasets::prepare::*;

fn write_png(path: &Path, color: png::ColorType, width: u32, pixels: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = pixels.len() as u32 / width / color.samples() as u32;
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, rows);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
}

fn write_json(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

#[track_caller]
fn refused(result: Result<Prepared, smalti_datasets::DataError>, parts: &[&str]) {
    let message = result.unwrap_err().full_message();
    for part in parts {
        assert!(message.contains(part), "no `{part}` in {message}");
    }
}

/// A panoptic set of one image of 2x2: thing 5 above, stuff 6 below.
fn panoptic(dir: &Path, change: impl FnOnce(&mut Value)) -> std::path::PathBuf {
    let mut value = json!({
        "images": [{"id": "a", "file_name": "a.jpg", "height": 2, "width": 2}],
        "categories": [
            {"id": 1, "name": "cat", "isthing": 1, "color": [9, 9, 9]},
            {"id": 300, "name": "sky", "isthing": 0, "color": [1, 1, 1]},
        ],
        "annotations": [{"image_id": "a", "file_name": "a.png", "segments_info": [
            {"id": 5, "category_id": 1, "area": 2, "bbox": [0, 0, 2, 1], "iscrowd": 0},
            {"id": 6, "category_id": 300, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0},
        ]}],
    });
    change(&mut value);
    let path = dir.join("panoptic.json");
    write_json(&path, &value);
    write_png(&dir.join("panoptic/a.png"), png::ColorType::Rgb, 2, &[5, 0, 0, 5, 0, 0, 6, 0, 0, 6, 0, 0]);
    path
}

fn to_detection(json: &Path, out: &str) -> Result<Prepared, smalti_datasets::DataError> {
    let out = json.with_file_name(out);
    let options =
        PanopticToDetection { json: json.to_owned(), png_dir: None, out, things_only: false, first_id: 0 };
    coco_panoptic_to_detection(&options, &|_| ())
}

#[test]
fn panoptic_files() {
    let dir = tempfile::tempdir().unwrap();
    let segments = |value: &mut Value, change: fn(&mut Value)| {
        change(&mut value["annotations"][0]["segments_info"]);
    };
    let json = panoptic(dir.path(), |value| segments(value, |list| list[1]["id"] = 5.into()));
    refused(to_detection(&json, "out.json"), &["panoptic.json", "image \"a\"", "got 5 twice"]);
    let json = panoptic(dir.path(), |value| segments(value, |list| list[1]["category_id"] = 4.into()));
    refused(to_detection(&json, "out.json"), &["image \"a\"", "of the 2 categories, got 4"]);
    let json = panoptic(dir.path(), |value| value["annotations"][0]["image_id"] = Value::Null);
    refused(to_detection(&json, "out.json"), &["`image_id`: expected a number or a string"]);
    let json = panoptic(dir.path(), |value| value["annotations"][0]["file_name"] = "b.png".into());
    refused(to_detection(&json, "out.json"), &["panoptic/b.png", "no such file"]);
    let json = panoptic(dir.path(), |value| value["annotations"][0] = json!({"image_id": 1}));
    refused(to_detection(&json, "out.json"), &["annotations[0]", "missing field `file_name`"]);
    let json = panoptic(dir.path(), |value| drop(value.as_object_mut().unwrap().remove("categories")));
    refused(to_detection(&json, "out.json"), &["`categories`: expected this field"]);

    let json = panoptic(dir.path(), |_| ());
    refused(to_detection(&json, "panoptic.json"), &["would be overwritten"]);
    std::fs::write(&json, "{\"annotations\": [").unwrap();
    refused(to_detection(&json, "out.json"), &["panoptic.json", "line 1"]);
    assert!(!dir.path().join("out.json").exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "a temporary file is left");
}

#[test]
fn semantic_values() {
    let dir = tempfile::tempdir().unwrap();
    let json = panoptic(dir.path(), |_| ());
    let run = |folder: &str, ids: SemanticIds, things_other: bool| {
        let output = SemanticOutput::Pngs { folder: dir.path().join(folder), ids };
        let options = PanopticToSemantic { json: json.clone(), png_dir: None, output, things_other };
        coco_panoptic_to_semantic(&options, &|_| ())
    };
    refused(run("out", SemanticIds::Category, false), &["category 300", "label values up to 255, got 300"]);
    refused(run("out", SemanticIds::Stuff, true), &["things_other"]);
    refused(run("panoptic", SemanticIds::Stuff, false), &["would be overwritten"]);
    run("out", SemanticIds::Contiguous, false).unwrap();
    assert_eq!(
        smalti_datasets::decode::labels(&dir.path().join("out/a.png")).unwrap().as_slice(),
        Some(&[0, 0, 1, 1][..])
    );

    let json = panoptic(dir.path(), |value| value["annotations"][0]["file_name"] = "../a.png".into());
    let output = SemanticOutput::Pngs { folder: dir.path().join("out"), ids: SemanticIds::Stuff };
    let options = PanopticToSemantic { json, png_dir: None, output, things_other: false };
    refused(coco_panoptic_to_semantic(&options, &|_| ()), &["annotations[0]", "below the folder"]);
}

fn to_panoptic(
    dir: &Path,
    images: &Value,
    annotations: &Value,
) -> Result<Prepared, smalti_datasets::DataError> {
    let json = dir.join("instances.json");
    write_json(&json, &json!({"images": images, "annotations": annotations}));
    let options = DetectionToPanoptic {
        json,
        out: dir.join("out.json"),
        png_dir: None,
        categories: Categories::coco(),
        categories_from: "COCO".into(),
    };
    coco_detection_to_panoptic(&options, &|_| ())
}

#[test]
fn detection_files() {
    let dir = tempfile::tempdir().unwrap();
    let image = json!([{"id": 8, "file_name": "a.jpg", "height": 4, "width": 4}]);
    let mask = |id: u32, category: u32, counts: Value| {
        let segmentation = json!({"size": [4, 4], "counts": counts});
        json!({"id": id, "image_id": 8, "category_id": category, "segmentation": segmentation})
    };
    let run = |annotations: Value| to_panoptic(dir.path(), &image, &annotations);
    let (left, right) = (mask(1, 1, json!([0, 8, 8])), mask(2, 1, json!([8, 8])));
    let done = run(json!([left, right])).unwrap();
    assert_eq!((done.images, done.annotations), (1, 2));
    std::fs::remove_file(dir.path().join("out.json")).unwrap();

    let middle = mask(3, 1, json!([6, 4, 6]));
    refused(run(json!([left, middle])), &["annotation 3 (image 8)", "meets annotation 1 at x 1, y 2"]);
    refused(run(json!([left, left])), &["annotation 1", "id once"]);
    refused(
        run(json!([mask(1, 200, json!([0, 8, 8])), mask(2, 200, json!([8, 8]))])),
        &["stuff category 200", "second"],
    );
    refused(run(json!([mask(1, 12, json!([16]))])), &["annotation 1", "one of 133 categories, got 12"]);
    refused(run(json!([mask(1, 1, json!([0, 17]))])), &["annotation 1", "17 pixels"]);
    refused(run(json!([mask(1, 1, json!("~"))])), &["annotation 1", "0x7e"]);
    refused(run(json!([{"id": 1, "image_id": 8, "category_id": 1}])), &["`segmentation`: expected polygons"]);
    let mut other = mask(1, 1, json!([16]));
    other["segmentation"]["size"] = json!([2, 8]);
    refused(run(json!([other])), &["expected a mask of 4x4 (HxW) like its image, got 2x8"]);

    let entry =
        |id: u32, name: &str, side: u32| json!({"id": id, "file_name": name, "height": side, "width": side});
    let images = |images: Value| to_panoptic(dir.path(), &images, &json!([]));
    refused(images(json!([entry(1, "a.jpg", 4), entry(1, "b.jpg", 4)])), &["image 1", "got it twice"]);
    refused(
        images(json!([entry(1, "a.jpg", 4), entry(2, "a.png", 4)])),
        &["image 2", "\"a.png\" a second time"],
    );
    refused(images(json!([entry(1, "a.jpg", u32::MAX)])), &["image 1", "4294967295x4294967295 (HxW)"]);
    refused(images(json!([entry(1, "a.jpg", 0)])), &["got 0x0"]);
    refused(images(json!([entry(1, "/tmp/a.jpg", 4)])), &["below the folder"]);
    assert!(!dir.path().join("out.json").exists());

    let lost = json!([{"id": 1, "image_id": 9, "category_id": 1}]);
    assert!(run(lost).unwrap().warnings[0].starts_with("1 annotations belong to images"));
}

#[test]
fn cityscapes_values() {
    let dir = tempfile::tempdir().unwrap();
    let options = |split: &str| CityscapesPanoptic {
        gt_dir: dir.path().to_owned(),
        split: split.into(),
        out: None,
        train_ids: false,
    };
    refused(cityscapes_panoptic(&options("val"), &|_| ()), &["val", "no such file or folder"]);
    write_png(
        &dir.path().join("val/ulm/ulm_0_0_gtFine_instanceIds.png"),
        png::ColorType::Grayscale,
        2,
        &[7, 40],
    );
    refused(cityscapes_panoptic(&options("val"), &|_| ()), &["ulm_0_0_gtFine_instanceIds.png", "got 40"]);
    write_png(
        &dir.path().join("val/ulm/ulm_0_0_gtFine_labelIds.png"),
        png::ColorType::Grayscale,
        2,
        &[7, 34],
    );
    let train_ids = CityscapesTrainIds { gt_dir: dir.path().to_owned(), out: None };
    refused(cityscapes_train_ids(&train_ids, &|_| ()), &["labelIds.png", "0 to 33, got the value 34"]);
    assert!(!dir.path().join("cityscapes_panoptic_val.json").exists());
}

#[test]
fn ade20k_labels() {
    let dir = tempfile::tempdir().unwrap();
    let options = Ade20kOptions { root: dir.path().to_owned(), split: Split::Val, out: None };
    refused(ade20k_panoptic(&options, &|_| ()), &["images/validation", "no such file or folder"]);
    let at = |kind: &str, name: &str| dir.path().join(kind).join("validation").join(name);
    std::fs::create_dir_all(at("images", "")).unwrap();
    image::GrayImage::new(2, 1).save(at("images", "a.jpg")).unwrap();
    refused(ade20k_instances(&options, &|_| ()), &["annotations_instance/validation/a.png", "no such file"]);

    let instances = |rgb: &[u8], width: u32, parts: &[&str]| {
        write_png(&at("annotations_instance", "a.png"), png::ColorType::Rgb, width, rgb);
        refused(ade20k_instances(&options, &|_| ()), parts);
    };
    instances(
        &[3, 1, 0, 4, 1, 0],
        2,
        &["annotations_instance/validation/a.png", "instance 1", "got 3 and 4"],
    );
    instances(&[101, 9, 0, 0, 0, 0], 2, &["instance 9", "1 to 100, got 101"]);
    instances(&[0, 9, 0, 0, 0, 0], 2, &["instance 9", "1 to 100, got 0"]);
    instances(&[1, 1, 0], 1, &["1x1 (HxW)", "a.jpg is 1x2"]);

    write_png(&at("annotations_instance", "a.png"), png::ColorType::Rgb, 2, &[1, 1, 0, 0, 0, 0]);
    write_png(&at("annotations", "a.png"), png::ColorType::Grayscale, 2, &[1, 151]);
    refused(ade20k_panoptic(&options, &|_| ()), &["annotations/validation/a.png", "0 to 150, got 151"]);
    let done = ade20k_semantic(&options, &|_| ()).unwrap();
    assert_eq!(done.warnings, ["1 pixels of 1 label maps are above 150, which is no class"]);
    let labels = smalti_datasets::decode::labels(&done.out.join("a.png")).unwrap();
    assert_eq!(labels.as_slice(), Some(&[0, 150][..]));
}
