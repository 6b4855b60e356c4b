//! `smalti score instance`.

use std::fs;
use std::path::Path;

use super::{Refused, Scored, Warned, check, cut_everywhere, folder_instead, link_to_nowhere, put, replace};

const WORDS: [&str; 5] = ["instance", "--gt", "gt.json", "--pred", "pred.json"];
const GT: &str = r#"{"images": [{"id": 42, "width": 10, "height": 8, "file_name": "a.jpg"}],
 "annotations": [{"id": 917, "image_id": 42, "category_id": 7, "area": 16, "iscrowd": 0, "bbox": [2, 0, 2, 8],
  "segmentation": {"size": [8, 10], "counts": [16, 16, 48]}}],
 "categories": [{"id": 7, "name": "cat"}]}"#;
const PRED: &str = r#"[{"image_id": 42, "category_id": 7, "score": 0.5,
 "segmentation": {"size": [8, 10], "counts": "`0`0`1"}}]"#;
/// What COCO's small epsilon leaves of 1 for one detection.
const ONE: Option<f64> = Some(1.0);

fn good(dir: &Path) {
    put(dir, "gt.json", GT);
    put(dir, "pred.json", PRED);
}

/// Another mask for the detection.
fn mask(dir: &Path, text: &str) {
    replace(dir, "pred.json", r#"{"size": [8, 10], "counts": "`0`0`1"}"#, text);
}

/// Another mask for the ground truth.
fn truth(dir: &Path, text: &str) {
    replace(dir, "gt.json", r#"{"size": [8, 10], "counts": [16, 16, 48]}"#, text);
}

fn score(dir: &Path, text: &str) {
    replace(dir, "pred.json", "0.5", text);
}

#[test]
fn instance_json() {
    check(
        good,
        &WORDS,
        &[
            ("an empty file", |d| put(d, "gt.json", ""), Refused(&["gt.json"])),
            ("a list for the ground truth", |d| put(d, "gt.json", "[]"), Refused(&["gt.json"])),
            ("an object for the results", |d| put(d, "pred.json", "{}"), Refused(&["pred.json"])),
            ("a number for the results", |d| put(d, "pred.json", "7"), Refused(&["pred.json"])),
            ("a list of numbers", |d| put(d, "pred.json", "[1, 2]"), Refused(&["pred.json"])),
            ("no results", |d| put(d, "pred.json", "[]"), Warned(&["no detection"], "AP", Some(0.0))),
            (
                "a byte order mark",
                |d| put(d, "pred.json", format!("\u{feff}{PRED}")),
                Refused(&["pred.json"]),
            ),
            ("not UTF-8", |d| put(d, "pred.json", b"[{\"image_id\": \"\xff\"}]"), Refused(&["pred.json"])),
            ("very deep", |d| put(d, "pred.json", "[".repeat(200_000)), Refused(&["pred.json"])),
            ("very deep objects", |d| put(d, "gt.json", "{\"a\":".repeat(200_000)), Refused(&["gt.json"])),
            ("words after the end", |d| put(d, "pred.json", format!("{PRED} more")), Refused(&["pred.json"])),
            ("a comma too many", |d| replace(d, "pred.json", "}}]", "}},]"), Refused(&["pred.json"])),
            ("a folder for a file", |d| folder_instead(d, "pred.json"), Refused(&["pred.json"])),
            ("a link to nowhere", |d| link_to_nowhere(d, "gt.json"), Refused(&["gt.json"])),
            ("no such file", |d| fs::remove_file(d.join("pred.json")).unwrap(), Refused(&["pred.json"])),
            (
                "a key twice",
                |d| replace(d, "pred.json", "{\"image", "{\"image_id\": 1, \"image"),
                Scored("AP", ONE),
            ),
            (
                "no image id",
                |d| replace(d, "pred.json", "\"image_id\": 42,", ""),
                Refused(&["pred.json", "image_id"]),
            ),
            (
                "no category",
                |d| replace(d, "pred.json", "\"category_id\": 7, ", ""),
                Refused(&["pred.json", "category_id"]),
            ),
            (
                "no score",
                |d| replace(d, "pred.json", "\"score\": 0.5,", ""),
                Refused(&["pred.json", "score"]),
            ),
            ("an unknown image", |d| replace(d, "pred.json", "42", "43"), Refused(&["pred.json", "43"])),
            (
                "a true object on an unknown image",
                |d| replace(d, "gt.json", "\"image_id\": 42", "\"image_id\": 9"),
                Warned(&["left out", ": 1"], "AP", None),
            ),
            (
                "an image id of text",
                |d| replace(d, "pred.json", "42", "\"42\""),
                Refused(&["pred.json", "42"]),
            ),
            ("an image id of 1.5", |d| replace(d, "pred.json", "42", "1.5"), Refused(&["pred.json"])),
            ("an image id of 1e30", |d| replace(d, "pred.json", "42", "1e30"), Refused(&["pred.json"])),
            (
                "a category of text",
                |d| replace(d, "pred.json", "\"category_id\": 7", "\"category_id\": \"7\""),
                Refused(&["pred.json"]),
            ),
            (
                "an unknown category",
                |d| replace(d, "pred.json", "\"category_id\": 7", "\"category_id\": 8"),
                Warned(&["1", "categor"], "AP", Some(0.0)),
            ),
            (
                "an image listed twice",
                |d| {
                    replace(
                        d,
                        "gt.json",
                        "[{\"id\": 42,",
                        "[{\"id\": 42, \"width\": 10, \"height\": 8}, {\"id\": 42,",
                    );
                },
                Warned(&["images that are listed again", ": 1"], "AP", ONE),
            ),
            (
                "a category listed twice",
                |d| replace(d, "gt.json", "[{\"id\": 7,", "[{\"id\": 7, \"name\": \"dog\"}, {\"id\": 7,"),
                Warned(&["categories that are listed again", ": 1"], "AP", ONE),
            ),
            (
                "an annotation id twice",
                |d| {
                    let text = fs::read_to_string(d.join("gt.json")).unwrap();
                    let (from, to) = (text.find("{\"id\": 917").unwrap(), text.find("}}],").unwrap() + 2);
                    let twice = format!("{}, {}", &text[from..to], &text[from..]);
                    put(d, "gt.json", format!("{}{twice}", &text[..from]));
                },
                Warned(&["id occurs again", ": 1"], "AP", Some(51.0 / 101.0)),
            ),
            (
                "the annotation id 0",
                |d| replace(d, "gt.json", "917", "0"),
                Warned(&["id 0"], "AP", Some(0.0)),
            ),
        ],
    );
}

#[test]
fn instance_numbers() {
    check(
        good,
        &WORDS,
        &[
            ("a score of NaN", |d| score(d, "NaN"), Warned(&["not finite", ": 1"], "AP", ONE)),
            ("an infinite score", |d| score(d, "Infinity"), Warned(&["not finite", ": 1"], "AP", ONE)),
            ("a score beyond all numbers", |d| score(d, "1e999"), Warned(&["not finite", ": 1"], "AP", ONE)),
            ("a score of null", |d| score(d, "null"), Refused(&["pred.json"])),
            ("a score of text", |d| score(d, "\"0.5\""), Refused(&["pred.json"])),
            ("a score of true", |d| score(d, "true"), Refused(&["pred.json"])),
            ("a negative score", |d| score(d, "-3e100"), Scored("AP", ONE)),
            (
                "a negative area",
                |d| replace(d, "gt.json", "\"area\": 16", "\"area\": -16"),
                Scored("AP", None),
            ),
            (
                "an area of NaN",
                |d| replace(d, "gt.json", "\"area\": 16", "\"area\": NaN"),
                Warned(&["another area range", ": 1"], "AP", ONE),
            ),
            ("no area", |d| replace(d, "gt.json", "\"area\": 16, ", ""), Refused(&["gt.json", "area"])),
            (
                "a width of 2^40",
                |d| replace(d, "gt.json", "\"width\": 10", "\"width\": 1099511627776"),
                Refused(&["gt.json"]),
            ),
            (
                "a negative height",
                |d| replace(d, "gt.json", "\"height\": 8", "\"height\": -8"),
                Refused(&["gt.json"]),
            ),
            (
                "a crowd flag of 2",
                |d| replace(d, "gt.json", "\"iscrowd\": 0", "\"iscrowd\": 2"),
                Scored("AP", None),
            ),
        ],
    );
}

#[test]
fn instance_masks() {
    check(
        good,
        &WORDS,
        &[
            (
                "runs that stop short",
                |d| mask(d, r#"{"size": [8, 10], "counts": "`0`0"}"#),
                Refused(&["pred.json", "80"]),
            ),
            (
                "runs that go on",
                |d| mask(d, r#"{"size": [8, 10], "counts": "`0`0`1`1"}"#),
                Refused(&["pred.json", "80"]),
            ),
            (
                "a number cut short",
                |d| mask(d, r#"{"size": [8, 10], "counts": "`0`0`"}"#),
                Refused(&["pred.json"]),
            ),
            (
                "a number without end",
                |d| mask(d, r#"{"size": [8, 10], "counts": "oooooooooooooooooooo"}"#),
                Refused(&["pred.json"]),
            ),
            ("a negative run", |d| mask(d, r#"{"size": [8, 10], "counts": "K"}"#), Refused(&["pred.json"])),
            ("no runs", |d| mask(d, r#"{"size": [8, 10], "counts": ""}"#), Refused(&["pred.json"])),
            (
                "not ASCII",
                |d| mask(d, "{\"size\": [8, 10], \"counts\": \"`0\u{e9}1\"}"),
                Refused(&["pred.json"]),
            ),
            (
                "an escape",
                |d| mask(d, r#"{"size": [8, 10], "counts": "\u00600\u00600\u00601"}"#),
                Scored("AP", ONE),
            ),
            (
                "a control character",
                |d| mask(d, "{\"size\": [8, 10], \"counts\": \"`0\\n`0\"}"),
                Refused(&["pred.json"]),
            ),
            (
                "the size of another image",
                |d| mask(d, r#"{"size": [10, 8], "counts": "`0`0`1"}"#),
                Warned(&["another size", ": 1"], "AP", Some(0.0)),
            ),
            (
                "a huge size",
                |d| mask(d, r#"{"size": [1000000000, 1000000000], "counts": "`0`0`1"}"#),
                Refused(&["pred.json"]),
            ),
            (
                "a size that overflows",
                |d| mask(d, r#"{"size": [4294967296, 4294967296], "counts": "0"}"#),
                Refused(&["pred.json"]),
            ),
            (
                "a negative size",
                |d| mask(d, r#"{"size": [-8, -10], "counts": "`0`0`1"}"#),
                Refused(&["pred.json"]),
            ),
            (
                "a size of one number",
                |d| mask(d, r#"{"size": [80], "counts": "`0`0`1"}"#),
                Refused(&["pred.json"]),
            ),
            ("no size", |d| mask(d, r#"{"counts": "`0`0`1"}"#), Refused(&["pred.json"])),
            ("no counts", |d| mask(d, r#"{"size": [8, 10]}"#), Refused(&["pred.json"])),
            ("a mask of null", |d| mask(d, "null"), Refused(&["pred.json"])),
            (
                "runs of zero length",
                |d| mask(d, r#"{"size": [8, 10], "counts": [16, 8, 0, 8, 48]}"#),
                Scored("AP", ONE),
            ),
        ],
    );
}

#[test]
fn instance_true_masks() {
    check(
        good,
        &WORDS,
        &[
            (
                "runs that are too short, as numbers",
                |d| truth(d, r#"{"size": [8, 10], "counts": [16, 16]}"#),
                Refused(&["gt.json", "917"]),
            ),
            (
                "a run of -1",
                |d| truth(d, r#"{"size": [8, 10], "counts": [16, -1, 65]}"#),
                Refused(&["gt.json"]),
            ),
            (
                "a run of 2^40",
                |d| truth(d, r#"{"size": [8, 10], "counts": [16, 1099511627776]}"#),
                Refused(&["gt.json"]),
            ),
            (
                "runs that wrap around",
                |d| truth(d, r#"{"size": [8, 10], "counts": [4294967295, 81]}"#),
                Refused(&["gt.json", "917"]),
            ),
            ("a polygon of two points", |d| truth(d, "[[1, 1, 5, 5]]"), Refused(&["gt.json", "917"])),
            ("a polygon of nothing", |d| truth(d, "[[]]"), Refused(&["gt.json", "917"])),
            ("no polygons", |d| truth(d, "[]"), Refused(&["gt.json", "917"])),
            ("an odd polygon", |d| truth(d, "[[2, 0, 4, 0, 4, 8, 2, 8, 1]]"), Scored("AP", ONE)),
            ("a polygon of NaN", |d| truth(d, "[[2, 0, NaN, 0, 4, 8, 2, 8]]"), Refused(&["gt.json"])),
            (
                "a polygon of 1e308",
                |d| truth(d, "[[2, 0, 1e308, 0, 4, 8, 2, 8]]"),
                Refused(&["gt.json", "917"]),
            ),
            (
                "a polygon of 1e9",
                |d| truth(d, "[[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9]]"),
                Refused(&["gt.json", "917"]),
            ),
            ("a polygon of text", |d| truth(d, "[[\"2\", 0, 4, 0, 4, 8]]"), Refused(&["gt.json"])),
            ("no mask in the ground truth", |d| truth(d, "null"), Refused(&["gt.json"])),
        ],
    );
}

#[test]
fn instance_boxes() {
    fn boxes(dir: &Path) {
        good(dir);
        mask(dir, "{\"size\": [8, 10], \"counts\": \"`0`0`1\"}, \"bbox\": [2, 0, 2, 8]");
    }
    check(
        boxes,
        &[&WORDS[..], &["--iou-type", "bbox"]].concat(),
        &[
            (
                "a box of three numbers",
                |d| replace(d, "pred.json", "[2, 0, 2, 8]", "[2, 0, 2]"),
                Refused(&["pred.json", "bbox"]),
            ),
            (
                "a box of NaN",
                |d| replace(d, "pred.json", "[2, 0, 2, 8]", "[2, 0, NaN, 8]"),
                Warned(&["not finite"], "AP", ONE),
            ),
            (
                "a box beyond all numbers",
                |d| replace(d, "pred.json", "[2, 0, 2, 8]", "[2, 0, 1e999, 8]"),
                Warned(&["not finite"], "AP", Some(0.0)),
            ),
            (
                "a box of text",
                |d| replace(d, "pred.json", "[2, 0, 2, 8]", "\"2 0 2 8\""),
                Refused(&["pred.json"]),
            ),
            (
                "a negative width",
                |d| replace(d, "pred.json", "[2, 0, 2, 8]", "[4, 0, -2, 8]"),
                Warned(&["negative"], "AP", Some(0.0)),
            ),
            (
                "a negative width in the ground truth",
                |d| replace(d, "gt.json", "\"bbox\": [2, 0, 2, 8]", "\"bbox\": [4, 0, -2, 8]"),
                Warned(&["negative", ": 1"], "AP", Some(0.0)),
            ),
            (
                "no box in the ground truth",
                |d| replace(d, "gt.json", "\"bbox\": [2, 0, 2, 8],", ""),
                Refused(&["gt.json", "bbox"]),
            ),
        ],
    );
}

#[test]
fn instance_json_cut_short() {
    cut_everywhere(good, &WORDS, "gt.json");
    cut_everywhere(good, &WORDS, "pred.json");
}
