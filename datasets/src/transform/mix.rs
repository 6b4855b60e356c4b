//! Mixup and CutMix: every image of a batch is mixed with the one at its place from the end, and so are their labels.
//!
//! Papers: Zhang et al., mixup, 2017, <https://arxiv.org/abs/1710.09412>; Yun et al., CutMix, 2019,
//! <https://arxiv.org/abs/1905.04899>. Reference code: timm 1.0.31 `mixup.py` (Apache-2.0), mode `batch`: one share for the
//! whole batch. CutMix's share is that of the box after the border has cut it.

use ndarray::{Array4, Axis, s};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::random::beta;
use crate::image_folder::MixConfig;

/// What is done to a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mix {
    /// Images keep this share of themselves.
    Mixup(f64),
    /// Rows and columns `[start, end)` come from the other image.
    Cutmix { rows: [usize; 2], columns: [usize; 2] },
}

/// Mixes a batch `[B, 3, H, W]` in place. Returns the share of an image's own label; the rest is the label of the image at
/// its place from the end.
pub fn random(cfg: &MixConfig, images: &mut Array4<f32>, rng: &mut Pcg64Mcg) -> f64 {
    let (_, _, height, width) = images.dim();
    draw(cfg, [height, width], rng).map_or(1.0, |mix| apply(mix, images))
}

fn draw(cfg: &MixConfig, size: [usize; 2], rng: &mut Pcg64Mcg) -> Option<Mix> {
    if !rng.random_bool(cfg.prob) {
        return None;
    }
    let cut = match (cfg.mixup > 0.0, cfg.cutmix > 0.0) {
        (false, false) => return None,
        (true, false) => false,
        (false, true) => true,
        (true, true) => rng.random_bool(cfg.switch_prob),
    };
    if !cut {
        return Some(Mix::Mixup(beta(cfg.mixup, rng)));
    }
    let edge = (1.0 - beta(cfg.cutmix, rng)).sqrt();
    let mut span = |side: usize| {
        let cut = (side as f64 * edge) as usize;
        let centre = rng.random_range(0..side as u64) as usize;
        [centre.saturating_sub(cut / 2), (centre + cut.div_ceil(2)).min(side)]
    };
    let rows = span(size[0]);
    Some(Mix::Cutmix { rows, columns: span(size[1]) })
}

fn apply(mix: Mix, images: &mut Array4<f32>) -> f64 {
    let (count, _, height, width) = images.dim();
    // Pairs of places; the middle one of an odd number is its own partner.
    for first in 0..count / 2 {
        let (mut front, mut back) = images.view_mut().split_at(Axis(0), count / 2);
        let last = count - 1 - first - count / 2;
        let (mut a, mut b) = (front.index_axis_mut(Axis(0), first), back.index_axis_mut(Axis(0), last));
        match mix {
            Mix::Mixup(share) => {
                let (own, other) = (share as f32, (1.0 - share) as f32);
                ndarray::Zip::from(&mut a).and(&mut b).for_each(|a, b| {
                    (*a, *b) = (*a * own + *b * other, *b * own + *a * other);
                });
            }
            Mix::Cutmix { rows, columns } => {
                let place = s![.., rows[0]..rows[1], columns[0]..columns[1]];
                ndarray::Zip::from(a.slice_mut(place)).and(b.slice_mut(place)).for_each(std::mem::swap);
            }
        }
    }
    match mix {
        Mix::Mixup(share) => share,
        Mix::Cutmix { rows, columns } => {
            let area = (rows[1] - rows[0]) * (columns[1] - columns[0]);
            1.0 - area as f64 / (height * width) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;

    /// Images of one value each: 1, 2, 3, ...
    fn batch(count: usize) -> Array4<f32> {
        Array4::from_shape_fn((count, 3, 8, 10), |(i, ..)| (i + 1) as f32)
    }

    #[test]
    fn mixup_weighs_an_image_and_its_partner() {
        let mut images = batch(5);
        assert_eq!(apply(Mix::Mixup(0.75), &mut images), 0.75);
        let values: Vec<f32> = (0..5).map(|i| images[[i, 2, 7, 9]]).collect();
        // 1 with 5, 2 with 4, 3 with itself
        assert_eq!(values, [2.0, 2.5, 3.0, 3.5, 4.0]);
    }

    #[test]
    fn cutmix_swaps_a_box_and_says_its_share() {
        let mut images = batch(4);
        let share = apply(Mix::Cutmix { rows: [2, 4], columns: [0, 5] }, &mut images);
        assert_eq!(share, 1.0 - 10.0 / 80.0);
        assert_eq!((images[[0, 0, 2, 4]], images[[0, 0, 2, 5]], images[[0, 0, 1, 0]]), (4.0, 1.0, 1.0));
        assert_eq!((images[[3, 1, 3, 0]], images[[1, 1, 3, 0]], images[[2, 1, 3, 0]]), (1.0, 3.0, 2.0));
    }

    #[test]
    fn draws_follow_the_shares_asked_for() {
        let cfg = MixConfig::default();
        let (mut cuts, mut shares) = (0, 0.0);
        for index in 0..4000 {
            match draw(&cfg, [32, 48], &mut rng(0, 0, index)).unwrap() {
                Mix::Mixup(share) => assert!((0.0..=1.0).contains(&share)),
                Mix::Cutmix { rows, columns } => {
                    assert!(
                        rows[0] <= rows[1] && rows[1] <= 32 && columns[0] <= columns[1] && columns[1] <= 48
                    );
                    cuts += 1;
                    shares += ((rows[1] - rows[0]) * (columns[1] - columns[0])) as f64 / (32.0 * 48.0);
                }
            }
        }
        assert!((1870..2130).contains(&cuts), "half are CutMix: {cuts} of 4000");
        // Half of the area on average, less what the border cuts off.
        let mean = shares / f64::from(cuts);
        assert!((0.25..0.4).contains(&mean), "{mean}");
        let rarely = MixConfig { prob: 0.25, ..MixConfig::default() };
        let mixed =
            (0..4000).filter(|&index| draw(&rarely, [32, 48], &mut rng(1, 0, index)).is_some()).count();
        assert!((880..1120).contains(&mixed), "{mixed} of 4000");
    }

    #[test]
    fn one_of_the_two_can_be_off() {
        let only = |mixup, cutmix| MixConfig { mixup, cutmix, ..MixConfig::default() };
        let kinds = |cfg: MixConfig| (0..50).map(move |index| draw(&cfg, [8, 8], &mut rng(2, 0, index)));
        assert!(kinds(only(0.8, 0.0)).all(|mix| matches!(mix, Some(Mix::Mixup(_)))));
        assert!(kinds(only(0.0, 1.0)).all(|mix| matches!(mix, Some(Mix::Cutmix { .. }))));
        assert!(kinds(only(0.0, 0.0)).all(|mix| mix.is_none()));
    }
}
