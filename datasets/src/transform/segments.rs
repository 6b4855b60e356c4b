//! Training transforms of samples with segments, as the mappers of Mask2Former make them.
//!
//! Paper: Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022
//! (<https://arxiv.org/abs/2112.01527>), section 4.1. Reference code: facebookresearch/Mask2Former,
//! `mask2former/data/dataset_mappers` (MIT), on transforms of facebookresearch/detectron2 (Apache-2.0).
//! Differs from the reference: padding is 0 after normalisation instead of 128 before it, always at the bottom and on the
//! right; see also `draw`, `large_scale_jitter` and [`photometric`].
//! Shapes: image `[H, W, 3]` and segments -> image `[h, w, 3]` and masks `[N, H', W']`, the size of the last crop.
//! Checked by: `segments/parity.rs`.
//!
//! Masks stay outlines, run lengths or a map until all transforms are through; then their last window is drawn. A resize of
//! the image is kept pending likewise, so that a crop behind it computes only what it keeps.

mod config;
mod crop;
mod draw;
mod eval_view;
mod frame;
mod large_scale_jitter;
mod shortest_edge;
mod targets;

use std::path::Path;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::resize::Region;
use super::resize_filter::ResizeFilter;
use super::{flip, photometric};
use crate::DataError;
use crate::sample::{Image, NO_SEGMENT, Segment, SegmentMasks, SegmentedSample};
use draw::{Drawn, Undrawable};
use frame::Frame;

pub use config::{
    LargeScaleJitterConfig, ResizeShortestEdgeConfig, SegmentAugmentConfig, SegmentCropConfig, crop_size,
    validate,
};
pub use eval_view::{EvalView, Look, SegmentEvalConfig};
pub(super) use shortest_edge::draw as draw_shortest_edge;
pub use targets::{SegmentBatch, SegmentTargets, SegmentView};

/// The training transforms of an instance or panoptic recipe, in order.
#[derive(Debug, Clone)]
pub struct SegmentPipeline {
    ops: Vec<SegmentAugmentConfig>,
    /// Height and width that samples are padded to at least.
    min_size: [usize; 2],
}

/// The image on its way through the pipeline, and what happened to its geometry.
struct State {
    image: Image,
    /// Size to which the image is still to be resized.
    pending: Option<([usize; 2], ResizeFilter)>,
    frame: Frame,
}

impl SegmentPipeline {
    /// Takes validated tables, see [`validate`].
    pub fn new(ops: &[SegmentAugmentConfig]) -> Self {
        Self { ops: ops.to_vec(), min_size: crop_size(ops).unwrap_or([1, 1]) }
    }

    /// Transforms one sample; a function of it and the state of `rng`. Crowds are left out, and so are segments of which
    /// the transforms leave no pixel.
    ///
    /// # Errors
    /// [`DataError::Record`], naming sample and segment: masks that do not fit the image or are none.
    pub fn apply(&self, sample: SegmentedSample, rng: &mut Pcg64Mcg) -> Result<SegmentView, DataError> {
        check(&sample)?;
        let SegmentedSample { name, image, segments, masks } = sample;
        let (height, width, _) = image.dim();
        let mut state = State { image, pending: None, frame: Frame::new([height, width]) };
        for op in &self.ops {
            state.apply(op, &segments, &masks, rng);
        }
        state.settle();
        let frame = &state.frame;
        let size = [0, 1].map(|axis| frame.size()[axis].max(self.min_size[axis]));
        let Drawn { kept, masks } = draw::draw(&segments, &masks, [height, width], frame, size)
            .map_err(|Undrawable { segment, reason }| refuse(&name, segment, reason.to_string()))?;
        let classes = kept.into_iter().map(|i| segments[i].class).collect();
        Ok(SegmentView { name, image: state.image, targets: SegmentTargets { classes, masks } })
    }
}

impl State {
    fn apply(
        &mut self,
        op: &SegmentAugmentConfig,
        segments: &[Segment],
        masks: &SegmentMasks,
        rng: &mut Pcg64Mcg,
    ) {
        match op {
            SegmentAugmentConfig::LargeScaleJitter(cfg) => {
                let (size, window) = large_scale_jitter::draw(cfg, self.frame.size(), rng);
                self.resize(size, cfg.filter);
                self.crop(window);
            }
            SegmentAugmentConfig::ResizeShortestEdge(cfg) => {
                let size = shortest_edge::draw(cfg, self.frame.size(), rng);
                self.resize(size, cfg.filter);
            }
            SegmentAugmentConfig::RandomCrop(cfg) => {
                let window = crop::draw(cfg, segments, masks, &self.frame, rng);
                self.crop(window);
            }
            SegmentAugmentConfig::Flip(cfg) => {
                if rng.random_bool(cfg.prob) {
                    self.settle();
                    flip::image(cfg.direction, &mut self.image);
                    self.frame.mirror(cfg.direction);
                }
            }
            SegmentAugmentConfig::Photometric(cfg) => {
                self.settle();
                photometric::random(cfg, &mut self.image, rng);
            }
        }
    }

    fn resize(&mut self, size: [usize; 2], filter: ResizeFilter) {
        self.settle();
        self.pending = Some((size, filter));
        self.frame.resize(size, filter);
    }

    fn crop(&mut self, window: Region) {
        let (size, filter) = self.pending.take().unwrap_or((self.frame.size(), ResizeFilter::default()));
        self.image = filter.image(&self.image, size, window);
        self.frame.crop(window);
    }

    /// Carries out a pending resize.
    fn settle(&mut self) {
        if let Some((size, filter)) = self.pending.take() {
            self.image = filter.image(&self.image, size, Region::whole(size));
        }
    }
}

/// Whether masks and segments belong to each other and to the image.
fn check(sample: &SegmentedSample) -> Result<(), DataError> {
    let count = sample.segments.len();
    let wrong = match &sample.masks {
        SegmentMasks::Each(each) if each.len() != count => {
            format!("{} masks, expected one for each of {count} segments", each.len())
        }
        SegmentMasks::Each(_) => return Ok(()),
        SegmentMasks::Map(map) => {
            let ((h, w), (height, width, _)) = (map.dim(), sample.image.dim());
            if (h, w) != (height, width) {
                format!("a map of {h}x{w} (HxW), expected {height}x{width} as its image")
            } else if count > usize::from(NO_SEGMENT) {
                format!("{count} segments in a map, expected at most {NO_SEGMENT}")
            } else if let Some(value) = draw::stray_value(map, count) {
                format!("a pixel of segment {value}, expected one of {count} segments")
            } else {
                return Ok(());
            }
        }
    };
    Err(DataError::record(Path::new(&sample.name), "masks", wrong))
}

fn refuse(name: &str, segment: usize, reason: String) -> DataError {
    DataError::record(Path::new(name), format!("segment {segment}"), reason)
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
