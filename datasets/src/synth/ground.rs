//! The six materials. Each is a pure function of the place, so a region may have any outline.
//!
//! Places are in units of the image's shorter side, `x` to the right and `y` down.

use super::catalog::Stuff;
use super::dice::Dice;
use super::noise::{cells, gradient, hash, octaves, ridges, split, unit};
use super::paint::{Rgb, hex, lift, mix, scale, smooth};

/// How a material lies before the viewer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plane {
    /// Seen straight on, turned by the angle with this cosine and sine.
    Flat([f32; 2]),
    /// A level plane that recedes to the horizon, finer and finer.
    Receding {
        /// Height of the horizon in the picture.
        horizon: f32,
        /// Lower edge of the picture.
        foot: f32,
        /// Middle of the picture.
        centre: f32,
    },
}

/// One region's material, with its colours and its own noise.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) kind: Stuff,
    plane: Plane,
    seed: u32,
    tones: [Rgb; 3],
    /// Where the colours of a sky run from zenith to horizon.
    span: [f32; 2],
}

impl Ground {
    /// A material in random colours. `span`: upper and lower edge of where it may be seen.
    pub(super) fn new(kind: Stuff, plane: Plane, span: [f32; 2], dice: &mut Dice) -> Self {
        let mut tones = dice.pick(palettes(kind)).map(hex);
        let tint: Rgb = std::array::from_fn(|_| dice.range(0.94, 1.06));
        for tone in &mut tones {
            *tone = std::array::from_fn(|i| tone[i] * tint[i]);
        }
        Self { kind, plane, seed: dice.bits(), tones, span }
    }

    /// Colour at a place.
    pub(super) fn colour(&self, x: f32, y: f32) -> Rgb {
        let (u, v, near) = self.place(x, y);
        match self.kind {
            Stuff::Sky => self.sky(x, y),
            Stuff::Water => self.water(u, v, near),
            Stuff::Sand => self.sand(u, v, near),
            Stuff::Grass => self.grass(u, v, near),
            Stuff::Rock => self.rock(u, v),
            Stuff::Brick => self.brick(u, v),
        }
    }

    /// Place on the material, and how near that is: 1 at the viewer's feet, small at the horizon.
    fn place(&self, x: f32, y: f32) -> (f32, f32, f32) {
        match self.plane {
            Plane::Flat([cos, sin]) => (x * cos + y * sin, y * cos - x * sin, 1.0),
            Plane::Receding { horizon, foot, centre } => {
                const FAR: f32 = 0.3; // at the horizon things look this small; truly small ones would only flicker
                let depth = (foot - horizon).max(0.05);
                let near = FAR + (1.0 - FAR) * ((y - horizon) / depth).clamp(0.0, 1.0);
                ((x - centre) / near, near.ln() * depth / (1.0 - FAR), near)
            }
        }
    }

    /// A seed of its own for each of the material's noises.
    fn salt(&self, number: u32) -> u32 {
        self.seed ^ number
    }

    fn sky(&self, x: f32, y: f32) -> Rgb {
        let [zenith, horizon, cloud] = self.tones;
        let down = ((y - self.span[0]) / (self.span[1] - self.span[0]).max(0.05)).clamp(0.0, 1.0);
        let clear = mix(zenith, horizon, down * down * 0.6 + down * 0.4);
        let puff = octaves(x * 2.6, y * 5.2, self.seed, 4);
        let cover = smooth(0.02, 0.42, puff);
        let lit = smooth(-0.3, 0.35, puff - octaves(x * 2.6 - 0.12, y * 5.2 - 0.3, self.seed, 2));
        mix(clear, mix(mix(clear, cloud, 0.55), cloud, lit), cover * 0.9)
    }

    fn water(&self, u: f32, v: f32, near: f32) -> Rgb {
        let [deep, shallow, glint] = self.tones;
        let body = mix(deep, shallow, smooth(-0.45, 0.45, octaves(u * 1.6, v * 3.5, self.seed, 2)));
        let sway = gradient(u * 5.0, v * 9.0, self.salt(1)) * 1.7;
        let wave = (v * 74.0 + sway + gradient(u * 11.0, v * 20.0, self.salt(2)) * 1.9).sin();
        let crest = smooth(0.35, 0.95, wave) * smooth(-0.35, 0.3, gradient(u * 7.0, v * 16.0, self.salt(3)));
        let rolled = scale(body, 1.0 + 0.17 * wave * (0.5 + 0.5 * near));
        mix(rolled, glint, crest * 0.62)
    }

    fn sand(&self, u: f32, v: f32, near: f32) -> Rgb {
        let [shade, light, grain] = self.tones;
        let dune = octaves(u * 2.2, v * 3.4, self.seed, 3);
        let body = mix(shade, light, smooth(-0.5, 0.5, dune));
        let ripple = (v * 46.0 + dune * 11.0 + u * 9.0).sin()
            * smooth(-0.2, 0.5, gradient(u * 2.0, v * 2.0, self.salt(4)));
        // Grains: a hash per 1/230 of the shorter side, a tenth of them dark.
        let h = hash(split(u * 230.0).0, split(v * 230.0).0, self.seed);
        let speck = if unit(h, 0) > 0.88 { 0.55 } else { 0.0 };
        let fine = (unit(h, 2) - 0.5) * 0.12 * (0.4 + 0.6 * near);
        lift(mix(scale(body, 1.0 + 0.055 * ripple), grain, speck), fine)
    }

    fn grass(&self, u: f32, v: f32, near: f32) -> Rgb {
        let [dark, green, tip] = self.tones;
        let meadow = octaves(u * 2.0, v * 3.0, self.seed, 2);
        let lean = gradient(u * 3.0, v * 3.0, self.salt(5)) * 0.05;
        let blade = |density: f32, seed: u32| {
            gradient((u + lean * (1.0 + v)) * density, v * density * 0.22, self.salt(seed))
        };
        let tuft = blade(62.0, 6) * 0.65 + blade(31.0, 7) * 0.5;
        let body = mix(dark, green, smooth(-0.55, 0.45, tuft + meadow * 0.55));
        let lit = mix(body, tip, smooth(0.18, 0.75, tuft + 0.25 * meadow) * (0.35 + 0.4 * near));
        // Tiny blossoms: in few squares of 1/26 there is one, well inside the square.
        let ((column, across), (row, down)) = (split(u * 26.0), split(v * 26.0));
        let h = hash(column, row, self.salt(8));
        if unit(h, 1) < 0.93 {
            return lit;
        }
        let (dx, dy) = (across - 0.25 - 0.5 * unit(h, 0), down - 0.25 - 0.5 * unit(h, 2));
        let petal = smooth(0.2, 0.1, (dx * dx + dy * dy).sqrt());
        mix(lit, if h & 1 == 0 { hex(0xff_f6_e0) } else { hex(0xff_d1_4a) }, petal)
    }

    fn rock(&self, u: f32, v: f32) -> Rgb {
        let [dark, grey, light] = self.tones;
        let bend = [octaves(u * 5.0, v * 5.0, self.salt(9), 2), octaves(u * 5.0, v * 5.0, self.salt(10), 2)];
        let stone = cells(u * 9.0 + bend[0] * 0.8, v * 9.0 + bend[1] * 0.8, self.seed);
        // Every stone is a facet with a slope of its own, lit from above.
        let slope = [unit(stone.id, 1) - 0.5, unit(stone.id, 3) - 0.65];
        let facet = unit(stone.id, 2) * 0.5 + (stone.offset[0] * slope[0] + stone.offset[1] * slope[1]) * 1.3;
        let rough = ridges(u * 17.0, v * 17.0, self.salt(11), 2) - 0.7;
        let body = mix(grey, light, (0.1 + facet + rough * 0.7).clamp(-0.8, 1.0));
        mix(dark, body, smooth(0.0, 0.17, stone.next - stone.near))
    }

    fn brick(&self, u: f32, v: f32) -> Rgb {
        const LONG: f32 = 0.125;
        const HIGH: f32 = 0.058;
        let [clay, pale, mortar] = self.tones;
        let (course, fy) = split(v / HIGH);
        let (number, fx) = split(u / LONG + if course % 2 == 0 { 0.0 } else { 0.5 });
        let h = hash(number, course, self.seed);
        let fired = mix(clay, pale, unit(h, 0));
        let rough = octaves(u * 40.0, v * 40.0, self.salt(12), 2) * 0.16 + (unit(h, 2) - 0.5) * 0.2;
        // Distance to the joint, in units of the shorter side: upper and left edges catch light, lower ones are in shade.
        let joint = (fx.min(1.0 - fx) * LONG).min(fy.min(1.0 - fy) * HIGH);
        let bevel = if joint < 0.011 { if fy < 0.5 { 0.12 } else { -0.14 } } else { 0.0 };
        mix(mortar, scale(fired, 1.0 + rough + bevel), smooth(0.0035, 0.0075, joint))
    }
}

/// Colour sets: what the three tones mean is up to the material's function.
fn palettes(kind: Stuff) -> &'static [[u32; 3]] {
    match kind {
        Stuff::Sky => &[
            [0x3f_88_c5, 0xbf_e3_f2, 0xff_ff_ff],
            [0x6b_6b_b0, 0xff_c7_a0, 0xff_f0_e0],
            [0x3b_36_75, 0xf0_93_83, 0xff_d6_c2],
            [0x5f_b4_d8, 0xe8_f3_e0, 0xff_fd_f5],
            [0x6a_7c_92, 0xc4_cf_d6, 0xee_f1_f4],
            [0x2a_9d_b5, 0xfb_e3_b0, 0xff_f8_e7],
        ],
        Stuff::Water => &[
            [0x0b_3c_5d, 0x32_8c_c1, 0xd9_f0_ff],
            [0x05_56_7d, 0x10_a8_9c, 0xec_ff_f6],
            [0x1d_35_57, 0x45_7b_9d, 0xe8_f6_ff],
            [0x12_4a_55, 0x3a_8f_9e, 0xd8_f3_ee],
        ],
        Stuff::Sand => &[
            [0xd9_b3_82, 0xf3_e0_b8, 0x9a_6f_45],
            [0xd8_a4_8a, 0xf2_d6_c2, 0xa0_66_50],
            [0xcf_bd_98, 0xed_e3_c8, 0x84_73_55],
            [0xe0_b0_60, 0xf7_dc_9a, 0xa8_76_30],
        ],
        Stuff::Grass => &[
            [0x2f_5d_24, 0x76_a8_3c, 0xc9_dc_6a],
            [0x1f_52_34, 0x55_98_52, 0xa5_d1_8a],
            [0x56_6b_1f, 0x9c_ad_3e, 0xe0_e4_86],
            [0x1c_4b_3f, 0x3f_8a_6a, 0x9b_d4_ac],
        ],
        Stuff::Rock => &[
            [0x36_36_3e, 0x7d_7d_89, 0xc4_c4_ce],
            [0x42_35_2f, 0x8b_79_6e, 0xcd_bf_b3],
            [0x2c_38_45, 0x66_7a_8d, 0xb2_c4_d4],
            [0x43_38_4a, 0x84_74_8c, 0xc9_bc_cf],
        ],
        Stuff::Brick => &[
            [0x96_40_2c, 0xc4_6b_4d, 0xdc_d0_c4],
            [0x84_50_34, 0xbd_84_58, 0xd4_c9_b6],
            [0x74_34_36, 0xa8_57_55, 0x3c_36_36],
            [0xa8_94_7c, 0xd2_c2_a8, 0x70_66_5a],
            [0x8e_3b_46, 0xc9_75_6b, 0xec_df_d2],
        ],
    }
}
