//! Top-1 and top-5 by hand, ties, and counts in parts.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

use proptest::prelude::*;
use smalti_evaluation::EvalError;
use smalti_evaluation::classification::ClassificationCounts;

/// Scores of 7 classes in which the given class has this many before it.
fn with_rank(class: usize, rank: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..7).filter(|&other| other != class).collect();
    order.insert(rank, class);
    let mut scores = vec![0.0; 7];
    for (place, class) in order.into_iter().enumerate() {
        scores[class] = 10.0 - place as f32;
    }
    scores
}

#[test]
fn shares_by_hand() {
    let mut counts = ClassificationCounts::new(7);
    for (class, rank) in [(0, 0), (0, 1), (0, 4), (0, 5), (3, 0), (6, 6)] {
        counts.add(&with_rank(class, rank), class).unwrap();
    }
    let scores = counts.finish();
    assert_eq!(scores.images, 6);
    assert_eq!(scores.metrics.top1, Some(2.0 / 6.0));
    assert_eq!(scores.metrics.top5, Some(4.0 / 6.0));
    assert_eq!(scores.metrics.m_acc, Some((0.25 + 1.0 + 0.0) / 3.0), "classes without images leave the mean");
    assert_eq!(
        (scores.classes[0].top1, scores.classes[0].top5, scores.classes[0].images),
        (Some(0.25), Some(0.75), 4)
    );
    assert_eq!((scores.classes[1].top1, scores.classes[1].images), (None, 0));
}

#[test]
fn ties_go_to_the_lower_id_and_what_is_no_number_comes_last() {
    let top1 = |scores: &[f32], class| {
        let mut counts = ClassificationCounts::new(scores.len());
        counts.add(scores, class).unwrap();
        counts.finish().metrics.top1 == Some(1.0)
    };
    assert!(top1(&[1.0, 1.0], 0) && !top1(&[1.0, 1.0], 1));
    assert!(!top1(&[f32::NAN, 1.0], 0) && top1(&[f32::NAN, 1.0], 1));
    assert!(!top1(&[1.0, f32::NAN], 1));
}

#[test]
fn nothing_counted_is_not_defined() {
    let scores = ClassificationCounts::new(2).finish();
    assert!(scores.metrics.named().iter().all(|(_, value)| value.is_none()));
    let json = serde_json::to_value(scores.with_names(["cat", "dog"]).unwrap()).unwrap();
    assert_eq!(json["metrics"]["top1"], serde_json::Value::Null);
    assert_eq!((&json["task"], &json["classes"]["dog"]["images"]), (&"classification".into(), &0.into()));
}

#[test]
fn what_does_not_fit_is_refused_and_not_counted() {
    let mut counts = ClassificationCounts::new(2);
    let error = counts.add(&[1.0], 0).unwrap_err();
    assert_eq!(error.to_string(), "expected 2 scores for 2 classes, got 1");
    let error = counts.add(&[1.0, 2.0], 2).unwrap_err();
    assert_eq!(error.to_string(), "expected a class of 0 to 1, got 2");
    assert!(matches!(counts.merge(&ClassificationCounts::new(3)), Err(EvalError::Merge { .. })));
    assert_eq!(counts, ClassificationCounts::new(2));
    assert!(counts.finish().with_names(["one"]).is_err());
}

proptest! {
    #[test]
    fn parts_add_up_in_any_order(
        images in proptest::collection::vec((proptest::collection::vec(-3_i8..3, 9), 0_usize..9), 0..60),
        cut in 0_usize..60,
    ) {
        let count = |images: &[(Vec<i8>, usize)]| {
            let mut counts = ClassificationCounts::new(9);
            for (scores, class) in images {
                let scores: Vec<f32> = scores.iter().map(|&score| f32::from(score)).collect();
                counts.add(&scores, *class).unwrap();
            }
            counts
        };
        let cut = cut.min(images.len());
        let mut parts = count(&images[cut..]);
        parts.merge(&count(&images[..cut])).unwrap();
        prop_assert_eq!(&parts, &count(&images));
        let scores = parts.finish();
        prop_assert!(scores.metrics.top1 <= scores.metrics.top5);
    }
}
