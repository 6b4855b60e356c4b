//! Shear, shift and rotation: every pixel of the result looks up its place in the source, as Pillow's `Image.transform`.
//!
//! Values between pixels are cut off to whole numbers, not rounded; what comes from outside has a fill colour.
//!
//! Checked by: `tests/augment.rs` (Pillow's pixels).

use super::antialias::Filter;
use super::enhance::{pixels, pixels_mut};
use crate::sample::Image;

/// Maps a place `(x, y)` of the result, counted in pixels from the corner, to one of the source:
/// `(m0 x + m1 y + m2, m3 x + m4 y + m5)`.
pub type Matrix = [f64; 6];

/// Shifts rows by `factor` times their distance from the top.
pub fn shear_x(factor: f64) -> Matrix {
    [1.0, factor, 0.0, 0.0, 1.0, 0.0]
}

/// Shifts columns by `factor` times their distance from the left.
pub fn shear_y(factor: f64) -> Matrix {
    [1.0, 0.0, 0.0, factor, 1.0, 0.0]
}

/// Shifts by `x` pixels to the left and `y` up.
pub fn translate(x: f64, y: f64) -> Matrix {
    [1.0, 0.0, x, 0.0, 1.0, y]
}

/// Turns counter-clockwise about the middle of an image of this height and width.
pub fn rotate(degrees: f64, [height, width]: [usize; 2]) -> Matrix {
    // Pillow's steps one by one: a last bit decides which side of a whole number a value falls on.
    let (sin, cos) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
    let round = |value: f64| (value * 1e15).round_ties_even() / 1e15;
    let (sin, cos) = (round(sin), round(cos));
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [cos, sin, (cos * -x + sin * -y) + x, -sin, cos, (-sin * -x + cos * -y) + y]
}

/// The transformed image, of the same size: `[H, W, 3]`, in standard layout.
pub fn transform(image: &Image, m: &Matrix, filter: Filter, fill: [u8; 3]) -> Image {
    let (height, width, _) = image.dim();
    let source = Source { pixels: pixels(image), height: height as i64, width: width as i64 };
    let mut out = Image::zeros((height, width, 3));
    for (at, pixel) in pixels_mut(&mut out).iter_mut().enumerate() {
        let (x, y) = ((at % width) as f64 + 0.5, (at / width) as f64 + 0.5);
        let (x, y) = (m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]);
        let inside = (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y);
        *pixel = if inside { source.look_up(x - 0.5, y - 0.5, filter) } else { fill };
    }
    out
}

struct Source<'a> {
    pixels: &'a [[u8; 3]],
    height: i64,
    width: i64,
}

impl Source<'_> {
    /// The value at a place whose whole numbers are centres of pixels.
    fn look_up(&self, x: f64, y: f64, filter: Filter) -> [u8; 3] {
        let (column, row) = (x.floor(), y.floor());
        let (dx, dy) = (x - column, y - row);
        let (column, row) = (column as i64, row as i64);
        std::array::from_fn(|channel| {
            let value = match filter {
                Filter::Bilinear => {
                    let line = |row: i64| {
                        let [a, b] = self.line(row, column, channel);
                        a + (b - a) * dx
                    };
                    let first = line(row);
                    first + (line(row + 1) - first) * dy
                }
                Filter::Bicubic => {
                    let line = |row: i64| cubic(self.line(row, column - 1, channel), dx);
                    cubic([line(row - 1), line(row), line(row + 1), line(row + 2)], dy)
                }
            };
            value as u8 // `as` stops at 0 and 255
        })
    }

    /// `N` values from `column` on; the border's repeat outside.
    fn line<const N: usize>(&self, row: i64, column: i64, channel: usize) -> [f64; N] {
        let start = row.clamp(0, self.height - 1) * self.width;
        std::array::from_fn(|i| {
            let column = (column + i as i64).clamp(0, self.width - 1);
            f64::from(self.pixels[(start + column) as usize][channel])
        })
    }
}

/// The cubic through the middle two of four values with a = -1, Pillow's for transforms, at `d` between them.
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let (p2, p3, p4) = (v3 - v1, 2.0 * (v1 - v2) + v3 - v4, v2 - v1 + v4 - v3);
    v2 + d * (p2 + d * (p3 + d * p4))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;

    const FILL: [u8; 3] = [9, 9, 9];

    fn numbered() -> Image {
        Array3::from_shape_fn((4, 6, 3), |(y, x, c)| (y * 40 + x * 5 + c) as u8)
    }

    #[test]
    fn whole_shifts_move_pixels() {
        let image = numbered();
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let moved = transform(&image, &translate(2.0, -1.0), filter, FILL);
            assert_eq!(moved.slice(s![1.., ..4, ..]), image.slice(s![..3, 2.., ..]));
            assert!(moved.slice(s![0, .., ..]).iter().all(|&value| value == 9));
            assert!(moved.slice(s![.., 4.., ..]).iter().all(|&value| value == 9));
        }
    }

    #[test]
    fn half_shifts_average_two_pixels() {
        let moved = transform(&numbered(), &translate(0.5, 0.0), Filter::Bilinear, FILL);
        assert_eq!(moved[[0, 0, 0]], 2, "2.5, cut off");
        assert_eq!(moved[[1, 3, 0]], 57);
    }

    #[test]
    fn half_a_turn_reverses_both_axes() {
        let image = numbered();
        let turned = transform(&image, &rotate(180.0, [4, 6]), Filter::Bilinear, FILL);
        let reversed = image.slice(s![..;-1, ..;-1, ..]);
        assert!(turned.iter().zip(&reversed).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn shears_move_far_rows_most() {
        let image = numbered();
        let sheared = transform(&image, &shear_x(1.0), Filter::Bilinear, FILL);
        // Row y looks y + 1/2 pixels to the right.
        assert_eq!((sheared[[0, 0, 0]], sheared[[3, 0, 0]]), (2, 137));
        let sheared = transform(&image, &shear_y(-1.0), Filter::Bilinear, FILL);
        assert_eq!(sheared[[0, 3, 0]], 9);
    }
}
