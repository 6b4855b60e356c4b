//! `random_crop`: a window of at most the given size (mmsegmentation's `RandomCrop`), or one around a rare class.
//!
//! Works on the labels as they are before a pending resize, so that only what is kept is ever resampled.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::resize::Region;
use super::resize_filter::Resampling;
use crate::config::RandomCropConfig;
use crate::histogram::histogram;
use crate::sample::{IGNORE, LabelMap};

/// Windows drawn for `cat_max_ratio` before the last one is taken as it is.
const TRIES: usize = 10;

/// Draws a window of an image of `size` (height, width), whose `labels` are still to be resized to that size by `resampling`.
/// Returns it with its labels. An edge shorter than the window's is kept whole.
pub fn draw(
    cfg: &RandomCropConfig,
    labels: &LabelMap,
    size: [usize; 2],
    resampling: Resampling,
    rng: &mut Pcg64Mcg,
) -> (Region, LabelMap) {
    let window = [size[0].min(cfg.size[0] as usize), size[1].min(cfg.size[1] as usize)];
    if cfg.class_balanced > 0.0
        && rng.random_bool(cfg.class_balanced)
        && let Some(centre) = draw_class_pixel(labels, size, rng)
    {
        let region = around(centre, size, window);
        return (region, resampling.labels(labels, size, region));
    }
    let mut region = anywhere(size, window, rng);
    let mut cut = resampling.labels(labels, size, region);
    if cfg.cat_max_ratio < 1.0 {
        for _ in 1..TRIES {
            if is_mixed(&cut, cfg.cat_max_ratio) {
                break;
            }
            region = anywhere(size, window, rng);
            cut = resampling.labels(labels, size, region);
        }
    }
    (region, cut)
}

fn anywhere(size: [usize; 2], window: [usize; 2], rng: &mut Pcg64Mcg) -> Region {
    let top = rng.random_range(0..=(size[0] - window[0]) as u64) as usize;
    let left = rng.random_range(0..=(size[1] - window[1]) as u64) as usize;
    Region { top, left, size: window }
}

/// The window with `centre` in its middle, moved inside the image.
fn around(centre: [usize; 2], size: [usize; 2], window: [usize; 2]) -> Region {
    let start = |axis: usize| centre[axis].saturating_sub(window[axis] / 2).min(size[axis] - window[axis]);
    Region { top: start(0), left: start(1), size: window }
}

/// Whether there are two classes at least and none covers `max_ratio` of the labelled pixels.
fn is_mixed(labels: &LabelMap, max_ratio: f64) -> bool {
    let counts = histogram(labels);
    let classes = &counts[..usize::from(IGNORE)];
    let (total, most): (u64, u64) = (classes.iter().sum(), classes.iter().copied().max().unwrap_or(0));
    most < total && (most as f64) < max_ratio * total as f64
}

/// A random pixel of a uniformly drawn class of the image, in the coordinates of `size`; none if nothing is labelled.
fn draw_class_pixel(labels: &LabelMap, size: [usize; 2], rng: &mut Pcg64Mcg) -> Option<[usize; 2]> {
    let counts = histogram(labels);
    let present: Vec<u8> = (0..IGNORE).filter(|&class| counts[usize::from(class)] > 0).collect();
    if present.is_empty() {
        return None;
    }
    let class = present[rng.random_range(0..present.len() as u32) as usize];
    let nth = rng.random_range(0..counts[usize::from(class)]) as usize;
    let (height, width) = labels.dim();
    let position = labels.iter().enumerate().filter(|(_, label)| **label == class).nth(nth)?.0;
    let at = [position / width, position % width];
    let scaled =
        |axis: usize, edge: usize| ((at[axis] as f64 + 0.5) * size[axis] as f64 / edge as f64) as usize;
    Some([scaled(0, height).min(size[0] - 1), scaled(1, width).min(size[1] - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;
    use ndarray::{Array2, s};

    fn cfg(cat_max_ratio: f64, class_balanced: f64) -> RandomCropConfig {
        RandomCropConfig { size: [20, 30], cat_max_ratio, class_balanced }
    }

    #[test]
    fn windows_lie_inside_and_reach_every_edge() {
        let labels = Array2::zeros((50, 64));
        let regions: Vec<Region> = (0..3000)
            .map(|i| draw(&cfg(1.0, 0.0), &labels, [50, 64], Resampling::Mmseg, &mut rng(0, 0, i)).0)
            .collect();
        assert!(regions.iter().all(|r| r.size == [20, 30] && r.top <= 30 && r.left <= 34));
        for edge in [0, 30] {
            assert!(regions.iter().any(|r| r.top == edge), "top {edge} never drawn");
        }
        for edge in [0, 34] {
            assert!(regions.iter().any(|r| r.left == edge), "left {edge} never drawn");
        }
    }

    #[test]
    fn small_images_stay_whole() {
        let labels = Array2::zeros((10, 64));
        let (region, cut) = draw(&cfg(0.75, 0.5), &labels, [10, 64], Resampling::Mmseg, &mut rng(0, 0, 0));
        assert_eq!((region.top, region.size, cut.dim()), (0, [10, 30], (10, 30)));
    }

    #[test]
    fn one_class_windows_are_drawn_again() {
        // Class 1 fills the right fifth; a window without it, or with too little of it, is drawn again.
        let mut labels = Array2::zeros((40, 100));
        labels.slice_mut(s![.., 80..]).fill(1);
        labels.slice_mut(s![..3, ..]).fill(IGNORE);
        let mixed = |max| {
            (0..500)
                .filter(|&i| {
                    is_mixed(
                        &draw(&cfg(max, 0.0), &labels, [40, 100], Resampling::Mmseg, &mut rng(1, 0, i)).1,
                        0.75,
                    )
                })
                .count()
        };
        let (off, on) = (mixed(1.0), mixed(0.75));
        // Columns 58..=70 of 71 starts are mixed enough: p = 0.18 or so alone, 1 - 0.82^10 = 0.86 with ten tries.
        assert!((40..140).contains(&off), "{off}");
        assert!(on > 380, "{on}");
    }

    #[test]
    fn mixed_ignores_the_unlabelled() {
        let row = |values: &[u8]| Array2::from_shape_vec((1, values.len()), values.to_vec()).unwrap();
        assert!(is_mixed(&row(&[0, 1, 255, 255, 255]), 0.75));
        assert!(!is_mixed(&row(&[0, 0, 0, 1]), 0.75), "exactly the limit is too much");
        assert!(!is_mixed(&row(&[0, 0, 255]), 0.99), "one class alone");
        assert!(!is_mixed(&row(&[255, 255]), 0.99), "nothing labelled");
    }

    #[test]
    fn balanced_windows_hold_the_rare_class() {
        // One pixel of class 3 in 10,000: of the two classes each is drawn half of the time.
        let mut labels = Array2::zeros((100, 100));
        labels[[90, 5]] = 3;
        for size in [[100, 100], [200, 150], [60, 70]] {
            let hits = (0..400)
                .filter(|&i| {
                    draw(&cfg(0.75, 1.0), &labels, size, Resampling::Mmseg, &mut rng(2, 0, i))
                        .1
                        .iter()
                        .any(|v| *v == 3)
                })
                .count();
            assert!(hits > 160, "{size:?}: {hits} of 400");
        }
        let nothing = Array2::from_elem((100, 100), IGNORE);
        assert_eq!(
            draw(&cfg(1.0, 1.0), &nothing, [100, 100], Resampling::Mmseg, &mut rng(3, 0, 0)).1.dim(),
            (20, 30)
        );
    }
}
