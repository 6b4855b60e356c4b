//! One picture with its labels: ground, things over it, then the camera.

use ndarray::Array2;

use super::camera;
use super::catalog::{CLASSES, Stuff, Thing};
use super::dice::Dice;
use super::layout::{Frame, Layout, foam};
use super::noise::cells;
use super::paint::{Rgb, hex, lift, mix, scale, smooth};
use super::piece::{self, Piece, scatter};
use super::surface::shade;
use crate::sample::IGNORE;

/// Pixels closer than this to a thing's outline are void: they show both sides.
const RIM: f32 = 0.35;

/// A thing that shows less of itself than this, as a fraction or in pixels, is taken out of the picture.
const LEAST_FRACTION: f32 = 0.3;
const LEAST_PIXELS: usize = 12;

/// A finished picture with its labels.
#[derive(Debug)]
pub(super) struct Scene {
    /// `H * W * 3` bytes, rows from the top.
    pub(super) rgb: Vec<u8>,
    /// `[H, W]` position in `classes` plus 1 of the segment at each pixel; 0 is void.
    pub(super) segments: Array2<u32>,
    /// Contiguous class id of each segment: first all stuff, in the order of classes, then the things that can be seen.
    pub(super) classes: Vec<u8>,
}

impl Scene {
    /// Draws a picture of `height` x `width` pixels, both at least 1.
    pub(super) fn draw(height: usize, width: usize, dice: &mut Dice) -> Self {
        let (frame, mut colours, stuff) = empty_ground(height, width, dice);

        let light = light(dice);
        let (shows, pieces) = place_things(height, width, frame, dice);
        for piece in &pieces {
            paint_piece(&mut colours, piece, light, [height, width]);
        }
        let rgb = camera::expose(colours, [height, width], light, dice);
        let (segments, classes) = label(&shows, &stuff, &pieces);
        let segments = Array2::from_shape_fn((height, width), |(row, column)| segments[row * width + column]);
        Self { rgb, segments, classes }
    }

    /// Draws one thing before some ground: `H * W * 3` bytes, rows from the top.
    pub(super) fn portrait(kind: Thing, height: usize, width: usize, dice: &mut Dice) -> Vec<u8> {
        let (frame, mut colours, _) = empty_ground(height, width, dice);
        let light = light(dice);
        paint_piece(&mut colours, &piece::portrait(kind, frame, dice), light, [height, width]);
        camera::expose(colours, [height, width], light, dice)
    }

    /// `[H, W]` contiguous class ids, 255 = void.
    pub(super) fn semantic(&self) -> Vec<u8> {
        let class = |&segment: &u32| if segment == 0 { IGNORE } else { self.classes[segment as usize - 1] };
        self.segments.iter().map(class).collect()
    }
}

/// What shows at a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Ground,
    Void,
    /// Position in the list of things that was handed to [`hide`].
    Thing(usize),
}

/// A random ground without things on it: its frame, colours and classes.
fn empty_ground(height: usize, width: usize, dice: &mut Dice) -> (Frame, Vec<Rgb>, Vec<Stuff>) {
    let shorter = height.min(width) as f32;
    let frame = Frame { width: width as f32 / shorter, height: height as f32 / shorter, pixels: shorter };
    let layout = Layout::new(frame, dice);
    let (mut colours, stuff) = paint_ground(height, width, frame, &layout);
    if dice.chance(if layout.jointed { 0.35 } else { 0.1 }) {
        lay_tesserae(&mut colours, &stuff, width, dice);
    }
    (frame, colours, stuff)
}

/// Colours and classes of the ground.
fn paint_ground(height: usize, width: usize, frame: Frame, layout: &Layout) -> (Vec<Rgb>, Vec<Stuff>) {
    let mut colours = Vec::with_capacity(height * width);
    let mut stuff = Vec::with_capacity(height * width);
    for row in 0..height {
        let y = (row as f32 + 0.5) / frame.pixels;
        for column in 0..width {
            let x = (column as f32 + 0.5) / frame.pixels;
            let region = layout.region(column, x, y);
            let ground = &layout.grounds[region.ground];
            let mut colour = ground.colour(x, y);
            let beyond = region.beyond.map(|other| layout.grounds[other].kind);
            if layout.jointed {
                colour = mix(hex(0x2b_26_2a), colour, smooth(0.002, 0.011, region.edge));
            } else if beyond.is_some_and(|other| other != Stuff::Sky && other != ground.kind)
                && ground.kind != Stuff::Sky
            {
                let wet = smooth(0.03, 0.0, region.edge) * 0.18;
                colour = scale(colour, 1.0 - wet);
                if ground.kind == Stuff::Water {
                    colour = mix(colour, [0.95, 0.97, 0.96], foam(region.edge, x, y) * 0.8);
                }
            }
            colours.push(colour);
            stuff.push(ground.kind);
        }
    }
    (colours, stuff)
}

/// Turns the ground into a mosaic: each piece of glass takes the colour at its centre, in part, with grout around it.
fn lay_tesserae(colours: &mut [Rgb], stuff: &[Stuff], width: usize, dice: &mut Dice) {
    let height = stuff.len() / width;
    let pitch = (height.min(width) as f32 * dice.range(0.022, 0.034)).max(3.0);
    let (seed, strength) = (dice.bits(), dice.range(0.35, 0.6));
    let painted = colours.to_vec();
    for (at, colour) in colours.iter_mut().enumerate() {
        let (x, y) = ((at % width) as f32 + 0.5, (at / width) as f32 + 0.5);
        let cell = cells(x / pitch, y / pitch, seed);
        let pixel = |v: f32, side: usize| (v.max(0.0) as usize).min(side - 1);
        let centre =
            pixel(y - cell.offset[1] * pitch, height) * width + pixel(x - cell.offset[0] * pitch, width);
        if stuff[centre] == stuff[at] {
            *colour = mix(*colour, painted[centre], strength);
        }
        let sparkle = 1.0 + ((cell.id & 255) as f32 / 255.0 - 0.5) * 0.16;
        let grout = smooth(0.0, 0.22, cell.next - cell.near);
        *colour = scale(*colour, sparkle * (0.78 + 0.26 * grout));
    }
}

/// Unit vector towards the light: from above, left or right.
fn light(dice: &mut Dice) -> [f32; 3] {
    let (sin, cos) = dice.range(-1.0, 1.0).sin_cos();
    let rise = dice.range(0.55, 0.8);
    let level = (1.0f32 - rise * rise).sqrt();
    [level * sin, -level * cos, rise]
}

/// Scatters things until one can be seen, which nearly always is the first time.
fn place_things(height: usize, width: usize, frame: Frame, dice: &mut Dice) -> (Vec<Shows>, Vec<Piece>) {
    const TRIES: usize = 16;
    let mut placed = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        placed = hide(&scatter(frame, dice), height, width);
        if !placed.1.is_empty() {
            break;
        }
    }
    placed
}

/// Decides front to back what shows, and drops the things that hardly do.
fn hide(pieces: &[Piece], height: usize, width: usize) -> (Vec<Shows>, Vec<Piece>) {
    let mut shows = vec![Shows::Ground; height * width];
    let mut kept = Vec::new();
    for piece in pieces.iter().rev() {
        let [x0, x1, y0, y1] = piece.window(0.0, width, height);
        let (mut whole, mut core, mut rim) = (0usize, Vec::new(), Vec::new());
        for row in y0..y1 {
            for column in x0..x1 {
                let distance = piece.distance(column as f32 + 0.5, row as f32 + 0.5);
                if distance >= RIM {
                    continue;
                }
                whole += usize::from(distance <= -RIM);
                let at = row * width + column;
                if shows[at] == Shows::Ground {
                    if distance <= -RIM { &mut core } else { &mut rim }.push(at);
                }
            }
        }
        if core.len() < LEAST_PIXELS || (core.len() as f32) < LEAST_FRACTION * whole as f32 {
            continue;
        }
        for at in core {
            shows[at] = Shows::Thing(kept.len());
        }
        for at in rim {
            shows[at] = Shows::Void;
        }
        kept.push(piece.clone());
    }
    // Kept front first; painting and numbering want the back first.
    let last = kept.len().wrapping_sub(1);
    for show in &mut shows {
        if let Shows::Thing(index) = show {
            *index = last - *index;
        }
    }
    kept.reverse();
    (shows, kept)
}

/// A soft shadow, then the thing over it with smooth edges.
fn paint_piece(colours: &mut [Rgb], piece: &Piece, light: [f32; 3], [height, width]: [usize; 2]) {
    let soft = (piece.radius * 0.22).max(1.5);
    let throw = piece.radius * 0.3;
    let (sx, sy) = (-light[0] * throw, -light[1] * throw);
    let [x0, x1, y0, y1] = piece.window(soft + throw, width, height);
    for row in y0..y1 {
        let y = row as f32 + 0.5;
        for column in x0..x1 {
            let x = column as f32 + 0.5;
            let colour = &mut colours[row * width + column];
            let distance = piece.distance(x, y);
            let cover = (0.5 - distance).clamp(0.0, 1.0);
            if cover < 1.0 {
                let shadow = smooth(soft, -soft, piece.distance(x - sx, y - sy)) * 0.5;
                *colour = mix(*colour, scale(*colour, 0.3), shadow);
            }
            if cover > 0.0 {
                // A darker line along the outline sets things off from ground of the same colour.
                let outline = 1.0 - 0.35 * smooth(-0.09 * piece.radius, 0.0, distance);
                let face = scale(shade(piece, piece.local(x, y), light), outline);
                *colour = mix(*colour, lift(face, 0.02), cover);
            }
        }
    }
}

/// Numbers the segments: stuff classes that show, then things.
fn label(shows: &[Shows], stuff: &[Stuff], pieces: &[Piece]) -> (Vec<u32>, Vec<u8>) {
    let mut number = [0u32; CLASSES.len()]; // of the segment of each stuff class
    for (show, &kind) in shows.iter().zip(stuff) {
        if *show == Shows::Ground {
            number[kind as usize] = 1;
        }
    }
    let mut classes: Vec<u8> = Vec::new();
    for (class, number) in (0u8..).zip(number.iter_mut()) {
        if *number == 1 {
            classes.push(class);
            *number = classes.len() as u32;
        }
    }
    let first = classes.len() as u32 + 1;
    classes.extend(pieces.iter().map(|piece| piece.kind as u8));
    let segment = |(show, &kind): (&Shows, &Stuff)| match show {
        Shows::Ground => number[kind as usize],
        Shows::Void => 0,
        Shows::Thing(index) => first + *index as u32,
    };
    (shows.iter().zip(stuff).map(segment).collect(), classes)
}
