//! Turning hues, on Pillow's 8-bit HSV (hue in 256 steps), as torchvision's `adjust_hue` of Pillow images.
//!
//! Checked by: `tests/augment.rs` (torchvision's pixels).

use super::enhance::pixels_mut;
use crate::sample::Image;

/// Turns all hues by `turn` of the circle, -0.5 to 0.5. The image is in standard layout.
pub fn turn(image: &mut Image, turn: f64) {
    let steps = (turn * 255.0) as i32 as u8; // negative steps wrap around
    for pixel in pixels_mut(image) {
        let [hue, saturation, value] = to_hsv(*pixel);
        *pixel = to_rgb([hue.wrapping_add(steps), saturation, value]);
    }
}

fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    if high == low {
        return [0, 0, high];
    }
    let spread = f32::from(high - low);
    let fall = |channel: u8| f32::from(high - channel) / spread;
    let sector = if r == high {
        f64::from(fall(b) - fall(g))
    } else if g == high {
        2.0 + f64::from(fall(r)) - f64::from(fall(b))
    } else {
        4.0 + f64::from(fall(g)) - f64::from(fall(r))
    };
    let hue = (f64::from(sector as f32) / 6.0 + 1.0).rem_euclid(1.0);
    let saturation = spread / f32::from(high);
    [(f64::from(hue as f32) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, high]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let value_of = f64::from(value);
    let place = f64::from(hue) * 6.0 / 255.0;
    let sector = place.floor();
    // Pillow keeps these two in 32 bits and computes in 64.
    let part = (place - sector) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let level = |fall: f64| (value_of * (1.0 - fall)).round() as u8;
    let p = level(f64::from(saturation));
    let q = level(f64::from(saturation * part));
    let t = level(f64::from(saturation) * (1.0 - f64::from(part)));
    match sector as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(pixel: [u8; 3], by: f64) -> [u8; 3] {
        let mut image = Image::from_shape_vec((1, 1, 3), pixel.to_vec()).unwrap();
        turn(&mut image, by);
        [image[[0, 0, 0]], image[[0, 0, 1]], image[[0, 0, 2]]]
    }

    #[test]
    fn hues_turn_around_the_circle() {
        // A third of the circle is 85 of 255 steps.
        assert_eq!(turned([200, 0, 0], 1.0 / 3.0), [0, 200, 0]);
        assert_eq!(turned([0, 200, 0], 1.0 / 3.0), [0, 0, 200]);
        assert_eq!(turned([90, 90, 90], 0.4), [90, 90, 90], "grey has no hue");
        assert_eq!(turned([0, 0, 0], 0.4), [0, 0, 0]);
    }

    #[test]
    fn no_turn_is_nearly_nothing() {
        for pixel in [[200, 100, 50], [10, 20, 30], [0, 255, 254], [7, 0, 255]] {
            let same = turned(pixel, 0.0);
            assert!(same.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) <= 3), "{pixel:?} gave {same:?}");
        }
    }
}
