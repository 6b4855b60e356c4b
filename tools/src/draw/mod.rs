//! Pictures: class overlays, legends, contact sheets, label maps. Plain arrays in, plain arrays out.

mod bars;
mod confusion;
mod error_bars;
mod legend;
mod name_tags;
mod overlay;
mod pieces;
mod png_file;
mod scatter;
mod sheet;
mod stroke;
mod text;

pub use bars::{Bar, class_histogram};
pub use confusion::confusion_matrix;
pub use error_bars::{ErrorBar, error_bars};
pub use legend::with_legend;
pub use overlay::{label_colors, overlay, overlay_segments};
pub use pieces::{Piece, pieces};
pub use png_file::{grey_png_bytes, png_bytes, write_label_png, write_png};
pub use scatter::{QualityPoint, quality_scatter};
pub use sheet::{Tile, contact_sheet};

use smalti_datasets::{Image, LabelMap};

/// Background of everything drawn around pictures: a dark slate that lets both photographs and class colours stand out.
pub(crate) const BACKGROUND: [u8; 3] = [24, 27, 33];
/// Text on [`BACKGROUND`].
pub(crate) const INK: [u8; 3] = [226, 229, 235];
/// Secondary text on [`BACKGROUND`].
pub(crate) const FAINT_INK: [u8; 3] = [148, 155, 168];

/// From `a` at `share` 0 to `b` at 1.
fn mix(a: u8, b: u8, share: f32) -> u8 {
    (f32::from(a) * (1.0 - share) + f32::from(b) * share + 0.5) as u8
}

/// Pictures of one height in a row.
pub fn side_by_side(pictures: &[&Image]) -> Image {
    let height = pictures.iter().map(|picture| picture.dim().0).max().unwrap_or(0);
    let width = pictures.iter().map(|picture| picture.dim().1).sum();
    let mut canvas = filled(height, width, BACKGROUND);
    let mut x = 0;
    for picture in pictures {
        paste(&mut canvas, picture, 0, x);
        x += picture.dim().1;
    }
    canvas
}

/// Image `[H, W, 3]` and labels `[H, W]` made smaller by the least whole factor that brings the longer side to `max_side`:
/// pixels by the mean of their block, labels by its centre. Pictures for looking at, not for computing.
pub fn reduce(image: &Image, labels: &LabelMap, max_side: usize) -> (Image, LabelMap) {
    let (height, width) = labels.dim();
    let factor = height.max(width).div_ceil(max_side.max(1)).max(1);
    if factor == 1 {
        return (image.clone(), labels.clone());
    }
    let small = shrink(image, factor);
    let size = (small.dim().0, small.dim().1);
    let centre = |i: usize, end: usize| (i * factor + factor / 2).min(end - 1);
    (small, LabelMap::from_shape_fn(size, |(y, x)| labels[(centre(y, height), centre(x, width))]))
}

/// An image made smaller by a whole factor: the mean of every block. At least one pixel stays.
pub(crate) fn shrink(image: &Image, factor: usize) -> Image {
    if factor <= 1 {
        return image.clone();
    }
    let (height, width, _) = image.dim();
    let mean = |(y, x, c): (usize, usize, usize)| {
        let (bottom, right) = (((y + 1) * factor).min(height), ((x + 1) * factor).min(width));
        let block = image.slice(ndarray::s![y * factor..bottom, x * factor..right, c]);
        let sum: usize = block.iter().map(|&value| usize::from(value)).sum();
        ((sum + block.len() / 2) / block.len().max(1)) as u8
    };
    Image::from_shape_fn(((height / factor).max(1), (width / factor).max(1), 3), mean)
}

/// The larger of height and width.
pub(crate) fn longest_side(image: &Image) -> usize {
    image.dim().0.max(image.dim().1)
}

/// An image of one colour.
pub(crate) fn filled(height: usize, width: usize, color: [u8; 3]) -> Image {
    Image::from_shape_fn((height, width, 3), |(_, _, c)| color[c])
}

/// Copies `picture` into `canvas` with its top left corner at (y, x); it must fit.
pub(crate) fn paste(canvas: &mut Image, picture: &Image, y: usize, x: usize) {
    let (height, width, _) = picture.dim();
    canvas.slice_mut(ndarray::s![y..y + height, x..x + width, ..]).assign(picture);
}

/// Fills a rectangle, cut at the canvas's borders.
pub(crate) fn fill_rect(
    canvas: &mut Image,
    (y, x): (usize, usize),
    (height, width): (usize, usize),
    color: [u8; 3],
) {
    let (rows, columns, _) = canvas.dim();
    let (bottom, right) = ((y + height).min(rows), (x + width).min(columns));
    if y >= bottom || x >= right {
        return;
    }
    for mut pixel in canvas.slice_mut(ndarray::s![y..bottom, x..right, ..]).rows_mut() {
        pixel.assign(&ndarray::arr1(&color));
    }
}

/// Every pixel `factor` times as wide and high.
pub(crate) fn enlarge(image: &Image, factor: usize) -> Image {
    let (height, width, _) = image.dim();
    Image::from_shape_fn((height * factor, width * factor, 3), |(y, x, c)| image[(y / factor, x / factor, c)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reducing_averages_pixels_and_picks_labels() {
        let image = Image::from_shape_fn((5, 6, 3), |(y, x, c)| (10 * y + x + c) as u8);
        let labels = LabelMap::from_shape_fn((5, 6), |(y, x)| (10 * y + x) as u8);
        let (small, picked) = reduce(&image, &labels, 3);
        // Factor 2: the last row of 5 is left out. Block (0, 0) holds 0, 1, 10, 11.
        assert_eq!((small.dim(), picked.dim()), ((2, 3, 3), (2, 3)));
        assert_eq!((small[(0, 0, 0)], small[(1, 2, 1)]), (6, 31));
        assert_eq!((picked[(0, 0)], picked[(1, 2)]), (11, 35));
        assert_eq!(reduce(&image, &labels, 6), (image, labels));
        let thin = reduce(&Image::zeros((1, 900, 3)), &LabelMap::zeros((1, 900)), 100);
        assert_eq!(thin.1.dim(), (1, 100));
    }
}
