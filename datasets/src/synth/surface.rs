//! What things are made of: every kind has a relief and a pattern of its own, so it can be told by its inside too.
//!
//! Places are in the thing's own units; see [`shape`].

use super::catalog::Thing;
use super::noise::{hash, octaves, split, unit};
use super::paint::{Rgb, hex, lift, mix, scale, smooth};
use super::piece::{Piece, glass};
use super::shape::{self, CANDY, FLOWER, RING, TILE, length};

/// A spot of a surface before it is lit.
struct Spot {
    colour: Rgb,
    /// Slope towards x and y; the height of the upright part of the normal follows.
    slope: [f32; 2],
    /// Strength of the highlight.
    gloss: f32,
}

/// Colour of a thing at a place inside it; `light` is the unit vector towards the light, x right, y down, z to the viewer.
pub(super) fn shade(piece: &Piece, p: [f32; 2], light: [f32; 3]) -> Rgb {
    let mut spot = match piece.kind {
        Thing::Ball => ball(piece, p),
        Thing::Tile => tile(piece, p),
        Thing::Star => star(piece, p),
        Thing::Ring => ring(piece, p),
        Thing::Moon => moon(piece, p),
        Thing::Leaf => leaf(piece, p),
        Thing::Flower => flower(piece, p),
        Thing::Candy => candy(piece, p),
    };
    spot.colour = scale(spot.colour, 1.0 + 0.1 * octaves(p[0] * 3.0, p[1] * 3.0, piece.seed, 2));
    lit(&spot, piece.turn, light)
}

fn lit(spot: &Spot, [cos, sin]: [f32; 2], light: [f32; 3]) -> Rgb {
    let [sx, sy] = spot.slope;
    let [nx, ny] = [sx * cos - sy * sin, sx * sin + sy * cos]; // from the thing's rotation to the picture's
    let flat = (nx * nx + ny * ny).min(0.98);
    let nz = (1.0 - flat).sqrt();
    let facing = nx * light[0] + ny * light[1] + nz * light[2];
    let body = scale(spot.colour, 0.42 + 0.68 * facing.max(0.0));
    // Direction of the mirrored light towards the viewer, straight out of the picture.
    let mirrored = (2.0 * facing * nz - light[2]).max(0.0);
    lift(body, spot.gloss * mirrored.powi(18))
}

/// Slope of a rounded border `width` wide.
fn bevel(piece: &Piece, [x, y]: [f32; 2], width: f32, steep: f32) -> [f32; 2] {
    const STEP: f32 = 0.02;
    let at = |x, y| shape::distance(piece.kind, piece.petals, [x, y]);
    let here = at(x, y);
    let strength = steep * (1.0 + here / width).clamp(0.0, 1.0) / STEP;
    if strength == 0.0 {
        return [0.0; 2];
    }
    [(at(x + STEP, y) - here) * strength, (at(x, y + STEP) - here) * strength]
}

/// A beach ball: six wedges in two colours around a pole that is not in the middle.
fn ball(piece: &Piece, p: [f32; 2]) -> Spot {
    let pole = [0.38, 0.0];
    let bulge = 1.0 - 0.55 * (p[0] * p[0] + p[1] * p[1]); // meridians bend on a sphere
    let (x, y) = (p[0] - pole[0] * bulge, p[1] - pole[1]);
    let turn = y.atan2(x) / std::f32::consts::TAU + 0.5;
    let (number, wedge) = split(turn * 6.0);
    let edge = 0.03 + 0.02 / length(x, y).max(0.05);
    let blend = smooth(0.0, edge, wedge.min(1.0 - wedge));
    let colour = if number % 2 == 1 {
        mix(piece.base, piece.accent, blend)
    } else {
        mix(piece.accent, piece.base, blend)
    };
    let cap = smooth(0.2, 0.16, length(x, y));
    Spot { colour: mix(colour, piece.accent, cap), slope: p, gloss: 0.75 }
}

/// A panel of small squares of all kinds of glass with grout between them, each square a little tilted.
fn tile(piece: &Piece, [x, y]: [f32; 2]) -> Spot {
    const SQUARES: f32 = 3.0;
    let (u, v) = ((x / TILE + 1.0) * 0.5 * SQUARES, (y / TILE + 1.0) * 0.5 * SQUARES);
    let ((column, u), (row, v)) = (split(u), split(v));
    let h = hash(column, row, piece.seed);
    let joint = [u, v].map(|t| 0.5 - (t - 0.5).abs());
    let colour = match h & 7 {
        0..3 => piece.base,
        3..5 => piece.accent,
        _ => glass(h >> 3),
    };
    let colour = scale(colour, 0.85 + 0.3 * unit(h, 1));
    let grout = scale(mix(piece.base, [0.2, 0.19, 0.2], 0.75), 0.7);
    let slope = [(unit(h, 2) - 0.5) * 0.55, (unit(h, 3) - 0.5) * 0.55];
    Spot { colour: mix(grout, colour, smooth(0.05, 0.13, joint[0].min(joint[1]))), slope, gloss: 0.6 }
}

/// Ten facets that meet in ridges from the centre to the tips, and lines that follow the outline.
fn star(piece: &Piece, p: [f32; 2]) -> Spot {
    let (arm, within) = shape::half_arm(p[0], p[1]);
    // Both halves of an arm fall away from its axis.
    let axis = (arm / 2) as f32 * std::f32::consts::TAU / 5.0;
    let side = if arm % 2 == 0 { -1.0 } else { 1.0 };
    let (sin, cos) = axis.sin_cos();
    let ridge = smooth(0.06, 0.0, length(p[0], p[1]) * within.sin());
    let depth = split(shape::distance(piece.kind, piece.petals, p) / -0.16 + 0.1);
    let line = if depth.0 == 0 { 0.0 } else { smooth(0.38, 0.24, (depth.1 - 0.3).abs()) };
    let colour = mix(piece.base, piece.accent, (line * 0.8).max(ridge * 0.5));
    Spot { colour, slope: [side * cos * 0.6, side * sin * 0.6], gloss: 0.35 }
}

/// A round band of polished glass with a row of pearls along its middle.
fn ring(piece: &Piece, [x, y]: [f32; 2]) -> Spot {
    const PEARLS: f32 = 11.0;
    // The middle line is cut into PEARLS lengths; one of them in the units of `across`:
    const LENGTH: f32 = RING[0] / RING[1] * std::f32::consts::TAU / PEARLS;
    let radius = length(x, y).max(1e-3);
    let across = ((radius - RING[0]) / RING[1]).clamp(-1.0, 1.0);
    let along = split(y.atan2(x) / std::f32::consts::TAU * PEARLS).1 - 0.5;
    let pearl = smooth(0.5, 0.38, length(along * LENGTH, across));
    let slope = [x / radius * 0.95 * across, y / radius * 0.95 * across];
    Spot { colour: mix(piece.base, piece.accent, pearl), slope, gloss: 0.9 }
}

/// A rounded sickle with dark craters.
fn moon(piece: &Piece, p: [f32; 2]) -> Spot {
    const CRATERS: i32 = 9;
    let mut slope = bevel(piece, p, 0.25, 0.7);
    let mut colour = mix(piece.base, hex(0xf6_f0_dc), 0.2);
    for crater in 0..CRATERS {
        let h = hash(crater, 0, piece.seed);
        // Along the crescent's middle line: an arc around the point where the bite is.
        let angle =
            std::f32::consts::PI * (0.42 + 1.16 * (crater as f32 + 0.7 * unit(h, 0)) / CRATERS as f32);
        let radius = 0.78 + 0.26 * (unit(h, 1) - 0.5) * (1.0 - (angle / std::f32::consts::PI - 1.0).abs());
        let (dx, dy) = (p[0] - 0.02 - radius * angle.cos(), p[1] - radius * angle.sin());
        let size = 0.09 + 0.07 * unit(h, 2);
        let far = length(dx, dy) / size;
        if far < 1.25 {
            colour = mix(piece.accent, colour, smooth(0.75, 1.05, far));
            let dip = if far < 1.0 { -0.8 } else { 0.5 };
            slope = [slope[0] + dip * dx / size, slope[1] + dip * dy / size];
        }
    }
    Spot { colour, slope: slope.map(|s| s.clamp(-0.7, 0.7)), gloss: 0.12 }
}

/// Two halves folded along the midrib, with side veins towards the tip.
fn leaf(piece: &Piece, [x, y]: [f32; 2]) -> Spot {
    let rib = smooth(0.075, 0.03, y.abs());
    let along = (x - y.abs() * 1.1) * 4.2;
    let vein = smooth(0.28, 0.08, (split(along + 0.5).1 - 0.5).abs()) * 0.75;
    let blade = scale(piece.base, if y < 0.0 { 1.1 } else { 0.7 } * (1.0 - 0.25 * split(along).1));
    let colour = mix(blade, piece.accent, rib.max(vein));
    Spot { colour, slope: [0.1 * x, -0.45 * y.signum() + 0.5 * y], gloss: 0.25 }
}

/// Rounded petals, dark at their feet, around a heart in the second colour with dots.
fn flower(piece: &Piece, p: [f32; 2]) -> Spot {
    let radius = length(p[0], p[1]).max(1e-3);
    if radius < FLOWER[2] {
        let (u, v) = (p[0] * 9.0, p[1] * 9.0);
        let dot = smooth(0.4, 0.25, length(split(u + 0.5).1 - 0.5, split(v + 0.5).1 - 0.5));
        let colour = scale(mix(piece.accent, piece.base, dot * 0.55), 1.02);
        return Spot { colour, slope: p.map(|v| v / FLOWER[2] * 0.75), gloss: 0.3 };
    }
    let (px, py) = shape::petal(piece.petals, p);
    let (sin, cos) = (p[1] / radius, p[0] / radius);
    let dome = [px / FLOWER[1] * 0.45, py / FLOWER[1] * 0.8];
    // Turned from the petal's axis to the thing's; the place's own direction is close enough.
    let slope = [dome[0] * cos - dome[1] * sin, dome[0] * sin + dome[1] * cos];
    let foot = smooth(0.62, 0.3, radius);
    let fold = smooth(0.07, 0.02, py.abs()) * smooth(0.85, 0.5, radius);
    let body = mix(piece.base, [1.0; 3], 0.5 * smooth(0.5, 1.0, radius));
    Spot { colour: scale(body, 1.0 - 0.5 * foot - 0.25 * fold), slope, gloss: 0.2 }
}

/// A round bar with slanting stripes.
fn candy(piece: &Piece, [x, y]: [f32; 2]) -> Spot {
    let (dx, dy) = ((x - x.clamp(-CANDY[0], CANDY[0])) / CANDY[1], y / CANDY[1]);
    // Stripes wind around the bar, so they bend towards its sides.
    let wound = x * 2.6 + dy.clamp(-1.0, 1.0).asin() * 0.42;
    let stripe = (split(wound).1 - 0.5).abs() * 2.0;
    let colour = mix(piece.base, piece.accent, smooth(0.42, 0.58, stripe));
    Spot { colour, slope: [dx * 0.9, dy * 0.9], gloss: 0.6 }
}
