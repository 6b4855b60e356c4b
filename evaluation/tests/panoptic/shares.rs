//! Order and sharing do not change a bit; images can be weighted.

use smalti_datasets::label_png::PixelMap;
use smalti_evaluation::panoptic::{
    GtSegment, ImageId, PanopticClass, PanopticQuality, PredSegment, SegmentMap,
};
use smalti_evaluation::resample::PerImage;

fn quality() -> PanopticQuality {
    let class = |id| PanopticClass { id, name: format!("c{id}"), is_thing: id < 3 };
    PanopticQuality::new((0..5).map(class).collect()).unwrap().keeping_images()
}

/// A striped image: prediction `index` columns further right.
fn add(quality: &mut PanopticQuality, index: usize) {
    let (height, width) = (9, 40 + index);
    let stripe = |shift: usize| -> Vec<u32> {
        (0..height * width).map(|i| ((i % width + shift) / (7 + index % 4)) as u32 % 6).collect()
    };
    let (gt_map, pred_map) = (stripe(3), stripe(3 + index % 5));
    let area = |id: u32| gt_map.iter().filter(|&&v| v == id).count() as u64;
    let gts: Vec<_> = (1..6)
        .map(|id| GtSegment {
            id: id.into(),
            category_id: i64::from(id) % 5,
            area: area(id),
            is_crowd: false,
        })
        .collect();
    let preds: Vec<_> = (1..6)
        .filter(|id| pred_map.contains(id))
        .map(|id| PredSegment { id: id.into(), category_id: i64::from(id) % 5 })
        .collect();
    let gt = SegmentMap { map: PixelMap { height, width, pixels: &gt_map }, segments: &gts };
    let pred = SegmentMap { map: PixelMap { height, width, pixels: &pred_map }, segments: &preds };
    quality.add(&ImageId::Number(index as i64), gt, pred).unwrap();
}

#[test]
fn order_and_sharing_do_not_change_a_bit() {
    let mut whole = quality();
    (0..60).for_each(|index| add(&mut whole, index));
    assert!(whole.counts().iter().all(|c| c.tp > 5), "{:?}", whole.counts());
    for shards in [2, 7] {
        let mut merged = quality();
        for shard in (0..shards).rev() {
            let mut part = quality();
            (0..60).rev().filter(|index| index % shards == shard).for_each(|index| add(&mut part, index));
            merged.merge(&part).unwrap();
        }
        assert_eq!(merged.finish(), whole.finish());
        assert_eq!(merged.quirks(), whole.quirks());
        assert_eq!(merged.images().unwrap().image_names(), whole.images().unwrap().image_names());
    }
}

#[test]
fn weights_count_images_again() {
    let (mut all, mut drawn) = (quality(), quality());
    (0..4).for_each(|index| add(&mut all, index));
    for index in [1, 3, 3, 3] {
        add(&mut drawn, index);
    }
    let images = all.images().unwrap();
    let named = |quality: &PanopticQuality| quality.finish().metrics.named().map(|(_, value)| value).to_vec();
    assert_eq!(images.weighted(&[1; 4]), named(&all));
    assert_eq!(images.weighted(&[0, 1, 0, 3]), named(&drawn));
    assert_eq!(images.image_names(), ["0", "1", "2", "3"]);
}

#[test]
fn unlike_counts_are_not_merged() {
    let other = PanopticQuality::new(vec![]).unwrap();
    assert!(quality().merge(&other).unwrap_err().to_string().contains("classes differ"));
    assert!(quality().merge(&quality().with_boundary()).unwrap_err().to_string().contains("options differ"));
}
