//! Hand-worked images for every kind of error, and what must not change the result.

use proptest::prelude::*;
use smalti_datasets::rle::Rle;

use super::*;
use crate::EvalError;
use crate::instance::{Detection, IouType, Region, Truth};

/// Boxes are ten high; IoUs are those of their extents in x.
fn truth(category: i64, from: f64, to: f64) -> Truth {
    Truth { id: 1, category, region: Region::Box([from, 0.0, to - from, 10.0]), area: 1.0, crowd: false }
}

fn crowd(category: i64, from: f64, to: f64) -> Truth {
    Truth { crowd: true, ..truth(category, from, to) }
}

fn det(category: i64, score: f64, from: f64, to: f64) -> Detection {
    Detection { category, score, region: Region::Box([from, 0.0, to - from, 10.0]) }
}

fn scores(truths: &[Truth], detections: &[Detection]) -> TideScores {
    let mut tide = Tide::new(IouType::Bbox, TideOptions::default());
    tide.add(1, truths, detections).unwrap();
    tide.finish()
}

/// Number of errors of each kind in the order of [`ErrorKind::ALL`], then wrong detections and unmatched objects.
fn counts(scores: &TideScores) -> [u64; 8] {
    let counts: Vec<u64> = scores.named().iter().map(|(_, error)| error.count).collect();
    counts.try_into().unwrap()
}

#[track_caller]
fn gains(scores: &TideScores, expected: [f64; 8]) {
    for ((name, error), expected) in scores.named().into_iter().zip(expected) {
        let delta = error.delta.unwrap();
        assert!((delta - expected).abs() < 1e-12, "{name}: {delta}, expected {expected}");
    }
}

#[test]
fn a_wrong_class_is_mended_to_a_right_one() {
    // Class 2 has no object: it counts with AP 0 until it has no detection either.
    let found = scores(&[truth(1, 0.0, 10.0)], &[det(2, 0.9, 0.0, 10.0)]);
    assert_eq!((found.ap, counts(&found)), (Some(0.0), [1, 0, 0, 0, 0, 0, 1, 1]));
    // FalseNeg: class 1 has nothing left to find and leaves the mean, class 2 stays with 0.
    gains(&found, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn bad_places_reach_from_one_threshold_to_the_other() {
    let at = |to: f64| counts(&scores(&[truth(1, 0.0, 10.0)], &[det(1, 0.9, 0.0, to)]));
    assert_eq!(at(5.0), [0, 0, 0, 0, 0, 0, 0, 0]); // IoU of exactly 0.5 is a match
    assert_eq!(at(4.9), [0, 1, 0, 0, 0, 0, 1, 1]);
    assert_eq!(at(1.0), [0, 1, 0, 0, 0, 0, 1, 1]); // exactly 0.1
    assert_eq!(at(0.9), [0, 0, 0, 0, 1, 1, 1, 1]);
    gains(
        &scores(&[truth(1, 0.0, 10.0)], &[det(1, 0.9, 0.0, 4.0)]),
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    );
}

#[test]
fn wrong_class_and_bad_place_is_both_and_the_object_is_missed() {
    let found = scores(
        &[truth(1, 0.0, 10.0), truth(2, 50.0, 60.0)],
        &[det(1, 0.9, 0.0, 10.0), det(1, 0.8, 50.0, 54.0)],
    );
    assert_eq!((found.ap, counts(&found)), (Some(0.5), [0, 0, 1, 0, 0, 1, 1, 1]));
    // Without the missed object, class 2 leaves the mean.
    gains(&found, [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.5]);
}

#[test]
fn a_second_detection_is_a_duplicate_but_at_exactly_the_threshold_badly_placed() {
    let at = |to: f64| {
        let truths = [truth(1, 0.0, 10.0), truth(1, 50.0, 60.0)];
        scores(&truths, &[det(1, 0.9, 0.0, 10.0), det(1, 0.8, 0.0, to), det(1, 0.7, 50.0, 60.0)])
    };
    let found = at(6.0);
    assert_eq!(counts(&found), [0, 0, 0, 1, 0, 0, 1, 0]);
    // Precision 1 to recall 0.5 (51 of the 101), then 2/3.
    let ap = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
    assert!((found.ap.unwrap() - ap).abs() < 1e-12);
    gains(&found, [0.0, 0.0, 0.0, 1.0 - ap, 0.0, 0.0, 1.0 - ap, 0.0]);
    assert_eq!(counts(&at(5.0)), [0, 1, 0, 0, 0, 0, 1, 0]);
    // The object is not free, so mending takes the detection out.
    gains(&at(5.0), [0.0, 1.0 - ap, 0.0, 0.0, 0.0, 0.0, 1.0 - ap, 0.0]);
}

#[test]
fn background_and_missed_objects() {
    let found = scores(&[truth(1, 0.0, 10.0)], &[det(1, 0.9, 30.0, 40.0)]);
    assert_eq!((found.ap, counts(&found)), (Some(0.0), [0, 0, 0, 0, 1, 1, 1, 1]));
    let found = scores(&[], &[det(1, 0.9, 30.0, 40.0)]);
    assert_eq!((found.ap, counts(&found)), (Some(0.0), [0, 0, 0, 0, 1, 0, 1, 0]));
    assert_eq!(found.errors[&ErrorKind::Background].delta, None); // nothing is left to average
    assert_eq!(found.false_positives.delta, Some(0.0));
}

#[test]
fn one_error_mends_one_object() {
    // The wrong class is the better one; the badly placed one is taken out when its kind is mended.
    let found = scores(&[truth(1, 0.0, 10.0)], &[det(1, 0.5, 0.0, 4.0), det(2, 0.6, 0.0, 10.0)]);
    assert_eq!(counts(&found), [1, 1, 0, 0, 0, 0, 2, 1]);
    // Cls: class 1 is right at once, class 2 gone. Loc: class 1 stays with an object and no detection.
    gains(&found, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn of_equal_ious_the_first_object_is_taken_and_pointed_to() {
    let truths = [truth(1, 0.0, 10.0), truth(2, 0.0, 10.0), truth(3, 0.0, 10.0)];
    let found = scores(&truths, &[det(3, 0.9, 0.0, 10.0), det(4, 0.8, 0.0, 10.0)]);
    // The detection of class 4 could be any of the three; it is the first.
    assert_eq!(counts(&found), [1, 0, 0, 0, 0, 1, 1, 2]);
    assert!((found.ap.unwrap() - 0.25).abs() < 1e-12);
    gains(&found, [2.0 / 3.0 - 0.25, 0.0, 0.0, 0.0, 0.0, 1.0 / 3.0 - 0.25, 0.0, 0.25]);
}

#[test]
fn crowds_excuse_their_class_over_the_threshold() {
    let truths = [truth(1, 0.0, 10.0), crowd(1, 50.0, 90.0)];
    let at =
        |category, from| scores(&truths, &[det(1, 0.5, 0.0, 10.0), det(category, 0.9, from, from + 10.0)]);
    let excused = at(1, 46.0); // 0.6 of it
    // It is counted among the kinds, but not as wrong.
    assert_eq!((excused.ap, counts(&excused)), (Some(1.0), [0, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(counts(&at(1, 45.0)), [0, 0, 0, 0, 1, 0, 1, 0]); // exactly half is not enough
    assert_eq!(counts(&at(2, 50.0)), [0, 0, 0, 0, 1, 0, 1, 0]);
    // A crowd is nothing to miss or to be mended to.
    assert_eq!(counts(&scores(&[crowd(1, 0.0, 10.0)], &[])), [0; 8]);
}

#[test]
fn equal_scores_rank_by_image_and_once_mended_wrong_ones_first() {
    let mut tide = Tide::new(IouType::Bbox, TideOptions::default());
    let object = [truth(1, 0.0, 10.0)];
    tide.add(2, &object, &[det(1, 0.5, 30.0, 40.0)]).unwrap();
    tide.add(1, &object, &[det(1, 0.5, 0.0, 10.0)]).unwrap();
    let found = tide.finish();
    assert_eq!(found.ap, Some(51.0 / 101.0));
    // With the missed object spared: precision 1/2, as the wrong detection comes first now.
    let spared = found.errors[&ErrorKind::Missed].delta;
    assert_eq!(spared, Some(0.0)); // 0.5 is below 51/101
    assert!((found.false_negatives.delta.unwrap() - (0.5 - 51.0 / 101.0)).abs() < 1e-12);
}

#[test]
fn only_a_hundred_detections_of_an_image_count() {
    let mut detections: Vec<Detection> = (0..100).map(|_| det(2, 0.9, 30.0, 40.0)).collect();
    detections.push(det(1, 0.8, 0.0, 10.0));
    let found = scores(&[truth(1, 0.0, 10.0)], &detections);
    assert_eq!(counts(&found), [0, 0, 0, 0, 100, 1, 100, 1]);
}

#[test]
fn nothing_has_no_average_precision() {
    let found = Tide::new(IouType::Segm, TideOptions::default()).finish();
    assert_eq!((found.ap, counts(&found)), (None, [0; 8]));
}

#[test]
fn what_cannot_be_is_refused() {
    for (threshold, background) in [(0.5, 0.0), (0.5, 0.6), (1.1, 0.1), (f64::NAN, 0.1), (0.5, f64::NAN)] {
        let refused = TideOptions::new(threshold, background);
        assert!(matches!(refused, Err(EvalError::TideThresholds { .. })), "{threshold} {background}");
    }
    let mut tide = Tide::new(IouType::Segm, TideOptions::default());
    assert!(tide.add(1, &[truth(1, 0.0, 1.0)], &[]).is_err(), "a box where masks are compared");
    let mut tide = Tide::new(IouType::Bbox, TideOptions::default());
    assert!(tide.add(1, &[], &[det(1, 0.5, f64::NAN, 1.0)]).is_err());
    tide.add(1, &[], &[]).unwrap();
    assert!(tide.add(1, &[], &[]).is_err(), "the same image again");
    assert!(tide.merge(&tide.clone()).is_err(), "the same image in both");
    let other = Tide::new(IouType::Bbox, TideOptions::new(0.75, 0.1).unwrap());
    assert!(matches!(tide.merge(&other), Err(EvalError::Unlike { .. })));
    assert!(tide.merge(&Tide::new(IouType::Segm, TideOptions::default())).is_err());
}

#[test]
fn masks_and_boundaries_are_compared_too() {
    let region = |rows: u8| {
        let mask = ndarray::Array2::from_shape_fn((40, 40), |(y, _)| u8::from(y < usize::from(rows)));
        Region::Mask(Rle::encode(&mask).unwrap())
    };
    let truth = Truth { region: region(20), ..truth(1, 0.0, 1.0) };
    let det = Detection { category: 1, score: 0.5, region: region(30) };
    for (kind, localisation) in [(IouType::Segm, 0), (IouType::Boundary, 1), (IouType::Bbox, 0)] {
        let mut tide = Tide::new(kind, TideOptions::default());
        tide.add(1, std::slice::from_ref(&truth), std::slice::from_ref(&det)).unwrap();
        // Mask and box 20/30. Boundaries are a pixel wide: 40 + 2 * 19 of 116 and 136.
        assert_eq!(counts(&tide.finish())[1], localisation, "{kind:?}");
    }
}

#[test]
fn json_names_the_kinds_in_their_order() {
    let json = serde_json::to_string(&scores(&[truth(1, 0.0, 10.0)], &[det(1, 0.9, 0.0, 10.0)])).unwrap();
    let none = r#"{"dAP":0.0,"count":0}"#;
    let kinds: Vec<String> =
        ["Cls", "Loc", "Both", "Dupe", "Bkg"].iter().map(|name| format!("\"{name}\":{none}")).collect();
    let expected = format!(
        r#"{{"task":"instance","iou_type":"bbox","threshold":0.5,"background":0.1,"metrics":{{"AP":1.0}},"errors":{{{},"Miss":{none}}},"special":{{"FalsePos":{none},"FalseNeg":{none}}}}}"#,
        kinds.join(",")
    );
    assert_eq!(json, expected);
}

type Image = (Vec<(i64, u8, u8, bool)>, Vec<(i64, u8, u8, u8)>);

fn image() -> impl Strategy<Value = Image> {
    let object = (1i64..4, 0u8..12, 1u8..8, prop::bool::weighted(0.15));
    let detection = (1i64..5, 0u8..4, 0u8..12, 1u8..8);
    (prop::collection::vec(object, 0..5), prop::collection::vec(detection, 0..8))
}

proptest! {
    /// Order of images and the way they are shared out do not matter, to the last bit.
    #[test]
    fn sharding_changes_nothing(images in prop::collection::vec(image(), 1..6), shard in 0usize..6) {
        let add = |tide: &mut Tide, id: usize, (objects, detections): &Image| {
            let objects: Vec<Truth> = objects.iter().map(|&(category, from, length, crowd)| {
                Truth { crowd, ..truth(category, f64::from(from), f64::from(from + length)) }
            }).collect();
            let detections: Vec<Detection> = detections.iter().map(|&(category, score, from, length)| {
                det(category, f64::from(score) / 4.0, f64::from(from), f64::from(from + length))
            }).collect();
            tide.add(id as i64, &objects, &detections).unwrap();
        };
        let empty = Tide::new(IouType::Bbox, TideOptions::default());
        let mut whole = empty.clone();
        images.iter().enumerate().for_each(|(id, image)| add(&mut whole, id, image));
        let mut parts = [empty.clone(), empty.clone()];
        for (id, image) in images.iter().enumerate().rev() {
            add(&mut parts[usize::from(id < shard)], id, image);
        }
        let [mut first, second] = parts;
        first.merge(&second).unwrap();
        let (found, merged) = (whole.finish(), first.finish());
        prop_assert_eq!(&found, &merged);
        // Every detection is right or wrong, and what is mended only helps or is put at 0.
        let unmatched = found.false_negatives.count;
        prop_assert!(found.errors[&ErrorKind::Missed].count <= unmatched);
        prop_assert!(found.errors.values().all(|error| error.delta.is_none_or(|delta| (0.0..=1.0).contains(&delta))));
    }
}
