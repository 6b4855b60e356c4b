//! Polygons against masks that pycocotools 2.0.11 drew; `scripts/goldens/make_polygons.py` makes the file.

#![allow(clippy::unwrap_used)] // helpers of tests stop where they cannot go on

use std::path::Path;

use smalti_datasets::coco::Segmentation;
use smalti_datasets::coco::read_json;
use smalti_datasets::polygon::rasterize;
use smalti_datasets::rle::Rle;

#[derive(serde::Deserialize)]
struct Case {
    size: [u32; 2],
    parts: Vec<Vec<f64>>,
    counts: String,
}

#[test]
fn random_polygons_equal_the_reference_run_for_run() {
    let cases: Vec<Case> =
        read_json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/polygons.json")).unwrap();
    assert!(cases.len() > 800);
    for (i, case) in cases.iter().enumerate() {
        let expected = Rle::from_compressed(case.size, &case.counts).unwrap();
        let got = rasterize(case.size, &case.parts).unwrap();
        assert_eq!(got, expected, "case {i}: {:?} on {:?}", case.parts, case.size);
        assert_eq!(Segmentation::Polygons(case.parts.clone()).to_rle(case.size).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let fails = |parts: &[Vec<f64>], part: &str| {
        let message = rasterize([9, 9], parts).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    fails(&[], "without parts");
    fails(&[vec![1.0, 2.0, 3.0, 4.0]], "4 numbers, expected at least 3 points");
    fails(&[vec![0.0, 0.0, 1.0, f64::NAN, 3.0, 3.0]], "NaN");
    fails(&[vec![0.0, 0.0, 1e9, 1.0, 3.0, 3.0]], "1000000000");
    assert!(rasterize([1 << 20, 1 << 20], &[vec![0.0; 6]]).is_err());
    assert_eq!(rasterize([0, 5], &[vec![0.0, 0.0, 3.0, 0.0, 3.0, 3.0]]).unwrap().area(), 0);
    // An edge of 10^8 pixels costs no more than the columns it passes.
    let long = [-1e8, -1e8, 1e8, -1e8, 1e8, 1e8, -1e8, 1e8];
    assert_eq!(rasterize([300, 200], &[long.to_vec()]).unwrap().area(), 60_000);
}
