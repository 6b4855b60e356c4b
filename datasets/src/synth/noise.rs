//! Procedural noise: hashes, gradient noise, sums of octaves, and cellular noise. All are pure functions of the place.

/// What [`cells`] says about a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// Hash of the nearest cell.
    pub(super) id: u32,
    /// Distance to the centre of that cell.
    pub(super) near: f32,
    /// Distance to the second nearest centre.
    pub(super) next: f32,
    /// From the nearest centre to the place.
    pub(super) offset: [f32; 2],
}

/// A hash of a grid point.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x85eb_ca6b)
        ^ (y as u32).wrapping_mul(0xc2b2_ae35)
        ^ seed.wrapping_mul(0x9e37_79b9);
    h = (h ^ h >> 15).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ h >> 12).wrapping_mul(0x297a_2d39);
    h ^ h >> 15
}

/// Whole part, rounded down, and the rest, 0..1. Without SSE 4.1 `f32::floor` is a call; this is not.
pub(super) fn split(x: f32) -> (i32, f32) {
    let toward_zero = x as i32;
    let whole = toward_zero - i32::from((toward_zero as f32) > x);
    (whole, x - whole as f32)
}

/// `[0, 1)` out of a hash; `slot` 0..3 takes different bits, so one hash serves several unrelated choices.
pub(super) fn unit(hash: u32, slot: u32) -> f32 {
    (hash.rotate_right(8 * slot) & 0xffff) as f32 / 65536.0
}

/// Gradient noise, about -1..1, features of size 1.
pub(super) fn gradient(x: f32, y: f32, seed: u32) -> f32 {
    // Twelve directions of unit length, doubled up to a power of two.
    const SLOPES: [[f32; 2]; 16] = [
        [1.0, 0.0],
        [0.866, 0.5],
        [0.5, 0.866],
        [0.0, 1.0],
        [-0.5, 0.866],
        [-0.866, 0.5],
        [-1.0, 0.0],
        [-0.866, -0.5],
        [-0.5, -0.866],
        [0.0, -1.0],
        [0.5, -0.866],
        [0.866, -0.5],
        [0.707, 0.707],
        [-0.707, 0.707],
        [-0.707, -0.707],
        [0.707, -0.707],
    ];
    let ((ix, fx), (iy, fy)) = (split(x), split(y));
    let corner = |dx: i32, dy: i32| {
        let slope = SLOPES[(hash(ix.wrapping_add(dx), iy.wrapping_add(dy), seed) >> 28) as usize];
        slope[0] * (fx - dx as f32) + slope[1] * (fy - dy as f32)
    };
    let fade = |t: f32| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let (u, v) = (fade(fx), fade(fy));
    let top = lerp(corner(0, 0), corner(1, 0), u);
    let bottom = lerp(corner(0, 1), corner(1, 1), u);
    lerp(top, bottom, v) * 1.5
}

/// Sum of octaves of gradient noise, about -1..1; each octave has twice the frequency and half the height.
pub(super) fn octaves(mut x: f32, mut y: f32, seed: u32, count: u32) -> f32 {
    let (mut sum, mut height) = (0.0, 0.5);
    for octave in 0..count {
        sum += height * gradient(x, y, seed.wrapping_add(octave));
        height *= 0.5;
        x *= 2.03; // not exactly 2: the zeros of gradient noise on grid points must not line up
        y *= 2.03;
    }
    sum
}

/// Sharp crests: octaves of `1 - |noise|`, 0..1, high on the crests.
pub(super) fn ridges(mut x: f32, mut y: f32, seed: u32, count: u32) -> f32 {
    let (mut sum, mut height, mut total) = (0.0, 1.0, 0.0);
    for octave in 0..count {
        sum += height * (1.0 - gradient(x, y, seed.wrapping_add(octave)).abs());
        total += height;
        height *= 0.5;
        x *= 2.03;
        y *= 2.03;
    }
    sum / total
}

/// Cellular noise with one centre in every unit square.
pub(super) fn cells(x: f32, y: f32, seed: u32) -> Cell {
    let ((ix, _), (iy, _)) = (split(x), split(y));
    let mut found = Cell { id: 0, near: f32::MAX, next: f32::MAX, offset: [0.0; 2] };
    for cy in iy.wrapping_sub(1)..=iy.wrapping_add(1) {
        for cx in ix.wrapping_sub(1)..=ix.wrapping_add(1) {
            let id = hash(cx, cy, seed);
            let offset = [x - cx as f32 - 0.15 - 0.7 * unit(id, 0), y - cy as f32 - 0.15 - 0.7 * unit(id, 2)];
            let distance = offset[0] * offset[0] + offset[1] * offset[1];
            if distance < found.near {
                found = Cell { id, near: distance, next: found.near, offset };
            } else if distance < found.next {
                found.next = distance;
            }
        }
    }
    Cell { near: found.near.sqrt(), next: found.next.sqrt(), ..found }
}

fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_rounds_down() {
        assert_eq!(
            [split(2.75), split(-2.75), split(-3.0), split(0.0)],
            [(2, 0.75), (-3, 0.25), (-3, 0.0), (0, 0.0)]
        );
    }

    #[test]
    fn noise_is_bounded_continuous_and_not_flat() {
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for i in 0..4000 {
            let (x, y) = (i as f32 * 0.173 - 300.0, (i % 61) as f32 * 0.37);
            for value in [gradient(x, y, 5), octaves(x, y, 5, 4), ridges(x, y, 5, 3) * 2.0 - 1.0] {
                assert!((-1.1..=1.1).contains(&value), "{value} at {x}, {y}");
            }
            assert!((gradient(x, y, 5) - gradient(x + 1e-3, y, 5)).abs() < 0.01);
            low = low.min(gradient(x, y, 5));
            high = high.max(gradient(x, y, 5));
        }
        assert!(low < -0.5 && high > 0.5);
    }

    #[test]
    fn cells_give_the_two_nearest_centres_in_order() {
        for i in 0..1000 {
            let cell = cells(i as f32 * 0.731 - 90.0, i as f32 * 0.213, 1);
            assert!(cell.near <= cell.next && cell.near < 1.5);
            assert!((cell.offset[0].hypot(cell.offset[1]) - cell.near).abs() < 1e-5);
        }
    }
}
