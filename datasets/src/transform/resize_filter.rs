//! Whose pixels a resize reproduces. Every code base has its own rule for images and its own for masks, and a network
//! that was trained with one scores a little lower with another.
//!
//! | filter | images | masks: source pixel of target `t` at step `s = source / target` |
//! | --- | --- | --- |
//! | `pil` | triangle as wide as the step: antialiased | `floor((t + 1/2) s)` |
//! | `opencv` | between pixel centres, not antialiased | `floor(t s)` |
//! | `torch` | between pixel centres, not antialiased | `floor(t s)` in 32 bits |
//! | `torch_antialias` | antialiased | `floor(t s)` in 32 bits |
//!
//! Differs from the references: weights of images have 16 bits, so a value may be 1 apart. Masks are the same.
//! Checked by: `segments/parity.rs` (Pillow's, OpenCV's and torch's pixels).

use fast_image_resize::{FilterType, ResizeAlg};
use serde::{Deserialize, Serialize};

use super::resize::{self, Region};
use crate::sample::{Image, LabelMap};
use crate::stage;

/// How images and masks are resized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Pillow's `BILINEAR` and `NEAREST`: detectron2, and with it Mask2Former.
    #[default]
    Pil,
    /// OpenCV's `INTER_LINEAR` and `INTER_NEAREST`: mmsegmentation, mmdetection.
    Opencv,
    /// torch's `interpolate`, `bilinear` and `nearest`.
    Torch,
    /// The same with `antialias = true`: torchvision's `resize` of tensors.
    TorchAntialias,
}

impl ResizeFilter {
    /// The window `region` of `image` resized to `target` (height, width): `[H, W, 3]` -> `[region H, region W, 3]`.
    pub fn image(self, image: &Image, target: [usize; 2], region: Region) -> Image {
        resize::window(image, target, region, self.algorithm())
    }

    /// The window `region` of `labels` resized to `target` (height, width): `[H, W]` -> `[region H, region W]`.
    pub fn labels(self, labels: &LabelMap, target: [usize; 2], region: Region) -> LabelMap {
        stage::enter!(MASKS);
        let (height, width) = labels.dim();
        let window = |source, target, from: usize, count: usize| -> Vec<usize> {
            let all = self.nearest(source, target);
            all[from..from + count].iter().map(|&at| at as usize).collect()
        };
        let rows = window(height, target[0], region.top, region.size[0]);
        let columns = window(width, target[1], region.left, region.size[1]);
        resize::look_up(labels, &rows, &columns)
    }

    /// Source position of every target position of an edge of `source` pixels resized to `target` pixels, for masks.
    pub fn nearest(self, source: usize, target: usize) -> Vec<u32> {
        if source == target {
            return (0..source as u32).collect();
        }
        let last = source.saturating_sub(1) as u32;
        match self {
            Self::Pil => {
                // Pillow adds the step up from pixel to pixel; its last bits decide at whole numbers.
                let step = source as f64 / target as f64;
                let centres = std::iter::successors(Some(step / 2.0), |at| Some(at + step));
                centres.take(target).map(|at| (at as u32).min(last)).collect()
            }
            Self::Opencv => {
                // OpenCV inverts the factor, which is not the quotient to the last bit.
                let step = 1.0 / (target as f64 / source as f64);
                (0..target).map(|at| ((at as f64 * step) as u32).min(last)).collect()
            }
            Self::Torch | Self::TorchAntialias => {
                let step = source as f32 / target as f32;
                (0..target).map(|at| ((at as f32 * step) as u32).min(last)).collect()
            }
        }
    }

    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Pil | Self::TorchAntialias => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::Opencv | Self::Torch => ResizeAlg::Interpolation(FilterType::Bilinear),
        }
    }
}

/// The rule of a resize that is still to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resampling {
    /// That of [`resize`]: mmsegmentation's.
    Mmseg,
    /// Another code base's.
    By(ResizeFilter),
}

impl Resampling {
    /// The window `region` of `image` resized to `target` (height, width): `[H, W, 3]` -> `[region H, region W, 3]`.
    pub fn image(self, image: &Image, target: [usize; 2], region: Region) -> Image {
        match self {
            Self::Mmseg => resize::image(image, target, region),
            Self::By(filter) => filter.image(image, target, region),
        }
    }

    /// The same of labels: `[H, W]` -> `[region H, region W]`.
    pub fn labels(self, labels: &LabelMap, target: [usize; 2], region: Region) -> LabelMap {
        match self {
            Self::Mmseg => resize::labels(labels, target, region),
            Self::By(filter) => filter.labels(labels, target, region),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_doubles_by_each_rule() {
        use ResizeFilter::{Opencv, Pil, Torch};
        assert_eq!(Pil.nearest(4, 2), [1, 3]); // floor of 1, 3
        assert_eq!(Opencv.nearest(4, 2), [0, 2]);
        assert_eq!(Torch.nearest(4, 2), [0, 2]);
        for filter in [Pil, Opencv, Torch] {
            assert_eq!(filter.nearest(2, 4), [0, 0, 1, 1], "{filter:?}");
            assert_eq!(filter.nearest(3, 3), [0, 1, 2], "{filter:?}");
        }
        assert_eq!(Pil.nearest(5, 3), [0, 2, 4]); // floor of 5/6, 15/6, 25/6
        assert_eq!(Opencv.nearest(5, 3), [0, 1, 3]); // floor of 0, 5/3, 10/3
    }

    #[test]
    fn positions_rise_and_stay_inside() {
        for filter in [ResizeFilter::Pil, ResizeFilter::Opencv, ResizeFilter::Torch] {
            for (source, target) in [(1, 9), (640, 1), (427, 2048), (2048, 427), (97, 101)] {
                let at = filter.nearest(source, target);
                assert_eq!(at.len(), target);
                assert!(
                    at.is_sorted() && at.iter().all(|&v| (v as usize) < source),
                    "{filter:?} {source} {target}"
                );
            }
        }
    }
}
