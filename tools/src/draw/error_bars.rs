//! A bar chart of what a score is lost to.

use smalti_datasets::Image;

use super::{BACKGROUND, FAINT_INK, INK, fill_rect, filled, text};
use crate::output::thousands;

/// One kind of error of [`error_bars`].
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorBar {
    /// Short name.
    pub name: String,
    /// What it is, in a few words.
    pub meaning: String,
    /// What the score gains without these errors, a fraction; `None` if that is not defined.
    pub gain: Option<f64>,
    /// How many there are.
    pub count: u64,
    /// Whether it sums up other kinds; these follow below the others, set apart.
    pub is_sum: bool,
}

const TITLE: f32 = 22.0;
const TEXT: f32 = 18.0;
const SMALL: f32 = 15.0;
const ROW: usize = 50;
const BAR: usize = 24;
const MARGIN: usize = 28;
/// Space between the kinds and the sums.
const GAP: usize = 22;
/// Length of the axis.
const AXIS: usize = 620;
const PLOT: [u8; 3] = [30, 34, 41];
const GRID: [u8; 3] = [50, 56, 66];
/// Colours of the kinds, in their order, and of the sums.
const KINDS: [[u8; 3]; 6] =
    [[94, 196, 214], [120, 160, 255], [181, 138, 240], [240, 138, 180], [255, 158, 87], [236, 204, 96]];
const SUM: [u8; 3] = [150, 158, 172];

/// One bar a kind of error on a common axis in percentage points, with its gain and number of errors behind it.
pub fn error_bars(title: &str, bars: &[ErrorBar]) -> Image {
    let (sums, kinds): (Vec<&ErrorBar>, Vec<&ErrorBar>) = bars.iter().partition(|bar| bar.is_sum);
    let wide = |pick: fn(&ErrorBar) -> String, size| {
        bars.iter().map(|bar| text::width(&pick(bar), size)).max().unwrap_or(0)
    };
    let label_width = wide(|bar| bar.name.clone(), TEXT).max(wide(|bar| bar.meaning.clone(), SMALL));
    let gain_width = wide(|bar| gain_text(bar.gain), TEXT);
    let count_width = wide(count_text, SMALL);
    let greatest = bars.iter().filter_map(|bar| bar.gain).fold(0.0, f64::max) * 100.0;
    let (step, end) = axis(greatest);

    let left = MARGIN + label_width + MARGIN / 2;
    let top = MARGIN + TITLE as usize * 2;
    let gap = if sums.is_empty() || kinds.is_empty() { 0 } else { GAP };
    let plot = bars.len() * ROW + gap;
    let gain_x = left + AXIS + MARGIN / 2;
    let count_x = gain_x + gain_width + MARGIN;
    let width = (count_x + count_width).max(MARGIN + text::width(title, TITLE)) + MARGIN;
    let mut canvas = filled(top + plot + MARGIN + TEXT as usize * 3, width, BACKGROUND);
    text::draw(&mut canvas, title, (MARGIN, MARGIN), TITLE, INK);
    fill_rect(&mut canvas, (top, left), (plot, AXIS), PLOT);
    let length = |points: f64| (points / end * AXIS as f64).round() as usize;
    for tick in 0..=(end / step).round() as u32 {
        let value = f64::from(tick) * step;
        let (x, figure) = (left + length(value), format!("{value}"));
        fill_rect(&mut canvas, (top, x), (plot, 1), GRID);
        let figure_x = x - text::width(&figure, SMALL) / 2;
        text::draw(&mut canvas, &figure, (top + plot + 6, figure_x), SMALL, FAINT_INK);
    }
    let unit = "AP gained, percentage points";
    let unit_x = left + (AXIS - text::width(unit, SMALL)) / 2;
    text::draw(&mut canvas, unit, (top + plot + 30, unit_x), SMALL, FAINT_INK);
    for (row, bar) in kinds.iter().chain(&sums).enumerate() {
        let y = top + row * ROW + if bar.is_sum { gap } else { 0 };
        let right = |text: &str, size| MARGIN + label_width - text::width(text, size);
        text::draw(&mut canvas, &bar.name, (y + 5, right(&bar.name, TEXT)), TEXT, INK);
        text::draw(&mut canvas, &bar.meaning, (y + 26, right(&bar.meaning, SMALL)), SMALL, FAINT_INK);
        let color = if bar.is_sum { SUM } else { KINDS[row % KINDS.len()] };
        let gain = bar.gain.unwrap_or(0.0).max(0.0) * 100.0;
        fill_rect(&mut canvas, (y + (ROW - BAR) / 2, left), (BAR, length(gain)), color);
        let figure = gain_text(bar.gain);
        let figure_x = gain_x + gain_width - text::width(&figure, TEXT);
        text::draw(&mut canvas, &figure, (y + 15, figure_x), TEXT, INK);
        let count = count_text(bar);
        let count_at = (y + 17, count_x + count_width - text::width(&count, SMALL));
        text::draw(&mut canvas, &count, count_at, SMALL, FAINT_INK);
    }
    canvas
}

fn gain_text(gain: Option<f64>) -> String {
    gain.map_or_else(|| "-".to_owned(), |gain| format!("{:+.2}", gain * 100.0))
}

fn count_text(bar: &ErrorBar) -> String {
    format!("{} error{}", thousands(bar.count), if bar.count == 1 { "" } else { "s" })
}

/// Distance of the ticks and end of an axis from 0 that holds a value: whole steps of 1, 2 or 5 times a power of ten,
/// at most eight of them.
fn axis(greatest: f64) -> (f64, f64) {
    let mut step = 0.1;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(12) {
        if greatest <= step * 8.0 {
            break;
        }
        step *= factor;
    }
    (step, (greatest / step).ceil().max(1.0) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, gain: Option<f64>, is_sum: bool) -> ErrorBar {
        ErrorBar { name: name.into(), meaning: "what it is".into(), gain, count: 1234, is_sum }
    }

    #[test]
    fn bars_are_as_long_as_their_gains() {
        let bars = [
            bar("Cls", Some(0.05), false),
            bar("Loc", Some(0.1), false),
            bar("Both", Some(0.0), false),
            bar("Miss", None, false),
            bar("FalsePos", Some(0.2), true),
        ];
        let chart = error_bars("title", &bars);
        let length = |color: [u8; 3]| {
            let here = |y: usize, x: usize| (0..3).all(|c| chart[(y, x, c)] == color[c]);
            (0..chart.dim().0).map(|y| (0..chart.dim().1).filter(|&x| here(y, x)).count()).max()
        };
        assert_eq!([KINDS[0], KINDS[1], SUM].map(length), [Some(AXIS / 4), Some(AXIS / 2), Some(AXIS)]);
        assert_eq!([KINDS[2], KINDS[3]].map(length), [Some(0), Some(0)]);
        error_bars("a title that is longer than anything else in the chart, and then some more", &[]);
    }

    #[test]
    fn axes_end_at_a_whole_step() {
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-9 && (b - d).abs() < 1e-9;
        for (greatest, expected) in [
            (0.0, (0.1, 0.1)),
            (0.75, (0.1, 0.8)),
            (7.2, (1.0, 8.0)),
            (8.1, (2.0, 10.0)),
            (100.0, (20.0, 100.0)),
        ] {
            assert!(near(axis(greatest), expected), "{greatest}: {:?}", axis(greatest));
        }
    }
}
