//! Anti-aliased text.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use smalti_datasets::Image;

/// Ubuntu Light, as packaged with epaint (Ubuntu font licence).
fn font() -> &'static FontRef<'static> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    FONT.get_or_init(|| {
        FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).expect("the packaged font is a font")
    })
}

/// Width in pixels of a line of text at a size in pixels.
pub(crate) fn width(text: &str, size: f32) -> usize {
    let font = font().as_scaled(PxScale::from(size));
    text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum::<f32>().ceil() as usize
}

/// Draws one line with its top left corner at (y, x); what leaves the canvas is cut.
pub(crate) fn draw(canvas: &mut Image, text: &str, (y, x): (usize, usize), size: f32, color: [u8; 3]) {
    let font = font().as_scaled(PxScale::from(size));
    let (rows, columns, _) = canvas.dim();
    let baseline = y as f32 + font.ascent();
    let mut pen = x as f32;
    for c in text.chars() {
        let id = font.glyph_id(c);
        let glyph = id.with_scale_and_position(font.scale(), point(pen, baseline));
        pen += font.h_advance(id);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|gx, gy, coverage| {
            let (py, px) = (bounds.min.y as i64 + i64::from(gy), bounds.min.x as i64 + i64::from(gx));
            if (0..rows as i64).contains(&py) && (0..columns as i64).contains(&px) {
                let mut pixel = canvas.slice_mut(ndarray::s![py as usize, px as usize, ..]);
                for (value, &ink) in pixel.iter_mut().zip(&color) {
                    *value = (f32::from(*value) * (1.0 - coverage) + f32::from(ink) * coverage + 0.5) as u8;
                }
            }
        });
    }
}

/// Draws one line that reads upwards: its start is at the bottom, at (bottom, x), and its top is on the left.
pub(crate) fn draw_up(
    canvas: &mut Image,
    text: &str,
    (bottom, x): (usize, usize),
    size: f32,
    color: [u8; 3],
) {
    let (rows, columns, _) = canvas.dim();
    let (long, high) = (width(text, size).min(bottom).min(rows), (size * 1.3) as usize);
    // The strip, turned by a quarter: what lies right in it lies up on the canvas.
    let mut strip = Image::zeros((high.min(columns.saturating_sub(x)), long, 3));
    let place = |(v, u): (usize, usize)| (bottom.min(rows) - 1 - u, x + v);
    for ((v, u, c), value) in strip.indexed_iter_mut() {
        let (y, x) = place((v, u));
        *value = canvas[(y, x, c)];
    }
    draw(&mut strip, text, (0, 0), size, color);
    for ((v, u, c), &value) in strip.indexed_iter() {
        let (y, x) = place((v, u));
        canvas[(y, x, c)] = value;
    }
}

/// The text, cut with an ellipsis so that it fits a width.
pub(crate) fn fit(text: &str, size: f32, max_width: usize) -> String {
    if width(text, size) <= max_width {
        return text.to_string();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let shorter = kept.iter().collect::<String>() + "…";
        if width(&shorter, size) <= max_width {
            return shorter;
        }
    }
    String::new()
}
