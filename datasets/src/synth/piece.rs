//! The things of an image: what, where, how large, in which colours, and in which order they lie.

use super::catalog::{THINGS, Thing};
use super::dice::Dice;
use super::layout::Frame;
use super::paint::{Rgb, hex, luma, mix, scale};
use super::shape;

/// Colours of glass. Every kind of thing is made in all of them, so colour does not tell the kind.
const GLASS: [u32; 12] = [
    0xd6_28_39, // ruby
    0xf2_6b_2e, // coral
    0xf6_a5_1e, // amber
    0xf4_cf_3e, // gold
    0x8c_b3_36, // olive
    0x1f_8f_5f, // emerald
    0x1a_9f_a6, // turquoise
    0x2a_74_c9, // cobalt
    0x43_47_a8, // lapis
    0x87_44_ad, // violet
    0xd8_4b_93, // rose
    0xea_e2_d0, // ivory
];

/// One thing in the picture.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) kind: Thing,
    /// Pixels, `[x, y]`; a pixel's centre is at half numbers.
    pub(super) centre: [f32; 2],
    /// Pixels; the outline reaches at most 1.22 times as far.
    pub(super) radius: f32,
    /// Cosine and sine of its rotation.
    pub(super) turn: [f32; 2],
    pub(super) base: Rgb,
    /// Second colour of its pattern.
    pub(super) accent: Rgb,
    pub(super) seed: u32,
    /// 5 to 7; only flowers have them.
    pub(super) petals: u32,
}

impl Piece {
    /// A place of the picture in the thing's own units and rotation.
    pub(super) fn local(&self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = ((x - self.centre[0]) / self.radius, (y - self.centre[1]) / self.radius);
        [dx * self.turn[0] + dy * self.turn[1], dy * self.turn[0] - dx * self.turn[1]]
    }

    /// Signed distance from the outline in pixels.
    pub(super) fn distance(&self, x: f32, y: f32) -> f32 {
        shape::distance(self.kind, self.petals, self.local(x, y)) * self.radius
    }

    /// Columns and rows `[x0, x1, y0, y1)` of the picture that the thing, grown by `margin` pixels, can touch.
    pub(super) fn window(&self, margin: f32, width: usize, height: usize) -> [usize; 4] {
        let reach = self.radius * 1.22 + margin + 1.0;
        let [cx, cy] = self.centre;
        let clip = |v: f32, side: usize| (v.max(0.0) as usize).min(side);
        [clip(cx - reach, width), clip(cx + reach + 1.0, width), clip(cy - reach, height), clip(cy + reach + 1.0, height)]
    }
}

/// Smallest and largest radius in pixels for an image with this shorter side.
fn radii(shorter: f32) -> [f32; 2] {
    let largest = shorter * 0.26;
    [(shorter * 0.045).max(5.5).min(largest), largest]
}

/// One to twelve things, back to front: mostly large ones behind small ones.
pub(super) fn scatter(frame: Frame, dice: &mut Dice) -> Vec<Piece> {
    let count = 1 + dice.below(7) + dice.below(6);
    let [small, large] = radii(frame.pixels);
    // The more things, the smaller they are, or the last would cover all others.
    let large = large * (1.0 - 0.035 * (count as f32 - 1.0));
    let mut pieces: Vec<(f32, Piece)> = (0..count)
        .map(|_| {
            let radius = small * (large / small).max(1.0).powf(dice.unit());
            (radius * dice.range(0.5, 1.5), piece(radius, frame, dice))
        })
        .collect();
    pieces.sort_by(|a, b| b.0.total_cmp(&a.0));
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

fn piece(radius: f32, frame: Frame, dice: &mut Dice) -> Piece {
    let kind = dice.pick(&THINGS);
    let inset = (radius * 0.5).min(frame.pixels * 0.3);
    let along = |side: f32, dice: &mut Dice| dice.range(inset, side * frame.pixels - inset);
    let [first, second] = {
        let first = dice.below(GLASS.len());
        let other = (first + 3 + dice.below(GLASS.len() - 5)) % GLASS.len(); // not a neighbour
        [first, other].map(|i| hex(GLASS[i]))
    };
    let base = scale(first, dice.range(0.88, 1.1));
    Piece {
        kind,
        centre: [along(frame.width, dice), along(frame.height, dice)],
        radius,
        turn: dice.direction(),
        base,
        accent: accent(base, second, dice),
        seed: dice.bits(),
        petals: 5 + dice.below(3) as u32,
    }
}

/// Ivory or a pastel of another glass; a dark glass where the first colour is pale itself.
fn accent(base: Rgb, other: Rgb, dice: &mut Dice) -> Rgb {
    let pastel = dice.chance(0.5);
    if luma(base) > 0.66 {
        let darkening = (0.36 / luma(other)).min(1.0);
        return scale(other, darkening);
    }
    if pastel { mix(other, [1.0; 3], 0.5) } else { hex(0xfb_f6_e9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_every_pixel_of_a_thing() {
        let frame = Frame { width: 1.5, height: 1.0, pixels: 40.0 };
        for index in 0..40 {
            for piece in scatter(frame, &mut Dice::new(1, 0, index)) {
                let [x0, x1, y0, y1] = piece.window(0.0, 60, 40);
                for (x, y) in (0..60).flat_map(|x| (0..40).map(move |y| (x, y))) {
                    if piece.distance(x as f32 + 0.5, y as f32 + 0.5) < 0.0 {
                        assert!((x0..x1).contains(&x) && (y0..y1).contains(&y), "{piece:?} at {x}, {y}");
                    }
                }
            }
        }
    }
}
