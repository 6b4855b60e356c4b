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

/// Hue in turns, saturation and value 0..1.
pub(super) fn hsv(hue: f32, saturation: f32, value: f32) -> Rgb {
    [5.0f32, 3.0, 1.0].map(|offset| {
        let k = (offset + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

/// From `#rrggbb` as a number.
pub(super) const fn hex(code: u32) -> Rgb {
    [(code >> 16 & 255) as f32 / 255.0, (code >> 8 & 255) as f32 / 255.0, (code & 255) as f32 / 255.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_where_painters_expect_them() {
        assert_eq!(hsv(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0), [0.0, 1.0, 0.0]);
        assert_eq!(hsv(0.5, 1.0, 0.5), [0.0, 0.5, 0.5]);
        assert_eq!(hex(0xff_00_33), [1.0, 0.0, 0.2]);
    }

    #[test]
    fn smooth_rises_or_falls() {
        assert_eq!([smooth(0.0, 2.0, -1.0), smooth(0.0, 2.0, 1.0), smooth(0.0, 2.0, 9.0)], [0.0, 0.5, 1.0]);
        assert_eq!([smooth(2.0, 0.0, 9.0), smooth(2.0, 0.0, -1.0)], [0.0, 1.0]);
    }
}
