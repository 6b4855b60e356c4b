//! The metric against a plain transcription of its definition, and quirks by hand.

use proptest::prelude::*;

use super::overlap::box_iou;
use super::params::{recall, threshold};
use super::*;
use crate::resample::PerImage;

/// An image: id, ground truth, detections.
type Image = (i64, Vec<Truth>, Vec<Detection>);

fn truth(id: i64, category: i64, [x, y, w, h]: [f64; 4], area: f64, crowd: bool) -> Truth {
    Truth { id, category, region: Region::Box([x, y, w, h]), area, crowd }
}

fn det(category: i64, score: f64, bbox: [f64; 4]) -> Detection {
    Detection { category, score, region: Region::Box(bbox) }
}

fn bbox(region: &Region) -> [f64; 4] {
    match region {
        Region::Box(bbox) => *bbox,
        Region::Mask(_) => unreachable!("these tests are about boxes"),
    }
}

fn count(images: &[Image], max_dets: MaxDets) -> InstanceAp {
    let mut ap = InstanceAp::new(IouType::Bbox, max_dets);
    for (id, truths, detections) in images {
        ap.add(*id, truths, detections).unwrap();
    }
    ap
}

fn one(truths: Vec<Truth>, detections: Vec<Detection>) -> InstanceMetrics {
    count(&[(1, truths, detections)], MaxDets::default()).finish().metrics
}

/// Precision over the recall grid and the last recall of one category, area range, threshold and limit; `None` without
/// ground truth. One step after the other, as the definition says it.
fn plain(
    images: &[Image],
    category: i64,
    area: (f64, f64),
    t: f64,
    limit: usize,
    most: usize,
) -> Option<(Vec<f64>, f64)> {
    let outside = |value: f64| value < area.0 || value > area.1;
    let mut images: Vec<&Image> = images.iter().collect();
    images.sort_by_key(|image| image.0);
    let mut ranked: Vec<(f64, bool, bool)> = Vec::new(); // score, matched, ignored
    let mut positives = 0;
    for (_, truths, detections) in images {
        let mut truths: Vec<&Truth> = truths.iter().filter(|truth| truth.category == category).collect();
        let ignored = |truth: &Truth| truth.crowd || outside(truth.area);
        truths.sort_by_key(|truth| ignored(truth));
        positives += truths.iter().filter(|truth| !ignored(truth)).count();
        let mut dets: Vec<&Detection> = detections.iter().filter(|det| det.category == category).collect();
        dets.sort_by(|a, b| b.score.total_cmp(&a.score));
        dets.truncate(most);
        let mut taken = vec![false; truths.len()];
        for (rank, det) in dets.iter().enumerate() {
            let mut best = t;
            let mut found: Option<usize> = None;
            for (i, truth) in truths.iter().enumerate() {
                if taken[i] && !truth.crowd {
                    continue;
                }
                if found.is_some_and(|f| !ignored(truths[f])) && ignored(truth) {
                    break;
                }
                let iou = box_iou(bbox(&det.region), bbox(&truth.region), truth.crowd);
                if iou >= best {
                    (best, found) = (iou, Some(i));
                }
            }
            let matched = found.is_some_and(|f| truths[f].id != 0);
            let [_, _, w, h] = bbox(&det.region);
            let ignore = found.is_some_and(|f| ignored(truths[f])) || (!matched && outside(w * h));
            if let Some(f) = found {
                taken[f] = true;
            }
            if rank < limit {
                ranked.push((det.score, matched, ignore));
            }
        }
    }
    if positives == 0 {
        return None;
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut wrong) = (0.0, 0.0);
    let mut points: Vec<(f64, f64)> = Vec::new(); // recall, precision
    for (_, matched, ignore) in ranked {
        right += f64::from(u8::from(matched && !ignore));
        wrong += f64::from(u8::from(!matched && !ignore));
        points.push((right / positives as f64, right / (wrong + right + f64::EPSILON)));
    }
    for i in (1..points.len()).rev() {
        points[i - 1].1 = points[i - 1].1.max(points[i].1);
    }
    let at = |r: f64| points.iter().find(|point| point.0 >= r).map_or(0.0, |point| point.1);
    Some(((0..101).map(|i| at(recall(i))).collect(), points.last().map_or(0.0, |point| point.0)))
}

/// The twelve numbers from [`plain`].
fn plain_metrics(images: &[Image], max_dets: MaxDets) -> Vec<Option<f64>> {
    const ALL: (f64, f64) = (0.0, 1e10);
    let ranges = [(0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];
    let mut categories: Vec<i64> =
        images.iter().flat_map(|i| i.1.iter().map(|truth| truth.category)).collect();
    categories.sort_unstable();
    categories.dedup();
    let limits = max_dets.limits().map(|limit| limit as usize);
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let all: Vec<usize> = (0..10).collect();
    let curves = |area: (f64, f64), ts: &[usize], limit: usize| -> Vec<(Vec<f64>, f64)> {
        let pairs = categories.iter().flat_map(|&c| ts.iter().map(move |&t| (c, threshold(t))));
        pairs.filter_map(|(c, t)| plain(images, c, area, t, limit, limits[2])).collect()
    };
    let ap =
        |area, ts: &[usize], limit| mean(curves(area, ts, limit).into_iter().flat_map(|c| c.0).collect());
    let ar = |area, limit| mean(curves(area, &all, limit).into_iter().map(|c| c.1).collect());
    let mut out =
        vec![ap(ALL, &all, limits[max_dets.for_ap()]), ap(ALL, &[0], limits[2]), ap(ALL, &[5], limits[2])];
    out.extend(ranges.map(|range| ap(range, &all, limits[2])));
    out.extend(limits.map(|limit| ar(ALL, limit)));
    out.extend(ranges.map(|range| ar(range, limits[2])));
    out
}

fn images() -> impl Strategy<Value = Vec<Image>> {
    let side = || (0u8..7).prop_map(|v| f64::from(v) * 8.0);
    let shape = (side(), side(), 1u8..8, 1u8..8)
        .prop_map(|(x, y, w, h)| [x, y, f64::from(w) * 8.0, f64::from(h) * 8.0]);
    let area = prop::sample::select(vec![None, Some(1024.0), Some(9216.0), Some(20_000.0)]);
    let truths = prop::collection::vec((0i64..3, shape.clone(), area, prop::bool::weighted(0.15)), 0..6);
    let dets = prop::collection::vec((0i64..3, 0u8..5, shape), 0..9);
    prop::collection::vec((truths, dets, any::<u8>()), 1..5).prop_map(|images| {
        let mut next = 0; // the first object has the id 0
        let mut id = || {
            next += 1;
            next - 1
        };
        let image = |(i, (truths, dets, salt)): (usize, (Vec<_>, Vec<_>, u8))| {
            let truths: Vec<Truth> = truths
                .into_iter()
                .map(|(c, shape, area, crowd): (i64, [f64; 4], Option<f64>, bool)| {
                    truth(id(), c, shape, area.unwrap_or(shape[2] * shape[3]), crowd)
                })
                .collect();
            let mut dets: Vec<Detection> = dets
                .into_iter()
                .map(|(c, s, shape): (i64, u8, [f64; 4])| det(c, f64::from(s) / 4.0, shape))
                .collect();
            // Half of the detections sit on an object.
            for (det, truth) in dets.iter_mut().zip(&truths).step_by(2) {
                (det.category, det.region) = (truth.category, truth.region.clone());
            }
            (i64::from(salt) * 10 + i as i64, truths, dets)
        };
        images.into_iter().enumerate().map(image).collect()
    })
}

proptest! {
    #[test]
    fn equals_the_plain_definition(images in images(), small_limits: bool) {
        let max_dets = if small_limits { MaxDets::new([1, 2, 4]).unwrap() } else { MaxDets::default() };
        let got = count(&images, max_dets).finish().metrics;
        for ((name, got), expected) in got.named().into_iter().zip(plain_metrics(&images, max_dets)) {
            let same = match (got, expected) {
                (Some(got), Some(expected)) => (got - expected).abs() < 1e-12,
                (got, expected) => got == expected,
            };
            prop_assert!(same, "{}: expected {:?}, got {:?}", name, expected, got);
        }
    }

    #[test]
    fn neither_order_nor_sharing_out_matters(images in images(), split in 0usize..5) {
        let whole = count(&images, MaxDets::default());
        let (first, second) = images.split_at(split.min(images.len()));
        let mut other = count(second, MaxDets::default());
        other.merge(&count(first, MaxDets::default())).unwrap();
        prop_assert_eq!(other.finish(), whole.finish());
        let ranked = other.into_ranked();
        let ones = vec![1; images.len()];
        let plain: Vec<Option<f64>> = whole.finish().metrics.named().iter().map(|(_, value)| *value).collect();
        prop_assert_eq!(ranked.weighted(&ones), plain);
    }

    /// An image that counts twice is an image and its copy right behind it.
    #[test]
    fn weights_are_copies(images in images(), twice in 0usize..5) {
        let twice = twice % images.len();
        let doubled: Vec<Image> = images.iter().enumerate().flat_map(|(i, (id, truths, dets))| {
            let copies = if i == twice { 2 } else { 1 };
            (0..copies).map(move |copy| (id * 2 + copy, truths.clone(), dets.clone()))
        }).collect();
        // Ties between the copies resolve per detection in one case and per image in the other.
        let distinct = |images: Vec<Image>| -> Vec<Image> {
            images.into_iter().map(|(id, truths, mut dets)| {
                for (i, det) in dets.iter_mut().enumerate() {
                    det.score += 0.001 * i as f64;
                }
                (id, truths, dets)
            }).collect()
        };
        let expected = count(&distinct(doubled), MaxDets::default()).finish().metrics.named();
        let ranked = count(&distinct(images.clone()), MaxDets::default()).into_ranked();
        let mut ids: Vec<(i64, usize)> = images.iter().map(|image| image.0).zip(0..).collect();
        ids.sort_unstable();
        let weights: Vec<u32> = ids.iter().map(|&(_, i)| if i == twice { 2 } else { 1 }).collect();
        for (got, (name, expected)) in ranked.weighted(&weights).into_iter().zip(expected) {
            let same = got.zip(expected).map_or(got == expected, |(a, b)| (a - b).abs() < 1e-12);
            prop_assert!(same, "{}: expected {:?}, got {:?}", name, expected, got);
        }
    }
}

const BOX: [f64; 4] = [0.0, 0.0, 10.0, 10.0];

#[test]
fn one_hit_is_not_quite_one() {
    let metrics = one(vec![truth(1, 1, BOX, 100.0, false)], vec![det(1, 0.5, BOX)]);
    assert!(metrics.ap.unwrap() > 1.0 - 1e-15 && metrics.ap.unwrap() < 1.0);
    assert_eq!((metrics.ar_first, metrics.ap_small.is_some(), metrics.ap_medium), (Some(1.0), true, None));
}

#[test]
fn ground_truth_with_the_id_0_is_never_found() {
    let metrics = one(vec![truth(0, 1, BOX, 100.0, false)], vec![det(1, 0.5, BOX)]);
    assert_eq!((metrics.ap, metrics.ar_third), (Some(0.0), Some(0.0)));
    // It is taken all the same: the second detection is left with the other one.
    let truths = vec![truth(7, 1, BOX, 100.0, false), truth(0, 1, BOX, 100.0, false)];
    let metrics = one(truths, vec![det(1, 0.9, BOX), det(1, 0.8, BOX)]);
    // One of two found, behind one false positive: precision 1/2 up to recall 1/2, the grid points 0 to 50.
    assert!((metrics.ap50.unwrap() - 0.5 * 51.0 / 101.0).abs() < 1e-12);
}

#[test]
fn of_equal_ious_the_later_wins() {
    // Both objects fit the first detection equally; the second fits only the earlier one.
    let truths = vec![
        truth(1, 1, [0.0, 0.0, 10.0, 10.0], 100.0, false),
        truth(2, 1, [0.0, 0.0, 10.0, 10.0], 100.0, false),
    ];
    let metrics = one(truths.clone(), vec![det(1, 0.9, BOX), det(1, 0.8, BOX)]);
    assert_eq!(metrics.ar_third, Some(1.0));
    // With the later one far too small to count, small objects see it matched to something ignored.
    let mut truths = truths;
    truths[1].area = 2000.0;
    let metrics = one(truths, vec![det(1, 0.9, BOX)]);
    assert_eq!((metrics.ar_third, metrics.ar_small, metrics.ar_medium), (Some(0.5), Some(1.0), Some(1.0)));
}

#[test]
fn crowds_absorb_any_number_and_an_iou_at_the_threshold_counts() {
    let truths = vec![
        truth(1, 1, [0.0, 0.0, 100.0, 100.0], 10_000.0, true),
        truth(2, 1, [200.0, 0.0, 10.0, 10.0], 100.0, false),
    ];
    let inside = |x: f64| det(1, 0.9, [x, 5.0, 10.0, 10.0]);
    // 10 x 5 of 10 x 10: IoU 0.5, which is enough at the first threshold only.
    let half = det(1, 0.1, [200.0, 0.0, 10.0, 5.0]);
    let metrics = one(truths, vec![inside(5.0), inside(6.0), inside(7.0), half]);
    assert!(metrics.ap50.unwrap() > 1.0 - 1e-15);
    assert_eq!((metrics.ap75, metrics.ar_third), (Some(0.0), Some(0.1)));
}

#[test]
fn limits_hold_for_an_image_and_category() {
    let truths: Vec<Truth> =
        (0..3).map(|i| truth(i + 1, i % 2, [20.0 * i as f64, 0.0, 10.0, 10.0], 100.0, false)).collect();
    let dets = (0..3).map(|i| det(i % 2, 0.5, [20.0 * i as f64, 0.0, 10.0, 10.0])).collect();
    let metrics = one(truths, dets);
    // Category 0 has two objects, of which one detection finds one; category 1 one.
    assert_eq!((metrics.ar_first, metrics.ar_second), (Some(0.75), Some(1.0)));
}

#[test]
fn scores_of_any_kind_are_ranked() {
    let far = [50.0, 50.0, 10.0, 10.0];
    let ap = |good: f64, bad: f64| {
        one(vec![truth(1, 1, BOX, 100.0, false)], vec![det(1, bad, far), det(1, good, BOX)]).ap.unwrap()
    };
    assert!(ap(f64::INFINITY, 1e300) > 0.99 && ap(-1.0, f64::NEG_INFINITY) > 0.99);
    assert!(ap(f64::NEG_INFINITY, f64::NAN) > 0.99);
    assert!((ap(f64::NAN, f64::NEG_INFINITY) - 0.5).abs() < 1e-12);
    assert!((ap(0.5, 0.5) - 0.5).abs() < 1e-12); // ties by order
}

#[test]
fn what_cannot_be_counted_is_refused() {
    let mut ap = InstanceAp::new(IouType::Segm, MaxDets::default());
    let err = ap.add("a", &[truth(1, 1, BOX, 1.0, false)], &[]).unwrap_err();
    assert_eq!(err.to_string(), "image a: expected ground truth with masks, got a box");
    assert!(ap.add("a", &[], &[det(1, 0.5, BOX)]).unwrap_err().to_string().contains("got a box"));
    ap.add("a", &[], &[]).unwrap();
    assert!(ap.add("a", &[], &[]).unwrap_err().to_string().contains("added twice"));
    assert!(ap.clone().merge(&ap).unwrap_err().to_string().contains("both of two counters"));
    let other = InstanceAp::new(IouType::Bbox, MaxDets::default());
    assert!(ap.merge(&other).unwrap_err().to_string().contains("kind of IoU"));
    assert_eq!(ap.finish().metrics, InstanceMetrics::default());
}
