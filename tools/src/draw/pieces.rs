//! Segments over an image: each in a shade of its class, with its border, things with their box, names where there is room.

use ndarray::Array2;
use smalti_datasets::Image;

use super::{enlarge, fill_rect, longest_side, mix, shrink, text};

/// A segment of a picture.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Name of its class.
    pub name: String,
    /// Colour of its class.
    pub color: [u8; 3],
    /// Things have a box.
    pub is_thing: bool,
    /// A group of objects; its name says so.
    pub is_crowd: bool,
    /// `[H, W]`: not 0 where it is.
    pub mask: Array2<u8>,
}

/// Share of the class's colour in its segments.
const OPACITY: f32 = 0.5;
/// Height of names, in pixels.
const TEXT: f32 = 14.0;
/// Pictures with a longer side below this are enlarged by a whole factor, so that names have room.
const LEAST_SIDE: usize = 400;
/// Things of a class are told apart by how much of white, or below 0 of black, is in their colour.
const SHADES: [f32; 6] = [0.0, 0.45, -0.35, 0.25, -0.18, 0.6];
const INK: [u8; 3] = [255; 3];
const TAG: [u8; 3] = [16, 18, 22];

/// A segment at the size it is drawn in.
struct Placed<'a> {
    piece: &'a Piece,
    mask: Array2<u8>,
    color: [u8; 3],
    /// Top, left, bottom, right; the last two exclusive.
    extent: [usize; 4],
    area: usize,
}

/// Draws segments on an image of at most `max_side` pixels: larger ones are made smaller, small ones larger.
pub fn pieces(image: &Image, segments: &[Piece], max_side: usize) -> Image {
    let (height, width, _) = image.dim();
    let reduced_by = longest_side(image).div_ceil(max_side.max(1)).max(1);
    let enlarged_by = if reduced_by > 1 { 1 } else { LEAST_SIDE / longest_side(image).max(1) }.max(1);
    let mut canvas = enlarge(&shrink(image, reduced_by), enlarged_by);
    let (rows, columns, _) = canvas.dim();
    let source = |i: usize, end: usize| (i / enlarged_by * reduced_by + reduced_by / 2).min(end - 1);
    let place = |(i, piece): (usize, &'_ Piece)| {
        let mask = Array2::from_shape_fn((rows, columns), |(y, x)| {
            piece.mask.get((source(y, height), source(x, width))).copied().unwrap_or(0)
        });
        (i, mask)
    };
    let masks = segments.iter().enumerate().map(place);
    let mut placed: Vec<Placed<'_>> = masks
        .filter_map(|(i, mask)| {
            let piece = &segments[i];
            let extent = extent(&mask)?;
            let area = mask.iter().filter(|value| **value != 0).count();
            let shade = if piece.is_thing { SHADES[i % SHADES.len()] } else { 0.0 };
            Some(Placed { piece, mask, color: shaded(piece.color, shade), extent, area })
        })
        .collect();
    placed.sort_by_key(|one| std::cmp::Reverse(one.area)); // stable: small ones lie on top
    for one in &placed {
        tint(&mut canvas, one);
    }
    for one in placed.iter().filter(|one| one.piece.is_thing) {
        frame(&mut canvas, one.extent, one.color);
    }
    name(&mut canvas, &placed);
    canvas
}

fn extent(mask: &Array2<u8>) -> Option<[usize; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for ((y, x), _) in mask.indexed_iter().filter(|(_, value)| **value != 0) {
        let [top, left, bottom, right] = found.unwrap_or([y, x, y + 1, x + 1]);
        found = Some([top.min(y), left.min(x), bottom.max(y + 1), right.max(x + 1)]);
    }
    found
}

/// Towards white, or below 0 towards black.
fn shaded(color: [u8; 3], shade: f32) -> [u8; 3] {
    color.map(|value| mix(value, if shade < 0.0 { 0 } else { 255 }, shade.abs()))
}

fn tint(canvas: &mut Image, one: &Placed<'_>) {
    let [top, left, bottom, right] = one.extent;
    let is_set = |y: usize, x: usize| one.mask.get((y, x)).is_some_and(|value| *value != 0);
    for y in top..bottom {
        for x in left..right {
            if !is_set(y, x) {
                continue;
            }
            let (above, before) = (y.wrapping_sub(1), x.wrapping_sub(1));
            let inside = is_set(above, x) && is_set(y + 1, x) && is_set(y, before) && is_set(y, x + 1);
            for c in 0..3 {
                let value = mix(canvas[(y, x, c)], one.color[c], OPACITY);
                canvas[(y, x, c)] = if inside { value } else { mix(one.color[c], 255, 0.6) };
            }
        }
    }
}

fn frame(canvas: &mut Image, [top, left, bottom, right]: [usize; 4], color: [u8; 3]) {
    let (height, width) = (bottom - top, right - left);
    for y in [top, bottom - 1] {
        fill_rect(canvas, (y, left), (1, width), color);
    }
    for x in [left, right - 1] {
        fill_rect(canvas, (top, x), (height, 1), color);
    }
}

/// Writes the names, of large segments first, each where it covers no other; those without such a place are left out.
fn name(canvas: &mut Image, placed: &[Placed<'_>]) {
    let (rows, columns, _) = canvas.dim();
    let mut taken: Vec<[usize; 4]> = Vec::new();
    let high = TEXT as usize + 4;
    for one in placed {
        let crowd = if one.piece.is_crowd { " (crowd)" } else { "" };
        let label = format!("{}{crowd}", one.piece.name);
        let wide = text::width(&label, TEXT) + 6;
        let [top, left, bottom, right] = one.extent;
        let (middle_y, middle_x) = middle(one);
        let corners = [
            (top, left),
            (top.saturating_sub(high), left),
            (bottom, left),
            (top, right.saturating_sub(wide)),
        ];
        let inside = (middle_y.saturating_sub(high / 2), middle_x.saturating_sub(wide / 2));
        let tries =
            if one.piece.is_thing { [corners[0], corners[1], corners[2], corners[3]] } else { [inside; 4] };
        let fits = |&(y, x): &(usize, usize)| {
            y + high <= rows
                && x + wide <= columns
                && !taken.iter().any(|[t, l, b, r]| y < *b && *t < y + high && x < *r && *l < x + wide)
        };
        let Some((y, x)) = tries.into_iter().find(fits) else { continue };
        fill_rect(canvas, (y, x), (high, wide), TAG);
        fill_rect(canvas, (y, x), (high, 2), one.color);
        text::draw(canvas, &label, (y + 1, x + 4), TEXT, INK);
        taken.push([y, x, y + high, x + wide]);
    }
}

/// The pixel of a segment in the middle of its middle row's longest run: inside, wherever its box's centre is.
fn middle(one: &Placed<'_>) -> (usize, usize) {
    let [top, left, bottom, right] = one.extent;
    let run_of = |y: usize| {
        let (mut best, mut start) = ((0, left), left);
        for x in left..=right {
            let is_set = x < right && one.mask[(y, x)] != 0;
            if !is_set {
                best = best.max((x - start, start));
                start = x + 1;
            }
        }
        best
    };
    let longest = (top..bottom).map(|y| (run_of(y), y)).max().unwrap_or(((0, left), top));
    let ((length, start), y) = longest;
    (y, start + length / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(name: &str, is_thing: bool, mask: Array2<u8>) -> Piece {
        Piece { name: name.into(), color: [200, 20, 20], is_thing, is_crowd: false, mask }
    }

    #[test]
    fn segments_are_tinted_and_framed() {
        let image = Image::from_elem((600, 500, 3), 100);
        let square =
            Array2::from_shape_fn((600, 500), |(y, x)| u8::from((100..300).contains(&y) && x >= 200));
        let plain = pieces(&image, &[], 800);
        assert_eq!(plain, image);
        let drawn = pieces(&image, &[piece("cat", true, square)], 800);
        assert_eq!(drawn.dim(), image.dim());
        assert_eq!([drawn[(250, 350, 0)], drawn[(250, 350, 1)]], [150, 60], "half of each colour");
        assert_eq!(drawn[(100, 480, 0)], 200, "the box");
        assert_eq!(drawn[(50, 50, 0)], 100, "outside");
        assert!(drawn.slice(ndarray::s![100..118, 200..260, 0]).iter().any(|&v| v == TAG[0]), "its name");
    }

    #[test]
    fn pictures_of_any_size_are_drawn() {
        for size in [(1, 1), (3, 900), (2000, 10), (48, 64)] {
            let image = Image::zeros((size.0, size.1, 3));
            let full = piece("a long name of a class", false, Array2::ones(size));
            let none = piece("none", true, Array2::zeros(size));
            let drawn = pieces(&image, &[full.clone(), none, full], 700);
            assert!(longest_side(&drawn) <= 800 && drawn.iter().any(|v| *v > 0), "{size:?}");
        }
    }
}
