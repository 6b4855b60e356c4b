//! From painted colours to bytes: uneven light, vignette, exposure, white balance, blur and sensor noise.

use super::dice::Dice;
use super::paint::{Rgb, mix};

/// Takes the picture; `light` as for the things, so the brighter side is where it comes from.
pub(super) fn expose(mut colours: Vec<Rgb>, size: [usize; 2], light: [f32; 3], dice: &mut Dice) -> Vec<u8> {
    let [height, width] = size;
    let exposure = dice.range(0.9, 1.24);
    let balance: Rgb = [exposure * dice.range(0.94, 1.06), exposure, exposure * dice.range(0.94, 1.06)];
    let uneven = dice.range(0.05, 0.3);
    let vignette = dice.range(0.05, 0.32);
    for (row, line) in colours.chunks_mut(width).enumerate() {
        let y = (row as f32 + 0.5) / height as f32 - 0.5;
        for (column, colour) in line.iter_mut().enumerate() {
            let x = (column as f32 + 0.5) / width as f32 - 0.5;
            let side = 1.0 + uneven * (x * light[0] + y * light[1]);
            let corner = 1.0 - vignette * (x * x + y * y) * 2.0;
            *colour = std::array::from_fn(|i| colour[i] * balance[i] * side * corner);
        }
    }
    let blur = dice.range(0.0, 0.7);
    soften(&mut colours, size, blur);
    develop(&colours, dice.range(0.004, 0.022), dice)
}

/// Mixes in the 3x3 binomial blur of the picture.
fn soften(colours: &mut [Rgb], [height, width]: [usize; 2], amount: f32) {
    let across: Vec<Rgb> = (0..height * width)
        .map(|at| {
            let column = at % width;
            let left = if column == 0 { at } else { at - 1 };
            let right = if column + 1 == width { at } else { at + 1 };
            std::array::from_fn(|i| (colours[left][i] + 2.0 * colours[at][i] + colours[right][i]) * 0.25)
        })
        .collect();
    for (at, colour) in colours.iter_mut().enumerate() {
        let above = if at < width { at } else { at - width };
        let below = if at + width < across.len() { at + width } else { at };
        let blurred =
            std::array::from_fn(|i| (across[above][i] + 2.0 * across[at][i] + across[below][i]) * 0.25);
        *colour = mix(*colour, blurred, amount);
    }
}

/// Adds sensor noise of the given standard deviation, most of it grey, and rounds to bytes.
fn develop(colours: &[Rgb], noise: f32, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(colours.len() * 3);
    for colour in colours {
        // Five draws of 6 bits out of 32: near enough to a bell for grey, and a little for each channel.
        let bits = dice.bits();
        let draw = |slot: u32| (bits >> (6 * slot) & 63) as f32 / 63.0 - 0.5; // deviation 0.29
        let grey = (draw(0) + draw(1)) * 2.2;
        for (slot, &value) in (2..).zip(colour) {
            let speckle = (grey + draw(slot) * 1.4) * noise * (0.6 + 0.5 * value);
            bytes.push(((value + speckle) * 255.0 + 0.5) as u8); // `as` stops at 0 and 255
        }
    }
    bytes
}
