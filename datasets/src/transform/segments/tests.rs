//! Samples whose image tells its masks, so that a transform that parts the two is caught.

use ndarray::{Array2, Array3, s};

use super::*;
use crate::coco::Segmentation;
use crate::config::{FlipConfig, PhotometricConfig};
use crate::rle::Rle;
use crate::sampler::rng;

const CELL: usize = 16;

/// The cell of a pixel is its segment; the image has 12 times the segment's number, plus 10, in all channels.
fn cells(height: usize, width: usize) -> (Image, Vec<Segment>, Array2<u16>) {
    let across = width.div_ceil(CELL);
    let map = Array2::from_shape_fn((height, width), |(y, x)| ((y / CELL) * across + x / CELL) as u16 % 20);
    let image = Array3::from_shape_fn((height, width, 3), |(y, x, _)| value(map[[y, x]]));
    let segments = (0..20).map(|class| Segment { class, thing: class % 2 == 0, crowd: false }).collect();
    (image, segments, map)
}

fn value(class: u16) -> u8 {
    10 + 12 * class as u8
}

/// The same sample in its three forms.
fn forms(height: usize, width: usize) -> [SegmentedSample; 3] {
    let (image, segments, map) = cells(height, width);
    let across = width.div_ceil(CELL);
    let rles = (0..20).map(|i| {
        let mask = map.mapv(|v| u8::from(v == i));
        Segmentation::compressed(&Rle::encode(&mask).unwrap())
    });
    let squares = |i: usize| {
        let square = |cell: usize| {
            let (top, left) = ((cell / across * CELL) as f64, (cell % across * CELL) as f64);
            let (foot, right) = (top + CELL as f64, left + CELL as f64);
            vec![left, top, right, top, right, foot, left, foot]
        };
        (i..across * height.div_ceil(CELL)).step_by(20).map(square).collect()
    };
    let outlines = (0..20).map(|i| Segmentation::Polygons(squares(i)));
    [
        SegmentMasks::Map(map.clone()),
        SegmentMasks::Each(rles.collect()),
        SegmentMasks::Each(outlines.collect()),
    ]
    .map(|masks| SegmentedSample {
        name: "cells".into(),
        image: image.clone(),
        segments: segments.clone(),
        masks,
    })
}

fn flip_op() -> SegmentAugmentConfig {
    SegmentAugmentConfig::Flip(FlipConfig::default())
}

fn jitter(size: [u32; 2], scale: [f64; 2], filter: ResizeFilter) -> SegmentAugmentConfig {
    SegmentAugmentConfig::LargeScaleJitter(LargeScaleJitterConfig { size, scale, filter })
}

fn edge_op(filter: ResizeFilter) -> SegmentAugmentConfig {
    let short_edges = vec![60, 96, 150];
    SegmentAugmentConfig::ResizeShortestEdge(ResizeShortestEdgeConfig {
        short_edges,
        max_long_edge: 190,
        filter,
    })
}

fn crop_op(size: [u32; 2]) -> SegmentAugmentConfig {
    SegmentAugmentConfig::RandomCrop(SegmentCropConfig { size, max_category_area: 0.75 })
}

/// Share of the pixels of masks where the image has the value of the mask's class.
fn agreement(view: &SegmentView) -> f64 {
    let SegmentTargets { classes, masks } = &view.targets;
    let (n, height, width) = masks.dim();
    assert_eq!(n, classes.len());
    let (h, w, _) = view.image.dim();
    assert!(h <= height && w <= width);
    let (mut set, mut agree) = (0, 0);
    for ((n, y, x), _) in masks.indexed_iter().filter(|(_, v)| **v == 1) {
        assert!(y < h && x < w, "a mask in the padding");
        set += 1;
        agree += usize::from((0..3).all(|c| view.image[[y, x, c]].abs_diff(value(classes[n])) <= 1));
    }
    f64::from(agree as u32) / f64::from(set)
}

#[test]
fn geometry_keeps_image_and_masks_aligned() {
    for filter in [ResizeFilter::Pil, ResizeFilter::Opencv, ResizeFilter::Torch, ResizeFilter::TorchAntialias]
    {
        let jittered = [flip_op(), jitter([100, 120], [0.7, 2.0], filter)];
        let cropped = [edge_op(filter), crop_op([64, 80]), flip_op()];
        for ops in [&jittered[..], &cropped[..]] {
            let pipeline = SegmentPipeline::new(ops);
            for (form, sample) in forms(96, 130).into_iter().enumerate() {
                for index in 0..20 {
                    let view = pipeline.apply(sample.clone(), &mut rng(1, 0, index)).unwrap();
                    // Pixels along the cells' borders mix two values; cells are 8 to 32 pixels wide now.
                    let share = agreement(&view);
                    assert!(share > 0.5, "{filter:?}, form {form}, sample {index}: {share}");
                }
            }
        }
    }
}

#[test]
fn without_resize_alignment_is_exact_and_complete() {
    let pipeline = SegmentPipeline::new(&[crop_op([40, 50]), flip_op()]);
    for sample in forms(96, 130) {
        for index in 0..40 {
            let view = pipeline.apply(sample.clone(), &mut rng(2, 0, index)).unwrap();
            assert_eq!(view.image.dim(), (40, 50, 3));
            assert_eq!(agreement(&view), 1.0);
            let set = view.targets.masks.iter().filter(|&&v| v == 1).count();
            assert_eq!(set, 40 * 50, "every pixel has one segment");
        }
    }
}

#[test]
fn a_crop_of_a_pending_resize_is_a_crop_of_the_resized() {
    let [sample, ..] = forms(70, 90);
    for filter in [ResizeFilter::Pil, ResizeFilter::Opencv] {
        for (size, top, left) in [([33, 47], 5, 11), ([150, 201], 31, 77), ([70, 200], 9, 50)] {
            let whole = filter.image(&sample.image, size, Region::whole(size));
            let region = Region { top, left, size: [size[0] / 2, size[1] / 2] };
            let part = filter.image(&sample.image, size, region);
            let cut = s![top..top + size[0] / 2, left..left + size[1] / 2, ..];
            let worst = whole.slice(cut).iter().zip(&part).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "{filter:?} {size:?}: {worst:?}"); // rounding of the window's position
        }
    }
}

#[test]
fn small_images_are_padded_to_the_crop() {
    let pipeline = SegmentPipeline::new(&[jitter([128, 128], [0.5, 0.5], ResizeFilter::Pil)]);
    let [sample, ..] = forms(96, 128);
    let view = pipeline.apply(sample, &mut rng(0, 0, 0)).unwrap();
    assert_eq!(view.image.dim(), (48, 64, 3));
    let (_, height, width) = view.targets.masks.dim();
    assert_eq!((height, width), (128, 128));
    assert!(view.targets.masks.slice(s![.., 48.., ..]).iter().all(|&v| v == 0));
    assert!(view.targets.masks.slice(s![.., .., 64..]).iter().all(|&v| v == 0));
}

#[test]
fn images_without_segments_are_legal() {
    let pipeline = SegmentPipeline::new(&[jitter([32, 32], [0.1, 2.0], ResizeFilter::Pil)]);
    let (image, ..) = cells(40, 50);
    let masks = SegmentMasks::Each(vec![]);
    let sample = SegmentedSample { name: "empty".into(), image, segments: vec![], masks };
    let view = pipeline.apply(sample, &mut rng(0, 0, 0)).unwrap();
    assert_eq!((view.targets.classes.len(), view.targets.masks.dim()), (0, (0, 32, 32)));
}

#[test]
fn the_same_numbers_give_the_same_sample() {
    let photometric = SegmentAugmentConfig::Photometric(PhotometricConfig::default());
    let pipeline =
        SegmentPipeline::new(&[edge_op(ResizeFilter::Pil), crop_op([64, 64]), photometric, flip_op()]);
    let [sample, ..] = forms(90, 90);
    let run = |index| pipeline.apply(sample.clone(), &mut rng(5, 7, index)).unwrap();
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn masks_that_do_not_fit_name_sample_and_segment() {
    let pipeline = SegmentPipeline::new(&[]);
    let message = |masks: SegmentMasks| {
        let (image, segments, _) = cells(20, 20);
        let segments = segments[..2].to_vec();
        let sample = SegmentedSample { name: "a/b".into(), image, segments, masks };
        pipeline.apply(sample, &mut rng(0, 0, 0)).unwrap_err().to_string()
    };
    let outline = Segmentation::Polygons(vec![vec![0.0; 8]]);
    let count = message(SegmentMasks::Each(vec![outline.clone()]));
    assert_eq!(count, "a/b: masks: 1 masks, expected one for each of 2 segments");
    let size = message(SegmentMasks::Map(Array2::zeros((20, 19))));
    assert_eq!(size, "a/b: masks: a map of 20x19 (HxW), expected 20x20 as its image");
    let mut map = Array2::from_elem((20, 20), NO_SEGMENT);
    map[[3, 4]] = 2;
    assert_eq!(
        message(SegmentMasks::Map(map)),
        "a/b: masks: a pixel of segment 2, expected one of 2 segments"
    );
    let broken = Segmentation::Compressed { size: [20, 20], counts: "5X".into() };
    let text = message(SegmentMasks::Each(vec![outline, broken]));
    assert!(text.starts_with("a/b: segment 1: run-length encoded mask: "), "{text}");
}
