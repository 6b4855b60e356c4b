//! `smalti score cityscapes`.

use std::fs;
use std::path::Path;

use super::{Refused, Scored, Warned, check, folder_instead, link_to_nowhere, pngs, put};
use crate::support::{write_png, write_png_as};

const INSTANCE: [&str; 7] = ["cityscapes", "--gt-dir", "gt", "--pred-dir", "pred", "--task", "instance"];
const SEMANTIC: [&str; 7] = ["cityscapes", "--gt-dir", "gt", "--pred-dir", "pred", "--task", "semantic"];
const LINES: &str = "pred/ulm_000000_000019_pred.txt";
const MASK: &str = "pred/m.png";
const LABELS: &str = "pred/ulm_000000_000019_pred.png";
const TRUE_LABELS: &str = "gt/ulm/ulm_000000_000019_gtFine_labelIds.png";
const TRUE_IDS: &str = "gt/ulm/ulm_000000_000019_gtFine_instanceIds.png";

/// Road with a car of 12x12 pixels in its corner.
fn truth(dir: &Path) {
    write_png(&dir.join(TRUE_LABELS), 16, &picture(7, 26));
    ids(dir, 26_000);
}

fn picture(road: u8, car: u8) -> Vec<u8> {
    (0..256).map(|at| if at % 16 < 12 && at / 16 < 12 { car } else { road }).collect()
}

fn ids(dir: &Path, car: u16) {
    let pixels: Vec<u8> =
        picture(0, 1).iter().flat_map(|&p| if p == 1 { car } else { 7 }.to_be_bytes()).collect();
    fs::create_dir_all(dir.join("gt/ulm")).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(dir.join(TRUE_IDS)).unwrap(), 16, 16);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

fn masks(dir: &Path) {
    truth(dir);
    write_png(&dir.join(MASK), 16, &picture(0, 255));
    put(dir, LINES, "m.png 26 0.9\n");
}

fn maps(dir: &Path) {
    truth(dir);
    write_png(&dir.join(LABELS), 16, &picture(7, 26));
}

#[test]
fn instance_results() {
    check(
        masks,
        &INSTANCE,
        &[
            ("no lines", |d| put(d, LINES, ""), Scored("AP", Some(0.0))),
            ("no text file", |d| fs::remove_file(d.join(LINES)).unwrap(), Refused(&["ulm_000000_000019"])),
            ("a folder for the text file", |d| folder_instead(d, LINES), Refused(&["ulm_000000_000019"])),
            ("a link to nowhere", |d| link_to_nowhere(d, LINES), Refused(&[LINES])),
            (
                "two text files",
                |d| put(d, "pred/ulm_000000_000019_more.txt", ""),
                Refused(&["ulm_000000_000019"]),
            ),
            ("two words", |d| put(d, LINES, "m.png 26\n"), Refused(&[LINES, "line 1"])),
            ("four words", |d| put(d, LINES, "m.png 26 0.9 x\n"), Refused(&[LINES, "line 1"])),
            ("an empty line", |d| put(d, LINES, "m.png 26 0.9\n\n"), Refused(&[LINES, "line 2"])),
            ("a class of text", |d| put(d, LINES, "m.png car 0.9\n"), Refused(&[LINES, "car"])),
            ("a class of 99", |d| put(d, LINES, "m.png 99 0.9\n"), Refused(&[LINES, "99"])),
            ("a class of NaN", |d| put(d, LINES, "m.png nan 0.9\n"), Refused(&[LINES])),
            ("a confidence of text", |d| put(d, LINES, "m.png 26 high\n"), Refused(&[LINES, "high"])),
            ("a confidence of NaN", |d| put(d, LINES, "m.png 26 nan\n"), Refused(&[LINES, "nan"])),
            (
                "an infinite confidence",
                |d| put(d, LINES, "m.png 26 inf\n"),
                Warned(&["infinite confidences"], "AP", Some(1.0)),
            ),
            ("not UTF-8", |d| put(d, LINES, b"m\xff.png 26 0.9\n"), Refused(&[LINES])),
            ("an absolute path", |d| put(d, LINES, "/m.png 26 0.9\n"), Refused(&[LINES, "/m.png"])),
            (
                "a path out of the folder",
                |d| put(d, LINES, "../m.png 26 0.9\n"),
                Refused(&[LINES, "../m.png"]),
            ),
            ("no such mask", |d| put(d, LINES, "none.png 26 0.9\n"), Refused(&["none.png"])),
            (
                "the same mask twice",
                |d| put(d, LINES, "m.png 24 0.9\nm.png 26 0.9\n"),
                Warned(&["1"], "AP", Some(1.0)),
            ),
            ("a mask cut short", |d| pngs::cut(d, MASK), Refused(&[MASK])),
            ("a mask of 2^31 columns", |d| pngs::declare_size(d, MASK, 1 << 31, 16), Refused(&[MASK])),
            ("a mask of a gigapixel", |d| pngs::declare_size(d, MASK, 32_000, 32_000), Refused(&[MASK])),
            (
                "a mask of another size",
                |d| write_png(&d.join(MASK), 8, &[1; 64]),
                Refused(&[MASK, "16x16", "8x8"]),
            ),
            ("an empty mask", |d| write_png(&d.join(MASK), 16, &[0; 256]), Scored("AP", Some(0.0))),
            ("no ground truth", |d| fs::remove_dir_all(d.join("gt/ulm")).unwrap(), Refused(&["gt"])),
            ("ids of no class", |d| ids(d, 40_000), Refused(&[TRUE_IDS, "40"])),
            ("damaged ground truth", |d| pngs::damage_pixels(d, TRUE_IDS), Refused(&[TRUE_IDS])),
        ],
    );
}

#[test]
fn semantic_results() {
    check(
        maps,
        &SEMANTIC,
        &[
            ("no label map", |d| fs::remove_file(d.join(LABELS)).unwrap(), Refused(&["pred"])),
            (
                "two label maps",
                |d| write_png(&d.join("pred/x/ulm_000000_000019.png"), 16, &[7; 256]),
                Refused(&["ulm_000000_000019"]),
            ),
            ("a folder for a label map", |d| folder_instead(d, LABELS), Refused(&["ulm_000000_000019"])),
            ("a label map cut short", |d| pngs::cut(d, LABELS), Refused(&[LABELS])),
            (
                "a label map of 2^31 columns",
                |d| pngs::declare_size(d, LABELS, 1 << 31, 16),
                Refused(&[LABELS]),
            ),
            (
                "colours",
                |d| write_png_as(&d.join(LABELS), png::ColorType::Rgb, 16, &[7; 768]),
                Refused(&[LABELS]),
            ),
            ("another size", |d| write_png(&d.join(LABELS), 8, &[7; 64]), Refused(&[LABELS, "16x16", "8x8"])),
            (
                "a predicted label of 255",
                |d| write_png(&d.join(LABELS), 16, &picture(255, 26)),
                Refused(&[LABELS, "255"]),
            ),
            (
                "a true label of 255",
                |d| write_png(&d.join(TRUE_LABELS), 16, &picture(255, 26)),
                Refused(&[TRUE_LABELS, "255"]),
            ),
            ("no instance ids", |d| fs::remove_file(d.join(TRUE_IDS)).unwrap(), Refused(&[TRUE_IDS])),
            ("instance ids of no class", |d| ids(d, 40_000), Refused(&["instance ids", "40000"])),
            (
                "instance ids of another size",
                |d| write_png(&d.join(TRUE_IDS), 8, &[7; 64]),
                Refused(&[TRUE_IDS]),
            ),
        ],
    );
}
