//! Files score the same to the last bit whether all fits the memory or next to nothing does.

use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;

use super::files::{FileScores, score_in};
use super::gather::Room;
use super::truth_file::{ROOM, SameId};
use super::truth_store::TruthStore;
use super::verdicts::Matched;
use super::{GroundTruth, IouType, MaxDets};
use crate::resample::PerImage;

const SIZE: u32 = 30;

/// Left, top, width, height.
type Place = (u32, u32, u32, u32);

fn place() -> impl Strategy<Value = Place> {
    (0..4u32, 0..4u32, 1..4u32, 1..4u32).prop_map(|(x, y, w, h)| (x * 5, y * 5, w * 5, h * 5))
}

/// The keys of a rectangle.
fn region(kind: IouType, (x, y, w, h): Place) -> String {
    if kind == IouType::Bbox {
        return format!(r#""bbox": [{x}, {y}, {w}, {h}]"#);
    }
    let mut counts = vec![x * SIZE + y];
    for column in 0..w {
        counts.push(h);
        counts.push(if column + 1 < w { SIZE - h } else { (SIZE - x - w) * SIZE + SIZE - y - h });
    }
    format!(r#""segmentation": {{"size": [{SIZE}, {SIZE}], "counts": {counts:?}}}"#)
}

/// Objects: image, category, place, crowd, and whether its id is that of the object before it.
fn truth_json(kind: IouType, images: u32, objects: &[(u32, u32, Place, bool, bool)]) -> String {
    let listed: Vec<String> =
        (0..images).map(|id| format!(r#"{{"id": {id}, "height": {SIZE}, "width": {SIZE}}}"#)).collect();
    let mut id = 0;
    let mut annotations = Vec::new();
    for &(image, category, place, crowd, again) in objects {
        id += u32::from(!again);
        let (image, crowd, area) = (image % (images + 1), u8::from(crowd), place.2 * place.3);
        let region = region(kind, place);
        annotations.push(format!(
            r#"{{"id": {id}, "image_id": {image}, "category_id": {category}, "area": {area}, "iscrowd": {crowd}, {region}}}"#
        ));
    }
    format!(
        r#"{{"images": [{}], "annotations": [{}], "categories": [{{"id": 0}}, {{"id": 1}}, {{"id": 2}}]}}"#,
        listed.join(", "),
        annotations.join(", ")
    )
}

/// Detections: image, category, place, score. The notes make blocks of few of them.
fn results_json(kind: IouType, images: u32, detections: &[(u32, u32, Place, u8)]) -> String {
    let note = "x".repeat(30_000);
    let mut text = String::from("[");
    for (index, &(image, category, place, score)) in detections.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let region = region(kind, place);
        write!(
            text,
            r#"{comma}{{"image_id": {}, "category_id": {category}, "score": {}, {region}, "note": "{note}"}}"#,
            image % images,
            f64::from(score) / 8.0
        )
        .unwrap();
    }
    text + "]"
}

fn score(gt: &Path, pred: &Path, kind: IouType, room: Room, truth_room: usize) -> (GroundTruth, FileScores) {
    let truth = GroundTruth::read(gt, kind, SameId::Last, truth_room).unwrap();
    let found = score_in(&truth, pred, MaxDets::new([1, 3, 5]).unwrap(), room, &|_, _| ()).unwrap();
    (truth, found)
}

fn weighted(matched: Matched, truth: &GroundTruth) -> Vec<Option<f64>> {
    let weights: Vec<u32> = (0..truth.images() as u32).map(|image| image * 7 % 3).collect();
    matched.into_ranked(truth).unwrap().weighted(&weights)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn scores_do_not_depend_on_the_room_there_is(
        kind in prop::sample::select(vec![IouType::Segm, IouType::Bbox, IouType::Boundary]),
        images in 1u32..8,
        objects in prop::collection::vec(
            (0u32..9, 0u32..4, place(), prop::bool::weighted(0.1), prop::bool::weighted(0.05)),
            0..40,
        ),
        detections in prop::collection::vec((0u32..8, 0u32..4, place(), 0u8..9), 1..100),
        by_image: bool,
    ) {
        let mut detections = detections;
        if by_image {
            detections.sort_by_key(|det| det.0 % images); // stable
        }
        let folder = tempfile::tempdir().unwrap();
        let (gt, pred) = (folder.path().join("gt.json"), folder.path().join("pred.json"));
        std::fs::write(&gt, truth_json(kind, images, &objects)).unwrap();
        std::fs::write(&pred, results_json(kind, images, &detections)).unwrap();
        let (truth, found) = score(&gt, &pred, kind, Room::default(), ROOM);
        let (small_truth, small) = score(&gt, &pred, kind, Room { verdicts: 64, unsorted: 200 }, 300);
        let on_disk = |truth: &GroundTruth| matches!(truth.store, TruthStore::File { .. });
        prop_assert!(!on_disk(&truth) && (truth.objects() < 6 || on_disk(&small_truth)));
        prop_assert!(found.matched.is_in_memory());
        prop_assert!(found.detections < 5 || !small.matched.is_in_memory());
        prop_assert_eq!(&found.scores, &small.scores);
        prop_assert_eq!(&found.oddities, &small.oddities);
        prop_assert_eq!(found.detections, small.detections);
        prop_assert_eq!(weighted(found.matched, &truth), weighted(small.matched, &small_truth));
    }
}
