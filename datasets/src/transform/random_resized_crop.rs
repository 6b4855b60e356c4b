//! `random_resized_crop`: a window of random area and aspect, resized to a fixed size (torchvision's `RandomResizedCrop`).

use ndarray::s;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::antialias;
use super::resize::Region;
use crate::image_folder::RandomResizedCropConfig;
use crate::sample::Image;

/// Windows drawn before the largest central one of a legal aspect is taken.
const TRIES: usize = 10;

/// Cuts a random window and resizes it: `[H, W, 3]` -> `[size, size, 3]`.
pub fn random(cfg: &RandomResizedCropConfig, image: &Image, rng: &mut Pcg64Mcg) -> Image {
    let (height, width, _) = image.dim();
    let Region { top, left, size } = draw(cfg, [height, width], rng);
    let window = image.slice(s![top..top + size[0], left..left + size[1], ..]).to_owned();
    let side = cfg.size as usize;
    antialias::resize(&window, [side, side], cfg.interpolation.draw(rng))
}

/// Draws the window in an image of `size` (height, width).
fn draw(cfg: &RandomResizedCropConfig, size: [usize; 2], rng: &mut Pcg64Mcg) -> Region {
    let [height, width] = size;
    let area = (height * width) as f64;
    let logarithms = cfg.ratio.map(f64::ln);
    for _ in 0..TRIES {
        let target = area * rng.random_range(cfg.scale[0]..=cfg.scale[1]);
        let aspect = rng.random_range(logarithms[0]..=logarithms[1]).exp();
        let edge = |square: f64| (square.sqrt().round_ties_even() as usize).max(1);
        let window = [edge(target / aspect), edge(target * aspect)];
        if window[0] <= height && window[1] <= width {
            let place = |room: usize, rng: &mut Pcg64Mcg| rng.random_range(0..=room as u64) as usize;
            let top = place(height - window[0], rng);
            let left = place(width - window[1], rng);
            return Region { top, left, size: window };
        }
    }
    central(cfg.ratio, size)
}

/// The largest window of a legal aspect in the middle.
fn central([low, high]: [f64; 2], [height, width]: [usize; 2]) -> Region {
    let aspect = width as f64 / height as f64;
    let round = |edge: f64| edge.round_ties_even() as usize;
    let size = if aspect < low {
        [round(width as f64 / low).clamp(1, height), width]
    } else if aspect > high {
        [height, round(height as f64 * high).clamp(1, width)]
    } else {
        [height, width]
    };
    Region { top: (height - size[0]) / 2, left: (width - size[1]) / 2, size }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::rng;

    fn cfg() -> RandomResizedCropConfig {
        RandomResizedCropConfig { size: 24, ..RandomResizedCropConfig::default() }
    }

    proptest! {
        #[test]
        fn windows_are_legal(height in 1_usize..300, width in 1_usize..300, seed in 0_u64..1000) {
            let region = draw(&cfg(), [height, width], &mut rng(seed, 0, 0));
            prop_assert!(region.size[0] >= 1 && region.top + region.size[0] <= height);
            prop_assert!(region.size[1] >= 1 && region.left + region.size[1] <= width);
        }
    }

    #[test]
    fn areas_and_aspects_cover_their_ranges() {
        let windows: Vec<[f64; 2]> = (0..2000)
            .map(|i| draw(&cfg(), [400, 400], &mut rng(1, 0, i)).size.map(|edge| edge as f64))
            .collect();
        let areas: Vec<f64> = windows.iter().map(|[h, w]| h * w / 160_000.0).collect();
        let aspects: Vec<f64> = windows.iter().map(|[h, w]| w / h).collect();
        let (smallest, largest) =
            (areas.iter().copied().fold(1.0, f64::min), areas.iter().copied().fold(0.0, f64::max));
        assert!((0.078..0.1).contains(&smallest) && (0.9..=1.0).contains(&largest), "{smallest} {largest}");
        // Rounded edges move the aspect of the smallest windows by up to 1 %.
        assert!(aspects.iter().all(|aspect| (0.74..=1.35).contains(aspect)));
        let wide = aspects.iter().filter(|aspect| **aspect > 1.0).count();
        assert!((850..1150).contains(&wide), "aspects are even in their logarithm: {wide} of 2000 are wide");
    }

    #[test]
    fn thin_images_give_their_middle() {
        assert_eq!(central([0.75, 4.0 / 3.0], [10, 100]), Region { top: 0, left: 43, size: [10, 13] });
        assert_eq!(central([0.75, 4.0 / 3.0], [100, 9]), Region { top: 44, left: 0, size: [12, 9] });
        assert_eq!(central([0.75, 4.0 / 3.0], [10, 11]), Region { top: 0, left: 0, size: [10, 11] });
    }

    #[test]
    fn the_same_numbers_give_the_same_crop_of_the_asked_size() {
        let image = Array3::from_shape_fn((50, 70, 3), |(y, x, c)| (y * 5 + x * 3 + c * 40) as u8);
        let run = |index| random(&cfg(), &image, &mut rng(2, 5, index));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_eq!(run(1).dim(), (24, 24, 3));
    }
}
