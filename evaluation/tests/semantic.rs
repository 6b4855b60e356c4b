//! Semantic metrics against numbers worked out by hand, and properties that hold for any input.

#![expect(
    clippy::unwrap_used,
    clippy::manual_midpoint,
    reason = "helpers of tests stop where they cannot go on; means are written as on paper"
)]

use proptest::prelude::*;
use smalti_evaluation::EvalError;
use smalti_evaluation::semantic::{BoundaryCounts, ConfusionMatrix, ImageCounts, SemanticScores};

fn score(num_classes: usize, pred: &[u8], gt: &[u8]) -> SemanticScores {
    let mut counts = ConfusionMatrix::new(num_classes);
    counts.add(pred, gt).unwrap();
    counts.finish()
}

#[track_caller]
fn close(got: Option<f64>, expected: f64) {
    let value = got.unwrap_or(f64::NAN);
    assert!((value - expected).abs() < 1e-15, "expected {expected}, got {got:?}");
}

/// 4x4, three classes, nothing odd.
#[test]
fn plain_4x4() {
    #[rustfmt::skip]
    let gt = [0, 0, 0, 0,
              0, 0, 1, 1,
              1, 1, 1, 1,
              2, 2, 2, 2];
    #[rustfmt::skip]
    let pred = [0, 0, 0, 1,
                0, 0, 1, 1,
                1, 1, 2, 2,
                2, 2, 2, 0];
    let scores = score(3, &pred, &gt);
    // class   I  P  L   IoU = I/(P+L-I)   Acc = I/L   Precision = I/P   Dice = 2I/(P+L)
    //   0     5  6  6   5/7               5/6         5/6               10/12
    //   1     4  5  6   4/7               4/6         4/5               8/11
    //   2     3  5  4   3/6               3/4         3/5               6/9
    let m = scores.metrics;
    close(m.m_iou, (5.0 / 7.0 + 4.0 / 7.0 + 3.0 / 6.0) / 3.0);
    close(m.m_acc, (5.0 / 6.0 + 4.0 / 6.0 + 3.0 / 4.0) / 3.0);
    close(m.a_acc, 12.0 / 16.0);
    close(m.fw_iou, (6.0 * 5.0 / 7.0 + 6.0 * 4.0 / 7.0 + 4.0 * 3.0 / 6.0) / 16.0);
    close(m.m_dice, (10.0 / 12.0 + 8.0 / 11.0 + 6.0 / 9.0) / 3.0);
    close(m.m_fscore, (10.0 / 12.0 + 8.0 / 11.0 + 6.0 / 9.0) / 3.0); // F1 is Dice where both are defined
    close(m.m_precision, (5.0 / 6.0 + 4.0 / 5.0 + 3.0 / 5.0) / 3.0);
    close(m.m_recall, (5.0 / 6.0 + 4.0 / 6.0 + 3.0 / 4.0) / 3.0);
    // All classes have ground truth and nothing lies outside: detectron2 says the same.
    assert_eq!((m.d2_m_iou, m.d2_fw_iou, m.d2_m_acc, m.d2_p_acc), (m.m_iou, m.fw_iou, m.m_acc, m.a_acc));
    assert_eq!(scores.classes[2].gt_pixels, 4);
    assert_eq!(scores.classes[2].pred_pixels, 5);
}

/// Ignored ground truth, a class that is only predicted, one that is only labelled, one on neither side.
#[test]
fn one_sided_classes_4x4() {
    #[rustfmt::skip]
    let gt = [0, 0, 0, 0,
              0, 0, 0, 0,
              2, 2, 2, 2,
              255, 255, 255, 255];
    #[rustfmt::skip]
    let pred = [0, 0, 0, 0,
                0, 0, 1, 1,
                0, 0, 0, 1,
                0, 1, 2, 3];
    let scores = score(4, &pred, &gt);
    // Last row: ignored, whatever is predicted there.
    // class   I  P  L   IoU     Acc     Dice    Precision
    //   0     6  9  8   6/11    6/8     12/17   6/9
    //   1     0  3  0   0/3     -       0/3     0/3
    //   2     0  0  4   0/4     0/4     0/4     -
    //   3     0  0  0   -       -       -       -
    let m = scores.metrics;
    close(m.m_iou, (6.0 / 11.0) / 3.0); // only predicted counts as 0, absent on both sides leaves
    close(m.d2_m_iou, (6.0 / 11.0) / 2.0); // only classes with ground truth
    close(m.m_acc, (6.0 / 8.0) / 2.0);
    close(m.d2_m_acc, (6.0 / 8.0) / 2.0);
    close(m.a_acc, 6.0 / 12.0);
    close(m.fw_iou, 8.0 / 12.0 * 6.0 / 11.0);
    close(m.m_dice, (12.0 / 17.0) / 3.0); // Dice keeps classes never hit as 0 ...
    close(m.m_fscore, 12.0 / 17.0); // ... the F-score drops them: 0/0, or no precision or recall at all
    close(m.m_precision, (6.0 / 9.0) / 2.0);
    assert_eq!(scores.classes[1].iou, Some(0.0));
    assert_eq!(scores.classes[1].acc, None);
    assert_eq!(scores.classes[3].iou, None);
}

/// A class with P, L > 0 but no hit: P = R = 0, so its F-score is 0/0 and leaves the mean.
#[test]
fn fscore_of_a_class_never_hit() {
    let scores = score(2, &[0, 0, 0, 1], &[0, 0, 1, 0]);
    // class 0: I 2, P 3, L 3; class 1: I 0, P 1, L 1
    close(scores.metrics.m_fscore, 2.0 / 3.0);
    close(scores.metrics.m_dice, (2.0 / 3.0) / 2.0);
}

/// Values outside 0..K on either side, in both conventions.
#[test]
fn outside_values_4x4() {
    #[rustfmt::skip]
    let gt = [0, 0, 0, 0,
              0, 0, 0, 0,
              1, 1, 1, 1,
              7, 7, 255, 255];
    #[rustfmt::skip]
    let pred = [0, 0, 0, 0,
                0, 0, 9, 255,
                1, 1, 1, 0,
                1, 9, 9, 0];
    let scores = score(2, &pred, &gt);
    // mmsegmentation: 9 and 255 are misses of class 0 and false positives of nobody; the 1 on ground truth 7 is a false
    // positive of class 1.
    // class   I  P  L   IoU    Acc
    //   0     6  7  8   6/9    6/8
    //   1     3  4  4   3/5    3/4
    let m = scores.metrics;
    close(m.m_iou, (6.0 / 9.0 + 3.0 / 5.0) / 2.0);
    close(m.m_acc, (6.0 / 8.0 + 3.0 / 4.0) / 2.0);
    close(m.a_acc, 9.0 / 12.0);
    // detectron2: only pixels that are a class on both sides.
    // class   I  P  L   IoU    Acc
    //   0     6  7  6   6/7    6/6
    //   1     3  3  4   3/4    3/4
    close(m.d2_m_iou, (6.0 / 7.0 + 3.0 / 4.0) / 2.0);
    close(m.d2_m_acc, (1.0 + 3.0 / 4.0) / 2.0);
    close(m.d2_p_acc, 9.0 / 10.0);
    close(m.d2_fw_iou, (6.0 * 6.0 / 7.0 + 4.0 * 3.0 / 4.0) / 10.0);
    let mut counts = ConfusionMatrix::new(2);
    counts.add(&pred, &gt).unwrap();
    assert_eq!((counts.outside_gt(), counts.outside_pred()), (2, 2));
}

#[test]
fn nothing_counted_is_null_not_zero() {
    let scores = score(2, &[0, 1], &[255, 255]);
    assert!(scores.metrics.named().iter().all(|(_, value)| value.is_none()), "{:?}", scores.metrics);
    let json = serde_json::to_value(&scores).unwrap();
    assert!(json["metrics"]["mIoU"].is_null());
}

#[test]
fn json_has_the_fixed_form() {
    let scores = score(2, &[0, 1, 1, 1], &[0, 0, 1, 1]).with_names(["road", "car"]).unwrap();
    let json = serde_json::to_value(&scores).unwrap();
    assert_eq!(json["task"], "semantic");
    assert_eq!(json["classes"]["road"]["IoU"], 0.5); // 1 / (1 + 2 - 1)
    assert_eq!(json["classes"]["car"]["Acc"], 1.0);
    let names: Vec<_> = json["metrics"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, scores.metrics.named().map(|(name, _)| name));
}

#[test]
fn mistakes_are_errors() {
    let mut counts = ConfusionMatrix::new(2);
    assert!(matches!(counts.add(&[0u8; 3], &[0u8; 4]), Err(EvalError::PixelCount { pred: 3, gt: 4 })));
    let err = counts.merge(&ConfusionMatrix::new(3)).unwrap_err();
    assert_eq!(
        err.to_string(),
        "cannot merge the counts: the number of classes is 3 in one and 2 in the other"
    );
    assert!(counts.merge(&ConfusionMatrix::new(2).with_ignore_label(0)).is_err());
    assert!(ConfusionMatrix::from_counts(2, vec![0; 4]).is_err());
    assert!(counts.finish().with_names(["one"]).is_err());
}

/// The obvious loop, the slow reference of everything clever in the matrix.
fn plain_counts(k: usize, pred: &[u16], gt: &[u16]) -> Vec<u64> {
    let mut counts = vec![0; (k + 1) * (k + 1)];
    for (&p, &g) in pred.iter().zip(gt) {
        if g != 255 {
            counts[usize::from(g).min(k) * (k + 1) + usize::from(p).min(k)] += 1;
        }
    }
    counts
}

/// Label maps as they come: runs of random length, now and then a value outside, any total length.
fn labels(max_run: usize) -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![20 => 0u8..6, 1 => any::<u8>(), 1 => Just(255)];
    prop::collection::vec((value, 1..max_run), 0..60)
        .prop_map(|runs| runs.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect())
}

proptest! {
    #[test]
    fn fast_paths_equal_the_plain_loop(pred in labels(40), gt in labels(40), k in 1usize..8) {
        let n = pred.len().min(gt.len());
        let (pred, gt) = (&pred[..n], &gt[..n]);
        let wide = |map: &[u8]| map.iter().map(|&v| u16::from(v)).collect::<Vec<_>>();
        let (wide_pred, wide_gt) = (wide(pred), wide(gt));
        let expected = plain_counts(k, &wide_pred, &wide_gt);
        let mut bytes = ConfusionMatrix::new(k);
        bytes.add(pred, gt).unwrap();
        prop_assert_eq!(bytes.counts(), expected.clone());
        let mut words = ConfusionMatrix::new(k);
        words.add(&wide_pred, &wide_gt).unwrap();
        prop_assert_eq!(words.counts(), expected.clone());
        let mut mixed = ConfusionMatrix::new(k);
        mixed.add(&wide_pred, gt).unwrap();
        prop_assert_eq!(mixed.counts(), expected);
    }

    #[test]
    fn order_and_split_change_nothing(
        images in prop::collection::vec((labels(9), labels(9)), 1..6),
        cut in 0usize..6,
    ) {
        let images: Vec<_> = images.into_iter().map(|(mut p, mut g)| {
            let n = p.len().min(g.len());
            p.truncate(n);
            g.truncate(n);
            (p, g)
        }).collect();
        let count = |images: &mut dyn Iterator<Item = &(Vec<u8>, Vec<u8>)>| {
            let mut counts = ConfusionMatrix::new(5);
            images.for_each(|(p, g)| counts.add(p, g).unwrap());
            counts
        };
        let all = count(&mut images.iter()).finish();
        prop_assert_eq!(&count(&mut images.iter().rev()).finish(), &all);
        let cut = cut.min(images.len());
        let mut merged = count(&mut images[cut..].iter());
        merged.merge(&count(&mut images[..cut].iter())).unwrap();
        prop_assert_eq!(&merged.finish(), &all);
        let rebuilt = ConfusionMatrix::from_counts(5, merged.counts()).unwrap();
        prop_assert_eq!(&rebuilt.finish(), &all);
    }

    #[test]
    fn scores_stay_in_range(pred in labels(9), gt in labels(9), k in 1usize..8) {
        let n = pred.len().min(gt.len());
        let scores = score(k, &pred[..n], &gt[..n]);
        for (name, value) in scores.metrics.named() {
            prop_assert!(value.is_none_or(|v| (0.0..=1.0 + 1e-12).contains(&v)), "{name} = {value:?}");
        }
    }
}

/// Two halves of an 8x8 image, d = 1 (0.02 * 11.3 = 0.23, at least 1): boundaries are strips one pixel wide.
#[test]
fn boundary_8x8() {
    let half = |x: usize, at: usize| u8::from(x >= at);
    let gt: Vec<u8> = (0..64).map(|i| half(i % 8, 4)).collect();
    let pred: Vec<u8> = (0..64).map(|i| half(i % 8, 5)).collect(); // the line one pixel too far right
    let mut counts = BoundaryCounts::new(3);
    counts.add(&pred, &gt, 8, 8).unwrap();
    let scores = counts.finish();
    // Class 0: ground truth 8x4 has 2 * 8 + 2 * 2 = 20 boundary pixels, the prediction 8x5 has 16 + 2 * 3 = 22. Both have
    // the column x = 0 (8) and the rows 0 and 7 over x = 1 to 3 (6): 14. Columns x = 3 and x = 4 are not shared otherwise.
    // Class 1: 20 and 8x3 = 16 + 2 = 18; shared: column x = 7 (8), rows 0 and 7 over x = 5, 6 (4): 12.
    assert_eq!(scores.classes, [Some(14.0 / 28.0), Some(12.0 / 26.0), None]);
    close(scores.m_iou, (14.0 / 28.0 + 12.0 / 26.0) / 2.0);
    // Twice the same image changes no ratio; an image where both are right moves both towards 1.
    let mut more = BoundaryCounts::new(3);
    more.add(&gt, &gt, 8, 8).unwrap();
    counts.merge(&more).unwrap();
    assert_eq!(counts.finish().classes, [Some(34.0 / 48.0), Some(32.0 / 46.0), None]);
    assert!(counts.merge(&BoundaryCounts::new(2)).is_err());
    assert!(matches!(counts.add(&pred, &gt, 8, 9), Err(EvalError::PixelCount { pred: 64, gt: 72 })));
}

/// Ignored ground truth ends both sides alike; outside values are no class on their side only.
#[test]
fn boundary_where_ground_truth_is_ignored_or_outside() {
    // 6x6, class 0, the right half ignored. Whatever is predicted there, the rest is right: 1.
    let gt: Vec<u8> = (0..36).map(|i| if i % 6 < 3 { 0 } else { 255 }).collect();
    let pred: Vec<u8> = (0..36).map(|i| if i % 6 < 3 { 0 } else { (i % 4) as u8 }).collect();
    let mut counts = BoundaryCounts::new(2);
    counts.add(&pred, &gt, 6, 6).unwrap();
    assert_eq!(counts.finish().classes, [Some(1.0), None]);
    // The same with another ignore label, and with shifted labels.
    let mut shifted = BoundaryCounts::new(2).with_reduced_zero_label(true);
    let raw: Vec<u8> = gt.iter().map(|&v| u8::from(v != 255)).collect();
    shifted.add(&pred, &raw, 6, 6).unwrap();
    assert_eq!(shifted.finish(), counts.finish());
    let mut other = BoundaryCounts::new(2).with_ignore_label(9);
    other.add(&pred, &gt.iter().map(|v| v.min(&9)).copied().collect::<Vec<_>>(), 6, 6).unwrap();
    assert_eq!(other.finish(), counts.finish());
    // Ground truth 7 is no class but not ignored: the prediction goes on there, so its strip does too.
    let mut outside = BoundaryCounts::new(2);
    let gt: Vec<u8> = gt.iter().map(|v| v.min(&7)).copied().collect();
    outside.add(&[0; 36], &gt, 6, 6).unwrap();
    // Ground truth 6x3: 6 + 6 + 2 = 14; prediction: the frame, 20. Shared: column 0 (6), rows 0 and 5 over x = 1, 2 (4).
    assert_eq!(outside.finish().classes, [Some(10.0 / 24.0), None]);
}

#[test]
fn boundary_scores_stand_beside_the_others() {
    let mut boundary = BoundaryCounts::new(2);
    boundary.add(&[0, 0, 0, 0], &[0, 0, 0, 0], 2, 2).unwrap();
    let scores = score(2, &[0, 0, 0, 0], &[0, 0, 0, 0]).with_boundary(Some(boundary.finish()));
    let json = serde_json::to_value(&scores).unwrap();
    assert_eq!(json["metrics"]["boundary_mIoU"], 1.0);
    assert_eq!(json["classes"]["0"]["boundary_IoU"], 1.0);
    assert!(json["classes"]["1"].as_object().unwrap()["boundary_IoU"].is_null());
    assert_eq!(scores.named().last(), Some(&("boundary_mIoU", Some(1.0))));
    let without = serde_json::to_value(score(2, &[0], &[0])).unwrap();
    assert!(!without["metrics"].as_object().unwrap().contains_key("boundary_mIoU"));
    assert!(!without["classes"]["0"].as_object().unwrap().contains_key("boundary_IoU"));
}

#[test]
fn images_of_other_counts_are_refused() {
    let mut images = ImageCounts::new(2);
    assert!(images.push("a", &ConfusionMatrix::new(3), None).is_err());
    images.push("a", &ConfusionMatrix::new(2), None).unwrap();
    assert!(images.push("b", &ConfusionMatrix::new(2), Some(&BoundaryCounts::new(2))).is_err());
    assert!(images.merge(ImageCounts::new(1)).is_err());
}
