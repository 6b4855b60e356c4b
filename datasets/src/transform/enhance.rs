//! Brightness, contrast, colour, sharpness: an image blended with a degenerate one, as Pillow's `ImageEnhance`.
//!
//! Factor 0 gives the degenerate image (black, even grey, grey, blurred), 1 the image itself, above 1 exaggerates.
//! Results are cut off to whole numbers, not rounded. Images are in standard layout.
//!
//! Checked by: `tests/augment.rs` (Pillow's pixels).

use crate::sample::Image;

/// Towards black.
pub fn brightness(image: &mut Image, factor: f64) {
    image.mapv_inplace(|value| blend(0, value, factor));
}

/// Towards the mean grey.
pub fn contrast(image: &mut Image, factor: f64) {
    let sum: u64 = pixels(image).iter().map(|&pixel| u64::from(luma(pixel))).sum();
    let mean = (sum as f64 / pixels(image).len().max(1) as f64 + 0.5) as u8;
    image.mapv_inplace(|value| blend(mean, value, factor));
}

/// Towards grey.
pub fn color(image: &mut Image, factor: f64) {
    for pixel in pixels_mut(image) {
        let grey = luma(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Towards a blurred image; the outermost pixels stay.
pub fn sharpness(image: &mut Image, factor: f64) {
    let (height, width, _) = image.dim();
    let source = image.clone();
    let source = pixels(&source);
    let target = pixels_mut(image);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            for channel in 0..3 {
                let row = |start: usize| (0..3).map(|i| u32::from(source[start + i][channel])).sum::<u32>();
                let sum: u32 = [at - width - 1, at - 1, at + width - 1].map(row).into_iter().sum();
                // Weights of 1, of 5 in the middle, over 13; rounded.
                let smooth = (2 * (sum + 4 * u32::from(source[at][channel])) + 13) / 26;
                target[at][channel] = blend(smooth as u8, source[at][channel], factor);
            }
        }
    }
}

/// Brightness of a pixel by ITU-R 601-2, in Pillow's fixed point.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

/// In 32 bits, as Pillow computes.
fn blend(degenerate: u8, value: u8, factor: f64) -> u8 {
    let (from, to) = (f32::from(degenerate), f32::from(value));
    (from + factor as f32 * (to - from)) as u8 // `as` stops at 0 and 255
}

/// The pixels of an image in standard layout.
pub(super) fn pixels(image: &Image) -> &[[u8; 3]] {
    image.as_slice().expect("images are in standard layout").as_chunks().0
}

/// The pixels of an image in standard layout.
pub(super) fn pixels_mut(image: &mut Image) -> &mut [[u8; 3]] {
    image.as_slice_mut().expect("images are in standard layout").as_chunks_mut().0
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    fn with(change: impl Fn(&mut Image)) -> Vec<u8> {
        let mut image: Image = array![[[200, 100, 50], [10, 20, 30]]];
        change(&mut image);
        image.into_raw_vec_and_offset().0
    }

    #[test]
    fn values_by_hand() {
        assert_eq!(with(|i| brightness(i, 0.5)), [100, 50, 25, 5, 10, 15]);
        assert_eq!(with(|i| brightness(i, 1.9)), [255, 190, 95, 19, 38, 57]);
        // Greys 124 and 18: the mean is 71.
        assert_eq!(with(|i| contrast(i, 0.0)), [71; 6]);
        assert_eq!(with(|i| contrast(i, 0.5)), [135, 85, 60, 40, 45, 50]);
        assert_eq!(with(|i| color(i, 0.0)), [124, 124, 124, 18, 18, 18]);
        assert_eq!(with(|i| color(i, 2.0)), [255, 76, 0, 2, 22, 42]);
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        let image = Array3::from_shape_fn((6, 7, 3), |(y, x, c)| (y * 40 + x * 11 + c * 77) as u8);
        for change in [brightness, contrast, color, sharpness] {
            let mut same = image.clone();
            change(&mut same, 1.0);
            assert_eq!(same, image);
        }
    }

    #[test]
    fn sharpening_leaves_the_border_and_lifts_the_middle() {
        let mut image = Array3::from_elem((3, 3, 3), 13_u8);
        image[[1, 1, 0]] = 65;
        sharpness(&mut image, 2.0);
        // Smoothed (8 * 13 + 5 * 65) / 13 = 33; 33 + 2 * (65 - 33) = 97.
        assert_eq!(image[[1, 1, 0]], 97);
        assert!(image.indexed_iter().all(|(at, &value)| at == (1, 1, 0) || value == 13));
        let mut thin = Array3::from_elem((1, 9, 3), 50_u8);
        sharpness(&mut thin, 0.0);
        assert!(thin.iter().all(|&value| value == 50));
    }
}
