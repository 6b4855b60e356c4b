//! `random_resize`: a random size of the same aspect (mmsegmentation's `RandomResize` with `keep_ratio`).

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::config::RandomResizeConfig;

/// No result is larger; thin images with a large `short_edge` are enlarged less.
const MAX_PIXELS: f64 = (1u32 << 26) as f64;

/// Draws the new height and width of an image of `size`.
pub fn draw(cfg: &RandomResizeConfig, size: [usize; 2], rng: &mut Pcg64Mcg) -> [usize; 2] {
    let ratio = rng.random_range(cfg.ratio_range[0]..=cfg.ratio_range[1]);
    target(cfg, size, ratio)
}

/// The size at a given ratio: edges are rounded half up and at least 1.
fn target(cfg: &RandomResizeConfig, size: [usize; 2], ratio: f64) -> [usize; 2] {
    let [height, width] = size.map(|edge| edge as f64);
    let (long, short) = (height.max(width), height.min(width));
    let factor = match (cfg.scale, cfg.short_edge) {
        (Some(scale), _) => {
            // The scaled limits are whole pixels in mmcv too.
            let limits = scale.map(|edge| (f64::from(edge) * ratio).floor());
            (limits[0].max(limits[1]) / long).min(limits[0].min(limits[1]) / short)
        }
        (None, Some(edge)) => f64::from(edge) * ratio / short,
        (None, None) => ratio,
    };
    let factor = factor.min((MAX_PIXELS / (height * width)).sqrt());
    size.map(|edge| ((edge as f64 * factor + 0.5) as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;

    fn cfg(scale: Option<[u32; 2]>, short_edge: Option<u32>) -> RandomResizeConfig {
        RandomResizeConfig { scale, short_edge, ratio_range: [0.5, 2.0] }
    }

    #[test]
    fn sizes_follow_mmcv() {
        // CamVid at (2048, 512): min(2048 / 480, 512 / 360) = 1.4222; 480 * 1.4222 = 682.67 -> 683.
        assert_eq!(target(&cfg(Some([2048, 512]), None), [360, 480], 1.0), [512, 683]);
        assert_eq!(
            target(&cfg(Some([512, 2048]), None), [360, 480], 1.0),
            [512, 683],
            "the order does not matter"
        );
        // The long edge limits: min(1000 / 2000, 512 / 300) = 0.5.
        assert_eq!(target(&cfg(Some([1000, 512]), None), [2000, 300], 1.0), [1000, 150]);
        assert_eq!(target(&cfg(None, Some(512)), [2000, 300], 0.5), [1707, 256]);
        assert_eq!(target(&cfg(None, None), [360, 480], 1.5), [540, 720]);
        assert_eq!(target(&cfg(None, None), [1, 1], 0.1), [1, 1]);
    }

    #[test]
    fn thin_images_stay_within_memory() {
        let [height, width] = target(&cfg(None, Some(512)), [1, 100_000], 2.0);
        assert!(height * width <= 70_000_000, "{height}x{width}");
    }

    #[test]
    fn ratios_cover_their_range() {
        let heights: Vec<usize> =
            (0..300).map(|i| draw(&cfg(None, None), [1000, 10], &mut rng(0, 0, i))[0]).collect();
        assert!(heights.iter().all(|h| (500..=2000).contains(h)));
        assert!(heights.iter().any(|h| *h < 550) && heights.iter().any(|h| *h > 1900));
    }
}
