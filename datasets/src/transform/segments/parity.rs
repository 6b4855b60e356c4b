//! Sizes, pixels and masks against Pillow 13.0.0, OpenCV 5.0.0, torch 2.11.0 and detectron2's formulas;
//! `scripts/goldens/make_segment_transforms.py` makes the files.

use std::path::{Path, PathBuf};

use ndarray::{Array2, s};
use serde::Deserialize;

use super::frame::Frame;
use super::{draw, large_scale_jitter, shortest_edge};
use crate::coco::{Segmentation, read_json};
use crate::config::FlipDirection;
use crate::decode;
use crate::rle::Rle;
use crate::sample::{NO_SEGMENT, Segment, SegmentMasks};
use crate::transform::resize::Region;
use crate::transform::resize_filter::ResizeFilter;

#[derive(Deserialize)]
struct Golden {
    images: Vec<ImageCase>,
    nearest: Vec<NearestCase>,
    jitter: Vec<JitterCase>,
    shortest: Vec<ShortestCase>,
    run_lengths: Vec<MaskCase>,
    outlines: Vec<MaskCase>,
}

#[derive(Deserialize)]
struct ImageCase {
    filter: ResizeFilter,
    size: [usize; 2],
}

#[derive(Deserialize)]
struct NearestCase {
    filter: ResizeFilter,
    source: usize,
    target: usize,
    sum: u64,
    positions: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct JitterCase {
    size: [usize; 2],
    crop: [usize; 2],
    scale: f64,
    share: f64,
    resized: [usize; 2],
    offset: [usize; 2],
    kept: [usize; 2],
}

#[derive(Deserialize)]
struct ShortestCase {
    size: [usize; 2],
    short_edge: u32,
    max_long_edge: u32,
    resized: [usize; 2],
}

#[derive(Deserialize)]
struct MaskCase {
    size: [u32; 2],
    before: bool,
    resized: [usize; 2],
    window: [usize; 4],
    after: bool,
    #[serde(default)]
    outlines: Vec<Vec<f64>>,
    #[serde(default)]
    counts: String,
    expected: String,
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn golden() -> Golden {
    read_json(&golden_path("segment_transforms.json")).unwrap()
}

impl MaskCase {
    fn frame(&self) -> Frame {
        let [top, left, height, width] = self.window;
        let mut frame = Frame::new(self.size.map(|edge| edge as usize));
        if self.before {
            frame.mirror(FlipDirection::Horizontal);
        }
        frame.resize(self.resized, ResizeFilter::Pil);
        frame.crop(Region { top, left, size: [height, width] });
        if self.after {
            frame.mirror(FlipDirection::Horizontal);
        }
        frame
    }

    fn expected(&self) -> Array2<u8> {
        let [_, _, height, width] = self.window.map(|edge| edge as u32);
        Rle::from_compressed([height, width], &self.expected).unwrap().decode()
    }
}

/// The mask of the case's window; all zeros if the segment is dropped.
fn draw_case(case: &MaskCase, masks: &SegmentMasks) -> Array2<u8> {
    let frame = case.frame();
    let segment = Segment { class: 0, thing: true, crowd: false };
    let (image_size, size) = (case.size.map(|edge| edge as usize), frame.size());
    let drawn = draw::draw(&[segment], masks, image_size, &frame, size).unwrap();
    if drawn.kept.is_empty() { Array2::zeros(size) } else { drawn.masks.slice(s![0, .., ..]).to_owned() }
}

#[test]
fn images_are_the_references_but_for_rounding() {
    let sheet = decode::image(&golden_path("segment_transforms.png")).unwrap();
    let cut = |top: usize, [height, width]: [usize; 2]| {
        sheet.slice(s![top..top + height, ..width, ..]).as_standard_layout().into_owned()
    };
    let input = cut(0, [45, 61]);
    let mut top = 45;
    let mut apart = [0.0_f64; 4];
    for ImageCase { filter, size } in golden().images {
        let expected = cut(top, size);
        top += size[0];
        let got = filter.image(&input, size, Region::whole(size));
        let differences: Vec<u8> = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
        let worst = differences.iter().max();
        assert!(worst <= Some(&1), "{filter:?} to {size:?}: {worst:?} apart");
        let share = differences.iter().filter(|apart| **apart > 0).count() as f64 / differences.len() as f64;
        apart[filter as usize] = apart[filter as usize].max(share);
    }
    println!("largest share of values that are 1 apart: pil, opencv, torch, torch_antialias: {apart:.3?}");
    assert!(apart.iter().all(|share| *share < 0.35), "{apart:?}");
}

#[test]
fn masks_take_the_source_pixels_that_the_references_take() {
    for NearestCase { filter, source, target, sum, positions } in golden().nearest {
        let at = filter.nearest(source, target);
        if let Some(positions) = positions {
            assert_eq!(at, positions, "{filter:?} from {source} to {target}");
        }
        let got: u64 = (1..).zip(&at).map(|(i, at)| i * (u64::from(*at) + 1)).sum();
        assert_eq!(got, sum, "{filter:?} from {source} to {target}");
    }
}

#[test]
fn sizes_and_offsets_are_detectron2s() {
    let golden = golden();
    for JitterCase { size, crop, scale, share, resized, offset, kept } in golden.jitter {
        let target = large_scale_jitter::resized(size, crop, scale);
        assert_eq!(target, resized, "{size:?} into {crop:?} times {scale}");
        let window = large_scale_jitter::window(target, crop, share);
        let expected = Region { top: offset[0], left: offset[1], size: kept };
        assert_eq!(window, expected, "{resized:?} cut to {crop:?} at {share}");
    }
    for ShortestCase { size, short_edge, max_long_edge, resized } in golden.shortest {
        let got = shortest_edge::resized(size, short_edge, max_long_edge);
        assert_eq!(got, resized, "{size:?} to {short_edge}, at most {max_long_edge}");
    }
}

#[test]
fn run_lengths_and_maps_are_pillows_to_the_pixel() {
    for case in golden().run_lengths {
        let rle = Rle::from_compressed(case.size, &case.counts).unwrap();
        let map = rle.decode().mapv(|set| if set == 1 { 0 } else { NO_SEGMENT });
        let compressed = Segmentation::Compressed { size: case.size, counts: case.counts.clone() };
        let plain = Segmentation::Uncompressed { size: case.size, counts: rle.counts().to_vec() };
        let (compressed, plain) = (SegmentMasks::Each(vec![compressed]), SegmentMasks::Each(vec![plain]));
        for masks in [compressed, plain, SegmentMasks::Map(map)] {
            assert_eq!(draw_case(&case, &masks), case.expected(), "{:?} to {:?}", case.size, case.resized);
        }
    }
}

#[test]
fn outlines_are_the_references_but_for_those_it_cuts() {
    let (mut different, mut set, mut whole) = (0, 0, 0);
    for case in golden().outlines {
        let frame = case.frame();
        let [height, width] = frame.size().map(|edge| edge as f64);
        let is_inside = case.outlines.iter().all(|outline| {
            let moved = frame.outline(outline);
            let (points, _) = moved.as_chunks::<2>();
            points.iter().all(|[x, y]| (0.0..=width).contains(x) && (0.0..=height).contains(y))
        });
        let masks = SegmentMasks::Each(vec![Segmentation::Polygons(case.outlines.clone())]);
        let (got, expected) = (draw_case(&case, &masks), case.expected());
        let apart = got.iter().zip(&expected).filter(|(got, expected)| got != expected).count();
        if is_inside {
            assert_eq!(apart, 0, "{:?}, nothing cut", case.outlines);
            whole += 1;
        }
        different += apart;
        set += expected.iter().filter(|&&v| v == 1).count();
    }
    println!("{different} of {set} pixels differ; {whole} outlines are not cut, and equal");
    assert!(set > 20_000 && whole > 20, "{set} pixels, {whole} whole");
    assert!((different as f64) < 4e-3 * set as f64, "{different} of {set}");
}
