//! `color_jitter`: brightness, contrast, saturation and hue, each by a random amount, in random order (torchvision's
//! `ColorJitter`).

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::{enhance, hue};
use crate::image_folder::ColorJitterConfig;
use crate::sample::Image;
use crate::stage;

/// Changes the colours of an image `[H, W, 3]` in place.
pub fn random(cfg: &ColorJitterConfig, image: &mut Image, rng: &mut Pcg64Mcg) {
    stage::enter!(COLOURS);
    let mut order = [0, 1, 2, 3];
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last as u32) as usize);
    }
    let mut factor =
        |amount: f64| (amount > 0.0).then(|| rng.random_range((1.0 - amount).max(0.0)..=1.0 + amount));
    let (brightness, contrast, saturation) =
        (factor(cfg.brightness), factor(cfg.contrast), factor(cfg.saturation));
    let turn = (cfg.hue > 0.0).then(|| rng.random_range(-cfg.hue..=cfg.hue));
    for step in order {
        match (step, brightness, contrast, saturation, turn) {
            (0, Some(factor), ..) => enhance::brightness(image, factor),
            (1, _, Some(factor), ..) => enhance::contrast(image, factor),
            (2, _, _, Some(factor), _) => enhance::color(image, factor),
            (3, .., Some(turn)) => hue::turn(image, turn),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::sampler::rng;

    fn image() -> Image {
        Array3::from_shape_fn((8, 9, 3), |(y, x, c)| (y * 20 + x * 9 + c * 31) as u8)
    }

    fn jittered(cfg: &ColorJitterConfig, index: u64) -> Image {
        let mut image = image();
        random(cfg, &mut image, &mut rng(4, 0, index));
        image
    }

    #[test]
    fn nothing_asked_is_nothing_done() {
        let none = ColorJitterConfig { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        assert_eq!(jittered(&none, 0), image());
    }

    #[test]
    fn brightness_stays_within_its_range() {
        let only = ColorJitterConfig { brightness: 0.4, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        let factor = |index| f64::from(jittered(&only, index)[[3, 0, 0]]) / 60.0;
        let factors: Vec<f64> = (0..200).map(factor).collect();
        assert!(factors.iter().all(|f| (0.58..=1.4).contains(f)));
        assert!(factors.iter().any(|f| *f < 0.7) && factors.iter().any(|f| *f > 1.3));
    }

    #[test]
    fn the_same_numbers_give_the_same_colours() {
        let all = ColorJitterConfig { hue: 0.1, ..ColorJitterConfig::default() };
        assert_eq!(jittered(&all, 1), jittered(&all, 1));
        assert_ne!(jittered(&all, 1), jittered(&all, 2));
    }
}
