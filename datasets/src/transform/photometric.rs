//! `photometric`: random brightness, contrast, saturation and hue (mmsegmentation's `PhotoMetricDistortion`).
//!
//! Works on bytes and OpenCV's 8-bit HSV (hue in steps of 2 degrees, 0..180). Each change happens with probability one
//! half, in this order: brightness; contrast, in half of all cases; saturation; hue; contrast, in the other cases.
//! Differs from the reference: saturation and hue share one way to HSV and back, which rounds once less; and the way back
//! rounds to nearest, where OpenCV rounds or cuts off depending on the width of the image (never more than 1 apart).

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::config::PhotometricConfig;
use crate::sample::Image;
use crate::stage;

/// Hues of OpenCV's 8-bit HSV.
const HUES: usize = 180;

/// What was drawn for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Draw {
    brightness: Option<f64>,
    contrast: Option<f64>,
    contrast_first: bool,
    saturation: Option<f64>,
    hue: Option<i32>,
}

impl Draw {
    fn new(cfg: &PhotometricConfig, rng: &mut Pcg64Mcg) -> Self {
        let limits = i32::try_from(cfg.hue).unwrap_or(0);
        Self {
            brightness: rng.random_bool(0.5).then(|| rng.random_range(-cfg.brightness..=cfg.brightness)),
            contrast_first: rng.random_bool(0.5),
            contrast: rng.random_bool(0.5).then(|| rng.random_range(cfg.contrast[0]..=cfg.contrast[1])),
            saturation: rng.random_bool(0.5).then(|| rng.random_range(cfg.saturation[0]..=cfg.saturation[1])),
            hue: (rng.random_bool(0.5) && limits > 0).then(|| rng.random_range(-limits..limits)),
        }
    }
}

/// Changes the colours of an image `[H, W, 3]` in place.
pub fn random(cfg: &PhotometricConfig, image: &mut Image, rng: &mut Pcg64Mcg) {
    stage::enter!(COLOURS);
    distort(image, &Draw::new(cfg, rng));
}

fn distort(image: &mut Image, draw: &Draw) {
    let brightness = convert(1.0, draw.brightness.unwrap_or(0.0));
    let contrast = convert(draw.contrast.unwrap_or(1.0), 0.0);
    let identity = convert(1.0, 0.0);
    let (before, after) = if draw.contrast_first { (contrast, identity) } else { (identity, contrast) };
    let before = brightness.map(|v| before[usize::from(v)]);
    if draw.saturation.is_none() && draw.hue.is_none() {
        if draw.brightness.is_some() || draw.contrast.is_some() {
            image.mapv_inplace(|v| after[usize::from(before[usize::from(v)])]);
        }
        return;
    }
    let tables = HsvTables::new(draw.saturation.unwrap_or(1.0), draw.hue.unwrap_or(0));
    let shift = |pixel: &mut [u8; 3]| {
        let changed = tables.apply(pixel.map(|v| before[usize::from(v)]));
        *pixel = changed.map(|v| after[usize::from(v)]);
    };
    match image.as_slice_mut() {
        Some(values) => values.as_chunks_mut::<3>().0.iter_mut().for_each(shift),
        None => image.lanes_mut(ndarray::Axis(2)).into_iter().for_each(|mut lane| {
            let mut pixel = [lane[0], lane[1], lane[2]];
            shift(&mut pixel);
            lane.assign(&ndarray::aview1(&pixel));
        }),
    }
}

/// `value * alpha + beta`, clipped and cut off to a whole number, for every byte.
fn convert(alpha: f64, beta: f64) -> [u8; 256] {
    std::array::from_fn(|v| (v as f32 * alpha as f32 + beta as f32).clamp(0.0, 255.0) as u8)
}

/// Everything of the way RGB -> HSV -> RGB that depends on bytes alone.
struct HsvTables {
    /// 255 / value and 30 / (value - minimum), as multiples of 1/4096: OpenCV's `sdiv` and `hdiv`.
    saturation_div: [i32; 256],
    hue_div: [i32; 256],
    /// New saturation, 0 to 1.
    saturation: [f32; 256],
    /// How far each channel falls from the value to the minimum, 0 to 1, by old hue; this is where the hue turns.
    fall: [[f32; 4]; HUES],
}

impl HsvTables {
    fn new(saturation: f64, hue: i32) -> Self {
        let scale = convert(saturation, 0.0);
        let div = |numerator: f64| {
            move |v: usize| if v == 0 { 0 } else { (numerator * 4096.0 / v as f64).round_ties_even() as i32 }
        };
        Self {
            saturation_div: std::array::from_fn(div(255.0)),
            hue_div: std::array::from_fn(div(30.0)),
            saturation: scale.map(|s| f32::from(s) / 255.0),
            fall: std::array::from_fn(|old| fall((old as i32 + hue).rem_euclid(HUES as i32))),
        }
    }

    fn apply(&self, [r, g, b]: [u8; 3]) -> [u8; 3] {
        let (value, low) = (r.max(g).max(b), r.min(g).min(b));
        let spread = i32::from(value - low);
        let saturation = (spread * self.saturation_div[usize::from(value)] + 2048) >> 12;
        let (red, green, blue) = (i32::from(r), i32::from(g), i32::from(b));
        let sector = if value == r {
            green - blue
        } else if value == g {
            blue - red + 2 * spread
        } else {
            red - green + 4 * spread
        };
        let hue = (sector * self.hue_div[spread as usize] + 2048) >> 12;
        let hue = if hue < 0 { hue + HUES as i32 } else { hue };
        // `saturation` is at most 255 and `hue` at most 179 for every pixel; the masks only spare the checks.
        let fall = &self.fall[(hue as usize).min(HUES - 1)];
        let saturation = self.saturation[(saturation & 255) as usize];
        let value = f32::from(value);
        let channel = |fall: f32| (value - value * saturation * fall + 0.5) as u8;
        [channel(fall[0]), channel(fall[1]), channel(fall[2])]
    }
}

/// How far red, green and blue fall from the value to the minimum at a hue, 0 to 1; the fourth number pads.
fn fall(hue: i32) -> [f32; 4] {
    let of = |offset: f32| {
        let k = (offset + hue as f32 / 30.0) % 6.0;
        k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [of(5.0), of(3.0), of(1.0), 0.0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;
    use ndarray::{Array3, array};

    fn one(pixel: [u8; 3], draw: Draw) -> [u8; 3] {
        let mut image = Array3::from_shape_vec((1, 1, 3), pixel.to_vec()).unwrap();
        distort(&mut image, &draw);
        [image[[0, 0, 0]], image[[0, 0, 1]], image[[0, 0, 2]]]
    }

    #[test]
    fn brightness_and_contrast_clip_and_cut_off() {
        let draw = Draw { brightness: Some(31.7), ..Draw::default() };
        assert_eq!(one([0, 100, 240], draw), [31, 131, 255]);
        let both = Draw { brightness: Some(-20.0), contrast: Some(1.5), ..Draw::default() };
        // (10 - 20 -> 0), (101 - 20) * 1.5 = 121.5, (250 - 20) * 1.5 -> 255
        assert_eq!(one([10, 101, 250], both), [0, 121, 255]);
    }

    #[test]
    fn the_order_of_contrast_and_saturation_matters() {
        let last = Draw { contrast: Some(1.5), saturation: Some(0.5), ..Draw::default() };
        let first = Draw { contrast_first: true, ..last };
        assert_ne!(one([200, 100, 50], first), one([200, 100, 50], last));
    }

    #[test]
    fn hue_turns_around_the_circle() {
        let turn = |hue| Draw { hue: Some(hue), ..Draw::default() };
        assert_eq!(one([200, 0, 0], turn(60)), [0, 200, 0]);
        assert_eq!(one([200, 0, 0], turn(-60)), [0, 0, 200]);
        assert_eq!(one([200, 0, 0], turn(30)), [200, 200, 0]);
        assert_eq!(one([0, 0, 200], turn(60)), [200, 0, 0], "past 180");
        assert_eq!(one([77, 77, 77], turn(17)), [77, 77, 77], "grey has no hue");
        assert_eq!(one([0, 0, 0], turn(17)), [0, 0, 0]);
    }

    #[test]
    fn saturation_moves_towards_and_from_grey() {
        let scale = |s| Draw { saturation: Some(s), ..Draw::default() };
        assert_eq!(one([200, 100, 100], scale(0.0)), [200, 200, 200]);
        // Saturation 127 of 255 -> 63: 200 * (1 - 63 / 255) = 150.6
        assert_eq!(one([200, 100, 100], scale(0.5)), [200, 151, 151]);
        assert_eq!(one([200, 100, 100], scale(5.0)), [200, 0, 0]);
    }

    #[test]
    fn conversion_matches_opencv() {
        // cv2.cvtColor(RGB2HSV), saturation * 1.25, hue + 7, cv2.cvtColor(HSV2RGB), OpenCV 4.14. Over all 2^24 colours the
        // two are at most 1 apart.
        for (from, to) in OPENCV {
            let draw = Draw { saturation: Some(1.25), hue: Some(7), ..Draw::default() };
            let got = one(from, draw);
            assert!(
                got.iter().zip(to).all(|(a, b)| a.abs_diff(b) <= 1),
                "{from:?}: expected {to:?}, got {got:?}"
            );
        }
    }

    const OPENCV: [([u8; 3], [u8; 3]); 12] = [
        ([200, 0, 0], [200, 47, 0]),
        ([200, 100, 50], [200, 119, 13]),
        ([13, 57, 211], [0, 0, 211]),
        ([13, 211, 57], [0, 211, 98]),
        ([255, 254, 1], [196, 255, 0]),
        ([90, 91, 92], [89, 90, 92]),
        ([1, 0, 255], [60, 0, 255]),
        ([128, 64, 128], [128, 48, 109]),
        ([60, 40, 222], [74, 0, 222]),
        ([7, 7, 3], [6, 7, 2]),
        ([250, 5, 120], [250, 0, 58]),
        ([33, 180, 180], [0, 138, 180]),
    ];

    #[test]
    fn there_and_back_stays_close_for_every_colour() {
        let tables = HsvTables::new(1.0, 0);
        let mut worst = 0;
        for r in (0..=255).step_by(3) {
            for g in (0..=255).step_by(3) {
                for b in (0..=255).step_by(3) {
                    let back = tables.apply([r, g, b]);
                    worst = [r, g, b].iter().zip(back).map(|(a, b)| a.abs_diff(b)).fold(worst, u8::max);
                }
            }
        }
        // A hue step of 2 degrees is 1/30 of a channel's way.
        assert!(worst <= 5, "{worst}");
    }

    #[test]
    fn random_draws_obey_the_limits_and_layout_does_not_matter() {
        let cfg = PhotometricConfig::default();
        let draws: Vec<Draw> = (0..2000).map(|i| Draw::new(&cfg, &mut rng(0, 0, i))).collect();
        let share = |drawn: fn(&Draw) -> bool| draws.iter().filter(|d| drawn(d)).count();
        for count in [
            share(|d| d.brightness.is_some()),
            share(|d| d.contrast.is_some()),
            share(|d| d.contrast_first),
            share(|d| d.saturation.is_some()),
            share(|d| d.hue.is_some()),
        ] {
            assert!((880..1120).contains(&count), "{count} of 2000");
        }
        let hues: Vec<i32> = draws.iter().filter_map(|d| d.hue).collect();
        assert_eq!((hues.iter().min(), hues.iter().max()), (Some(&-18), Some(&17)));
        assert!(draws.iter().filter_map(|d| d.brightness).all(|b| b.abs() <= 32.0));

        let image = array![[[10u8, 90, 200], [200, 10, 30]], [[0, 0, 7], [255, 1, 255]]];
        let mut plain = image.clone();
        let mut turned = image.permuted_axes([1, 0, 2]);
        let draw = Draw { hue: Some(9), saturation: Some(1.3), contrast: Some(0.8), ..Draw::default() };
        distort(&mut plain, &draw);
        distort(&mut turned, &draw);
        assert_eq!(plain, turned.permuted_axes([1, 0, 2]));
    }
}
