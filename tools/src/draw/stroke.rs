//! Anti-aliased points and lines. Coordinates are (y, x) in pixels, pixel centres at whole numbers.

use std::ops::RangeInclusive;

use smalti_datasets::Image;

/// Lays a colour over a pixel, `coverage` 0 to 1; outside the canvas nothing happens.
pub(super) fn blend(canvas: &mut Image, (y, x): (i64, i64), color: [u8; 3], coverage: f32) {
    let (rows, columns, _) = canvas.dim();
    if coverage <= 0.0 || !(0..rows as i64).contains(&y) || !(0..columns as i64).contains(&x) {
        return;
    }
    let coverage = coverage.min(1.0);
    for (value, ink) in canvas.slice_mut(ndarray::s![y as usize, x as usize, ..]).iter_mut().zip(color) {
        *value = (f32::from(*value) * (1.0 - coverage) + f32::from(ink) * coverage + 0.5) as u8;
    }
}

/// A filled disc.
pub(super) fn disc(canvas: &mut Image, (cy, cx): (f32, f32), radius: f32, color: [u8; 3]) {
    for y in around(cy, cy, radius) {
        for x in around(cx, cx, radius) {
            let away = (y as f32 - cy).hypot(x as f32 - cx);
            blend(canvas, (y, x), color, radius + 0.5 - away);
        }
    }
}

/// A straight line of a width in pixels.
pub(super) fn segment(canvas: &mut Image, from: (f32, f32), to: (f32, f32), width: f32, color: [u8; 3]) {
    let (dy, dx) = (to.0 - from.0, to.1 - from.1);
    let length = (dy * dy + dx * dx).max(f32::MIN_POSITIVE);
    for y in around(from.0, to.0, width) {
        for x in around(from.1, to.1, width) {
            let (py, px) = (y as f32 - from.0, x as f32 - from.1);
            let along = ((py * dy + px * dx) / length).clamp(0.0, 1.0);
            let away = (py - along * dy).hypot(px - along * dx);
            blend(canvas, (y, x), color, width / 2.0 + 0.5 - away);
        }
    }
}

/// Whole numbers from a little before to a little behind two ends.
fn around(a: f32, b: f32, margin: f32) -> RangeInclusive<i64> {
    (a.min(b) - margin).floor() as i64..=(a.max(b) + margin).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disc_has_its_area_and_what_leaves_the_canvas_is_cut() {
        let mut canvas = Image::zeros((21, 21, 3));
        disc(&mut canvas, (10.0, 10.0), 6.0, [255; 3]);
        let area = canvas.iter().map(|&v| f64::from(v)).sum::<f64>() / 3.0 / 255.0;
        assert!((area - std::f64::consts::PI * 36.0).abs() < 2.0, "{area}");
        disc(&mut canvas, (-2.0, 20.0), 5.0, [9; 3]);
        segment(&mut canvas, (-5.0, -5.0), (50.0, 3.0), 1.0, [9; 3]);
    }

    #[test]
    fn a_line_is_as_wide_as_it_should_be() {
        let mut canvas = Image::zeros((9, 40, 3));
        segment(&mut canvas, (4.0, 0.0), (4.0, 39.0), 1.0, [200; 3]);
        assert_eq!((canvas[(4, 20, 0)], canvas[(3, 20, 0)], canvas[(5, 20, 0)]), (200, 0, 0));
    }
}
