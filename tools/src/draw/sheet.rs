//! Contact sheets: rows of captioned pictures.

use smalti_datasets::Image;

use super::{BACKGROUND, INK, enlarge, filled, paste, text};

/// One picture of a sheet.
#[derive(Debug, Clone)]
pub struct Tile {
    caption: String,
    image: Image,
}

impl Tile {
    /// A picture with a line of text below it.
    pub fn new(caption: impl Into<String>, image: Image) -> Self {
        Self { caption: caption.into(), image }
    }
}

/// Pictures narrower than this are enlarged by a whole factor.
const MIN_WIDTH: usize = 240;
const GAP: usize = 12;
/// Least size of a caption and of the strip it stands in; both grow with the pictures.
const TEXT: f32 = 16.0;
const CAPTION: usize = 26;

/// All tiles on one dark sheet, row by row; columns are as wide as their widest picture. An empty sheet is one pixel.
pub fn contact_sheet(rows: &[Vec<Tile>]) -> Image {
    let widest = rows.iter().flatten().map(|tile| tile.image.dim().1).max().unwrap_or(0);
    // One factor for all, so that pictures keep their sizes relative to each other.
    let factor = MIN_WIDTH.div_ceil(widest.max(1)).max(1);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let size = |tile: &Tile| (tile.image.dim().0 * factor, tile.image.dim().1 * factor);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|tile| size(tile).1).max().unwrap_or(0)
        })
        .collect();
    let tallest = rows.iter().flatten().map(|tile| size(tile).0).max().unwrap_or(0);
    let text_size = (tallest as f32 / 24.0).clamp(TEXT, 1.6 * TEXT); // as legends have it
    let caption = (CAPTION as f32 * text_size / TEXT) as usize;
    let heights: Vec<usize> =
        rows.iter().map(|row| row.iter().map(|tile| size(tile).0).max().unwrap_or(0) + caption).collect();
    let total_width = widths.iter().map(|width| width + GAP).sum::<usize>() + GAP;
    let total_height = heights.iter().map(|height| height + GAP).sum::<usize>() + GAP;

    let mut canvas = filled(total_height.max(1), total_width.max(1), BACKGROUND);
    let mut y = GAP;
    for (row, height) in rows.iter().zip(&heights) {
        let mut x = GAP;
        for (tile, width) in row.iter().zip(&widths) {
            let picture = enlarge(&tile.image, factor);
            paste(&mut canvas, &picture, y, x);
            let below = y + picture.dim().0 + caption / 5;
            text::draw(&mut canvas, &text::fit(&tile.caption, text_size, *width), (below, x), text_size, INK);
            x += width + GAP;
        }
        y += height + GAP;
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_where_they_should_and_are_enlarged_together() {
        let tile = |height, width, value| {
            Tile::new("a long caption that must be cut", Image::from_elem((height, width, 3), value))
        };
        let sheet = contact_sheet(&[vec![tile(20, 120, 200), tile(10, 60, 100)], vec![tile(20, 30, 50)]]);
        // Widest is 120, so everything is doubled: columns 240 and 120, rows 40 + caption each.
        assert_eq!(sheet.dim(), (3 * GAP + 2 * (40 + CAPTION), 3 * GAP + 240 + 120, 3));
        assert_eq!(sheet[(GAP, GAP, 0)], 200);
        assert_eq!(sheet[(GAP + 19, 2 * GAP + 240 + 119, 0)], 100);
        assert_eq!(sheet[(GAP + 20, 2 * GAP + 240 + 119, 0)], BACKGROUND[0]);
        assert_eq!(contact_sheet(&[]).dim(), (GAP, GAP, 3));
    }
}
