//! The instance score against a second implementation: pixel by pixel, every overlap and threshold on its own.

use proptest::prelude::*;
use smalti_evaluation::cityscapes::instance::{OVERLAPS, overlap};
use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage};

const PIXELS: usize = 900;

#[derive(Debug, Clone)]
struct Image {
    ids: Vec<u16>,
    /// Confidence and mask of cars.
    predictions: Vec<(f64, Vec<u8>)>,
}

fn stretch() -> impl Strategy<Value = (usize, usize)> {
    (0..PIXELS, prop_oneof![60usize..140, 1usize..400])
        .prop_map(|(start, len)| (start, (start + len).min(PIXELS)))
}

fn image() -> impl Strategy<Value = Image> {
    let value =
        prop_oneof![Just(26_000u16), Just(26_001), Just(26_002), Just(26), Just(0), Just(7), Just(29_001)];
    let confidence = prop_oneof![Just(0.25), Just(0.5), Just(0.75), -1.0f64..2.0];
    let ids = proptest::collection::vec((value, stretch()), 0..7);
    let predictions = proptest::collection::vec((confidence, stretch()), 0..7);
    (ids, predictions).prop_map(|(ids, predictions)| {
        let mut map = vec![7; PIXELS];
        for (value, (start, end)) in ids {
            map[start..end].fill(value);
        }
        let mask = |(start, end): (usize, usize)| {
            let mut mask = vec![0; PIXELS];
            mask[start..end].fill(1);
            mask
        };
        Image { ids: map, predictions: predictions.into_iter().map(|(c, at)| (c, mask(at))).collect() }
    })
}

/// AP of cars at one threshold.
fn plain(images: &[Image], threshold: f64) -> Option<f64> {
    let mut judged: Vec<(f64, bool)> = Vec::new();
    let mut objects = 0;
    for image in images {
        let area = |id: u16| image.ids.iter().filter(|&&i| i == id).count();
        let shared =
            |mask: &[u8], id: u16| image.ids.iter().zip(mask).filter(|&(&i, &m)| i == id && m > 0).count();
        let size = |mask: &[u8]| mask.iter().filter(|&&m| m > 0).count();
        let above = |mask: &[u8], id: u16| {
            let inter = shared(mask, id);
            inter > 0 && inter as f64 / (area(id) + size(mask) - inter) as f64 > threshold
        };
        let own = [26_000, 26_001, 26_002];
        for id in own.into_iter().filter(|&id| area(id) >= 100) {
            objects += 1;
            let mut on: Vec<f64> =
                image.predictions.iter().filter(|(_, mask)| above(mask, id)).map(|p| p.0).collect();
            on.sort_by(f64::total_cmp);
            judged.extend(on.pop().map(|best| (best, true)));
            judged.extend(on.into_iter().map(|rest| (rest, false)));
        }
        for (confidence, mask) in &image.predictions {
            if own.into_iter().chain([26]).any(|id| above(mask, id)) {
                continue;
            }
            let mut excused = shared(mask, 0) + shared(mask, 26);
            for id in own.into_iter().chain([26]).filter(|&id| area(id) < 100) {
                excused += shared(mask, id);
            }
            if excused as f64 / size(mask) as f64 <= threshold {
                judged.push((*confidence, false));
            }
        }
    }
    (objects > 0).then(|| area_below(&judged, objects))
}

fn area_below(judged: &[(f64, bool)], objects: usize) -> f64 {
    let mut confidences: Vec<f64> = judged.iter().map(|j| j.0).collect();
    confidences.sort_by(f64::total_cmp);
    confidences.dedup();
    let point = |&least: &f64| {
        let kept: Vec<bool> = judged.iter().filter(|j| j.0 >= least).map(|j| j.1).collect();
        let hits = kept.iter().filter(|&&hit| hit).count() as f64;
        (hits / kept.len() as f64, hits / objects as f64)
    };
    let mut points: Vec<(f64, f64)> = confidences.iter().map(point).collect();
    let Some(&(_, first)) = points.first() else { return 0.0 };
    points.push((1.0, 0.0));
    let recalls: Vec<f64> = [first].into_iter().chain(points.iter().map(|p| p.1)).chain([0.0]).collect();
    points.iter().enumerate().map(|(i, p)| p.0 * (recalls[i] - recalls[i + 2]) / 2.0).sum()
}

proptest! {
    #[test]
    fn instance_scores_equal_the_plain_ones(images in proptest::collection::vec(image(), 1..4)) {
        let mut ap = InstanceAp::new();
        for image in &images {
            let mut counted = InstanceImage::new("a", &image.ids).unwrap();
            for (confidence, mask) in &image.predictions {
                counted.predict(26, *confidence, mask).unwrap();
            }
            ap.add(counted);
        }
        let got = ap.finish();
        let expected: Option<Vec<f64>> = (0..OVERLAPS).map(|o| plain(&images, overlap(o))).collect();
        match (got.ap, got.ap50, expected) {
            (None, None, None) => {}
            (Some(ap), Some(ap50), Some(expected)) => {
                let mean = expected.iter().sum::<f64>() / OVERLAPS as f64;
                prop_assert!((ap - mean).abs() < 1e-12 && (ap50 - expected[0]).abs() < 1e-12);
            }
            (ap, _, expected) => prop_assert!(false, "got {ap:?}, expected {expected:?}"),
        }
    }
}
