//! Text for the page: escaping, numbers as people read them, embedded pictures.

use std::fmt::{self, Display, Formatter, Write};

use crate::output::thousands;

/// Text from outside, made harmless in content and in quoted attributes.
pub struct Esc<'a>(pub &'a str);

impl Display for Esc<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                // Neither HTML nor XML can hold these at all.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What stands where a number is not defined.
pub const UNDEFINED: &str = "–";

/// A fraction as percent, or the sign for undefined.
pub fn percent(fraction: Option<f64>, decimals: usize) -> String {
    match fraction.filter(|f| f.is_finite()) {
        Some(f) => format!("{:.decimals$}", f * 100.0),
        None => UNDEFINED.to_owned(),
    }
}

/// A measured value with up to four significant digits: `12 345`, `0.4213`, `1.5`, `5.98e-5`.
pub fn value(v: f64) -> String {
    let size = v.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e9).contains(&size) {
        return shortest_exponent(&format!("{v:.2e}"));
    }
    if size >= 1e4 {
        let sign = if v < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(size.round() as u64));
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{v:.decimals$}");
    if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `6.00e-5` as `6e-5`.
fn shortest_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.to_owned(),
    }
}

/// A step count where there is little room: `500`, `2 500`, `12.5k`, `160k`.
pub fn short_steps(steps: u64) -> String {
    match steps {
        0..10_000 => thousands(steps),
        _ if steps.is_multiple_of(1000) => format!("{}k", thousands(steps / 1000)),
        _ => format!("{:.1}k", steps as f64 / 1000.0),
    }
}

/// A colour as CSS has it.
pub fn css_color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_everything_that_could_leave_its_place() {
        assert_eq!(
            Esc("<b a='1' c=\"2\">&amp;").to_string(),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;"
        );
        assert_eq!(Esc("nul\0 esc\x1b[31m\r del\x7f c1\u{85}").to_string().matches('\u{fffd}').count(), 5);
        assert_eq!(Esc("two\nlines\tof Straße 道路").to_string(), "two\nlines\tof Straße 道路");
    }

    #[test]
    fn values_have_four_digits() {
        let cases = [
            (0.0, "0"),
            (0.421_34, "0.4213"),
            (1.5, "1.5"),
            (2.0, "2"),
            (1000.0, "1000"),
            (0.001, "0.001"),
            (-12.345_6, "-12.35"),
            (312.25, "312.2"),
            (1234.5, "1234"),
            (-12_345.4, "−12 345"),
            (5.98e-5, "5.98e-5"),
            (6e-5, "6e-5"),
            (2e12, "2e12"),
        ];
        for (v, text) in cases {
            assert_eq!(value(v), text);
        }
    }

    #[test]
    fn fractions_and_steps() {
        assert_eq!(percent(Some(0.471_234), 2), "47.12");
        assert_eq!([None, Some(f64::NAN)].map(|fraction| percent(fraction, 1)), ["–", "–"]);
        assert_eq!(short_steps(500), "500");
        assert_eq!(short_steps(2500), "2 500");
        assert_eq!(short_steps(12_500), "12.5k");
        assert_eq!(short_steps(160_000), "160k");
        assert_eq!(css_color([0, 128, 255]), "#0080ff");
    }
}
