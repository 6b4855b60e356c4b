//! `random_crop`: a window of at most the given size, drawn again while one class fills it.
//!
//! Reference code: facebookresearch/detectron2, `RandomCrop_CategoryAreaConstraint` in
//! `data/transforms/augmentation_impl.py`, Apache-2.0. Differs from the reference: windows are looked at in the panoptic
//! map, where the reference has a semantic map beside it; pixels without a segment are those it ignores.

use ndarray::Array2;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::config::SegmentCropConfig;
use super::draw;
use super::frame::Frame;
use crate::sample::{Segment, SegmentMasks};
use crate::transform::resize::Region;

/// Windows drawn for `max_category_area` before the last one is taken as it is.
const TRIES: usize = 10;

/// Draws a window of the frame. An edge shorter than the window's is kept whole.
pub(super) fn draw(
    cfg: &SegmentCropConfig,
    segments: &[Segment],
    masks: &SegmentMasks,
    frame: &Frame,
    rng: &mut Pcg64Mcg,
) -> Region {
    let size = frame.size();
    let window = [0, 1].map(|axis| size[axis].min(cfg.size[axis] as usize));
    let mut region = anywhere(size, window, rng);
    if let SegmentMasks::Map(map) = masks
        && cfg.max_category_area < 1.0
    {
        for _ in 1..TRIES {
            if is_mixed(segments, map, frame, region, cfg.max_category_area) {
                break;
            }
            region = anywhere(size, window, rng);
        }
    }
    region
}

fn anywhere(size: [usize; 2], window: [usize; 2], rng: &mut Pcg64Mcg) -> Region {
    let top = rng.random_range(0..=(size[0] - window[0]) as u64) as usize;
    let left = rng.random_range(0..=(size[1] - window[1]) as u64) as usize;
    Region { top, left, size: window }
}

/// Whether there are two classes at least and none covers `max_area` of the pixels that have one.
fn is_mixed(segments: &[Segment], map: &Array2<u16>, frame: &Frame, region: Region, max_area: f64) -> bool {
    let Region { top, left, size: [height, width] } = region;
    let (rows, columns) = (&frame.rows()[top..top + height], &frame.columns()[left..left + width]);
    let areas = draw::areas(map, segments.len(), rows, columns);
    let classes = segments.iter().map(|segment| usize::from(segment.class) + 1).max().unwrap_or(0);
    let mut of_class = vec![0; classes];
    segments.iter().zip(areas).for_each(|(segment, area)| of_class[usize::from(segment.class)] += area);
    let (total, most): (u64, u64) = (of_class.iter().sum(), of_class.iter().copied().max().unwrap_or(0));
    most < total && (most as f64) < max_area * total as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::NO_SEGMENT;
    use crate::sampler::rng;

    fn cfg(max_category_area: f64) -> SegmentCropConfig {
        SegmentCropConfig { size: [20, 30], max_category_area }
    }

    fn segment(class: u16) -> Segment {
        Segment { class, thing: true, crowd: false }
    }

    #[test]
    fn windows_lie_inside_and_reach_every_edge() {
        let (frame, masks) = (Frame::new([50, 64]), SegmentMasks::Each(vec![]));
        let regions: Vec<Region> =
            (0..3000).map(|i| draw(&cfg(0.5), &[], &masks, &frame, &mut rng(0, 0, i))).collect();
        assert!(regions.iter().all(|r| r.size == [20, 30] && r.top <= 30 && r.left <= 34));
        assert!([0, 30].iter().all(|edge| regions.iter().any(|r| r.top == *edge)));
        assert!([0, 34].iter().all(|edge| regions.iter().any(|r| r.left == *edge)));
        let small = draw(&cfg(0.5), &[], &masks, &Frame::new([10, 64]), &mut rng(0, 0, 0));
        assert_eq!((small.top, small.size), (0, [10, 30]));
    }

    #[test]
    fn one_class_windows_are_drawn_again() {
        // Segments 0 and 1 have one class, segment 2 in the right fifth has another.
        let segments = [segment(4), segment(4), segment(1)];
        let map = Array2::from_shape_fn((40, 100), |(y, x)| match (y, x) {
            (0..3, _) => NO_SEGMENT,
            (_, 80..) => 2,
            _ => (x % 2) as u16,
        });
        let frame = Frame::new([40, 100]);
        let masks = SegmentMasks::Map(map.clone());
        let mixed = |max| {
            let is_mixed = |i: &u64| {
                let region = draw(&cfg(max), &segments, &masks, &frame, &mut rng(1, 0, *i));
                super::is_mixed(&segments, &map, &frame, region, 0.75)
            };
            (0..500).filter(is_mixed).count()
        };
        // Windows of 30 columns that start at 58..=70 of 0..=70 are mixed enough: 0.18 or so, with ten tries 0.86.
        let (off, on) = (mixed(1.0), mixed(0.75));
        assert!((40..140).contains(&off), "{off}");
        assert!(on > 380, "{on}");
    }
}
