//! The corners of the pixel score, worked by hand.

use smalti_evaluation::cityscapes::{PixelCounts, PixelScores};

/// Average sizes of the official script.
const CAR: f64 = 12_794.020_273_818_5;
const PERSON: f64 = 3_462.475_633_764_4;

fn score(gt: &[u8], ids: &[u16], pred: &[u8]) -> PixelScores {
    let mut counts = PixelCounts::new();
    counts.add("a", pred, gt, ids).unwrap();
    counts.finish()
}

/// (IoU, iIoU) of a class or category.
fn of(scores: &PixelScores, name: &str) -> (Option<f64>, Option<f64>) {
    let row = scores.classes.iter().chain(&scores.categories).find(|row| row.name == name).unwrap();
    (row.iou, row.iiou)
}

#[test]
fn ignored_ground_truth_counts_nowhere_but_predicting_it_is_a_miss() {
    // road, road, void, parking; the road is half predicted as parking, the rest as road
    let scores = score(&[7, 7, 0, 9], &[7, 7, 0, 9], &[7, 9, 7, 7]);
    assert_eq!(of(&scores, "road"), (Some(0.5), None));
    // Parking belongs to flat, but is no member of its score.
    assert_eq!(of(&scores, "flat"), (Some(0.5), None));
    assert_eq!((scores.iou_class, scores.iou_category), (Some(0.5), Some(0.5)));
}

#[test]
fn a_class_only_predicted_has_0_and_one_nowhere_none() {
    let scores = score(&[7, 7], &[7, 7], &[7, 8]);
    assert_eq!((of(&scores, "sidewalk").0, of(&scores, "sky").0), (Some(0.0), None));
    assert_eq!(scores.iou_class, Some(0.25));
    assert_eq!(of(&scores, "flat").0, Some(1.0));
    assert_eq!(scores.iou_category, Some(1.0));
    assert_eq!((scores.iiou_class, scores.iiou_category), (None, None));
}

#[test]
fn objects_count_alike_whatever_their_size() {
    // A car of 4 pixels, 1 hit, one of 1 pixel, hit; a group, hit; a road pixel called car.
    let gt = [26, 26, 26, 26, 26, 26, 7];
    let ids = [26_000, 26_000, 26_000, 26_000, 26_001, 26, 7];
    let scores = score(&gt, &ids, &[26, 7, 7, 7, 26, 26, 26]);
    let (hits, misses) = (CAR / 4.0 + CAR, CAR * 3.0 / 4.0);
    let expected = hits / (hits + misses + 1.0);
    assert_eq!(of(&scores, "car"), (Some(3.0 / 7.0), Some(expected)));
    // The category has the same hits and the same stray pixel.
    assert_eq!(of(&scores, "vehicle"), (Some(3.0 / 7.0), Some(expected)));
}

#[test]
fn any_label_of_the_category_is_a_hit_there_even_an_ignored_one() {
    // car called truck, car called caravan, person called caravan
    let scores = score(&[26, 26, 24], &[26_000, 26_001, 24_000], &[27, 29, 29]);
    assert_eq!(of(&scores, "car"), (Some(0.0), Some(0.0)));
    // IoU: caravan is no member, so that car is missed and the person's pixel is not its false positive.
    // iIoU: caravan is a hit on cars and a false positive on the person.
    assert_eq!(of(&scores, "vehicle"), (Some(0.5), Some(2.0 * CAR / (2.0 * CAR + 1.0))));
    assert_eq!(of(&scores, "human"), (Some(0.0), Some(0.0 / PERSON)));
    // Truck: no ground truth, one false positive.
    assert_eq!(of(&scores, "truck"), (Some(0.0), Some(0.0)));
}

#[test]
fn objects_of_ignored_labels_and_value_1000_have_no_weight() {
    let scores = score(&[29, 1, 26], &[29_001, 1000, 26_000], &[26, 26, 26]);
    assert_eq!(of(&scores, "car"), (Some(1.0), Some(1.0)));
}

#[test]
fn what_cannot_be_scored_is_refused_and_nothing_counted() {
    let mut counts = PixelCounts::new();
    let mut refuse = |pred: &[u8], gt: &[u8], ids: &[u16], part: &str| {
        let message = counts.add("ulm", pred, gt, ids).unwrap_err().to_string();
        assert!(message.contains("image ulm") && message.contains(part), "{message}");
    };
    refuse(&[7, 255], &[7, 7], &[7, 7], "predicted label ids 0 to 33, got 255 (train ids?");
    refuse(&[7, 7], &[7, 34], &[7, 7], "ground truth label ids 0 to 33, got 34; 1 pixels");
    refuse(&[7], &[7, 7], &[7, 7], "expected 2 predicted label ids");
    refuse(&[7, 7], &[7, 7], &[7], "expected 2 instance ids");
    refuse(&[7, 7], &[7, 7], &[7001, 7], "instance id 7001");
    assert_eq!((counts.images(), counts.matrix().iter().sum::<u64>()), (0, 0));
}
