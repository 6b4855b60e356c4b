//! Axes with ticks at round numbers.

/// A round step between ticks: `digit * 10^exponent`, the digit 1, 2 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    digit: i64,
    exponent: i32,
}

impl Step {
    /// The round step that cuts `span` into about `wanted` parts.
    fn nice(span: f64, wanted: f64) -> Self {
        let raw = span / wanted;
        let exponent = raw.log10().floor() as i32;
        // The borders are the geometric means of neighbouring steps: sqrt(1 * 2), sqrt(2 * 5), sqrt(5 * 10).
        match raw / 10f64.powi(exponent) {
            x if x < 1.414 => Self { digit: 1, exponent },
            x if x < 3.162 => Self { digit: 2, exponent },
            x if x < 7.071 => Self { digit: 5, exponent },
            _ => Self { digit: 1, exponent: exponent + 1 },
        }
    }

    /// `count` steps; correctly rounded wherever powers of ten are exact.
    fn times(self, count: f64) -> f64 {
        let digits = count * self.digit as f64;
        if self.exponent < 0 {
            digits / 10f64.powi(-self.exponent)
        } else {
            digits * 10f64.powi(self.exponent)
        }
    }

    fn size(self) -> f64 {
        self.times(1.0)
    }

    /// The label of `count` steps, with just the decimals that the step has.
    fn label(self, count: f64) -> String {
        let v = self.times(count);
        match self.exponent {
            _ if count == 0.0 => "0".to_owned(),
            0..=2 => group(&format!("{v:.0}")),
            3..=8 => kilo(v),
            -4..0 => format!("{v:.*}", -self.exponent as usize),
            _ => {
                let digits = (count * self.digit as f64).round();
                exponential(digits, self.exponent)
            }
        }
    }
}

/// `1500` as `1 500`.
fn group(digits: &str) -> String {
    match digits.parse::<u64>() {
        Ok(count) => crate::output::thousands(count),
        Err(_) => digits.to_owned(), // negative
    }
}

/// Whole thousands in short: `2k`, `500k`, `1.5M`.
fn kilo(v: f64) -> String {
    if v.abs() < 1e6 { format!("{}k", v / 1e3) } else { format!("{}M", v / 1e6) }
}

/// `digits * 10^exponent` with one digit before the point: `12`, `-5` gives `1.2e-4`.
fn exponential(digits: f64, exponent: i32) -> String {
    let extra = digits.abs().log10().floor() as i32;
    let mantissa = digits / 10f64.powi(extra);
    format!("{mantissa}e{}", exponent + extra)
}

/// A position on an axis, with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    pub at: f64,
    pub label: String,
}

/// A number line from `lo` to `hi`.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub lo: f64,
    pub hi: f64,
    pub ticks: Vec<Tick>,
    pub is_log: bool,
}

/// Values beyond this size are drawn at it, those below its inverse at zero: ratios and differences stay finite.
const HUGE: f64 = 1e150;

impl Axis {
    /// An axis that ends at its first and last value, with about `wanted` ticks in between.
    pub fn exact(lo: f64, hi: f64, wanted: usize) -> Self {
        let (lo, hi) = usable(lo, hi);
        let step = Step::nice(hi - lo, wanted as f64);
        let (first, last) = ((lo / step.size()).ceil(), (hi / step.size()).floor());
        Self { lo, hi, ticks: ticks(step, first, last), is_log: false }
    }

    /// An axis that ends at the round numbers around its values.
    pub fn rounded(lo: f64, hi: f64, wanted: usize) -> Self {
        let (lo, hi) = usable(lo, hi);
        let step = Step::nice(hi - lo, wanted as f64);
        // A value that is a hair beyond a round number, as 0.3 / 0.1 is, needs no further step.
        let (first, last) = ((lo / step.size() + 1e-9).floor(), (hi / step.size() - 1e-9).ceil());
        Self { lo: step.times(first), hi: step.times(last), ticks: ticks(step, first, last), is_log: false }
    }

    /// A logarithmic axis around positive values, with ticks at 1, 2, 5 of each decade or, over many, at 1.
    pub fn logarithmic(lo: f64, hi: f64) -> Self {
        let lo = lo.clamp(1.0 / HUGE, HUGE);
        let hi = hi.clamp(lo, HUGE);
        let (first, last) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
        let last = last.max(first + 1);
        let digits: &[i64] = if last - first <= 3 { &[1, 2, 5] } else { &[1] };
        let stride = (last - first).div_euclid(8) + 1;
        let candidates: Vec<Step> = (first..=last)
            .step_by(stride as usize)
            .flat_map(|exponent| digits.iter().map(move |&digit| Step { digit, exponent }))
            .collect();
        // Ends at the ticks next to the values.
        let below = candidates.iter().rposition(|step| step.size() <= lo).unwrap_or(0);
        let above = candidates.iter().position(|step| step.size() >= hi).unwrap_or(candidates.len() - 1);
        let above = above.max(below + 1).min(candidates.len() - 1);
        let kept = &candidates[below..=above];
        let ticks =
            kept.iter().map(|step| Tick { at: step.size(), label: step.label(1.0) }).collect::<Vec<_>>();
        let (lo, hi) = (kept[0].size().min(lo), kept[kept.len() - 1].size().max(hi));
        Self { lo, hi, ticks, is_log: true }
    }

    /// Where a value lies: 0 at `lo`, 1 at `hi`.
    pub fn place(&self, v: f64) -> f64 {
        let f = |x: f64| if self.is_log { x.max(f64::MIN_POSITIVE).ln() } else { x };
        ((f(v) - f(self.lo)) / (f(self.hi) - f(self.lo))).clamp(0.0, 1.0)
    }
}

/// A range that is finite and not empty.
fn usable(lo: f64, hi: f64) -> (f64, f64) {
    let [lo, hi] = [lo, hi].map(|v| if v.abs() < 1.0 / HUGE { 0.0 } else { v.clamp(-HUGE, HUGE) });
    // Below this width, steps are lost in the rounding of the values.
    let least = lo.abs().max(hi.abs()) * 1e-6;
    if hi > lo && hi - lo >= least {
        (lo, hi)
    } else if lo == 0.0 {
        (0.0, 1.0)
    } else {
        (lo - lo.abs() * 0.1, lo + lo.abs() * 0.1)
    }
}

fn ticks(step: Step, first: f64, last: f64) -> Vec<Tick> {
    let count = (last - first).clamp(0.0, 100.0) as usize;
    (0..=count)
        .map(|i| first + i as f64)
        .map(|count| Tick { at: step.times(count), label: step.label(count) })
        .collect()
}

/// A curve without its noise: at each value, the straight line that fits it and up to `radius` neighbours on each
/// side best, nearer ones weighing more. So the ends, with neighbours on one side only, are not pulled inwards.
/// Undefined values do not count and stay undefined.
pub fn smooth(values: &[Option<f64>], radius: usize) -> Vec<Option<f64>> {
    let fitted = |i: usize| {
        values[i]?;
        let neighbours = (i.saturating_sub(radius)..values.len().min(i + radius + 1))
            .filter_map(|j| Some((j as f64 - i as f64, values[j]?)));
        // Weighted sums of 1, x, x^2, y, x y; x = 0 is the value itself.
        let (mut n, mut x1, mut x2, mut y1, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (x, y) in neighbours {
            let w = (radius + 1) as f64 - x.abs();
            n += w;
            x1 += w * x;
            x2 += w * x * x;
            y1 += w * y;
            xy += w * x * y;
            (low, high) = (low.min(y), high.max(y));
        }
        let spread = n * x2 - x1 * x1;
        let fit = if spread > 0.0 { (x2 * y1 - x1 * xy) / spread } else { y1 / n };
        // A steep line may leave the range of its values at an end.
        Some(fit.clamp(low, high))
    };
    (0..values.len()).map(fitted).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn steps_are_one_two_or_five() {
        let cases = [
            (10.0, 5.0, (2, 0)),   // 2
            (100.0, 5.0, (2, 1)),  // 20
            (3000.0, 6.0, (5, 2)), // 500
            (1.0, 4.0, (2, -1)),   // 0.25 -> 0.2
            (1.3, 1.0, (1, 0)),    // 1.3 -> 1
            (6e-5, 4.0, (2, -5)),  // 1.5e-5 -> 2e-5
            (8.0, 1.0, (1, 1)),    // 8 -> 10
        ];
        for (span, wanted, (digit, exponent)) in cases {
            assert_eq!(Step::nice(span, wanted), Step { digit, exponent }, "{span} / {wanted}");
        }
    }

    #[test]
    fn exact_axes_tick_inside() {
        let axis = Axis::exact(0.0, 3000.0, 6);
        assert_eq!(labels(&axis), ["0", "500", "1 000", "1 500", "2 000", "2 500", "3 000"]);
        assert_eq!((axis.lo, axis.hi), (0.0, 3000.0));
        // 2960 / 6 = 493 -> 500; the axis still ends at its data.
        let axis = Axis::exact(40.0, 3000.0, 6);
        assert_eq!(labels(&axis), ["500", "1 000", "1 500", "2 000", "2 500", "3 000"]);
        assert_eq!(axis.place(40.0), 0.0);
        assert_eq!(labels(&Axis::exact(0.0, 160_000.0, 4)), ["0", "50k", "100k", "150k"]);
        assert_eq!(labels(&Axis::exact(0.0, 3e6, 3)), ["0", "1M", "2M", "3M"]);
    }

    #[test]
    fn rounded_axes_hold_their_values() {
        let axis = Axis::rounded(0.0, 47.1, 5); // 9.42 -> 10
        assert_eq!(labels(&axis), ["0", "10", "20", "30", "40", "50"]);
        let axis = Axis::rounded(0.0, 0.3, 3); // 0.3 / 0.1 is 2.9999999999999996
        assert_eq!(labels(&axis), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(axis.hi, 0.3);
        let axis = Axis::rounded(0.0, 6e-5, 3);
        assert_eq!(labels(&axis), ["0", "2e-5", "4e-5", "6e-5"]);
        let axis = Axis::rounded(0.0, 1.1e-4, 5); // step 2e-5: 12e-5 is 1.2e-4
        assert_eq!(labels(&axis), ["0", "2e-5", "4e-5", "6e-5", "8e-5", "1e-4", "1.2e-4"]);
        let axis = Axis::rounded(-1.2, 3.4, 5); // 0.92 -> 1
        assert_eq!(labels(&axis), ["-2", "-1", "0", "1", "2", "3", "4"]);
        assert_eq!(axis.place(1.0), 0.5); // (1 - -2) / (4 - -2)
    }

    #[test]
    fn one_value_gets_room_around_it() {
        assert_eq!(labels(&Axis::rounded(0.0, 0.0, 4)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::rounded(5.0, 5.0, 4); // 4.5 to 5.5 in steps of 0.2
        assert!(axis.lo < 5.0 && axis.hi > 5.0);
        assert!((axis.place(5.0) - 0.5).abs() < 0.1);
    }

    #[test]
    fn log_axes_tick_at_one_two_five() {
        let axis = Axis::logarithmic(0.03, 0.7);
        assert_eq!(labels(&axis), ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]);
        assert_eq!(axis.place(0.02), 0.0);
        assert_eq!(axis.place(1.0), 1.0);
        assert_eq!(labels(&Axis::logarithmic(0.5, 5e4)), ["0.1", "1", "10", "100", "1k", "10k", "100k"]);
        assert_eq!(labels(&Axis::logarithmic(1.0, 1.0)), ["1", "2"]);
    }

    #[test]
    fn smoothing_fits_a_line_to_each_neighbourhood() {
        let values = [Some(0.0), Some(4.0), Some(0.0), Some(8.0), Some(1.0)];
        let smoothed = smooth(&values, 1);
        // Inside, weights 1 2 1: (0 + 8 + 0) / 4, (4 + 0 + 8) / 4, (0 + 16 + 1) / 4. Two points fit exactly.
        assert_eq!(smoothed, [Some(0.0), Some(2.0), Some(3.0), Some(4.25), Some(1.0)]);
        assert_eq!(smooth(&values, 0), values);
        // Undefined neighbours do not count.
        assert_eq!(smooth(&[Some(0.0), Some(4.0), None], 1), [Some(0.0), Some(4.0), None]);
        assert_eq!(smooth(&[None, Some(4.0), None], 1), [None, Some(4.0), None]);
        // A straight line stays as it is, up to its ends.
        let line: Vec<_> = (0..50).map(|i| Some(f64::from(i))).collect();
        let off = |(a, b): (&Option<f64>, &Option<f64>)| (a.unwrap() - b.unwrap()).abs();
        assert!(line.iter().zip(&smooth(&line, 7)).map(off).all(|off| off < 1e-9));
        assert!(smooth(&[], 3).is_empty());
    }

    proptest! {
        #[test]
        fn axes_hold_their_range_with_few_ticks(a in any::<f64>(), b in any::<f64>(), wanted in 2_usize..8) {
            prop_assume!(a.is_finite() && b.is_finite());
            let (lo, hi) = (a.min(b), a.max(b));
            for axis in [Axis::exact(lo, hi, wanted), Axis::rounded(lo, hi, wanted)] {
                prop_assert!(axis.lo < axis.hi, "{axis:?}");
                prop_assert!(!axis.ticks.is_empty() && axis.ticks.len() <= 3 * wanted, "{axis:?}");
                prop_assert!(axis.ticks.is_sorted_by(|s, t| s.at < t.at), "{axis:?}");
                for v in [lo, hi] {
                    prop_assert!((0.0..=1.0).contains(&axis.place(v)), "{axis:?}");
                }
            }
            let axis = Axis::logarithmic(lo.abs(), hi.abs());
            prop_assert!(axis.lo < axis.hi && axis.ticks.len() <= 12, "{axis:?}");
        }
    }
}
