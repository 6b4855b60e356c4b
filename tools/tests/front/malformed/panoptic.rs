//! `smalti score panoptic`.

use std::fs;
use std::path::Path;

use super::{
    Refused, Scored, Warned, check, cut_everywhere, folder_instead, link_to_nowhere, pngs, put, replace,
};
use crate::support::{write_png, write_png_as};

const WORDS: [&str; 9] =
    ["panoptic", "--gt", "gt.json", "--gt-dir", "gt", "--pred", "pred.json", "--pred-dir", "pred"];
const PNG: &str = "pred/a.png";

const GT: &str = r#"{"images": [{"id": 1, "width": 4, "height": 2, "file_name": "a.jpg"}],
 "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [
  {"id": 3, "category_id": 7, "area": 4, "iscrowd": 0, "bbox": [0, 0, 2, 2]},
  {"id": 300, "category_id": 8, "area": 4, "iscrowd": 0, "bbox": [2, 0, 2, 2]}]}],
 "categories": [{"id": 7, "name": "cat", "isthing": 1}, {"id": 8, "name": "sky", "isthing": 0}]}"#;
const PRED: &str = r#"{"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [
  {"id": 1, "category_id": 7}, {"id": 65536, "category_id": 8}]}]}"#;

/// The left half one segment, the right half another.
fn halves(dir: &Path, name: &str, ids: [u32; 2]) {
    let pixel = |x: usize| ids[x / 2].to_le_bytes().into_iter().take(3);
    let row: Vec<u8> = (0..4).flat_map(pixel).collect();
    write_png_as(&dir.join(name), png::ColorType::Rgb, 4, &[row.clone(), row].concat());
}

fn good(dir: &Path) {
    put(dir, "gt.json", GT);
    put(dir, "pred.json", PRED);
    halves(dir, "gt/a.png", [3, 300]);
    halves(dir, PNG, [1, 65536]);
}

#[test]
fn panoptic_json() {
    check(
        good,
        &WORDS,
        &[
            ("an empty file", |d| put(d, "pred.json", ""), Refused(&["pred.json"])),
            ("a list at the top", |d| put(d, "pred.json", "[]"), Refused(&["pred.json"])),
            ("null at the top", |d| put(d, "gt.json", "null"), Refused(&["gt.json"])),
            ("no annotations", |d| put(d, "pred.json", "{}"), Refused(&["pred.json", "annotations"])),
            ("a byte order mark", |d| put(d, "gt.json", format!("\u{feff}{GT}")), Refused(&["gt.json"])),
            ("not UTF-8", |d| put(d, "gt.json", b"{\"annotations\": \"\xff\xfe\"}"), Refused(&["gt.json"])),
            ("very deep", |d| put(d, "pred.json", "[".repeat(200_000)), Refused(&["pred.json"])),
            (
                "very deep in a field nobody reads",
                |d| put(d, "pred.json", format!("{{\"info\": {}", "[".repeat(200_000))),
                Refused(&["pred.json"]),
            ),
            ("words after the end", |d| put(d, "gt.json", format!("{GT} and more")), Refused(&["gt.json"])),
            ("a folder for the JSON", |d| folder_instead(d, "pred.json"), Refused(&["pred.json"])),
            ("a link to nowhere for the JSON", |d| link_to_nowhere(d, "gt.json"), Refused(&["gt.json"])),
            (
                "an area of text",
                |d| replace(d, "gt.json", "\"area\": 4", "\"area\": \"4\""),
                Refused(&["gt.json"]),
            ),
            (
                "an area of NaN",
                |d| replace(d, "gt.json", "\"area\": 4", "\"area\": NaN"),
                Refused(&["gt.json"]),
            ),
            (
                "a negative area",
                |d| replace(d, "gt.json", "\"area\": 4", "\"area\": -4"),
                Refused(&["gt.json"]),
            ),
            (
                "an area of 1e308",
                |d| replace(d, "gt.json", "\"area\": 4", "\"area\": 1e308"),
                Refused(&["gt.json"]),
            ),
            (
                "a negative id",
                |d| replace(d, "pred.json", "\"id\": 1,", "\"id\": -1,"),
                Refused(&["pred.json"]),
            ),
            (
                "an id above 24 bits",
                |d| replace(d, "pred.json", "65536", "99999999"),
                Refused(&["pred.json"]),
            ),
            ("the id 0", |d| replace(d, "pred.json", "\"id\": 1,", "\"id\": 0,"), Refused(&["pred.json"])),
            ("an unknown class", |d| replace(d, "pred.json", "y_id\": 7", "y_id\": 9"), Refused(&["9"])),
            (
                "an unknown true class",
                |d| replace(d, "gt.json", "y_id\": 7", "y_id\": 9"),
                Warned(&["1 ground truth segments", "not listed"], "PQ_st", Some(1.0)),
            ),
            (
                "no class list",
                |d| replace(d, "gt.json", "\"categories\"", "\"cats\""),
                Refused(&["categories"]),
            ),
            (
                "the same class twice",
                |d| {
                    replace(
                        d,
                        "gt.json",
                        "\"categories\": [",
                        "\"categories\": [{\"id\": 7, \"name\": \"b\", \"isthing\": 0},",
                    );
                },
                Warned(&["1 categories", "last"], "PQ", Some(1.0)),
            ),
            (
                "no image id",
                |d| replace(d, "pred.json", "\"image_id\": 1, ", ""),
                Refused(&["pred.json", "image_id"]),
            ),
            (
                "an image id of text",
                |d| replace(d, "pred.json", ": 1, \"file", ": \"1\", \"file"),
                Refused(&["1"]),
            ),
            (
                "no prediction",
                |d| put(d, "pred.json", r#"{"annotations": []}"#),
                Refused(&["pred.json", "1"]),
            ),
            (
                "a key twice",
                |d| replace(d, "pred.json", "\"id\": 1,", "\"id\": 1, \"id\": 1,"),
                Refused(&["pred.json", "id"]),
            ),
            (
                "a path out of the folder",
                |d| replace(d, "pred.json", "a.png", "../../a.png"),
                Refused(&["a.png"]),
            ),
        ],
    );
}

#[test]
fn panoptic_json_that_disagrees() {
    check(
        good,
        &WORDS,
        &[
            (
                "an image listed twice",
                |d| {
                    let entry = &PRED["{\"annotations\": [".len()..PRED.len() - "]}".len()];
                    put(d, "pred.json", format!("{{\"annotations\": [{entry}, {entry}]}}"));
                },
                Warned(&["twice"], "PQ", Some(1.0)),
            ),
            (
                "a segment listed twice",
                |d| replace(d, "pred.json", "{\"id\": 1,", "{\"id\": 1, \"category_id\": 8}, {\"id\": 1,"),
                Warned(&["twice"], "PQ", Some(1.0)),
            ),
            (
                "an image that nobody asked for",
                |d| {
                    replace(
                        d,
                        "pred.json",
                        "[{\"image",
                        "[{\"image_id\": 5, \"file_name\": \"no.png\", \"segments_info\": []}, {\"image",
                    );
                },
                Warned(&["not scored"], "PQ", Some(1.0)),
            ),
            (
                "an area that is not that of the PNG",
                |d| replace(d, "gt.json", "\"area\": 4", "\"area\": 6"),
                Warned(&["area"], "PQ_th", Some(4.0 / 6.0)),
            ),
            (
                "ids of the PNG that are not in the JSON, predicted",
                |d| halves(d, PNG, [1, 5]),
                Refused(&["5", "pred"]),
            ),
            (
                "ids of the JSON that are not in the PNG, predicted",
                |d| halves(d, PNG, [1, 0]),
                Refused(&["65536"]),
            ),
            (
                "ids of the PNG that are not in the JSON, true",
                |d| halves(d, "gt/a.png", [3, 5]),
                Warned(&["5"], "PQ_th", Some(1.0)),
            ),
            (
                "a class without pixels on either side",
                |d| {
                    replace(
                        d,
                        "gt.json",
                        "\"categories\": [",
                        "\"categories\": [{\"id\": 1, \"name\": \"b\", \"isthing\": 0},",
                    );
                },
                Scored("PQ", Some(1.0)),
            ),
            (
                "nothing but void",
                |d| {
                    halves(d, "gt/a.png", [0, 0]);
                    let text = fs::read_to_string(d.join("gt.json")).unwrap();
                    let (from, to) = (text.find("\"segments_info\": [").unwrap(), text.find("]}],").unwrap());
                    put(d, "gt.json", format!("{}\"segments_info\": [{}", &text[..from], &text[to..]));
                },
                Scored("PQ", None),
            ),
        ],
    );
}

#[test]
fn panoptic_pngs() {
    check(
        good,
        &WORDS,
        &[
            ("no such PNG", |d| fs::remove_file(d.join(PNG)).unwrap(), Refused(&[PNG])),
            ("a folder for a PNG", |d| folder_instead(d, PNG), Refused(&[PNG])),
            ("a link to nowhere", |d| link_to_nowhere(d, PNG), Refused(&[PNG])),
            ("an empty PNG", |d| put(d, PNG, ""), Refused(&[PNG])),
            ("a PNG cut short", |d| pngs::cut(d, "gt/a.png"), Refused(&["gt/a.png"])),
            ("damaged pixels", |d| pngs::damage_pixels(d, PNG), Refused(&[PNG])),
            ("a width of 2^31", |d| pngs::declare_size(d, PNG, 1 << 31, 2), Refused(&[PNG])),
            ("a declared gigapixel", |d| pngs::declare_size(d, PNG, 32_000, 32_000), Refused(&[PNG])),
            ("grey ids", |d| write_png(&d.join(PNG), 4, &[1; 8]), Refused(&[PNG])),
            (
                "another size",
                |d| write_png_as(&d.join(PNG), png::ColorType::Rgb, 2, &[1, 0, 0].repeat(4)),
                Refused(&[PNG]),
            ),
            ("no folder of PNGs", |d| fs::remove_dir_all(d.join("pred")).unwrap(), Refused(&["pred"])),
        ],
    );
}

#[test]
fn panoptic_json_cut_short() {
    cut_everywhere(good, &WORDS, "gt.json");
    cut_everywhere(good, &WORDS, "pred.json");
}
