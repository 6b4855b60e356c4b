//! `smalti score semantic`.

use std::fs;
use std::path::Path;

use super::{Refused, Scored, Warned, check, folder_instead, link_to_nowhere, pngs, put};
use crate::support::{write_png, write_png_as};

const WORDS: [&str; 7] = ["semantic", "--gt-dir", "gt", "--pred-dir", "pred", "--num-classes", "3"];
const PRED: &str = "pred/a.png";

fn good(dir: &Path) {
    for side in ["gt", "pred"] {
        write_png(&dir.join(side).join("a.png"), 4, &[0, 1, 2, 0, 1, 2, 0, 1]);
    }
}

#[test]
fn semantic_input() {
    check(
        good,
        &WORDS,
        &[
            ("a folder for a PNG", |d| folder_instead(d, PRED), Refused(&["pred"])),
            ("a link to nowhere", |d| link_to_nowhere(d, PRED), Refused(&[PRED])),
            ("an empty PNG", |d| put(d, PRED, ""), Refused(&[PRED, "empty"])),
            ("a PNG cut short", |d| pngs::cut(d, PRED), Refused(&[PRED])),
            ("words for a PNG", |d| put(d, PRED, "these are words"), Refused(&[PRED])),
            ("damaged pixels", |d| pngs::damage_pixels(d, PRED), Refused(&[PRED])),
            ("a width of 2^31", |d| pngs::declare_size(d, PRED, 1 << 31, 2), Refused(&[PRED])),
            ("2^30 rows", |d| pngs::declare_size(d, PRED, 4, 1 << 30), Refused(&[PRED])),
            ("a declared gigapixel", |d| pngs::declare_size(d, PRED, 32_000, 32_000), Refused(&[PRED])),
            ("a width of 0", |d| pngs::declare_size(d, PRED, 0, 2), Refused(&[PRED])),
            ("more rows than pixels", |d| pngs::declare_size(d, PRED, 4, 3), Refused(&[PRED])),
            ("a bit depth of 3", |d| pngs::declare_kind(d, PRED, 3, 0), Refused(&[PRED])),
            ("a palette that is not there", |d| pngs::declare_kind(d, PRED, 8, 3), Scored("aAcc", Some(1.0))),
            (
                "colours for labels",
                |d| write_png_as(&d.join(PRED), png::ColorType::Rgb, 4, &[0; 24]),
                Refused(&[PRED, "label map"]),
            ),
            ("another size", |d| write_png(&d.join(PRED), 2, &[0; 8]), Refused(&[PRED, "4x2", "2x4"])),
            (
                "two files for one image",
                |d| {
                    fs::copy(d.join(PRED), d.join("pred/a.PNG")).unwrap();
                },
                Refused(&["a.PNG", "both"]),
            ),
            (
                "labels outside the classes",
                |d| write_png(&d.join(PRED), 4, &[9, 1, 2, 0, 1, 2, 0, 1]),
                Warned(&["1 predicted pixel"], "aAcc", Some(7.0 / 8.0)),
            ),
            (
                "an image that nobody asked for",
                |d| write_png(&d.join("pred/b.png"), 4, &[0; 8]),
                Warned(&["b.png"], "aAcc", Some(1.0)),
            ),
        ],
    );
}
