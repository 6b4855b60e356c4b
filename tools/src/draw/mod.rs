//! Pictures: class overlays, legends, contact sheets, label maps. Plain arrays in, plain arrays out.

mod legend;
mod overlay;
mod png_file;
mod sheet;
mod text;

pub use legend::with_legend;
pub use overlay::{label_colors, overlay};
pub use png_file::{png_bytes, write_label_png, write_png};
pub use sheet::{Tile, contact_sheet};

use smalti_datasets::Image;

/// Background of everything drawn around pictures: a dark slate that lets both photographs and class colours stand out.
pub(crate) const BACKGROUND: [u8; 3] = [24, 27, 33];
/// Text on [`BACKGROUND`].
pub(crate) const INK: [u8; 3] = [226, 229, 235];
/// Secondary text on [`BACKGROUND`].
pub(crate) const FAINT_INK: [u8; 3] = [148, 155, 168];

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
