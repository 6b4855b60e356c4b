//! Outlines of the things as signed distances: negative inside, 0 on the edge, in units of the thing's radius.
//!
//! Exact enough near the edge for anti-aliasing and for bevels; farther away they only have the right sign.

use std::f32::consts::{PI, TAU};

use super::catalog::Thing;

/// Half the width of a tile's side.
pub(super) const TILE: f32 = 0.76;
/// Middle line and half thickness of a ring.
pub(super) const RING: [f32; 2] = [0.69, 0.29];
/// Half length of a candy's axis, and its radius.
pub(super) const CANDY: [f32; 2] = [0.6, 0.38];
/// Half width of a leaf; it is 2 long.
const LEAF: f32 = 0.54;
/// Centre, from the thing's, and radius of the circle that is cut out of a moon.
const BITE: ([f32; 2], f32) = ([0.52, 0.0], 0.72);
/// Distance of petals from the centre, their radius, and the radius of the flower's heart.
pub(super) const FLOWER: [f32; 3] = [0.58, 0.4, 0.34];

/// Distance of a place from the outline. `petals` only matters for flowers.
pub(super) fn distance(kind: Thing, petals: u32, p: [f32; 2]) -> f32 {
    let [x, y] = p;
    match kind {
        Thing::Ball => length(x, y) - 0.95,
        Thing::Tile => {
            const ROUND: f32 = 0.14;
            let (dx, dy) = (x.abs() - TILE + ROUND, y.abs() - TILE + ROUND);
            length(dx.max(0.0), dy.max(0.0)) + dx.max(dy).min(0.0) - ROUND
        }
        Thing::Star => star(x, y) - 0.05,
        Thing::Ring => (length(x, y) - RING[0]).abs() - RING[1],
        Thing::Moon => {
            let x = x + 0.22; // the crescent's middle into the thing's centre
            (length(x, y) - 0.98).max(BITE.1 - length(x - BITE.0[0], y - BITE.0[1]))
        }
        Thing::Leaf => {
            // Where two circles overlap that pass through the tips at x = -1 and 1.
            const RADIUS: f32 = (1.0 + LEAF * LEAF) / (2.0 * LEAF);
            length(x, y.abs() + RADIUS - LEAF) - RADIUS
        }
        Thing::Flower => {
            let (px, py) = petal(petals, p);
            (length(px, py) - FLOWER[1]).min(length(x, y) - FLOWER[2])
        }
        Thing::Candy => length(x - x.clamp(-CANDY[0], CANDY[0]), y) - CANDY[1],
    }
}

/// Place relative to the nearest petal's centre, x outwards.
pub(super) fn petal(petals: u32, [x, y]: [f32; 2]) -> (f32, f32) {
    let sector = TAU / petals as f32;
    let angle = y.atan2(x);
    let (sin, cos) = (angle - sector * (angle / sector).round()).sin_cos();
    let radius = length(x, y);
    (radius * cos - FLOWER[0], radius * sin)
}

/// Which of the ten half arms of a star a place is in, and its angle from the arm's axis, 0..pi/5.
pub(super) fn half_arm(x: f32, y: f32) -> (i32, f32) {
    let angle = x.atan2(-y); // 0 = up
    let arm = (angle / (TAU / 5.0)).round();
    let within = angle - arm * (TAU / 5.0);
    (arm as i32 * 2 + i32::from(within > 0.0), within.abs())
}

/// Length of a vector. Not `hypot`, which guards against overflow at ten times the price.
pub(super) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// Five arms from 0.95 at the tips to 0.42 between them.
fn star(x: f32, y: f32) -> f32 {
    let (_, within) = half_arm(x, y);
    let radius = length(x, y);
    let place = [radius * within.sin(), radius * within.cos()];
    let tip = [0.0, 0.93];
    let notch = [0.42 * (PI / 5.0).sin(), 0.42 * (PI / 5.0).cos()];
    let side = [notch[0] - tip[0], notch[1] - tip[1]];
    let from = [place[0] - tip[0], place[1] - tip[1]];
    let along =
        ((from[0] * side[0] + from[1] * side[1]) / (side[0] * side[0] + side[1] * side[1])).clamp(0.0, 1.0);
    let gap = length(from[0] - along * side[0], from[1] - along * side[1]);
    // Inside is on the centre's side of the line from tip to notch.
    if side[0] * from[1] - side[1] * from[0] < 0.0 { -gap } else { gap }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::catalog::THINGS;

    #[test]
    fn every_shape_is_inside_the_unit_circle_and_not_empty() {
        for kind in THINGS {
            let mut inside = 0;
            for i in 0..200 * 200 {
                let p = [(i % 200) as f32 / 80.0 - 1.24, (i / 200) as f32 / 80.0 - 1.24];
                if distance(kind, 6, p) < 0.0 {
                    inside += 1;
                    assert!(p[0].hypot(p[1]) <= 1.22, "{kind:?} reaches {p:?}");
                }
            }
            assert!(inside > 4000, "{kind:?} covers {inside} of 6400 px per unit square");
        }
    }

    #[test]
    fn distances_near_the_edge_are_in_units_of_the_radius() {
        // Along a ray outwards the distance must change by about the step, or bevels and edges would be uneven.
        for kind in THINGS {
            for step in 0..64 {
                let (sin, cos) = (step as f32 * TAU / 64.0).sin_cos();
                let at = |r: f32| distance(kind, 6, [r * cos, r * sin]);
                let slope = (at(1.3) - at(1.29)) / 0.01;
                assert!((0.3..1.02).contains(&slope), "{kind:?} at {step}: {slope}");
            }
        }
    }

    #[test]
    fn known_places() {
        assert!(distance(Thing::Ring, 0, [0.0, 0.0]) > 0.0);
        assert!(distance(Thing::Star, 0, [0.0, -0.9]) < 0.0 && distance(Thing::Star, 0, [0.0, 0.9]) > 0.0);
        assert!(distance(Thing::Moon, 0, [0.3, 0.0]) > 0.0 && distance(Thing::Moon, 0, [-0.9, 0.0]) < 0.0);
        assert!((distance(Thing::Candy, 0, [0.0, 0.58]) - 0.2).abs() < 1e-6);
    }
}
