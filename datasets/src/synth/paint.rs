//! Colour arithmetic. Colours are display RGB, 0..1; the scenes are painted, not simulated.

/// Red, green, blue, 0..1.
pub(super) type Rgb = [f32; 3];

/// `a` at 0, `b` at 1; `t` outside is not clamped.
pub(super) fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// All channels times a factor.
pub(super) fn scale(a: Rgb, factor: f32) -> Rgb {
    a.map(|v| v * factor)
}

/// All channels plus an amount.
pub(super) fn lift(a: Rgb, amount: f32) -> Rgb {
    a.map(|v| v + amount)
}

/// How bright a colour looks.
pub(super) fn luma([red, green, blue]: Rgb) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// 0 below `low`, 1 above `high`, smooth between; `low` above `high` falls instead.
pub(super) fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// From `#rrggbb` as a number.
pub(super) const fn hex(code: u32) -> Rgb {
    [(code >> 16 & 255) as f32 / 255.0, (code >> 8 & 255) as f32 / 255.0, (code & 255) as f32 / 255.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_codes_and_brightness() {
        assert_eq!(hex(0xff_00_33), [1.0, 0.0, 0.2]);
        assert!((luma([1.0; 3]) - 1.0).abs() < 1e-6 && luma(hex(0x00_ff_00)) > luma(hex(0x00_00_ff)));
        assert_eq!(mix([0.0; 3], [1.0, 2.0, 4.0], 0.5), [0.5, 1.0, 2.0]);
    }

    #[test]
    fn smooth_rises_or_falls() {
        assert_eq!([smooth(0.0, 2.0, -1.0), smooth(0.0, 2.0, 1.0), smooth(0.0, 2.0, 9.0)], [0.0, 0.5, 1.0]);
        assert_eq!([smooth(2.0, 0.0, 9.0), smooth(2.0, 0.0, -1.0)], [0.0, 1.0]);
    }
}
