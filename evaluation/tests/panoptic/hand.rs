//! Hand-worked numbers for every habit of the reference code.

use smalti_datasets::label_png::PixelMap;
use smalti_evaluation::EvalError;
use smalti_evaluation::panoptic::{GtSegment, PanopticClass, PanopticQuality, PredSegment, SegmentMap};

const CAR: i64 = 3;
const SKY: i64 = 0;

fn quality() -> PanopticQuality {
    let class = |id, name: &str, is_thing| PanopticClass { id, name: name.into(), is_thing };
    PanopticQuality::new(vec![class(CAR, "car", true), class(SKY, "sky", false)]).unwrap()
}

fn gt(id: i64, category_id: i64, area: u64) -> GtSegment {
    GtSegment { id, category_id, area, is_crowd: false }
}

fn crowd(id: i64, category_id: i64) -> GtSegment {
    GtSegment { id, category_id, area: 0, is_crowd: true }
}

fn pred(id: i64, category_id: i64) -> PredSegment {
    PredSegment { id, category_id }
}

/// Maps of one row, as runs of (id, length).
fn row(runs: &[(u32, usize)]) -> Vec<u32> {
    runs.iter().flat_map(|&(id, len)| vec![id; len]).collect()
}

fn add(
    quality: &mut PanopticQuality,
    gt: (&[(u32, usize)], &[GtSegment]),
    pred: (&[(u32, usize)], &[PredSegment]),
) -> Result<(), EvalError> {
    let (gt_map, pred_map) = (row(gt.0), row(pred.0));
    let map = |pixels| PixelMap { height: 1, width: gt_map.len(), pixels };
    let gt = SegmentMap { map: map(&gt_map), segments: gt.1 };
    let pred = SegmentMap { map: map(&pred_map), segments: pred.1 };
    quality.add(&1.into(), gt, pred)
}

fn counted(gt: (&[(u32, usize)], &[GtSegment]), pred: (&[(u32, usize)], &[PredSegment])) -> PanopticQuality {
    let mut quality = quality();
    add(&mut quality, gt, pred).unwrap();
    quality
}

/// TP, FP, FN of a class.
fn counts(quality: &PanopticQuality, class: usize) -> [u64; 3] {
    let counts = quality.counts()[class];
    [counts.tp, counts.fp, counts.fn_]
}

#[test]
fn an_iou_of_one_half_is_no_match() {
    // 2 common pixels of 4, then 3 of 5.
    let got = counted((&[(1, 2), (0, 2)], &[gt(1, CAR, 4)]), (&[(5, 2), (0, 2)], &[pred(5, CAR)]));
    assert_eq!(counts(&got, 0), [0, 1, 1]);
    let got = counted(
        (&[(1, 4), (2, 2)], &[gt(1, CAR, 4), gt(2, SKY, 2)]),
        (&[(0, 1), (5, 4), (0, 1)], &[pred(5, CAR)]),
    );
    assert_eq!((counts(&got, 0), got.finish().classes[0].pq), ([1, 0, 0], Some(3.0 / 5.0)));
}

#[test]
fn void_leaves_the_union_and_excuses_predictions() {
    // 5 covers 3 pixels of 1 and 3 of void: IoU 3 / 3.
    let got = counted((&[(1, 3), (0, 3)], &[gt(1, CAR, 3)]), (&[(5, 6)], &[pred(5, CAR)]));
    assert_eq!(got.finish().classes[0].sq, Some(1.0));
    // More than half on void is no false positive, exactly half is.
    let got = counted(
        (&[(1, 4), (0, 5)], &[gt(1, SKY, 4)]),
        (&[(0, 2), (5, 5), (6, 2)], &[pred(5, CAR), pred(6, CAR)]),
    );
    assert_eq!(counts(&got, 0), [0, 0, 0]); // 5: 3 of 5 on void; 6: 2 of 2
    let got = counted((&[(1, 4), (0, 5)], &[gt(1, SKY, 4)]), (&[(0, 2), (5, 4), (0, 3)], &[pred(5, CAR)]));
    assert_eq!(counts(&got, 0), [0, 1, 0]);
    // Void of the prediction is taken from nothing: 3 of 5.
    let got = counted((&[(1, 5)], &[gt(1, CAR, 5)]), (&[(5, 3), (0, 2)], &[pred(5, CAR)]));
    assert_eq!(got.finish().classes[0].pq, Some(3.0 / 5.0));
}

#[test]
fn only_the_last_crowd_of_a_class_excuses() {
    let map: &[(u32, usize)] = &[(1, 4), (2, 4)];
    let preds: (&[(u32, usize)], &[PredSegment]) = (&[(5, 4), (6, 4)], &[pred(5, CAR), pred(6, CAR)]);
    let got = counted((map, &[crowd(1, CAR), crowd(2, CAR)]), preds);
    assert_eq!(counts(&got, 0), [0, 1, 0]);
    assert_eq!(got.quirks().crowd_hidden.count, 1);
    assert_eq!(got.quirks().crowd_hidden.first, Some((1.into(), 1)));
    // A segment listed again keeps its first place: 2 is still the last.
    let got = counted((map, &[crowd(1, CAR), crowd(2, CAR), crowd(1, CAR)]), preds);
    assert_eq!((counts(&got, 0), got.quirks().crowd_hidden.first.clone()), ([0, 1, 0], Some((1.into(), 1))));
    // Crowds of another class excuse nothing; void and crowd add up.
    assert_eq!(counts(&counted((map, &[crowd(1, SKY), crowd(2, SKY)]), preds), 0), [0, 2, 0]);
    let got =
        counted((&[(1, 2), (0, 2), (2, 2)], &[crowd(1, CAR), gt(2, SKY, 2)]), (&[(5, 6)], &[pred(5, CAR)]));
    assert_eq!((counts(&got, 0), counts(&got, 1)), ([0, 0, 0], [0, 0, 1]));
    // A crowd is never matched and never missed.
    let got = counted((&[(1, 4)], &[crowd(1, CAR)]), (&[(5, 4)], &[pred(5, CAR)]));
    assert_eq!(counts(&got, 0), [0, 0, 0]);
}

#[test]
fn the_stated_area_counts() {
    // 4 pixels, stated 6: IoU 4 / 6. As ADE20K's stuff under things.
    let got = counted((&[(1, 4), (0, 2)], &[gt(1, SKY, 6)]), (&[(5, 4), (0, 2)], &[pred(5, SKY)]));
    assert_eq!(got.finish().classes[1].pq, Some(4.0 / 6.0));
    assert_eq!(got.quirks().area_differs.count, 1);
    assert!(
        got.quirks().sentences()[0].starts_with("1 ground truth segments whose area in the JSON differs")
    );
    // Stated, but without a pixel: missed.
    let got = counted((&[(0, 4)], &[gt(1, SKY, 6)]), (&[(0, 4)], &[]));
    assert_eq!(counts(&got, 1), [0, 0, 1]);
    // Stated too small: 1 is in two matches, of IoU 2 / (2 + 1 - 2) each.
    let got = counted((&[(1, 4)], &[gt(1, CAR, 1)]), (&[(5, 2), (6, 2)], &[pred(5, CAR), pred(6, CAR)]));
    assert_eq!((counts(&got, 0), got.finish().classes[0].sq), ([2, 0, 0], Some(2.0)));
    assert_eq!((got.quirks().matched_twice.count, got.quirks().iou_over_one.count), (1, 2));
}

#[test]
fn a_union_of_zero_is_refused() {
    let mut quality = quality();
    let err = add(&mut quality, (&[(1, 2)], &[gt(1, CAR, 0)]), (&[(5, 2)], &[pred(5, CAR)]))
        .unwrap_err()
        .to_string();
    assert!(
        err.starts_with("image 1: ground truth: segment 1 has an area of 0 in the JSON and 2 pixels"),
        "{err}"
    );
    assert_eq!((quality.num_images(), quality.counts()[0].tp), (0, 0));
}

#[test]
fn pixels_that_are_not_listed_are_not_void() {
    // 9 is in no list: 5 has 4 pixels on it that stay in the union with 1 (4 / 8) and excuse nothing.
    let got = counted((&[(1, 4), (9, 4)], &[gt(1, CAR, 4)]), (&[(5, 8)], &[pred(5, CAR)]));
    assert_eq!(counts(&got, 0), [0, 1, 1]);
    assert_eq!(got.quirks().not_listed.first, Some((1.into(), 9)));
}

#[test]
fn of_a_segment_listed_twice_the_last_entry_counts() {
    let map: &[(u32, usize)] = &[(1, 4)];
    let got = counted((map, &[gt(1, CAR, 4), gt(1, SKY, 4)]), (&[(5, 4)], &[pred(5, CAR), pred(5, SKY)]));
    assert_eq!((counts(&got, 0), counts(&got, 1)), ([0, 0, 0], [1, 0, 0]));
    assert_eq!(got.quirks().listed_twice.count, 2);
}

#[test]
fn id_zero_can_be_a_segment() {
    // 0 listed: 6 common pixels; the 6 also leave the union as void: 6 / (8 + 8 - 6 - 6).
    let got = counted((&[(0, 8)], &[gt(0, CAR, 8)]), (&[(5, 6), (0, 2)], &[pred(5, CAR)]));
    assert_eq!(got.finish().classes[0].sq, Some(6.0 / (6.0 + 8.0 - 6.0 - 6.0)));
    assert_eq!((got.quirks().id_zero.count, got.quirks().iou_over_one.count), (1, 1));
    let got = counted((&[(1, 4)], &[gt(1, CAR, 4)]), (&[(0, 4)], &[pred(0, CAR)]));
    assert_eq!(counts(&got, 0), [1, 0, 0]);
}

#[test]
fn ground_truth_of_no_class_counts_nowhere() {
    let got = counted(
        (&[(1, 4), (2, 4)], &[gt(1, 77, 4), gt(2, CAR, 4)]),
        (&[(5, 4), (6, 4)], &[pred(5, CAR), pred(6, CAR)]),
    );
    assert_eq!(counts(&got, 0), [1, 1, 0]);
    assert_eq!(got.quirks().unknown_class.count, 1);
}

#[test]
fn predictions_are_checked() {
    let refused = |preds: &[PredSegment], expected: &str| {
        let err =
            add(&mut quality(), (&[(1, 4)], &[gt(1, CAR, 4)]), (&[(5, 4)], preds)).unwrap_err().to_string();
        assert!(err.starts_with("image 1: prediction: ") && err.contains(expected), "{err}");
    };
    refused(&[], "segment 5 is in the PNG but not in the JSON");
    refused(&[pred(5, CAR), pred(6, CAR)], "segment 6 is in the JSON's segments_info but not in the PNG");
    refused(&[pred(5, CAR), pred(-1, CAR)], "segment -1 is in the JSON's");
    refused(&[pred(5, 9)], "category_id 9");
    let class = PanopticClass { id: 1, name: "a".into(), is_thing: true };
    assert!(PanopticQuality::new(vec![class.clone(), class]).unwrap_err().to_string().contains("category 1"));
}

#[test]
fn maps_must_be_of_one_size() {
    let (small, large) = ([0; 4], [0; 6]);
    let map = |height, pixels| SegmentMap { map: PixelMap { height, width: 2, pixels }, segments: &[][..] };
    let pred = |height, pixels| SegmentMap { map: PixelMap { height, width: 2, pixels }, segments: &[][..] };
    let err = quality().add(&1.into(), map(2, &small), pred(3, &large)).unwrap_err().to_string();
    assert!(err.contains("expected 2x2 (HxW) as the ground truth has, got 3x2"), "{err}");
    let err = quality().add(&1.into(), map(3, &small), pred(3, &large)).unwrap_err().to_string();
    assert!(err.contains("ground truth: expected 3x2 pixels, got 4"), "{err}");
    let err = quality().add(&1.into(), map(2, &[1 << 24; 4]), pred(2, &small)).unwrap_err().to_string();
    assert!(err.contains("below 2^24"), "{err}");
}

#[test]
fn boundaries_can_decide() {
    // A frame of one pixel around 5x5: 16 of 25. The inner 9 are wrong: mask IoU 16 / 25, boundary IoU 16 / 16.
    let square = vec![1; 25];
    let mut ring = vec![5; 25];
    for at in [6, 7, 8, 11, 12, 13, 16, 17, 18] {
        ring[at] = 0;
    }
    let score = |gt_map: &[u32], gt_area, pred_map: &[u32]| {
        let mut quality = quality().with_boundary();
        let map = |pixels| PixelMap { height: 5, width: 5, pixels };
        let gts = [gt(1, CAR, gt_area)];
        let gt = SegmentMap { map: map(gt_map), segments: &gts };
        quality.add(&1.into(), gt, SegmentMap { map: map(pred_map), segments: &[pred(5, CAR)] }).unwrap();
        quality.finish().classes[0].sq
    };
    assert_eq!(score(&square, 25, &ring), Some(16.0 / 25.0));
    // Without the last row: mask 20 / 25; boundaries 14 and 16 pixels, 11 in common: 11 / 19.
    let mut short = vec![5; 25];
    short[20..].fill(0);
    assert_eq!(score(&square, 25, &short), Some(11.0 / 19.0));
}
