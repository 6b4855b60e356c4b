//! Transforms of image classification against what timm 1.0.31, torchvision 0.26 and Pillow made of one small image;
//! `scripts/goldens/make_classification.py` makes the files.

#![allow(clippy::unwrap_used)] // helpers of tests stop where they cannot go on

use std::path::{Path, PathBuf};

use ndarray::s;
use smalti_datasets::coco::read_json;
use smalti_datasets::image_folder::EvalViewConfig;
use smalti_datasets::transform::antialias::{self, Filter};
use smalti_datasets::transform::rand_augment::Change;
use smalti_datasets::transform::{center_crop, hue};
use smalti_datasets::{Image, decode};

const SIZE: [usize; 2] = [45, 61];
const FILL: [u8; 3] = [124, 116, 104];

#[derive(serde::Deserialize)]
struct Case {
    op: String,
    args: Vec<f64>,
    filter: Filter,
    size: [usize; 2],
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// The input, and every case with the reference's result.
fn cases() -> (Image, Vec<(Case, Image)>) {
    let sheet = decode::image(&golden("augment.png")).unwrap();
    let cut = |top: usize, [height, width]: [usize; 2]| {
        sheet.slice(s![top..top + height, ..width, ..]).as_standard_layout().into_owned()
    };
    let mut top = SIZE[0];
    let cases: Vec<Case> = read_json(&golden("augment.json")).unwrap();
    let cases = cases.into_iter().map(|case| {
        let expected = cut(top, case.size);
        top += case.size[0];
        (case, expected)
    });
    (cut(0, SIZE), cases.collect())
}

fn change(case: &Case) -> Option<Change> {
    let arg = || case.args[0];
    Some(match case.op.as_str() {
        "auto_contrast" => Change::AutoContrast,
        "equalize" => Change::Equalize,
        "invert" => Change::Invert,
        "posterize" => Change::Posterize(arg() as u8),
        "solarize" => Change::Solarize(arg() as u16),
        "solarize_add" => Change::SolarizeAdd(arg() as u8),
        "color" => Change::Color(arg()),
        "contrast" => Change::Contrast(arg()),
        "brightness" => Change::Brightness(arg()),
        "sharpness" => Change::Sharpness(arg()),
        "rotate" => Change::Rotate(arg()),
        "shear_x" => Change::ShearX(arg()),
        "shear_y" => Change::ShearY(arg()),
        "translate_x" => Change::TranslateX(arg()),
        "translate_y" => Change::TranslateY(arg()),
        _ => return None,
    })
}

/// Largest difference of a pixel, and the share of pixels that differ.
fn difference(got: &Image, expected: &Image) -> (u8, f64) {
    assert_eq!(got.dim(), expected.dim());
    let apart: Vec<u8> = got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let differing = apart.iter().filter(|apart| **apart > 0).count();
    (apart.iter().copied().max().unwrap_or(0), differing as f64 / apart.len() as f64)
}

#[test]
fn every_change_of_rand_augment_gives_the_reference_pixels() {
    let (input, cases) = cases();
    let mut compared = 0;
    for (case, expected) in &cases {
        let Some(change) = change(case) else { continue };
        let mut image = input.clone();
        change.apply(&mut image, case.filter, FILL);
        let (worst, share) = difference(&image, expected);
        assert_eq!(worst, 0, "{change:?}, {:?}: {share} of the values differ", case.filter);
        compared += 1;
    }
    assert!(compared >= 32, "{compared} cases");
}

#[test]
fn hues_turn_as_torchvisions() {
    let (input, cases) = cases();
    for (case, expected) in cases.iter().filter(|(case, _)| case.op == "hue") {
        let mut image = input.clone();
        hue::turn(&mut image, case.args[0]);
        assert_eq!(difference(&image, expected).0, 0, "turn {}", case.args[0]);
    }
}

#[test]
fn resized_images_are_pillows_but_for_rounding() {
    let (input, cases) = cases();
    let mut most = 0.0_f64;
    for (case, expected) in &cases {
        let got = match case.op.as_str() {
            "resize" => antialias::resize(&input, case.size, case.filter),
            "eval" => {
                let (size, crop_ratio) = (case.args[0] as u32, case.args[1]);
                center_crop::view(&EvalViewConfig { size, crop_ratio, filter: case.filter }, &input)
            }
            _ => continue,
        };
        let (worst, share) = difference(&got, expected);
        assert!(worst <= 1, "{} {:?}, {:?}: {worst} apart", case.op, case.args, case.filter);
        most = most.max(share);
    }
    // The resampler's weights have 16 bits, Pillow's 32.
    println!("at most {:.1} % of the values of an image are 1 apart", most * 100.0);
    assert!(most < 0.3, "{most}");
}
