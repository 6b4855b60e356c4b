//! `flip`: left to right, or top to bottom.

use ndarray::s;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::enhance::pixels_mut;
use crate::config::{FlipConfig, FlipDirection};
use crate::sample::{Image, LabelMap};

/// Mirrors both with probability `cfg.prob`.
pub fn random(cfg: &FlipConfig, image: &mut Image, labels: &mut LabelMap, rng: &mut Pcg64Mcg) {
    if rng.random_bool(cfg.prob) {
        match cfg.direction {
            FlipDirection::Horizontal => horizontal(image, labels),
            FlipDirection::Vertical => {
                upside_down(image);
                *labels = labels.slice(s![..;-1, ..]).as_standard_layout().into_owned();
            }
        }
    }
}

/// Mirrors an image `[H, W, 3]` in standard layout, in place.
pub fn image(direction: FlipDirection, image: &mut Image) {
    match direction {
        FlipDirection::Horizontal => {
            let width = image.dim().1;
            pixels_mut(image).chunks_exact_mut(width).for_each(<[_]>::reverse);
        }
        FlipDirection::Vertical => upside_down(image),
    }
}

fn upside_down(image: &mut Image) {
    let (height, width, _) = image.dim();
    let (upper, lower) = pixels_mut(image).split_at_mut(height / 2 * width);
    // Of an odd number of rows the middle one, the first below, stays.
    let lower = lower.chunks_exact_mut(width).rev();
    upper.chunks_exact_mut(width).zip(lower).for_each(|(above, below)| above.swap_with_slice(below));
}

/// Mirrors an image `[H, W, 3]` and its labels `[H, W]` left to right, in place.
pub fn horizontal(image: &mut Image, labels: &mut LabelMap) {
    let width = labels.dim().1;
    if let (Some(pixels), Some(ids)) = (image.as_slice_mut(), labels.as_slice_mut()) {
        pixels.as_chunks_mut::<3>().0.chunks_exact_mut(width).for_each(<[_]>::reverse);
        ids.chunks_exact_mut(width).for_each(<[_]>::reverse);
    } else {
        *image = image.slice(s![.., ..;-1, ..]).as_standard_layout().into_owned();
        *labels = labels.slice(s![.., ..;-1]).as_standard_layout().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::testing::{agreement, cells};

    #[test]
    fn mirrors_both_and_twice_is_nothing() {
        let original = cells(20, 33, 4);
        let mut flipped = original.clone();
        horizontal(&mut flipped.image, &mut flipped.labels);
        assert_eq!(flipped.labels[[3, 0]], original.labels[[3, 32]]);
        assert_eq!(agreement(&flipped.image, &flipped.labels), 1.0);
        assert_ne!(flipped.labels, original.labels);
        horizontal(&mut flipped.image, &mut flipped.labels);
        assert_eq!(flipped, original);
        let mut alone = original.image.clone();
        super::image(FlipDirection::Horizontal, &mut alone);
        assert_eq!(alone, original.image.slice(s![.., ..;-1, ..]));

        for height in [20, 21] {
            let original = cells(height, 33, 4);
            let mut flipped = original.clone();
            let always = FlipConfig { prob: 1.0, direction: FlipDirection::Vertical };
            random(&always, &mut flipped.image, &mut flipped.labels, &mut Pcg64Mcg::new(0));
            assert_eq!(flipped.labels, original.labels.slice(s![..;-1, ..]));
            assert_eq!(flipped.image, original.image.slice(s![..;-1, .., ..]));
        }

        let mut transposed = original.clone();
        transposed.labels = original.labels.t().as_standard_layout().reversed_axes().to_owned();
        horizontal(&mut transposed.image, &mut transposed.labels);
        assert_eq!(agreement(&transposed.image, &transposed.labels), 1.0, "any layout");
    }
}
