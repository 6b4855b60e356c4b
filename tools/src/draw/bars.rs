//! A bar chart of how frequent the classes of a set are.

use smalti_datasets::Image;

use super::legend::share_text;
use super::{BACKGROUND, FAINT_INK, INK, fill_rect, filled, text};

/// One class of a [`class_histogram`].
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Name of the class.
    pub name: String,
    /// Its colour.
    pub color: [u8; 3],
    /// Its share of the labelled pixels, 0 to 1.
    pub share: f64,
}

const TEXT: f32 = 18.0;
const ROW: usize = 30;
const BAR: usize = 16;
const MARGIN: usize = 24;
/// Length of the longest bar.
const LONGEST: usize = 560;
/// Longer names are cut.
const NAME: usize = 260;
/// The groove that bars lie in, a shade above the background.
const GROOVE: [u8; 3] = [38, 42, 50];

/// One bar a class, most frequent first; lengths are relative to the most frequent one. A class that occurs at all has a
/// bar of at least two pixels, so that rare and absent classes can be told apart.
pub fn class_histogram(bars: &[Bar]) -> Image {
    let mut order: Vec<&Bar> = bars.iter().collect();
    order.sort_by(|a, b| b.share.total_cmp(&a.share)); // stable: equal shares stay in order of the ids
    let longest = order.first().map_or(0.0, |bar| bar.share).max(f64::MIN_POSITIVE);
    let names: Vec<String> = order.iter().map(|bar| text::fit(&bar.name, TEXT, NAME)).collect();
    let name_width = names.iter().map(|name| text::width(name, TEXT)).max().unwrap_or(0);
    let share_width = text::width("100.0 %", TEXT);

    let bar_x = MARGIN + name_width + MARGIN / 2;
    let share_x = bar_x + LONGEST + MARGIN / 2;
    let (height, width) = (2 * MARGIN + order.len() * ROW, share_x + share_width + MARGIN);
    let mut canvas = filled(height, width, BACKGROUND);
    for (i, (bar, name)) in order.iter().zip(&names).enumerate() {
        let y = MARGIN + i * ROW;
        let text_y = y + (ROW - TEXT as usize) / 2;
        let name_x = MARGIN + name_width - text::width(name, TEXT);
        let share = share_text(bar.share);
        let share_right = share_x + share_width - text::width(&share, TEXT);
        let length = (bar.share / longest * LONGEST as f64).round() as usize;
        let length = if bar.share > 0.0 { length.max(2) } else { 0 };
        text::draw(&mut canvas, name, (text_y, name_x), TEXT, INK);
        fill_rect(&mut canvas, (y + (ROW - BAR) / 2, bar_x), (BAR, LONGEST), GROOVE);
        fill_rect(&mut canvas, (y + (ROW - BAR) / 2, bar_x), (BAR, length), bar.color);
        text::draw(&mut canvas, &share, (text_y, share_right), TEXT, FAINT_INK);
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_classes_are_frequent() {
        let bar = |name: &str, red, share| Bar { name: name.into(), color: [red, 1, 2], share };
        let chart = class_histogram(&[
            bar("rare", 201, 0.000_1),
            bar("most", 202, 0.6),
            bar("half", 203, 0.3),
            bar("none", 204, 0.0),
        ]);
        let length = |red: u8| {
            let middle = |row: usize| {
                (0..chart.dim().1).filter(|&x| chart[(row, x, 0)] == red && chart[(row, x, 1)] == 1).count()
            };
            (0..chart.dim().0).map(middle).max().unwrap()
        };
        assert_eq!([202, 203, 201, 204].map(length), [LONGEST, LONGEST / 2, 2, 0]);
        assert_eq!(class_histogram(&[]).dim().0, 2 * MARGIN);
    }
}
