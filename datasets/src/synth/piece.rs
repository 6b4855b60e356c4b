//! The things of an image: what, where, how large, in which colours, and in which order they lie.

use super::catalog::{THINGS, Thing};
use super::dice::Dice;
use super::layout::Frame;
use super::paint::{Rgb, hex, luma, mix, scale};
use super::shape;

/// Colours of glass.
const GLASS: [u32; 12] = [
    0xd6_28_39, // 0 ruby
    0xf2_6b_2e, // 1 coral
    0xf6_a5_1e, // 2 amber
    0xf4_cf_3e, // 3 gold
    0x8c_b3_36, // 4 olive
    0x1f_8f_5f, // 5 emerald
    0x1a_9f_a6, // 6 turquoise
    0x2a_74_c9, // 7 cobalt
    0x43_47_a8, // 8 lapis
    0x87_44_ad, // 9 violet
    0xd8_4b_93, // 10 rose
    0xea_e2_d0, // 11 ivory
];

/// How often a thing comes in one of its kind's favourite colours instead of any.
const FAVOUR: f32 = 0.6;

/// Positions in [`GLASS`]. Kinds share their favourites with others, so colour is a hint but never the answer.
fn favourites(kind: Thing) -> [usize; 3] {
    match kind {
        Thing::Ball => [0, 7, 1],
        Thing::Tile => [6, 8, 11],
        Thing::Star => [3, 2, 8],
        Thing::Ring => [9, 7, 6],
        Thing::Moon => [11, 3, 10],
        Thing::Leaf => [5, 4, 2],
        Thing::Flower => [10, 9, 0],
        Thing::Candy => [1, 4, 5],
    }
}

/// A colour of glass; `bits` may be any number.
pub(super) fn glass(bits: u32) -> Rgb {
    hex(GLASS[bits as usize % GLASS.len()])
}

/// Makes kinds of equal `radius` cover similar areas: thin shapes are drawn larger.
fn stature(kind: Thing) -> f32 {
    match kind {
        Thing::Ball | Thing::Ring => 0.95,
        Thing::Tile | Thing::Flower => 1.0,
        Thing::Leaf | Thing::Candy => 1.25,
        Thing::Star | Thing::Moon => 1.3,
    }
}

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
        [
            clip(cx - reach, width),
            clip(cx + reach + 1.0, width),
            clip(cy - reach, height),
            clip(cy + reach + 1.0, height),
        ]
    }
}

/// Smallest and largest radius in pixels for an image with this shorter side.
fn radii(shorter: f32) -> [f32; 2] {
    let largest = shorter * 0.23;
    [(shorter * 0.045).max(5.5).min(largest), largest]
}

/// One to twelve things, back to front: mostly large ones behind small ones.
pub(super) fn scatter(frame: Frame, dice: &mut Dice) -> Vec<Piece> {
    let count = 1 + dice.below(7) + dice.below(6);
    let [small, large] = radii(frame.pixels);
    // The more things, the smaller they are, or the last would cover all others.
    let large = large * (1.0 - 0.02 * (count as f32 - 1.0));
    let mut pieces: Vec<(f32, Piece)> = (0..count)
        .map(|_| {
            // Between evenly over sizes and evenly over their logarithms.
            let radius = small * (large / small).max(1.0).powf(dice.unit().sqrt());
            (radius * dice.range(0.5, 1.5), piece(radius, frame, dice))
        })
        .collect();
    pieces.sort_by(|a, b| b.0.total_cmp(&a.0));
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

/// One large thing near the middle of the picture.
pub(super) fn portrait(kind: Thing, frame: Frame, dice: &mut Dice) -> Piece {
    let radius = frame.pixels * dice.range(0.17, 0.31);
    let piece = of_kind(kind, radius, frame, dice);
    let along = |side: f32, dice: &mut Dice| side * frame.pixels * dice.range(0.36, 0.64);
    Piece { centre: [along(frame.width, dice), along(frame.height, dice)], ..piece }
}

fn piece(radius: f32, frame: Frame, dice: &mut Dice) -> Piece {
    let kind = dice.pick(&THINGS);
    of_kind(kind, radius, frame, dice)
}

fn of_kind(kind: Thing, radius: f32, frame: Frame, dice: &mut Dice) -> Piece {
    let radius = radius * stature(kind);
    let inset = (radius * 0.5).min(frame.pixels * 0.3);
    let along = |side: f32, dice: &mut Dice| dice.range(inset, side * frame.pixels - inset);
    let first = if dice.chance(FAVOUR) { dice.pick(&favourites(kind)) } else { dice.below(GLASS.len()) };
    let second = (first + 3 + dice.below(GLASS.len() - 5)) % GLASS.len(); // not a neighbour
    let base = scale(hex(GLASS[first]), dice.range(0.88, 1.1));
    Piece {
        kind,
        centre: [along(frame.width, dice), along(frame.height, dice)],
        radius,
        turn: dice.direction(),
        base,
        accent: accent(kind, base, hex(GLASS[second])),
        seed: dice.bits(),
        petals: 5 + dice.below(3) as u32,
    }
}

/// Second colour: a shade of the first, or one that goes with it; `other` is any glass that differs from the first.
fn accent(kind: Thing, base: Rgb, other: Rgb) -> Rgb {
    let ivory = hex(0xfb_f6_e9);
    match kind {
        Thing::Star | Thing::Moon => scale(base, 0.32),
        Thing::Flower => mix(hex(0xff_c2_2e), other, 0.15),
        Thing::Tile => other,
        // On pale glass ivory would not show: there the pattern is dark.
        Thing::Ball | Thing::Ring | Thing::Leaf | Thing::Candy if luma(base) > 0.7 => {
            scale(other, (0.36 / luma(other)).min(1.0))
        }
        Thing::Leaf => mix(base, ivory, 0.65),
        Thing::Ball | Thing::Ring | Thing::Candy => ivory,
    }
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
