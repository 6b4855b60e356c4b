//! `random_erasing`: a random box of a normalised image becomes noise (Zhong et al., 2017,
//! <https://arxiv.org/abs/1708.04896>), as timm's mode `pixel`.

use ndarray::{Array3, s};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::random::normal_pair;
use super::resize::Region;
use crate::image_folder::RandomErasingConfig;

/// Boxes drawn before the image is left as it is.
const TRIES: usize = 10;

/// Fills a box of `[3, H, W]` with standard normal noise, with probability `cfg.prob`.
pub fn random(cfg: &RandomErasingConfig, image: &mut Array3<f32>, rng: &mut Pcg64Mcg) {
    if !rng.random_bool(cfg.prob) {
        return;
    }
    let (_, height, width) = image.dim();
    let Some(Region { top, left, size }) = draw(cfg, [height, width], rng) else { return };
    let mut erased = image.slice_mut(s![.., top..top + size[0], left..left + size[1]]);
    let mut spare = None;
    erased.map_inplace(|value| {
        *value = spare.take().unwrap_or_else(|| {
            let [first, second] = normal_pair(rng);
            spare = Some(second as f32);
            first as f32
        });
    });
}

/// Draws the box; smaller than the image along both edges.
fn draw(cfg: &RandomErasingConfig, [height, width]: [usize; 2], rng: &mut Pcg64Mcg) -> Option<Region> {
    let logarithms = cfg.ratio.map(f64::ln);
    for _ in 0..TRIES {
        let area = (height * width) as f64 * rng.random_range(cfg.area[0]..=cfg.area[1]);
        let aspect = rng.random_range(logarithms[0]..=logarithms[1]).exp();
        let edge = |square: f64| square.sqrt().round_ties_even() as usize;
        let size = [edge(area * aspect), edge(area / aspect)];
        if size[0] < height && size[1] < width {
            let place = |room: usize, rng: &mut Pcg64Mcg| rng.random_range(0..=room as u64) as usize;
            let top = place(height - size[0], rng);
            let left = place(width - size[1], rng);
            return Some(Region { top, left, size });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;

    fn always() -> RandomErasingConfig {
        RandomErasingConfig { prob: 1.0, ..RandomErasingConfig::default() }
    }

    #[test]
    fn boxes_are_legal() {
        for index in 0..2000 {
            let region = draw(&always(), [64, 48], &mut rng(0, 0, index)).unwrap();
            let share = (region.size[0] * region.size[1]) as f64 / (64.0 * 48.0);
            assert!((0.015..=0.345).contains(&share), "{share}");
            assert!(region.top + region.size[0] <= 64 && region.left + region.size[1] <= 48);
        }
        let smallest = draw(&always(), [1, 1], &mut rng(0, 0, 0));
        assert!(smallest.is_none_or(|region| region.size == [0, 0]), "no box is smaller than this image");
    }

    #[test]
    fn a_box_becomes_noise_and_the_rest_stays() {
        let (mut count, mut sum, mut squares) = (0, 0.0, 0.0);
        for index in 0..60 {
            let mut image = Array3::from_elem((3, 40, 50), 100_f32);
            random(&always(), &mut image, &mut rng(1, 0, index));
            let erased: Vec<f64> = image.iter().filter(|v| **v < 50.0).map(|v| f64::from(*v)).collect();
            assert!(!erased.is_empty() && image.iter().all(|v| *v == 100.0 || v.abs() < 8.0));
            count += erased.len();
            sum += erased.iter().sum::<f64>();
            squares += erased.iter().map(|v| v * v).sum::<f64>();
        }
        let (mean, variance) = (sum / f64::from(count as u32), squares / f64::from(count as u32));
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn it_happens_as_often_as_asked() {
        let quarter = RandomErasingConfig::default();
        let hits = (0..2000).filter(|&index| {
            let mut image = Array3::zeros((3, 20, 20));
            random(&quarter, &mut image, &mut rng(2, 0, index));
            image.iter().any(|value| *value != 0.0)
        });
        let hits = hits.count();
        assert!((420..580).contains(&hits), "{hits} of 2000");
    }
}
