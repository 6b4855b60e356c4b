//! Where which material lies: landscapes with a horizon, shores seen from above, and mosaics of cells.

use super::catalog::Stuff;
use super::dice::Dice;
use super::ground::{Ground, Plane};
use super::noise::{cells, gradient, octaves, ridges};

/// What a place belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    /// Position in [`Layout::grounds`].
    pub(super) ground: usize,
    /// Distance to the region's border, roughly, in units of the shorter side.
    pub(super) edge: f32,
    /// Material beyond that border, where it is known.
    pub(super) beyond: Option<usize>,
}

/// The regions of one image.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) grounds: Vec<Ground>,
    /// Whether regions are parted by a dark joint, as pieces of a mosaic are.
    pub(super) jointed: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Layers from back to front; each covers what is behind it between its upper and its lower line.
    Layers(Vec<Layer>),
    /// Bands across a direction, wavy: `limits[i]` parts band `i` from band `i + 1`.
    Bands { across: [f32; 2], limits: Vec<f32>, wave: f32, seed: u32 },
    /// Cells of a bent grid; `kinds` is indexed by the cell's hash.
    Cells { pitch: f32, bend: f32, seed: u32 },
}

/// One layer of a landscape: per pixel column, where it begins and ends.
#[derive(Debug)]
struct Layer {
    ground: usize,
    top: Vec<f32>,
    foot: Vec<f32>,
}

/// Width and height in units of the shorter side, and pixels per unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) pixels: f32,
}

impl Layout {
    /// A random layout.
    pub(super) fn new(frame: Frame, dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..6 => landscape(frame, dice),
            6..8 => shore(frame, dice),
            _ => mosaic(frame, dice),
        }
    }

    /// The region at a place; `column` is the pixel column of `x`.
    pub(super) fn region(&self, column: usize, x: f32, y: f32) -> Region {
        match &self.form {
            Form::Layers(layers) => {
                let mut region = Region { ground: 0, edge: f32::MAX, beyond: None };
                for layer in layers {
                    let (top, foot) = (layer.top[column], layer.foot[column]);
                    if y >= top && y < foot {
                        region = Region {
                            ground: layer.ground,
                            edge: (y - top).min(foot - y),
                            beyond: Some(region.ground),
                        };
                    } else {
                        let gap = if y < top { top - y } else { y - foot };
                        if gap < region.edge {
                            region = Region { edge: gap, beyond: Some(layer.ground), ..region };
                        }
                    }
                }
                region
            }
            Form::Bands { across, limits, wave, seed } => {
                let along = x * across[0] + y * across[1] + wave * octaves(x * 2.1, y * 2.1, *seed, 3);
                let ground = limits.iter().take_while(|&&limit| along >= limit).count();
                let mut region = Region { ground, edge: f32::MAX, beyond: None };
                for (band, limit) in limits.iter().enumerate() {
                    let edge = (along - limit).abs();
                    if edge < region.edge {
                        region = Region {
                            ground,
                            edge,
                            beyond: Some(if band < ground { band } else { band + 1 }),
                        };
                    }
                }
                region
            }
            Form::Cells { pitch, bend, seed } => {
                let shift = |salt: u32| bend * octaves(x * 3.0, y * 3.0, seed ^ salt, 2);
                let cell = cells(x / pitch + shift(1), y / pitch + shift(2), *seed);
                let edge = (cell.next - cell.near) * pitch * 0.5;
                Region { ground: (cell.id >> 7) as usize % self.grounds.len(), edge, beyond: None }
            }
        }
    }
}

/// Sky, perhaps hills, mountains or a wall on the horizon, and one to three materials on the ground.
fn landscape(frame: Frame, dice: &mut Dice) -> Layout {
    let horizon = frame.height * dice.range(0.24, 0.58);
    let tilt = dice.range(-0.08, 0.08);
    let columns = (frame.width * frame.pixels).round() as usize;
    let place = |column: usize| (column as f32 + 0.5) / frame.pixels;
    let line = |f: &dyn Fn(f32) -> f32| -> Vec<f32> { (0..columns).map(|c| f(place(c))).collect() };
    let level = |x: f32| horizon + tilt * (x - frame.width * 0.5);
    let receding = Plane::Receding { horizon, foot: frame.height, centre: frame.width * 0.5 };
    let upright = Plane::Flat([1.0, 0.0]);
    let below = vec![f32::MAX; columns];

    let mut grounds = vec![Ground::new(Stuff::Sky, upright, [0.0, horizon], dice)];
    let mut layers = Vec::new();
    let mut add = |kind, plane, top, foot, dice: &mut Dice| {
        layers.push(Layer { ground: grounds.len(), top, foot });
        grounds.push(Ground::new(kind, plane, [0.0, frame.height], dice));
    };

    if dice.chance(0.5) {
        let (high, steep, seed) = (horizon * dice.range(0.35, 0.85), dice.range(1.2, 2.6), dice.bits());
        let crest = |x: f32| level(x) - high * (1.7 * ridges(x * steep, 0.5, seed, 4) - 0.75).max(0.05);
        add(Stuff::Rock, upright, line(&crest), below.clone(), dice);
    }
    if dice.chance(0.4) {
        let (high, seed) = (horizon * dice.range(0.15, 0.5), dice.bits());
        let crest = |x: f32| level(x) - high * (0.55 + 0.9 * octaves(x * 1.7, 0.5, seed, 2)).max(0.02);
        add(Stuff::Grass, upright, line(&crest), below.clone(), dice);
    }
    if dice.chance(0.5) {
        let wall = Wall::new(frame, horizon, dice);
        let crest = |x: f32| wall.top(x, horizon);
        let foot = horizon + dice.range(0.04, 0.16) + tilt.abs();
        add(Stuff::Brick, upright, line(&crest), vec![foot; columns], dice);
    }

    let mut kinds = [Stuff::Water, Stuff::Sand, Stuff::Grass];
    dice.shuffle(&mut kinds);
    if dice.chance(0.3) {
        kinds[dice.below(2)] = dice.pick(&[Stuff::Rock, Stuff::Brick]);
    }
    let count = 1 + dice.below(3);
    let mut start = 0.0;
    for (number, &kind) in kinds[..count].iter().enumerate() {
        let (seed, slow) = (dice.bits(), dice.range(1.2, 2.4));
        // Still water is level; everything else, and every shore in front, is wavy.
        let wave = if number > 0 {
            dice.range(0.05, 0.14)
        } else if kind == Stuff::Water {
            0.0
        } else {
            0.03
        };
        let top = |x: f32| level(x) + start + wave * octaves(x * slow, 0.5, seed, 3);
        add(kind, receding, line(&top), below.clone(), dice);
        start += (frame.height - horizon - start) * dice.range(0.3, 0.6);
    }
    Layout { grounds, jointed: false, form: Form::Layers(layers) }
}

/// A wall with battlements, or with two towers.
struct Wall {
    left: f32,
    right: f32,
    top: f32,
    tooth: f32,
    tower: f32,
}

impl Wall {
    fn new(frame: Frame, horizon: f32, dice: &mut Dice) -> Self {
        let width = frame.width * dice.range(0.25, 0.7);
        let left = dice.range(-0.1 * frame.width, frame.width - 0.7 * width);
        let top = horizon * dice.range(0.25, 0.75);
        let tower = if dice.chance(0.6) { horizon * dice.range(0.1, 0.22) } else { 0.0 };
        Self { left, right: left + width, top, tooth: dice.range(0.06, 0.09), tower }
    }

    /// Upper line at `x`; far below `horizon` where there is no wall.
    fn top(&self, x: f32, horizon: f32) -> f32 {
        if !(self.left..self.right).contains(&x) {
            return horizon + 1e3;
        }
        let inside = (x - self.left).min(self.right - x);
        let tooth = if ((x - self.left) / self.tooth).rem_euclid(1.0) < 0.55 { 0.035 } else { 0.0 };
        let tower = if inside < self.tooth * 2.55 { self.tower } else { 0.0 };
        self.top - tower - tooth
    }
}

/// Wavy bands seen from above, such as sea, beach and meadow.
fn shore(frame: Frame, dice: &mut Dice) -> Layout {
    let across = dice.direction();
    // Range of the coordinate across the bands over the whole picture.
    let (dx, dy) = (across[0] * frame.width, across[1] * frame.height);
    let (low, high) = (dx.min(0.0) + dy.min(0.0), dx.max(0.0) + dy.max(0.0));
    let mut kinds = [Stuff::Water, Stuff::Sand, Stuff::Grass, Stuff::Rock, Stuff::Brick];
    dice.shuffle(&mut kinds);
    let count = 2 + dice.below(3);
    let limits = (1..count)
        .map(|i| low + (high - low) * (i as f32 + dice.range(-0.25, 0.25)) / count as f32)
        .collect();
    let grounds = kinds[..count].iter().map(|&kind| flat(kind, frame, dice)).collect();
    let form = Form::Bands { across, limits, wave: dice.range(0.12, 0.4), seed: dice.bits() };
    Layout { grounds, jointed: false, form }
}

/// Big pieces with dark joints.
fn mosaic(frame: Frame, dice: &mut Dice) -> Layout {
    let mut kinds = [Stuff::Sky, Stuff::Water, Stuff::Sand, Stuff::Grass, Stuff::Rock, Stuff::Brick];
    dice.shuffle(&mut kinds);
    let count = 3 + dice.below(3);
    let grounds = kinds[..count].iter().map(|&kind| flat(kind, frame, dice)).collect();
    let form = Form::Cells { pitch: dice.range(0.36, 0.6), bend: dice.range(0.0, 0.35), seed: dice.bits() };
    Layout { grounds, jointed: true, form }
}

/// A material seen from above, turned by any angle; skies stay upright.
fn flat(kind: Stuff, frame: Frame, dice: &mut Dice) -> Ground {
    let turn = dice.direction();
    Ground::new(kind, Plane::Flat(turn), [0.0, frame.height], dice)
}

/// How much of a seam's foam covers a place of water, 0..1: `edge` away from another material.
pub(super) fn foam(edge: f32, x: f32, y: f32) -> f32 {
    let frayed = edge - 0.008 - 0.012 * gradient(x * 22.0, y * 22.0, 77);
    (1.0 - frayed.max(0.0) / 0.012).clamp(0.0, 1.0)
}
