//! `smalti score cityscapes`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png, write_png_as};

const INSTANCE: [&str; 8] =
    ["score", "cityscapes", "--gt-dir", "gt", "--pred-dir", "pred", "--task", "instance"];
const SEMANTIC: [&str; 8] =
    ["score", "cityscapes", "--gt-dir", "gt", "--pred-dir", "pred", "--task", "semantic"];

/// Frames are 20x20: 200 pixels of a car, 200 of road.
const ULM: &str = "ulm_000000_000019";
const BONN: &str = "bonn_000007_000019";

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    words.iter().chain(more).copied().collect()
}

fn read(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("scores.json")).unwrap()).unwrap()
}

/// A row-order map of 400 pixels from runs.
fn map<T: Copy>(runs: &[(T, usize)]) -> Vec<T> {
    runs.iter().flat_map(|&(value, len)| vec![value; len]).collect()
}

fn write_16(path: &Path, width: u32, pixels: &[u16]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = pixels.len() as u32 / width;
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, rows);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let bytes: Vec<u8> = pixels.iter().flat_map(|value| value.to_be_bytes()).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}

fn write_text(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Two frames of ground truth, `gt/<city>/...`.
fn ground_truth() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in [ULM, BONN] {
        let city = dir.path().join("gt").join(name.split('_').next().unwrap());
        write_16(&city.join(format!("{name}_gtFine_instanceIds.png")), 20, &map(&[(26_000, 200), (7, 200)]));
        write_png(&city.join(format!("{name}_gtFine_labelIds.png")), 20, &map(&[(26, 200), (7, 200)]));
    }
    dir
}

/// Ulm's car is found at confidence 0.9, Bonn's by 110 of its pixels at 0.5.
fn instances() -> TempDir {
    let dir = ground_truth();
    write_png(&dir.path().join("pred/masks/a.png"), 20, &map(&[(255, 200), (0, 200)]));
    write_png(&dir.path().join("pred/masks/b.png"), 20, &map(&[(1, 110), (0, 290)]));
    write_text(dir.path().join(format!("pred/{ULM}_leftImg8bit.txt")), "masks/a.png 26 0.9\n");
    write_text(dir.path().join(format!("pred/bonn/{BONN}.txt")), "../masks/b.png 26.0 0.5");
    dir
}

/// Ulm is right; of Bonn half of the car is called truck.
fn labels() -> TempDir {
    let dir = ground_truth();
    write_png(&dir.path().join(format!("pred/{ULM}_pred.png")), 20, &map(&[(26, 200), (7, 200)]));
    write_png(&dir.path().join(format!("pred/x/{BONN}.png")), 20, &map(&[(26, 100), (27, 100), (7, 200)]));
    dir
}

#[test]
fn instance_scores_are_printed_and_written() {
    let dir = instances();
    let printed = ok(dir.path(), &with(&INSTANCE, &["--json", "scores.json"]));
    let scores = read(dir.path());
    // At 0.5 both cars are found. From 0.55 on Bonn's is a false positive below Ulm's: points (1/2, 1/2), (1, 1/2), (1, 0),
    // widths 0, 1/4, 1/4.
    let expected = json!({ "AP": (1.0 + 9.0 * 0.5) / 10.0, "AP50": 1.0 });
    assert_eq!(scores["metrics"], expected);
    assert_eq!(scores["task"], "cityscapes-instance");
    assert_eq!(scores["classes"]["car"]["AP"], expected["AP"]);
    assert_eq!(scores["classes"]["person"], json!({ "AP": null, "AP50": null, "gt_instances": 0 }));
    for part in ["AP50", "55.00", "100.00", "car", "2 images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
}

#[test]
fn semantic_scores_have_classes_and_categories() {
    let dir = labels();
    let printed = ok(dir.path(), &with(&SEMANTIC, &["--json", "scores.json"]));
    let scores = read(dir.path());
    assert_eq!(scores["task"], "cityscapes-semantic");
    // car 300 / 400, truck 0, road 1
    assert_eq!(scores["metrics"]["IoU_class"], 1.75 / 3.0);
    assert_eq!(scores["metrics"]["IoU_category"], 1.0);
    assert_eq!(scores["metrics"]["iIoU_category"], 1.0);
    assert_eq!(scores["classes"]["car"]["IoU"], 0.75);
    assert_eq!(scores["classes"]["truck"], json!({ "IoU": 0.0, "iIoU": 0.0 }));
    assert_eq!(scores["categories"]["vehicle"], json!({ "IoU": 1.0, "iIoU": 1.0 }));
    assert_eq!(scores["categories"].as_object().unwrap().len(), 7);
    for part in ["IoU_class", "58.33", "category", "vehicle", "2 images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
}

#[test]
fn intervals_and_comparisons_are_added() {
    let dir = instances();
    fs::rename(dir.path().join("pred"), dir.path().join("other")).unwrap();
    for name in [ULM, BONN] {
        write_text(dir.path().join(format!("pred/{name}.txt")), "a.png 26 1");
    }
    write_png(&dir.path().join("pred/a.png"), 20, &map(&[(255, 200), (0, 200)]));
    let words = ["--versus", "other", "--ci", "50", "--json", "scores.json"];
    let printed = ok(dir.path(), &with(&INSTANCE, &words));
    let scores = read(dir.path());
    assert_eq!(scores["versus"]["metrics"]["AP"], 0.55);
    let difference = scores["versus"]["difference"]["AP"]["difference"].as_f64().unwrap();
    assert!((difference - 0.45).abs() < 1e-12, "{printed}");
    assert_eq!(scores["ci"]["metrics"]["AP"], json!({ "low": 1.0, "high": 1.0 }));

    let dir = labels();
    ok(dir.path(), &with(&SEMANTIC, &["--versus", "pred", "--json", "scores.json"]));
    assert_eq!(read(dir.path())["versus"]["difference"]["iIoU_class"]["p"], 1.0);
}

#[test]
fn what_the_official_script_takes_silently_is_warned_of() {
    let dir = instances();
    let text = "masks/b.png 26 0.9\nmasks/a.png 26 -inf\nmasks/none.png 7 0.5\nmasks/b.png 26.7 0.1\n";
    write_text(dir.path().join(format!("pred/{ULM}_leftImg8bit.txt")), text);
    write_text(dir.path().join("pred/berlin_000000_000019.txt"), "");
    let ran = smalti(dir.path(), &INSTANCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in [
        "predictions without ground truth, not scored: 1, such as berlin_000000_000019.txt",
        "lines that name the mask of an earlier line, which they replace: 1",
        "_leftImg8bit.txt:4 (masks/b.png)",
        "not scored as instances, left out: 1",
        "_leftImg8bit.txt:3 (road)",
        "label ids with a fraction, which is cut off: 1",
        "infinite confidences",
    ] {
        assert!(ran.stderr.contains(part), "no `{part}` in\n{}", ran.stderr);
    }
    refused(dir.path(), &with(&INSTANCE, &["--strict"]), &["refused by --strict", "infinite confidences"]);
}

#[test]
fn folders_without_what_is_needed_are_named() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), &INSTANCE, &["gt: expected a folder of Cityscapes ground truth, got nothing"]);
    fs::create_dir(dir.path().join("gt")).unwrap();
    refused(dir.path(), &SEMANTIC, &["gt: expected files named", "_gtFine_labelIds.png", "got none"]);
    let dir = ground_truth();
    refused(dir.path(), &INSTANCE, &["pred: expected a folder of Cityscapes instance predictions"]);
    write_text(dir.path().join(format!("pred/{ULM}.txt")), "");
    refused(dir.path(), &INSTANCE, &["pred: 1 of 2 predictions are missing: bonn_000007_000019*.txt"]);
    write_text(dir.path().join(format!("pred/{BONN}.txt")), "");
    write_text(dir.path().join(format!("pred/x/{BONN}_b.txt")), "");
    refused(dir.path(), &INSTANCE, &[&format!("pred/{BONN}.txt and pred/x/{BONN}_b.txt")]);
    write_png(&dir.path().join("gt/ulm_gtFine_labelIds.png"), 1, &[0]);
    refused(dir.path(), &SEMANTIC, &["gt/ulm_gtFine_labelIds.png: expected a name like"]);
    fs::rename(
        dir.path().join("gt/ulm_gtFine_labelIds.png"),
        dir.path().join(format!("gt/{ULM}_gtFine_labelIds.png")),
    )
    .unwrap();
    refused(dir.path(), &SEMANTIC, &[&format!("{ULM}_gtFine_labelIds.png and")]);
}

#[test]
fn lines_that_are_wrong_are_named() {
    let dir = instances();
    let txt = format!("pred/{ULM}_leftImg8bit.txt");
    let case = |line: &str, expected: &[&str]| {
        write_text(dir.path().join(&txt), &format!("masks/a.png 26 0.9\n{line}\n"));
        let place = format!("{txt}: line 2");
        refused(dir.path(), &INSTANCE, &with(&[place.as_str()], expected));
    };
    case("", &["got an empty line"]);
    case("masks/b.png 26", &["got 2 fields"]);
    case("masks/b.png car 0.5", &["label id, got `car`"]);
    case("masks/b.png 34 0.5", &["expected a label id from -1 to 33, got 34"]);
    case("masks/b.png 1e99 0.5", &["expected a label id from -1 to 33"]);
    case("masks/b.png 26 NaN", &["confidence, got `NaN`"]);
    case("/masks/b.png 26 0.5", &["expected a relative mask path"]);
    case("../gt/b.png 26 0.5", &["expected a mask path inside pred"]);
    write_text(dir.path().join(&txt), "masks/none.png 26 0.9\n");
    refused(dir.path(), &INSTANCE, &["pred/masks/none.png"]);
    write_text(dir.path().join(&txt), "masks 26 0.9\n");
    refused(dir.path(), &INSTANCE, &["pred/masks: ", "folder"]);
    fs::write(dir.path().join(&txt), b"masks/a.png 26 0.9\n\xFF\xFE 26 0.5\n").unwrap();
    refused(dir.path(), &INSTANCE, &["line 2: expected UTF-8 text"]);
}

#[test]
fn maps_that_do_not_fit_are_named() {
    let dir = instances();
    write_png(&dir.path().join("pred/masks/b.png"), 10, &[1; 400]);
    refused(dir.path(), &INSTANCE, &["pred/masks/b.png: expected 20x20 (HxW) as in gt/bonn/", "got 40x10"]);
    let ids = dir.path().join(format!("gt/bonn/{BONN}_gtFine_instanceIds.png"));
    write_16(&ids, 20, &map(&[(34_000, 200), (7, 200)]));
    refused(dir.path(), &INSTANCE, &["_gtFine_instanceIds.png: expected instance ids", "got 34000"]);

    let dir = labels();
    let pred = dir.path().join(format!("pred/x/{BONN}.png"));
    write_png(&pred, 20, &map(&[(255, 100), (7, 300)]));
    refused(
        dir.path(),
        &SEMANTIC,
        &[&format!("pred/x/{BONN}.png: compared with gt/bonn/"), "label ids 0 to 33, got 255"],
    );
    write_png(&pred, 10, &[7; 400]);
    refused(dir.path(), &SEMANTIC, &["expected 20x20 (HxW) as in", "got 40x10"]);
    write_png(&pred, 20, &[7; 400]);
    fs::remove_file(dir.path().join(format!("gt/ulm/{ULM}_gtFine_instanceIds.png"))).unwrap();
    refused(dir.path(), &SEMANTIC, &[&format!("{ULM}_gtFine_instanceIds.png")]);
}

/// The official script turns masks into grey first.
#[test]
fn masks_may_be_wide_coloured_or_with_a_palette() {
    let dir = instances();
    let mask = dir.path().join("pred/masks/b.png");
    let scored = || {
        ok(dir.path(), &with(&INSTANCE, &["--json", "scores.json"]));
        read(dir.path())["metrics"]["AP"].as_f64().unwrap()
    };
    let grey = scored();
    write_16(&mask, 20, &map(&[(256, 110), (0, 290)]));
    assert_eq!(scored(), grey);
    // (0, 0, 4) is too dark to be seen, so it is background.
    let rgb = map(&[([0, 9, 0], 110), ([0, 0, 4], 290)]);
    write_png_as(&mask, png::ColorType::Rgb, 20, rgb.as_flattened());
    assert_eq!(scored(), grey);
    let mut encoder = png::Encoder::new(fs::File::create(&mask).unwrap(), 20, 20);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![200, 0, 0, 0, 0, 0]); // 0 is red, 1 is black
    encoder.write_header().unwrap().write_image_data(&map(&[(0, 110), (1, 290)])).unwrap();
    assert_eq!(scored(), grey);
}
