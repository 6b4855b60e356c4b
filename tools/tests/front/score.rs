//! `smalti score semantic`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ok, refused, smalti, write_png, write_png_as};

const WORDS: [&str; 8] = ["score", "semantic", "--gt-dir", "gt", "--pred-dir", "pred", "--num-classes", "3"];

/// Two images of 4x4.
///
/// Over both, ignored pixels left out:
///
/// | class | I | P | L | IoU | Acc |
/// | --- | --- | --- | --- | --- | --- |
/// | 0 | 6 | 7 | 8 | 6/9 | 6/8 |
/// | 1 | 7 | 9 | 8 | 7/10 | 7/8 |
/// | 2 | 0 | 4 | 0 | 0/4 | - |
fn two_images() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_png(&at("gt/a.png"), 4, &[0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    write_png(&at("pred/a.png"), 4, &[0, 0, 0, 0, 0, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]);
    write_png(&at("gt/sub/b.png"), 4, &[1, 1, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5, 255, 255, 255, 255]);
    write_png(&at("pred/sub/b.png"), 4, &[1, 1, 1, 1, 1, 1, 1, 0, 1, 2, 2, 2, 0, 0, 0, 0]);
    dir
}

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    WORDS.iter().chain(words).copied().collect()
}

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

#[test]
fn json_has_the_numbers_of_the_hand_count() {
    let dir = two_images();
    let printed = ok(dir.path(), &with(&["--json", "scores.json"]));
    let scores = read(dir.path(), "scores.json");
    assert_eq!(scores["task"], "semantic");
    // Ground truth 5 is no class: its four predictions (1, 2, 2, 2) are false positives for mmsegmentation and not there
    // for detectron2, where class 1 has P = 8 and so an IoU of 7/9.
    let expected = json!({
        "mIoU": (6.0 / 9.0 + 7.0 / 10.0 + 0.0) / 3.0,
        "mAcc": (6.0 / 8.0 + 7.0 / 8.0) / 2.0,
        "aAcc": 13.0 / 16.0,
        "fwIoU": (8.0 * 6.0 / 9.0 + 8.0 * 7.0 / 10.0) / 16.0,
        "mDice": (12.0 / 15.0 + 14.0 / 17.0 + 0.0) / 3.0,
        "mFscore": (12.0 / 15.0 + 14.0 / 17.0) / 2.0,
        "mPrecision": (6.0 / 7.0 + 7.0 / 9.0 + 0.0) / 3.0,
        "mRecall": (6.0 / 8.0 + 7.0 / 8.0) / 2.0,
        "d2_mIoU": (6.0 / 9.0 + 7.0 / 9.0) / 2.0,
        "d2_fwIoU": (8.0 * 6.0 / 9.0 + 8.0 * 7.0 / 9.0) / 16.0,
        "d2_mAcc": (6.0 / 8.0 + 7.0 / 8.0) / 2.0,
        "d2_pAcc": 13.0 / 16.0,
    });
    let (got, expected) = (scores["metrics"].as_object().unwrap(), expected.as_object().unwrap());
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, value) in expected {
        let (got, value) = (got[name].as_f64().unwrap(), value.as_f64().unwrap());
        assert!((got - value).abs() < 1e-12, "{name}: expected {value}, got {got}");
    }
    assert_eq!(scores["classes"]["2"]["IoU"], 0.0);
    assert!(scores["classes"]["2"]["Acc"].is_null());
    // Printed as percent with two decimals.
    for part in ["mIoU", "45.56", "aAcc", "81.25", "2 images"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
}

#[test]
fn warns_of_values_outside_and_of_extra_predictions() {
    let dir = two_images();
    write_png(&dir.path().join("pred/c.png"), 4, &[0; 16]);
    let ran = smalti(dir.path(), &WORDS);
    assert_eq!(ran.code, Some(0));
    for part in [
        "warning: predictions without ground truth, not scored: 1",
        "c.png",
        "4 ground truth pixels",
        "--ignore-label",
    ] {
        assert!(ran.stderr.contains(part), "no `{part}` in\n{}", ran.stderr);
    }
    // The label that is no class is what --ignore-label is for; 255 then is one more value outside.
    let ran = smalti(dir.path(), &with(&["--ignore-label", "5"]));
    assert!(ran.stderr.contains("12 ground truth pixels"), "{}", ran.stderr);
}

#[test]
fn classes_have_their_names_in_table_and_json() {
    let dir = two_images();
    fs::write(dir.path().join("names.txt"), "road\ncar\nsky\n").unwrap();
    let words = ["score", "semantic", "--gt-dir", "gt", "--pred-dir", "pred", "--classes", "names.txt"];
    let printed = ok(dir.path(), &[&words[..], &["--per-class", "--json", "scores.json"]].concat());
    let rows: Vec<_> =
        printed.lines().filter(|l| ["road", "car", "sky"].iter().any(|n| l.contains(n))).collect();
    assert_eq!(rows.len(), 3, "{printed}");
    assert!(
        rows.iter().any(|row| row.contains("car") && row.contains("70.00") && row.contains("87.50")),
        "{printed}"
    );
    assert!(
        rows.iter().any(|row| row.contains("sky") && row.contains(" 0.00 ") && row.contains(" - ")),
        "{printed}"
    );
    assert_eq!(read(dir.path(), "scores.json")["classes"]["car"]["IoU"], 0.7);
    // A few classes are always shown one by one; -q changes nothing about results.
    assert_eq!(ok(dir.path(), &[&words[..], &["-q"]].concat()), printed);
}

#[test]
fn zero_labels_can_be_shifted() {
    let dir = tempfile::tempdir().unwrap();
    write_png(&dir.path().join("gt/a.png"), 2, &[0, 1, 2, 3]);
    write_png(&dir.path().join("pred/a.png"), 2, &[0, 0, 1, 1]);
    ok(dir.path(), &with(&["--reduce-zero-label", "--json", "s.json"]));
    // Ground truth is 255 0 1 2: two of three right.
    assert_eq!(read(dir.path(), "s.json")["metrics"]["aAcc"], 2.0 / 3.0);
}

#[test]
fn missing_folders_and_predictions_are_named() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), &WORDS, &["error: gt: expected a folder of PNG label maps, got nothing"]);
    fs::write(dir.path().join("gt"), "x").unwrap();
    refused(dir.path(), &WORDS, &["gt: expected a folder", "got a file"]);
    fs::remove_file(dir.path().join("gt")).unwrap();
    fs::create_dir(dir.path().join("gt")).unwrap();
    refused(dir.path(), &WORDS, &["gt: expected PNG label maps", "got none"]);
    for name in ["a", "b", "c"] {
        write_png(&dir.path().join(format!("gt/{name}.png")), 2, &[0; 4]);
    }
    refused(dir.path(), &WORDS, &["pred: expected a folder"]);
    write_png(&dir.path().join("pred/b.png"), 2, &[0; 4]);
    refused(dir.path(), &WORDS, &["pred: 2 of 3 predictions are missing: a.png, c.png"]);
}

#[test]
fn damaged_and_mismatched_files_are_named() {
    let dir = two_images();
    let pred = dir.path().join("pred/a.png");
    let whole = fs::read(&pred).unwrap();
    fs::write(&pred, &whole[..whole.len() / 2]).unwrap();
    refused(dir.path(), &WORDS, &["error: pred/a.png: truncated"]);
    fs::write(&pred, "").unwrap();
    refused(dir.path(), &WORDS, &["pred/a.png", "empty"]);
    fs::write(&pred, "these are words").unwrap();
    refused(dir.path(), &WORDS, &["pred/a.png", "expected a PNG label map", "got"]);
    write_png(&pred, 2, &[0; 8]);
    refused(dir.path(), &WORDS, &["pred/a.png: expected 4x4 (HxW) as in gt/a.png, got 4x2"]);
    write_png_as(&pred, png::ColorType::Rgb, 4, &[0; 48]);
    refused(dir.path(), &WORDS, &["pred/a.png: expected a label map", "Rgb"]);
}

#[test]
fn a_json_file_that_cannot_be_written_is_refused() {
    let dir = two_images();
    refused(
        dir.path(),
        &with(&["--json", "no/such/folder/s.json"]),
        &["no/such/folder/s.json: writing failed"],
    );
    refused(dir.path(), &with(&["--json", "gt"]), &["gt: expected a file to write, got a folder"]);
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "nothing but gt and pred");
}

#[test]
fn a_class_file_that_does_not_fit_is_refused() {
    let dir = two_images();
    fs::write(dir.path().join("two.txt"), "road\ncar\n").unwrap();
    refused(dir.path(), &with(&["--classes", "two.txt"]), &["expected 3 names for 3 classes, got 2"]);
    refused(dir.path(), &with(&["--classes", "none.json"]), &["none.json"]);
    fs::write(dir.path().join("bad.json"), r#"{"classes": [{"id": 1, "name": "a"}]}"#).unwrap();
    refused(dir.path(), &with(&["--classes", "bad.json"]), &["bad.json: class 1", "expected the ids 0..=0"]);
}

#[test]
fn intervals_hold_the_score_and_depend_on_the_seed_only() {
    let dir = two_images();
    let printed = ok(dir.path(), &with(&["--ci", "200", "--json", "a.json"]));
    assert!(printed.contains("95 % interval") && printed.contains(" .. "), "{printed}");
    let scores = read(dir.path(), "a.json");
    assert_eq!((&scores["ci"]["level"], &scores["ci"]["resamples"]), (&json!(0.95), &json!(200)));
    let (low, high) = (&scores["ci"]["metrics"]["aAcc"]["low"], &scores["ci"]["metrics"]["aAcc"]["high"]);
    // Image a alone has 6 of 8 right, image b alone 7 of 8 with ground truth of a class.
    assert_eq!((low.as_f64(), high.as_f64()), (Some(6.0 / 8.0), Some(7.0 / 8.0)));
    ok(dir.path(), &with(&["--ci", "200", "--json", "b.json"]));
    assert_eq!(read(dir.path(), "b.json"), scores);
    // Every metric has its interval, the plain scores stay the same.
    ok(dir.path(), &with(&["--json", "plain.json"]));
    let plain = read(dir.path(), "plain.json");
    assert_eq!(plain["metrics"], scores["metrics"]);
    assert!(plain.get("ci").is_none());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&scores["ci"]["metrics"]), keys(&scores["metrics"]));
    assert_eq!(smalti(dir.path(), &with(&["--ci", "9"])).code, Some(2), "too few to speak of an interval");
}

#[test]
fn versus_compares_two_folders_image_by_image() {
    let dir = two_images();
    // The other predictions are all right in image a and as before in image b.
    write_png(&dir.path().join("other/a.png"), 4, &[0; 16]);
    let b = fs::read(dir.path().join("pred/sub/b.png")).unwrap();
    fs::create_dir_all(dir.path().join("other/sub")).unwrap();
    fs::write(dir.path().join("other/sub/b.png"), b).unwrap();
    let printed = ok(dir.path(), &with(&["--versus", "other", "--json", "v.json"]));
    for part in ["versus %", "difference", "-12.50", " p "] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let scores = read(dir.path(), "v.json");
    assert_eq!(scores["versus"]["metrics"]["aAcc"], 15.0 / 16.0);
    let compared = &scores["versus"]["difference"]["aAcc"];
    assert_eq!(compared["difference"], -2.0 / 16.0);
    assert!(compared["p"].as_f64().unwrap() > 0.05, "two images prove nothing: {compared}");
    assert!(scores.get("ci").is_none());
    // Against itself there is no difference.
    ok(dir.path(), &with(&["--versus", "pred", "--ci", "50", "--json", "same.json"]));
    let same = read(dir.path(), "same.json");
    assert_eq!(
        same["versus"]["difference"]["mIoU"],
        json!({"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0})
    );
    assert_eq!(same["versus"]["resamples"], 50);
    assert!(same["ci"]["metrics"]["mIoU"]["low"].is_number());
}

#[test]
fn versus_refuses_a_folder_of_other_images() {
    let dir = two_images();
    refused(
        dir.path(),
        &with(&["--versus", "other"]),
        &["other: expected a folder of PNG label maps, got nothing"],
    );
    write_png(&dir.path().join("other/a.png"), 4, &[0; 16]);
    write_png(&dir.path().join("other/c.png"), 4, &[0; 16]);
    refused(dir.path(), &with(&["--versus", "other"]), &["other: 1 of 2 predictions are missing: sub/b.png"]);
    write_png(&dir.path().join("other/sub/b.png"), 4, &[9; 16]);
    let ran = smalti(dir.path(), &with(&["--versus", "other"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in
        ["other: predictions without ground truth, not scored: 1", "other: 8 predicted pixels are outside"]
    {
        assert!(ran.stderr.contains(part), "no `{part}` in\n{}", ran.stderr);
    }
    assert_eq!(ran.stderr.matches("ground truth pixels are neither").count(), 1, "{}", ran.stderr);
}

#[test]
fn strict_turns_each_warning_into_an_error_and_prints_no_score() {
    let strict = |dir: &TempDir, words: &[&str], part: &str| {
        refused(
            dir.path(),
            &[&with(words)[..], &["--strict", "--json", "s.json"]].concat(),
            &["refused by --strict", part],
        );
        assert!(!dir.path().join("s.json").exists());
    };
    let dir = two_images();
    strict(&dir, &[], "4 ground truth pixels are neither");
    // With 5 as the ignore label, the 255 are what does not belong.
    strict(&dir, &["--ignore-label", "5"], "12 ground truth pixels");
    let clean = || {
        let dir = tempfile::tempdir().unwrap();
        write_png(&dir.path().join("gt/a.png"), 2, &[1, 2, 3, 255]);
        write_png(&dir.path().join("pred/a.png"), 2, &[0, 1, 2, 77]);
        dir
    };
    let dir = clean();
    // Wrong values where ground truth is ignored do not count and need no word.
    ok(dir.path(), &with(&["--strict", "--reduce-zero-label", "--boundary"]));
    write_png(&dir.path().join("pred/a.png"), 2, &[1, 2, 3, 77]);
    strict(
        &dir,
        &["--reduce-zero-label"],
        "1 predicted pixels are outside 0 to 2: they count as misses; none is 0",
    );
    let dir = clean();
    write_png(&dir.path().join("pred/b.png"), 2, &[0; 4]);
    strict(&dir, &["--reduce-zero-label"], "predictions without ground truth, not scored: 1, such as b.png");
}

#[test]
fn boundaries_are_scored_when_asked_for() {
    let dir = two_images();
    let printed = ok(dir.path(), &with(&["--boundary", "--json", "b.json"]));
    assert!(printed.contains("boundary_mIoU") && printed.contains("boundary IoU %"), "{printed}");
    let scores = read(dir.path(), "b.json");
    // d = 1, and no class of either image fills a window of 3x3: all pixels are boundary, so both IoUs are the same.
    for class in ["0", "1", "2"] {
        assert_eq!(scores["classes"][class]["boundary_IoU"], scores["classes"][class]["IoU"], "{scores}");
    }
    assert_eq!(scores["metrics"]["boundary_mIoU"], scores["metrics"]["mIoU"]);
    assert!(!ok(dir.path(), &WORDS).contains("boundary"));
    // With intervals and comparison the metric is one like the others.
    ok(dir.path(), &with(&["--boundary", "--ci", "20", "--versus", "pred", "--json", "c.json"]));
    let scores = read(dir.path(), "c.json");
    assert!(scores["ci"]["metrics"]["boundary_mIoU"]["low"].is_number());
    assert_eq!(scores["versus"]["difference"]["boundary_mIoU"]["p"], 1.0);
}

#[test]
fn classes_without_ground_truth_are_remarked_on() {
    let dir = two_images();
    let ran = smalti(dir.path(), &WORDS);
    assert!(ran.stderr.contains("classes predicted without having ground truth: 1;"), "{}", ran.stderr);
    assert!(!smalti(dir.path(), &with(&["-q"])).stderr.contains("classes predicted"));
}
