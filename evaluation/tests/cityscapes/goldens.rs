//! Cases of `scripts/goldens/make_cityscapes.py` with the numbers of the official scripts; independence of order and
//! splitting; resampling.

use serde::Deserialize;
use serde_json::{Value, json};
use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage, PixelCounts};
use smalti_evaluation::resample::PerImage;

#[derive(Deserialize)]
struct Case {
    seed: u64,
    images: Vec<Image>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    instance: Value,
    semantic: Value,
}

/// Maps are runs: value, length, value, length, ...
#[derive(Deserialize)]
struct Image {
    name: String,
    instance_ids: Vec<u16>,
    label_ids: Vec<u16>,
    pred: Vec<u16>,
    masks: Vec<Mask>,
}

#[derive(Deserialize)]
struct Mask {
    label: i64,
    confidence: f64,
    #[serde(rename = "mask")]
    runs: Vec<u16>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../goldens/cityscapes/cases.json")).unwrap()
}

fn pixels<T: TryFrom<u16, Error: std::fmt::Debug> + Clone>(runs: &[u16]) -> Vec<T> {
    let (runs, _) = runs.as_chunks::<2>();
    runs.iter().flat_map(|&[value, len]| vec![T::try_from(value).unwrap(); len.into()]).collect()
}

fn instance_image(image: &Image) -> InstanceImage {
    let mut counted = InstanceImage::new(&image.name, &pixels(&image.instance_ids)).unwrap();
    for mask in &image.masks {
        counted.predict(mask.label, mask.confidence, &pixels::<u8>(&mask.runs)).unwrap();
    }
    counted
}

fn instances<'a>(images: impl IntoIterator<Item = &'a Image>) -> InstanceAp {
    let mut ap = InstanceAp::keeping_images();
    images.into_iter().for_each(|image| ap.add(instance_image(image)));
    ap
}

fn label_maps<'a>(images: impl IntoIterator<Item = &'a Image>) -> PixelCounts {
    let mut counts = PixelCounts::keeping_images();
    for image in images {
        let (pred, gt) = (pixels::<u8>(&image.pred), pixels::<u8>(&image.label_ids));
        counts.add(&image.name, &pred, &gt, &pixels(&image.instance_ids)).unwrap();
    }
    counts
}

/// Every number of `expected` is in `got`, to 1e-12.
#[track_caller]
fn assert_close(got: &Value, expected: &Value, at: &str) {
    match expected {
        Value::Object(map) => {
            for (key, value) in map {
                assert_close(&got[key], value, &format!("{at} {key}"));
            }
        }
        Value::Null => assert_eq!(*got, Value::Null, "{at}"),
        _ => {
            let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((got - expected).abs() <= 1e-12, "{at}: expected {expected}, got {got}");
        }
    }
}

#[test]
fn instance_scores_are_those_of_the_official_script() {
    for case in cases() {
        let got = serde_json::to_value(instances(&case.images).finish()).unwrap();
        assert_close(&got, &case.expected.instance, &format!("seed {}", case.seed));
        assert_eq!(got["task"], "cityscapes-instance");
    }
}

#[test]
fn pixel_scores_are_those_of_the_official_script() {
    for case in cases() {
        let got = serde_json::to_value(label_maps(&case.images).finish()).unwrap();
        assert_close(&got, &case.expected.semantic, &format!("seed {}", case.seed));
        assert_eq!(got["task"], "cityscapes-semantic");
    }
}

#[test]
fn order_and_splitting_change_no_bit() {
    let cases = cases();
    let all: Vec<&Image> = cases.iter().flat_map(|case| &case.images).collect();
    let (left, right) = all.split_at(all.len() / 3);
    let mut ap = instances(right.iter().rev().copied());
    ap.merge(instances(left.iter().copied()));
    assert_eq!(ap.finish(), instances(all.iter().copied()).finish());
    let mut counts = label_maps(right.iter().rev().copied());
    counts.merge(label_maps(left.iter().copied())).unwrap();
    assert_eq!(counts.finish(), label_maps(all.iter().copied()).finish());
    assert_eq!((ap.images(), counts.images()), (all.len(), all.len()));
}

#[test]
fn weights_are_how_often_an_image_counts() {
    let cases = cases();
    let all: Vec<&Image> = cases.iter().flat_map(|case| &case.images).collect();
    let weights: Vec<u32> = (0..all.len() as u32).map(|i| i * 7 % 4).collect();
    let repeated: Vec<&Image> =
        all.iter().zip(&weights).flat_map(|(&image, &w)| vec![image; w as usize]).collect();
    let (half, rest) = all.split_at(10);

    let mut ap = instances(half.iter().copied());
    ap.merge(instances(rest.iter().copied()));
    let images = ap.per_image().unwrap();
    let expected = instances(repeated.iter().copied()).finish();
    assert_eq!(images.weighted(&weights), [expected.ap, expected.ap50]);
    assert_eq!(images.weighted(&vec![1; all.len()]), [ap.finish().ap, ap.finish().ap50]);
    assert_eq!(images.image_names(), all.iter().map(|image| image.name.clone()).collect::<Vec<_>>());

    let mut counts = label_maps(half.iter().copied());
    counts.merge(label_maps(rest.iter().copied())).unwrap();
    let images = counts.per_image().unwrap();
    let expected = label_maps(repeated.iter().copied()).finish();
    assert_eq!(images.weighted(&weights), expected.named().map(|(_, value)| value));
    assert_eq!(images.weighted(&vec![1; all.len()]), counts.finish().named().map(|(_, value)| value));
    assert_eq!(images.image_names().len(), all.len());
}

#[test]
fn nothing_counted_is_nothing_scored() {
    let scores = serde_json::to_value(InstanceAp::new().finish()).unwrap();
    assert_eq!(scores["metrics"], json!({ "AP": null, "AP50": null }));
    let scores = serde_json::to_value(PixelCounts::new().finish()).unwrap();
    let none = json!({ "IoU_class": null, "IoU_category": null, "iIoU_class": null, "iIoU_category": null });
    assert_eq!(scores["metrics"], none);
    assert!(InstanceAp::new().per_image().is_none() && PixelCounts::new().per_image().is_none());
}
