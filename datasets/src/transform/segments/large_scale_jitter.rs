//! `large_scale_jitter`: the sizes and offsets of detectron2's `ResizeScale` and `FixedSizeCrop`, in its arithmetic.
//!
//! Paper: Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, CVPR 2021
//! (<https://arxiv.org/abs/2012.07177>), section 3. Reference code: facebookresearch/detectron2,
//! `data/transforms/augmentation_impl.py`, Apache-2.0.
//! Differs from the reference: an edge that would round to 0 pixels is 1 long; padding is 0 after normalisation, where the
//! reference pads with 128 before it.
//! Checked by: `segments/parity.rs`.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::config::LargeScaleJitterConfig;
use crate::transform::resize::Region;

/// Draws the new size (height, width) of an image of `size`, and the window of it that is kept.
pub(super) fn draw(
    cfg: &LargeScaleJitterConfig,
    size: [usize; 2],
    rng: &mut Pcg64Mcg,
) -> ([usize; 2], Region) {
    let crop = cfg.size.map(|edge| edge as usize);
    let target = resized(size, crop, rng.random_range(cfg.scale[0]..=cfg.scale[1]));
    (target, window(target, crop, rng.random()))
}

/// The size of an image that is fitted into `scale` times `crop`, both (height, width).
pub(super) fn resized(size: [usize; 2], crop: [usize; 2], scale: f64) -> [usize; 2] {
    let ratio = |axis: usize| crop[axis] as f64 * scale / size[axis] as f64;
    let factor = ratio(0).min(ratio(1));
    size.map(|edge| ((edge as f64 * factor).round_ties_even() as usize).max(1))
}

/// The window of at most `crop` pixels of an image of `size`; one `share` in 0 to 1 places it on both axes.
pub(super) fn window(size: [usize; 2], crop: [usize; 2], share: f64) -> Region {
    let offset =
        |axis: usize| (size[axis].saturating_sub(crop[axis]) as f64 * share).round_ties_even() as usize;
    Region { top: offset(0), left: offset(1), size: [size[0].min(crop[0]), size[1].min(crop[1])] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;
    use crate::transform::resize_filter::ResizeFilter;

    #[test]
    fn sizes_fit_the_scaled_crop() {
        // 1024 / 640 = 1.6 limits, not 1024 / 480.
        assert_eq!(resized([480, 640], [1024, 1024], 1.0), [768, 1024]);
        assert_eq!(resized([480, 640], [1024, 1024], 0.1), [77, 102]); // 76.8, 102.4
        assert_eq!(resized([640, 480], [512, 1024], 2.0), [1024, 768]);
        assert_eq!(resized([1, 1000], [64, 64], 0.5), [1, 32]); // 0.032 rows
    }

    #[test]
    fn one_share_places_both_axes() {
        let at = |share| window([150, 90], [100, 100], share);
        assert_eq!(at(0.0), Region { top: 0, left: 0, size: [100, 90] });
        assert_eq!(at(0.25), Region { top: 12, left: 0, size: [100, 90] }); // 12.5 to even
        assert_eq!(window([150, 190], [100, 100], 0.75), Region { top: 38, left: 68, size: [100, 100] });
    }

    #[test]
    fn draws_cover_their_ranges() {
        let cfg = LargeScaleJitterConfig { size: [100, 100], scale: [0.5, 2.0], filter: ResizeFilter::Pil };
        let drawn: Vec<_> = (0..500).map(|i| draw(&cfg, [50, 50], &mut rng(0, 0, i))).collect();
        assert!(drawn.iter().all(|([h, w], _)| h == w && (50..=200).contains(h)));
        assert!(
            drawn.iter().all(|(size, at)| at.top + at.size[0] <= size[0] && at.left + at.size[1] <= size[1])
        );
        assert!(drawn.iter().any(|(size, _)| size[0] < 60) && drawn.iter().any(|(size, _)| size[0] > 190));
        assert!(drawn.iter().any(|(_, at)| at.top > 70));
    }
}
