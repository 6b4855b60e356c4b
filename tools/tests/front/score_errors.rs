//! `smalti score errors`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{ok, refused, smalti, write_png, write_png_as};

const WORDS: [&str; 9] =
    ["score", "errors", "semantic", "--gt-dir", "gt", "--pred-dir", "pred", "--num-classes", "3"];

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    WORDS.iter().chain(words).copied().collect()
}

/// Class 0: 6 of 8 right, 2 as 1. Class 1: 1 of 4 right, 2 as 2, 1 as no class. Class 2: right. 1 pixel ignored.
fn image(dir: &Path) {
    write_png(&dir.join("gt/a.png"), 7, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 255]);
    write_png(&dir.join("pred/a.png"), 7, &[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 9, 2, 0]);
}

#[test]
fn confusions_are_listed_worst_first_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    image(dir.path());
    fs::write(dir.path().join("names.txt"), "road\ncar\nsky\n").unwrap();
    let words = with(&["--classes", "names.txt", "--out", "m.png", "--json", "m.json"]);
    let printed = ok(dir.path(), &words);
    let rows: Vec<_> = printed.lines().filter(|line| line.contains("car")).collect();
    let expected =
        [["car", "sky", "50.00", "2"], ["road", "car", "25.00", "2"], ["car", "no class", "25.00", "1"]];
    assert_eq!(rows.len(), expected.len(), "{printed}");
    for (row, parts) in rows.iter().zip(expected) {
        assert!(parts.iter().all(|part| row.contains(part)), "{parts:?} in {row}");
    }
    let json: Value = serde_json::from_slice(&fs::read(dir.path().join("m.json")).unwrap()).unwrap();
    assert_eq!(json["confusion"], json!([[6, 2, 0, 0], [0, 1, 2, 1], [0, 0, 1, 0], [0, 0, 0, 0]]));
    assert_eq!(json["names"], json!(["road", "car", "sky", "no class"]));
    assert_eq!(
        json["confusions"][0],
        json!({"class": "car", "mistaken_for": "sky", "share": 0.5, "pixels": 2})
    );
    let picture =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(dir.path().join("m.png")).unwrap()));
    let info = picture.read_info().unwrap();
    assert!(info.info().width > 100 && info.info().color_type == png::ColorType::Rgb);
}

#[test]
fn the_table_can_be_cut_and_may_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    image(dir.path());
    let printed = ok(dir.path(), &with(&["--top", "1"]));
    assert!(printed.contains("50.00") && !printed.contains("25.00"), "{printed}");
    assert!(printed.contains("and 2 more"), "{printed}");
    let ran = smalti(dir.path(), &WORDS);
    assert!(ran.stderr.contains("1 predicted pixels are outside 0 to 2"), "{}", ran.stderr);
    fs::copy(dir.path().join("gt/a.png"), dir.path().join("pred/a.png")).unwrap();
    assert!(ok(dir.path(), &WORDS).contains("no pixel of one class was predicted as another"));
}

#[test]
fn wrong_input_is_named() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), &WORDS, &["gt: expected a folder"]);
    image(dir.path());
    refused(dir.path(), &with(&["--out", "no/folder/m.png"]), &["no/folder/m.png"]);
    assert_eq!(smalti(dir.path(), &["score", "errors", "semantic"]).code, Some(2));
}

const PANOPTIC: [&str; 7] = ["score", "errors", "panoptic", "--gt", "gt.json", "--pred", "pred.json"];

/// One image of 6x1: "car" found in full, "sky" with 2 of its 3 pixels, "cow" missed, "dog" invented, "cat" on neither side.
fn panoptic_image(dir: &Path) {
    let ids = |values: [u8; 6]| values.iter().flat_map(|&id| [id, 0, 0]).collect::<Vec<u8>>();
    write_png_as(&dir.join("gt/a.png"), png::ColorType::Rgb, 6, &ids([1, 2, 2, 2, 3, 0]));
    write_png_as(&dir.join("pred/a.png"), png::ColorType::Rgb, 6, &ids([1, 2, 2, 0, 4, 0]));
    let category = |id: u8, name: &str, isthing: u8| json!({"id": id, "name": name, "isthing": isthing});
    let segment = |id: u8, area: u8| json!({"id": id, "category_id": id, "area": area, "iscrowd": 0});
    let gt = json!({
        "categories": [
            category(1, "car", 1), category(2, "sky", 0), category(3, "cow", 1), category(4, "dog", 1), category(5, "cat", 1),
        ],
        "annotations": [
            {"image_id": 1, "file_name": "a.png", "segments_info": [segment(1, 1), segment(2, 3), segment(3, 1)]},
        ],
    });
    let pred = json!({"annotations": [
        {"image_id": 1, "file_name": "a.png", "segments_info": [segment(1, 1), segment(2, 2), segment(4, 1)]},
    ]});
    fs::write(dir.join("gt.json"), gt.to_string()).unwrap();
    fs::write(dir.join("pred.json"), pred.to_string()).unwrap();
}

#[test]
fn panoptic_classes_are_listed_worst_first_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    panoptic_image(dir.path());
    let words = [&PANOPTIC[..], &["--out", "q.png", "--json", "q.json"]].concat();
    let printed = ok(dir.path(), &words);
    let row = |name: &str| printed.lines().find(|line| line.contains(name)).unwrap();
    for (name, parts) in
        [("sky", ["stuff", "66.67"]), ("cow", ["thing", "0.00"]), ("car", ["thing", "100.00"])]
    {
        assert!(parts.iter().all(|part| row(name).contains(part)), "{printed}");
    }
    assert!(
        printed.find("cow") < printed.find("sky") && printed.find("sky") < printed.find("car"),
        "{printed}"
    );
    assert!(!printed.contains("cat"), "a class on neither side has no quality: {printed}");
    let json: Value = serde_json::from_slice(&fs::read(dir.path().join("q.json")).unwrap()).unwrap();
    assert_eq!((&json["task"], &json["metrics"]["SQ_st"]), (&json!("panoptic"), &json!(2.0 / 3.0)));
    let picture =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(dir.path().join("q.png")).unwrap()));
    assert_eq!(picture.read_info().unwrap().info().width, 1400);
    let printed = ok(dir.path(), &[&PANOPTIC[..], &["--top", "1"]].concat());
    assert!(printed.contains("and 3 better classes"), "{printed}");
    fs::remove_file(dir.path().join("pred/a.png")).unwrap();
    refused(dir.path(), &PANOPTIC, &["pred/a.png"]);
}

const INSTANCE: [&str; 9] =
    ["score", "errors", "instance", "--gt", "gt.json", "--pred", "pred.json", "--iou-type", "bbox"];

/// Two images. In the first the cat is found as a dog; in the second the cat is found, and a bird, which is no category,
/// is invented.
fn instance_images(dir: &Path) {
    let bbox = json!([0, 0, 10, 10]);
    let cat =
        |id: u8, image: u8| json!({"id": id, "image_id": image, "category_id": 1, "bbox": bbox, "area": 100});
    let gt = json!({
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [cat(1, 1), cat(2, 2)],
    });
    let det = |image: u8, category: u8, score: f64, x: u8| json!({"image_id": image, "category_id": category, "score": score, "bbox": [x, 0, 10, 10]});
    let pred = json!([det(1, 2, 0.9, 0), det(2, 1, 0.8, 0), det(2, 3, 0.7, 50)]);
    fs::write(dir.join("gt.json"), gt.to_string()).unwrap();
    fs::write(dir.join("pred.json"), pred.to_string()).unwrap();
}

#[test]
fn lost_ap_of_instances_is_listed_and_drawn() {
    let dir = tempfile::tempdir().unwrap();
    instance_images(dir.path());
    let ran = smalti(dir.path(), &[&INSTANCE[..], &["--out", "e.png", "--json", "e.json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // AP of cat 51/101, of dog and bird 0. Mended, dog leaves the mean: (1 + 0) / 2.
    let row = |name: &str| ran.stdout.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(row("Cls").contains("33.17") && row("Cls").contains('1'), "{}", ran.stdout);
    assert!(row("FalseNeg").contains("16.50"), "{}", ran.stdout);
    assert!(ran.stdout.contains("AP at IoU 0.5: 16.83 %"), "{}", ran.stdout);
    assert!(ran.stdout.contains("3 detections in 2 images"), "{}", ran.stdout);
    assert!(ran.stderr.contains("counts as a class with AP 0): 1"), "{}", ran.stderr);
    let json: Value = serde_json::from_slice(&fs::read(dir.path().join("e.json")).unwrap()).unwrap();
    assert_eq!((&json["task"], &json["iou_type"]), (&json!("instance"), &json!("bbox")));
    assert_eq!(
        (&json["errors"]["Cls"]["count"], &json["special"]["FalsePos"]["count"]),
        (&json!(1), &json!(2))
    );
    let picture =
        png::Decoder::new(std::io::BufReader::new(fs::File::open(dir.path().join("e.png")).unwrap()));
    assert!(picture.read_info().unwrap().info().width > 800);
}

#[test]
fn wrong_instance_files_and_thresholds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), &INSTANCE, &["gt.json"]);
    instance_images(dir.path());
    let words = [&INSTANCE[..], &["--background", "0.6"]].concat();
    refused(dir.path(), &words, &["background 0.6 and threshold 0.5"]);
    let file = |text: &str| fs::write(dir.path().join("pred.json"), text).unwrap();
    for (text, message) in [
        (
            r#"[{"image_id": 3, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]"#,
            "an image of the ground truth, got 3",
        ),
        (
            r#"[{"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, 1, NaN]}]"#,
            "expected finite numbers",
        ),
        (r#"[{"image_id": 1, "category_id": 1, "score": 1}]"#, "expected a `bbox`, got none"),
        (r#"[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]"#, "expected a `score`, got none"),
        (r#"{"images": []}"#, "expected a list of results"),
        ("[{", "pred.json"),
    ] {
        file(text);
        refused(dir.path(), &INSTANCE, &[message, "pred.json"]);
    }
    file("[]");
    let ran = smalti(dir.path(), &INSTANCE);
    assert_eq!(
        (ran.code, ran.stderr.contains("no detection in the results")),
        (Some(0), true),
        "{}",
        ran.stderr
    );
}
