//! Training transforms, driven by the random numbers they are given.
//!
//! For segmentation each changes an image and its labels together: [`Pipeline`] runs the `[[data.augment]]` tables in order.
//! A resize is kept pending until something needs its pixels, so that a crop behind it computes only what it keeps.
//! For instances and panoptic segments [`segments::SegmentPipeline`] does so with masks, as detectron2 and Mask2Former.
//! For classification [`ImagePipeline`] does the same to images alone, with the transforms of torchvision and timm.

pub mod affine;
pub mod antialias;
pub mod center_crop;
pub mod color_jitter;
pub mod enhance;
pub mod flip;
pub mod hue;
mod image_pipeline;
pub mod mix;
pub mod normalize;
pub mod photometric;
pub mod rand_augment;
mod random;
pub mod random_crop;
pub mod random_erasing;
pub mod random_resize;
pub mod random_resized_crop;
pub mod resize;
pub mod resize_filter;
pub mod segments;
pub mod tone;

pub use image_pipeline::ImagePipeline;

use rand_pcg::Pcg64Mcg;

use crate::config::AugmentConfig;
use crate::sample::{Image, LabelMap, Sample};
use resize::Region;
use resize_filter::Resampling;

/// The training transforms of a recipe, in order.
#[derive(Debug, Clone)]
pub struct Pipeline {
    ops: Vec<AugmentConfig>,
}

/// A sample on its way through the pipeline.
struct State {
    image: Image,
    labels: LabelMap,
    /// Height and width that the sample stands for; the arrays have another size while a resize is pending.
    size: [usize; 2],
    /// How that resize is done.
    resampling: Resampling,
}

impl Pipeline {
    /// Takes validated tables, see [`crate::DataConfig::validate`].
    pub fn new(ops: &[AugmentConfig]) -> Self {
        Self { ops: ops.to_vec() }
    }

    /// Transforms one sample; a function of the sample and the state of `rng`. Image and labels keep a common size.
    pub fn apply(&self, sample: Sample, rng: &mut Pcg64Mcg) -> Sample {
        let Sample { name, image, labels } = sample;
        let (height, width) = labels.dim();
        let mut state = State { image, labels, size: [height, width], resampling: Resampling::Mmseg };
        for op in &self.ops {
            match op {
                AugmentConfig::RandomResize(cfg) => {
                    state.settle();
                    state.size = random_resize::draw(cfg, state.size, rng);
                    state.resampling = Resampling::Mmseg;
                }
                AugmentConfig::ResizeShortestEdge(cfg) => {
                    state.settle();
                    state.size = segments::draw_shortest_edge(cfg, state.size, rng);
                    state.resampling = Resampling::By(cfg.filter);
                }
                AugmentConfig::RandomCrop(cfg) => {
                    let State { image, labels, size, resampling } = &state;
                    let (region, labels) = random_crop::draw(cfg, labels, *size, *resampling, rng);
                    state.image = resampling.image(image, *size, region);
                    state.labels = labels;
                    state.size = region.size;
                }
                AugmentConfig::Flip(cfg) => {
                    state.settle();
                    flip::random(cfg, &mut state.image, &mut state.labels, rng);
                }
                AugmentConfig::Photometric(cfg) => {
                    state.settle();
                    photometric::random(cfg, &mut state.image, rng);
                }
            }
        }
        state.settle();
        Sample { name, image: state.image, labels: state.labels }
    }
}

impl State {
    /// Carries out a pending resize.
    fn settle(&mut self) {
        let (height, width) = self.labels.dim();
        if self.size != [height, width] {
            let whole = Region::whole(self.size);
            self.image = self.resampling.image(&self.image, self.size, whole);
            self.labels = self.resampling.labels(&self.labels, self.size, whole);
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Samples whose image tells its labels, so that a transform that parts the two is caught.

    use super::*;
    use ndarray::{Array2, Array3};

    /// Square cells of `cell` pixels with classes 0..5; the image has 40 * class in all channels.
    pub fn cells(height: usize, width: usize, cell: usize) -> Sample {
        let class = |y: usize, x: usize| ((y / cell) * 3 + (x / cell) * 7 + (y / cell) * (x / cell)) % 5;
        let labels = Array2::from_shape_fn((height, width), |(y, x)| class(y, x) as u8);
        let image = Array3::from_shape_fn((height, width, 3), |(y, x, _)| 40 * class(y, x) as u8);
        Sample { name: "cells".into(), image, labels }
    }

    /// Share of pixels whose image value is that of their label.
    pub fn agreement(image: &Image, labels: &LabelMap) -> f64 {
        let (height, width) = labels.dim();
        assert_eq!(image.dim(), (height, width, 3));
        let agree = labels.indexed_iter().filter(|((y, x), label)| {
            (0..3).all(|c| image[[*y, *x, c]].abs_diff(40 * **label) <= 2) //
        });
        agree.count() as f64 / labels.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::segments::{SegmentAugmentConfig, SegmentPipeline};
    use super::testing::{agreement, cells};
    use super::*;
    use crate::config::{FlipConfig, PhotometricConfig, RandomCropConfig, RandomResizeConfig};
    use crate::sample::{Segment, SegmentMasks, SegmentedSample};
    use crate::sampler::rng;
    use ndarray::s;

    fn resize_op() -> AugmentConfig {
        let cfg = RandomResizeConfig { scale: None, short_edge: None, ratio_range: [0.5, 2.0] };
        AugmentConfig::RandomResize(cfg)
    }

    fn crop_op(size: [u32; 2], class_balanced: f64) -> AugmentConfig {
        AugmentConfig::RandomCrop(RandomCropConfig { size, cat_max_ratio: 0.75, class_balanced })
    }

    fn flip_op() -> AugmentConfig {
        AugmentConfig::Flip(FlipConfig::default())
    }

    #[test]
    fn geometry_keeps_image_and_labels_aligned() {
        let pipeline = Pipeline::new(&[resize_op(), crop_op([64, 80], 0.3), flip_op()]);
        for index in 0..50 {
            let out = pipeline.apply(cells(96, 130, 16), &mut rng(1, 0, index));
            let (height, width) = out.labels.dim();
            assert!(height <= 64 && width <= 80);
            // Only pixels whose neighbourhood crosses a cell border may differ; cells are 8 to 32 pixels wide now.
            let share = agreement(&out.image, &out.labels);
            assert!(share > 0.7, "sample {index}: {share} of {height}x{width} agree");
        }
    }

    #[test]
    fn without_resize_alignment_is_exact() {
        let pipeline = Pipeline::new(&[crop_op([40, 50], 0.5), flip_op()]);
        for index in 0..50 {
            let out = pipeline.apply(cells(96, 130, 7), &mut rng(2, 0, index));
            assert_eq!(out.labels.dim(), (40, 50));
            assert_eq!(agreement(&out.image, &out.labels), 1.0);
        }
    }

    #[test]
    fn a_crop_of_a_pending_resize_is_a_crop_of_the_resized() {
        let sample = cells(70, 90, 9);
        for index in 0..20 {
            let AugmentConfig::RandomResize(cfg) = resize_op() else { unreachable!() };
            let size = random_resize::draw(&cfg, [70, 90], &mut rng(3, 0, index));
            let image = resize::image(&sample.image, size, Region::whole(size));
            let labels = resize::labels(&sample.labels, size, Region::whole(size));
            let region = Region { top: size[0] / 5, left: size[1] / 3, size: [size[0] / 2, size[1] / 2] };
            let [h, w] = region.size;
            let cut = s![region.top..region.top + h, region.left..region.left + w];
            assert_eq!(labels.slice(cut), resize::labels(&sample.labels, size, region));
            let cut = s![region.top..region.top + h, region.left..region.left + w, ..];
            let part = resize::image(&sample.image, size, region);
            let worst = image.slice(cut).iter().zip(&part).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "differs by {worst:?}"); // rounding of the window's position
        }
    }

    /// A label map is a panoptic map with one segment a class; that pipeline is compared with detectron2's.
    #[test]
    fn shortest_edges_give_the_pixels_of_the_pipeline_for_segments() {
        #[derive(serde::Deserialize)]
        struct Data<T> {
            augment: Vec<T>,
        }
        let text = r#"augment = [
            { op = "resize_shortest_edge", short_edges = [40, 77, 130], max_long_edge = 150 },
            { op = "random_crop", size = [48, 64] }, { op = "photometric" }, { op = "flip" },
        ]"#;
        let ops: Data<AugmentConfig> = toml::from_str(text).unwrap();
        let segment_ops: Data<SegmentAugmentConfig> = toml::from_str(text).unwrap();
        let segments: Vec<Segment> =
            (0..5).map(|class| Segment { class, thing: false, crowd: false }).collect();
        for index in 0..20 {
            let Sample { name, image, labels } = cells(96, 130, 7);
            let masks = SegmentMasks::Map(labels.mapv(u16::from));
            let segmented = SegmentedSample {
                name: name.clone(),
                image: image.clone(),
                segments: segments.clone(),
                masks,
            };
            let view =
                SegmentPipeline::new(&segment_ops.augment).apply(segmented, &mut rng(6, 0, index)).unwrap();
            let out =
                Pipeline::new(&ops.augment).apply(Sample { name, image, labels }, &mut rng(6, 0, index));
            assert_eq!(out.image, view.image);
            let (height, width) = out.labels.dim();
            let present = (0..5).filter(|class| out.labels.iter().any(|label| u16::from(*label) == *class));
            assert_eq!(present.collect::<Vec<_>>(), view.targets.classes);
            for (&class, mask) in view.targets.classes.iter().zip(view.targets.masks.outer_iter()) {
                let expected = out.labels.mapv(|label| u8::from(u16::from(label) == class));
                assert_eq!(mask.slice(s![..height, ..width]), expected, "sample {index}, class {class}");
            }
        }
    }

    #[test]
    fn the_same_numbers_give_the_same_sample() {
        let ops = [
            resize_op(),
            crop_op([64, 64], 0.3),
            flip_op(),
            AugmentConfig::Photometric(PhotometricConfig::default()),
        ];
        let pipeline = Pipeline::new(&ops);
        let run = |index| pipeline.apply(cells(90, 90, 11), &mut rng(5, 7, index));
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
