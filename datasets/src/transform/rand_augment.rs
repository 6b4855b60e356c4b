//! `rand_augment`: a few random changes of one strength (Cubuk et al., 2019, <https://arxiv.org/abs/1909.13719>), as timm's
//! `rand-m9-mstd0.5-inc1`: 15 changes whose severity rises with the magnitude.
//!
//! Reference code: timm 1.0.31 `auto_augment.py` (Apache-2.0), on Pillow. Differs from the reference: only the rising set; a
//! posterisation to 0 bits, which newer Pillow refuses, is black.
//! Checked by: `tests/augment.rs` (every change against Pillow's pixels), the tests below (draws).

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::antialias::Filter;
use super::random::{normal, sign};
use super::{affine, enhance, tone};
use crate::image_folder::RandAugmentConfig;
use crate::sample::Image;

/// The largest magnitude.
const MOST: f64 = 10.0;

/// One change with all that decides it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Every channel spread over all values.
    AutoContrast,
    /// Values of every channel equally frequent.
    Equalize,
    /// All values inverted.
    Invert,
    /// Degrees counter-clockwise.
    Rotate(f64),
    /// Most significant bits that are kept.
    Posterize(u8),
    /// Values from this one on are inverted.
    Solarize(u16),
    /// Added to values below 128.
    SolarizeAdd(u8),
    /// Factor, see [`enhance::color`].
    Color(f64),
    /// Factor, see [`enhance::contrast`].
    Contrast(f64),
    /// Factor, see [`enhance::brightness`].
    Brightness(f64),
    /// Factor, see [`enhance::sharpness`].
    Sharpness(f64),
    /// Pixels to the right a row.
    ShearX(f64),
    /// Pixels down a column.
    ShearY(f64),
    /// Share of the width.
    TranslateX(f64),
    /// Share of the height.
    TranslateY(f64),
}

/// Number of changes to draw from.
const CHANGES: u32 = 15;

impl Change {
    /// The change with this number at a magnitude of 0 to 10; `sign` is its direction where it has two.
    fn at(number: u32, magnitude: f64, sign: f64) -> Self {
        let level = magnitude / MOST;
        let factor = || (1.0 + sign * level * 0.9).max(0.1);
        match number {
            0 => Self::AutoContrast,
            1 => Self::Equalize,
            2 => Self::Invert,
            3 => Self::Rotate(sign * level * 30.0),
            4 => Self::Posterize(4 - (level * 4.0) as u8),
            5 => Self::Solarize(256 - (level * 256.0) as u16),
            6 => Self::SolarizeAdd((level * 110.0) as u8),
            7 => Self::Color(factor()),
            8 => Self::Contrast(factor()),
            9 => Self::Brightness(factor()),
            10 => Self::Sharpness(factor()),
            11 => Self::ShearX(sign * level * 0.3),
            12 => Self::ShearY(sign * level * 0.3),
            13 => Self::TranslateX(sign * level * 0.45),
            _ => Self::TranslateY(sign * level * 0.45),
        }
    }

    /// Changes an image `[H, W, 3]` in standard layout. Moved pixels are looked up by `filter`; what comes from outside has
    /// the colour `fill`.
    pub fn apply(self, image: &mut Image, filter: Filter, fill: [u8; 3]) {
        let (height, width, _) = image.dim();
        let matrix = match self {
            Self::AutoContrast => return tone::auto_contrast(image),
            Self::Equalize => return tone::equalize(image),
            Self::Invert => return tone::invert(image),
            Self::Posterize(bits) => return tone::posterize(image, bits),
            Self::Solarize(threshold) => return tone::solarize(image, threshold),
            Self::SolarizeAdd(amount) => return tone::solarize_add(image, amount),
            Self::Color(factor) => return enhance::color(image, factor),
            Self::Contrast(factor) => return enhance::contrast(image, factor),
            Self::Brightness(factor) => return enhance::brightness(image, factor),
            Self::Sharpness(factor) => return enhance::sharpness(image, factor),
            Self::Rotate(degrees) => affine::rotate(degrees, [height, width]),
            Self::ShearX(factor) => affine::shear_x(factor),
            Self::ShearY(factor) => affine::shear_y(factor),
            Self::TranslateX(share) => affine::translate(share * width as f64, 0.0),
            Self::TranslateY(share) => affine::translate(0.0, share * height as f64),
        };
        *image = affine::transform(image, &matrix, filter, fill);
    }
}

/// Draws `cfg.layers` changes, each left out with probability `1 - cfg.prob`, and makes them in turn.
pub fn random(cfg: &RandAugmentConfig, fill: [u8; 3], image: &mut Image, rng: &mut Pcg64Mcg) {
    for _ in 0..cfg.layers {
        let number = rng.random_range(0..CHANGES);
        if !rng.random_bool(cfg.prob) {
            continue;
        }
        let magnitude = normal(cfg.magnitude, cfg.std, rng).clamp(0.0, MOST);
        let change = Change::at(number, magnitude, sign(rng));
        change.apply(image, cfg.interpolation.draw(rng), fill);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::sampler::rng;

    #[test]
    fn magnitudes_become_timms_arguments() {
        let at = |number| [(9.0, 1.0), (10.0, -1.0), (0.0, 1.0)].map(|(m, sign)| Change::at(number, m, sign));
        assert_eq!(at(3), [Change::Rotate(27.0), Change::Rotate(-30.0), Change::Rotate(0.0)]);
        assert_eq!(at(4), [Change::Posterize(1), Change::Posterize(0), Change::Posterize(4)]);
        assert_eq!(at(5), [Change::Solarize(26), Change::Solarize(0), Change::Solarize(256)]);
        assert_eq!(at(6), [Change::SolarizeAdd(99), Change::SolarizeAdd(110), Change::SolarizeAdd(0)]);
        assert_eq!(at(7), [Change::Color(1.81), Change::Color(0.1), Change::Color(1.0)]);
        assert_eq!(at(13)[1], Change::TranslateX(-0.45));
        assert_eq!(at(11)[0], Change::ShearX(0.27));
    }

    #[test]
    fn every_change_keeps_the_size_and_no_strength_is_close_to_nothing() {
        let image = Array3::from_shape_fn((20, 31, 3), |(y, x, c)| (y * 9 + x * 3 + c * 40) as u8);
        for number in 0..CHANGES {
            let mut strong = image.clone();
            Change::at(number, MOST, 1.0).apply(&mut strong, Filter::Bicubic, [1, 2, 3]);
            assert_eq!(strong.dim(), image.dim());
            assert_ne!(strong, image, "change {number}");
            let mut none = image.clone();
            Change::at(number, 0.0, 1.0).apply(&mut none, Filter::Bilinear, [1, 2, 3]);
            // Contrast, equalisation and inversion have no strength, 4 bits of posterisation is its least.
            assert!(number <= 2 || number == 4 || none == image, "change {number}");
        }
    }

    #[test]
    fn the_same_numbers_give_the_same_image_and_half_of_the_layers_are_left_out() {
        let image = Array3::from_shape_fn((16, 16, 3), |(y, x, c)| (y * 13 + x * 5 + c * 60) as u8);
        let cfg = RandAugmentConfig::default();
        let run = |index| {
            let mut image = image.clone();
            random(&cfg, [124, 116, 104], &mut image, &mut rng(6, 0, index));
            image
        };
        assert_eq!(run(8), run(8));
        let same = (0..800).filter(|&index| run(index) == image).count();
        assert!((150..260).contains(&same), "a quarter should be left as they are: {same} of 800");
    }
}
