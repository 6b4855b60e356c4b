//! `resize_shortest_edge`: the sizes of detectron2's `ResizeShortestEdge`, in its arithmetic.
//!
//! Reference code: facebookresearch/detectron2, `data/transforms/augmentation_impl.py`, Apache-2.0.
//! Differs from the reference: an edge that would round to 0 pixels is 1 long.
//! Checked by: `segments/parity.rs`.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::config::ResizeShortestEdgeConfig;

/// Draws the new height and width of an image of `size`. Takes a validated table.
pub(in crate::transform) fn draw(
    cfg: &ResizeShortestEdgeConfig,
    size: [usize; 2],
    rng: &mut Pcg64Mcg,
) -> [usize; 2] {
    let choice = rng.random_range(0..cfg.short_edges.len() as u32) as usize;
    resized(size, cfg.short_edges[choice], cfg.max_long_edge)
}

/// The size (height, width) whose shorter edge is `short_edge`, or whose longer one is `max_long_edge` if that is less.
pub(super) fn resized(size: [usize; 2], short_edge: u32, max_long_edge: u32) -> [usize; 2] {
    let [height, width] = size.map(|edge| edge as f64);
    let short = f64::from(short_edge);
    let factor = short / height.min(width);
    // The shorter edge is exact, not a product that rounding may touch.
    let [mut height, mut width] =
        if height < width { [short, factor * width] } else { [factor * height, short] };
    let long = height.max(width);
    if long > f64::from(max_long_edge) {
        let factor = f64::from(max_long_edge) / long;
        (height, width) = (height * factor, width * factor);
    }
    [height, width].map(|edge| ((edge + 0.5) as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;
    use crate::transform::resize_filter::ResizeFilter;

    #[test]
    fn short_or_long_edge_decides() {
        assert_eq!(resized([480, 640], 800, 1333), [800, 1067]); // 1066.67
        assert_eq!(resized([640, 480], 800, 1333), [1067, 800]);
        assert_eq!(resized([500, 1000], 800, 1333), [667, 1333]); // 1600 is too long: 800 * 1333 / 1600 = 666.5
        assert_eq!(resized([2, 4000], 512, 2048), [1, 2048]);
        assert_eq!(resized([1, 40_000], 512, 2048), [1, 2048]);
    }

    #[test]
    fn every_length_is_drawn() {
        let short_edges = vec![32, 48, 64];
        let cfg = ResizeShortestEdgeConfig { short_edges, max_long_edge: 400, filter: ResizeFilter::Pil };
        let mut counts = [0; 3];
        for i in 0..600 {
            let [height, width] = draw(&cfg, [10, 20], &mut rng(0, 0, i));
            assert_eq!(width, 2 * height);
            counts[height / 16 - 2] += 1;
        }
        assert!(counts.iter().all(|&n| (140..260).contains(&n)), "{counts:?}");
    }
}
