//! The corners of the instance score, worked by hand. Maps are one row.

use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage, InstanceScores};

/// A row of runs (value, pixels).
fn row<T: Copy>(runs: &[(T, usize)]) -> Vec<T> {
    runs.iter().flat_map(|&(value, len)| vec![value; len]).collect()
}

/// Scores of one image; a prediction is (label, confidence, first pixel, end).
fn score(ids: &[(u16, usize)], predictions: &[(i64, f64, usize, usize)]) -> InstanceScores {
    let ids = row(ids);
    let mut image = InstanceImage::new("a", &ids).unwrap();
    for &(label, confidence, first, end) in predictions {
        let mask: Vec<u8> = (0..ids.len()).map(|i| u8::from((first..end).contains(&i)) * 3).collect();
        image.predict(label, confidence, &mask).unwrap();
    }
    let mut ap = InstanceAp::new();
    ap.add(image);
    ap.finish()
}

/// AP50 of cars.
fn car50(ids: &[(u16, usize)], predictions: &[(i64, f64, usize, usize)]) -> Option<f64> {
    score(ids, predictions).classes.iter().find(|class| class.name == "car").unwrap().ap50
}

const RIGHT: Option<f64> = Some(1.0);
/// One object found at confidence 1 and a false positive below it: points (1/2, 1), (1, 1), (1, 0) with widths 0, 1/2, 1/2.
const FALSE_BELOW: Option<f64> = Some(1.0);
/// The same with the false positive above: points (1/2, 1), (0, 0), (1, 0) with widths 1/2, 1/2, 0.
const FALSE_ABOVE: Option<f64> = Some(0.25);

#[test]
fn an_overlap_of_exactly_the_threshold_is_none() {
    assert_eq!(car50(&[(26_000, 200)], &[(26, 1.0, 0, 100)]), Some(0.0));
    assert_eq!(car50(&[(26_000, 200)], &[(26, 1.0, 0, 101)]), RIGHT);
    // 0.6 lies below numpy's third threshold, 0.55 is its second: above 0.5 only, and above 0.5 and 0.55.
    assert_eq!(score(&[(26_000, 200)], &[(26, 1.0, 0, 110)]).ap, Some(0.1));
    assert_eq!(score(&[(26_000, 200)], &[(26, 1.0, 0, 120)]).ap, Some(0.2));
}

#[test]
fn the_most_confident_of_several_gets_the_object() {
    assert_eq!(car50(&[(26_000, 200)], &[(26, 1.0, 0, 200), (26, 0.5, 0, 190)]), FALSE_BELOW);
    assert_eq!(car50(&[(26_000, 200)], &[(26, 0.5, 0, 200), (26, 1.0, 0, 120)]), FALSE_BELOW);
    // A worse overlap with more confidence wins where it is above the threshold: found at 0.5 and 0.55 of ten, and at the
    // others the better one is right, with a more confident false positive above it.
    let ap = score(&[(26_000, 200)], &[(26, 0.5, 0, 200), (26, 1.0, 0, 120)]).ap;
    assert_eq!(ap, Some((2.0 * 1.0 + 8.0 * 0.25) / 10.0));
}

#[test]
fn objects_below_100_pixels_are_neither_asked_for_nor_wrong() {
    assert_eq!(car50(&[(26_000, 99), (7, 101)], &[(26, 1.0, 0, 99)]), None);
    assert_eq!(car50(&[(26_000, 100), (7, 101)], &[(26, 1.0, 0, 100)]), RIGHT);
    let ids = [(26_000, 200), (26_001, 99), (7, 300)];
    assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 200, 299)]), RIGHT);
}

#[test]
fn groups_and_void_excuse_what_lies_on_them() {
    for excuse in [26, 0, 9, 18, 29] {
        let ids = [(26_000, 200), (excuse, 400), (7, 400)];
        // 60 of 100 pixels: more than half. 50 of 100: not more.
        assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 540, 640)]), RIGHT, "on {excuse}");
        assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 550, 650)]), FALSE_ABOVE, "on {excuse}");
    }
    // Numbered caravans, groups of other classes and stuff excuse nothing.
    for other in [29_001, 27, 27_001, 8] {
        let ids = [(26_000, 200), (other, 400), (7, 400)];
        assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 500, 600)]), FALSE_ABOVE, "on {other}");
    }
}

#[test]
fn the_excuse_is_measured_against_the_threshold_of_the_overlap() {
    let ids = [(26_000, 200), (0, 400), (7, 400)];
    // 80 % on void: excused below 0.8. The seventh threshold and those above it (0.8000000000000003, 0.85, 0.9, 0.95)
    // see a false positive: AP 1 at six, 0.25 at four.
    let ap = score(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 520, 620)]).ap;
    assert_eq!(ap, Some((6.0 + 4.0 * 0.25) / 10.0));
}

#[test]
fn a_group_that_is_small_excuses_twice() {
    let ids = [(26_000, 200), (26, 90), (7, 400)];
    // 90 pixels of a mask of 340: once 0.26, twice 0.53.
    assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 200, 540)]), RIGHT);
    let ids = [(26_000, 200), (26, 100), (7, 400)];
    assert_eq!(car50(&ids, &[(26, 0.5, 0, 200), (26, 1.0, 200, 540)]), FALSE_ABOVE);
}

#[test]
fn a_prediction_on_a_group_is_neither_right_nor_wrong() {
    assert_eq!(car50(&[(26_000, 200), (26, 400)], &[(26, 0.5, 0, 200), (26, 1.0, 200, 600)]), RIGHT);
}

#[test]
fn classes_without_ground_truth_leave_the_mean() {
    let scores = score(&[(26_000, 200), (7, 200)], &[(26, 1.0, 0, 200), (27, 1.0, 200, 400)]);
    assert_eq!((scores.ap, scores.ap50), (Some(1.0), Some(1.0)));
    assert_eq!(scores.classes.iter().filter(|class| class.ap.is_some()).count(), 1);
    // Without a prediction, or with none that counts, a class with ground truth has 0.
    assert_eq!(score(&[(26_000, 200)], &[]).ap, Some(0.0));
    assert_eq!(score(&[(26_000, 200), (0, 200)], &[(26, 1.0, 200, 400)]).ap, Some(0.0));
}

#[test]
fn empty_masks_and_other_labels_are_left_out() {
    let ids = [(26_000, 200), (7, 200)];
    let right = (26, 0.5, 0, 200);
    assert_eq!(car50(&ids, &[right, (26, 1.0, 10, 10), (7, 1.0, 200, 400), (-1, 1.0, 200, 400)]), RIGHT);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let message = |err: smalti_evaluation::EvalError| err.to_string();
    for value in [34, 999, 34_000] {
        let refused = message(InstanceImage::new("ulm", &[value]).unwrap_err());
        assert!(refused.contains("image ulm") && refused.contains(&format!("got {value}")), "{refused}");
    }
    let mut image = InstanceImage::new("ulm", &[7; 4]).unwrap();
    assert!(message(image.predict(34, 0.5, &[1; 4]).unwrap_err()).contains("got 34"));
    assert!(message(image.predict(26, f64::NAN, &[1; 4]).unwrap_err()).contains("NaN"));
    assert!(message(image.predict(26, 0.5, &[1; 5]).unwrap_err()).contains("masks of 4 pixels, got 5"));
}
