//! Resize with antialiasing, as Pillow does it and torchvision and timm with it: a filter as wide as the step between the
//! target's pixels, so that shrinking averages what it leaves out.
//!
//! Bilinear is the triangle filter, bicubic Catmull-Rom's (a = -0.5). Segmentation resizes otherwise, see
//! [`resize`](super::resize).
//!
//! Differs from Pillow: weights have 16 bits instead of 32, so that a value may be 1 apart.
//! Checked by: `tests/augment.rs` (Pillow's pixels).

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::resize::resample;
use crate::sample::Image;

/// How values between pixels are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// From 2 pixels an axis.
    Bilinear,
    /// From 4 pixels an axis.
    Bicubic,
}

/// The filter of a random transform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Always bilinear.
    Bilinear,
    /// Always bicubic.
    Bicubic,
    /// Either, drawn each time.
    #[default]
    Random,
}

impl Interpolation {
    /// The filter of one use.
    pub fn draw(self, rng: &mut Pcg64Mcg) -> Filter {
        let bilinear = match self {
            Self::Bilinear => true,
            Self::Bicubic => false,
            Self::Random => rng.random_bool(0.5),
        };
        if bilinear { Filter::Bilinear } else { Filter::Bicubic }
    }
}

/// An image resized to `size` (height, width): `[H, W, 3]` -> `[height, width, 3]`.
pub fn resize(image: &Image, size: [usize; 2], filter: Filter) -> Image {
    let (height, width, _) = image.dim();
    if size == [height, width] {
        return image.as_standard_layout().into_owned();
    }
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    resample(image, size, &ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;

    #[test]
    fn halving_averages_all_pixels() {
        let row = Array3::from_shape_fn((1, 8, 3), |(_, x, _)| [0, 0, 80, 80, 80, 80, 0, 0][x]);
        let half = resize(&row, [1, 4], Filter::Bilinear).slice(s![0, .., 0]).to_vec();
        // The triangle of width 4 over pixels 1 to 4 of target 1 weighs 1/8 3/8 3/8 1/8: 80 * 7/8 = 70.
        // At the border it is cut: pixels 0, 1, 2 weigh 3/7 3/7 1/7: 80 / 7 = 11.4.
        assert_eq!(half, [11, 70, 70, 11]);
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = Array3::from_shape_fn((5, 7, 3), |(y, x, c)| (y * 50 + x * 7 + c) as u8);
        assert_eq!(resize(&image, [5, 7], Filter::Bicubic), image);
    }

    #[test]
    fn random_draws_both_and_the_others_themselves() {
        let mut rng = crate::sampler::rng(0, 0, 0);
        let drawn: Vec<Filter> = (0..40).map(|_| Interpolation::Random.draw(&mut rng)).collect();
        assert!(drawn.contains(&Filter::Bilinear) && drawn.contains(&Filter::Bicubic));
        assert!((0..40).all(|_| Interpolation::Bicubic.draw(&mut rng) == Filter::Bicubic));
    }
}
