//! Semantic metrics against numbers worked out by hand, and properties that hold for any input.

#![expect(
    clippy::unwrap_used,
    clippy::manual_midpoint,
    reason = "helpers of tests stop where they cannot go on; means are written as on paper"
)]

use proptest::prelude::*;
use smalti_evaluation::EvalError;
use smalti_evaluation::semantic::{ConfusionMatrix, SemanticScores};

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
        "cannot merge confusion matrices: the number of classes is 3 in one and 2 in the other"
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
