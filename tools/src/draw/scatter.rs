//! Segmentation quality against recognition quality of every class: what panoptic quality is lost to.

use smalti_datasets::Image;

use super::name_tags::{Rect, Tagged, place};
use super::stroke::{blend, disc, segment};
use super::{BACKGROUND, FAINT_INK, INK, fill_rect, filled, text};

/// One class of a [`quality_scatter`]; qualities are fractions in `[0, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityPoint {
    /// Name of the class.
    pub name: String,
    /// Whether it is countable.
    pub isthing: bool,
    /// Mean IoU of its matched segments.
    pub sq: f64,
    /// F1 score of finding its segments.
    pub rq: f64,
    /// `sq * rq`
    pub pq: f64,
    /// Segments of the ground truth, shown as the point's area.
    pub n: u64,
}

const WIDTH: usize = 1400;
const HEIGHT: usize = 1000;
/// Around the plot: top, left, bottom, right.
const TOP: usize = 64;
const LEFT: usize = 96;
const BOTTOM: usize = 84;
const RIGHT: usize = 76;
const TEXT: f32 = 17.0;
const NAME: f32 = 14.5;
/// Least and greatest radius of a point.
const RADIUS: (f32, f32) = (4.0, 11.0);
const THING: [u8; 3] = [255, 158, 87];
const STUFF: [u8; 3] = [94, 196, 214];
const PLOT: [u8; 3] = [30, 34, 41];
const GRID: [u8; 3] = [44, 49, 58];
const ISO: [u8; 3] = [96, 104, 122];
/// Height of a line of names below the plot.
const LINE: usize = 24;

/// Every class at its SQ (to the right) and RQ (upwards), things and stuff in two colours, with lines of equal PQ.
///
/// Axes cover the classes that were matched at all; those that never were have no SQ and are named below the plot.
/// A name that finds no free place is left out, the smallest classes first.
pub fn quality_scatter(points: &[QualityPoint]) -> Image {
    let (mut shown, missed): (Vec<&QualityPoint>, Vec<&QualityPoint>) = points
        .iter()
        .filter(|point| point.sq.is_finite() && point.rq.is_finite())
        .partition(|point| point.rq > 0.0);
    shown.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.name.cmp(&b.name)));
    let lines = missed_lines(&missed);
    let axes = Axes::of(&shown);
    let mut canvas = filled(HEIGHT + lines.len() * LINE, WIDTH, BACKGROUND);
    axes.draw(&mut canvas);
    draw_points(&mut canvas, &axes, &shown);
    draw_legend(&mut canvas, &shown);
    for (i, line) in lines.iter().enumerate() {
        let color = if i == 0 { INK } else { FAINT_INK };
        text::draw(&mut canvas, line, (HEIGHT - 10 + i * LINE, LEFT), TEXT, color);
    }
    canvas
}

/// What part of the qualities is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axes {
    sq: (f64, f64),
    rq: (f64, f64),
}

impl Axes {
    fn of(shown: &[&QualityPoint]) -> Self {
        let range = |value: fn(&QualityPoint) -> f64, step: f64, all: (f64, f64)| {
            let low = shown.iter().map(|p| value(p)).fold(f64::INFINITY, f64::min);
            let high = shown.iter().map(|p| value(p)).fold(f64::NEG_INFINITY, f64::max);
            if low > high {
                return all;
            }
            // Whole steps with a little room, so that no point lies on the frame.
            let low = ((low - 0.01) / step).floor() * step;
            let high = ((high + 0.01) / step).ceil() * step;
            (low.max(0.0), high.min(1.0).max(low.max(0.0) + step))
        };
        Self { sq: range(|p| p.sq, 0.05, (0.5, 1.0)), rq: range(|p| p.rq, 0.1, (0.0, 1.0)) }
    }

    fn y(&self, rq: f64) -> f32 {
        let plot = (HEIGHT - TOP - BOTTOM) as f64;
        (TOP as f64 + plot * (1.0 - (rq - self.rq.0) / (self.rq.1 - self.rq.0))) as f32
    }

    fn x(&self, sq: f64) -> f32 {
        let plot = (WIDTH - LEFT - RIGHT) as f64;
        (LEFT as f64 + plot * (sq - self.sq.0) / (self.sq.1 - self.sq.0)) as f32
    }

    /// SQ of a column.
    fn sq_at(&self, column: usize) -> f64 {
        let plot = (WIDTH - LEFT - RIGHT) as f64;
        self.sq.0 + (column as f64 - LEFT as f64) / plot * (self.sq.1 - self.sq.0)
    }

    fn draw(&self, canvas: &mut Image) {
        fill_rect(canvas, (TOP, LEFT), (HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT), PLOT);
        let figure = |value: f64| format!("{:.0}", value * 100.0);
        for value in ticks(self.sq, 0.05) {
            let x = self.x(value);
            fill_rect(canvas, (TOP, x as usize), (HEIGHT - TOP - BOTTOM, 1), GRID);
            let left = x as usize - text::width(&figure(value), TEXT) / 2;
            text::draw(canvas, &figure(value), (HEIGHT - BOTTOM + 8, left), TEXT, FAINT_INK);
        }
        for value in ticks(self.rq, 0.1) {
            let y = self.y(value);
            fill_rect(canvas, (y as usize, LEFT), (1, WIDTH - LEFT - RIGHT), GRID);
            let left = LEFT - 12 - text::width(&figure(value), TEXT);
            text::draw(canvas, &figure(value), (y as usize - 10, left), TEXT, FAINT_INK);
        }
        for tenth in 1..10 {
            self.iso_line(canvas, f64::from(tenth) / 10.0);
        }
        let (across, up) = ("segmentation quality SQ, %", "recognition quality RQ, %");
        let x = LEFT + (WIDTH - LEFT - RIGHT - text::width(across, TEXT)) / 2;
        text::draw(canvas, across, (HEIGHT - BOTTOM + 34, x), TEXT, INK);
        let bottom = TOP + usize::midpoint(HEIGHT - TOP - BOTTOM, text::width(up, TEXT));
        text::draw_up(canvas, up, (bottom, 16), TEXT, INK);
    }

    /// Where SQ * RQ is `pq`, with its value at the end.
    fn iso_line(&self, canvas: &mut Image, pq: f64) {
        let (mut last, label) = (None, format!("PQ {:.0}", pq * 100.0));
        for column in LEFT..=WIDTH - RIGHT {
            let sq = self.sq_at(column);
            let rq = pq / sq.max(f64::MIN_POSITIVE);
            if !(self.rq.0..=self.rq.1).contains(&rq) {
                continue;
            }
            let y = self.y(rq);
            let slope =
                (self.y(pq / (sq + 1e-6)) - y) / (self.x(sq + 1e-6) - self.x(sq)).max(f32::MIN_POSITIVE);
            let steep = slope.hypot(1.0);
            for row in (y - 2.0 * steep).floor() as i64..=(y + 2.0 * steep).ceil() as i64 {
                let away = (row as f32 - y).abs() / steep;
                let inside = (TOP as i64..(HEIGHT - BOTTOM) as i64).contains(&row);
                blend(canvas, (row, column as i64), ISO, if inside { 0.55 * (1.1 - away) } else { 0.0 });
            }
            last = Some((column, y));
        }
        if let Some((column, y)) = last.filter(|&(column, _)| column == WIDTH - RIGHT) {
            text::draw(canvas, &label, ((y as usize).saturating_sub(9), column + 8), TEXT - 2.0, FAINT_INK);
        }
    }
}

/// Multiples of a step within a range.
fn ticks((low, high): (f64, f64), step: f64) -> Vec<f64> {
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn color(isthing: bool) -> [u8; 3] {
    if isthing { THING } else { STUFF }
}

fn draw_points(canvas: &mut Image, axes: &Axes, shown: &[&QualityPoint]) {
    let most = shown.iter().map(|point| point.n).max().unwrap_or(0).max(1) as f32;
    let tagged: Vec<Tagged> = shown
        .iter()
        .map(|point| Tagged {
            at: (axes.y(point.rq), axes.x(point.sq)),
            radius: RADIUS.0 + (RADIUS.1 - RADIUS.0) * (point.n as f32 / most).sqrt(),
            size: (NAME * 1.15, text::width(&point.name, NAME) as f32),
        })
        .collect();
    let bounds = Rect {
        top: TOP as f32,
        left: LEFT as f32,
        bottom: (HEIGHT - BOTTOM) as f32,
        right: (WIDTH - RIGHT) as f32,
    };
    let places = place(&tagged, bounds);
    for (point, place) in tagged.iter().zip(&places) {
        if let Some((rect, true)) = place {
            let nearest = (point.at.0.clamp(rect.top, rect.bottom), point.at.1.clamp(rect.left, rect.right));
            segment(canvas, point.at, nearest, 1.0, ISO);
        }
    }
    for (point, tag) in shown.iter().zip(&tagged) {
        disc(canvas, tag.at, tag.radius + 1.2, PLOT);
        disc(canvas, tag.at, tag.radius, color(point.isthing));
    }
    for (point, place) in shown.iter().zip(&places) {
        if let Some((rect, _)) = place {
            let at = (rect.top.round() as usize, rect.left.round() as usize);
            text::draw(canvas, &point.name, at, NAME, INK);
        }
    }
}

fn draw_legend(canvas: &mut Image, shown: &[&QualityPoint]) {
    let y = TOP / 2;
    let mut x = LEFT;
    for isthing in [true, false] {
        let count = shown.iter().filter(|point| point.isthing == isthing).count();
        if count == 0 {
            continue;
        }
        let kind = if isthing { "things" } else { "stuff" };
        let mean = shown.iter().filter(|p| p.isthing == isthing).map(|p| p.pq).sum::<f64>() / count as f64;
        let title = format!("{kind}: {count} classes matched, mean PQ of these {:.1}", mean * 100.0);
        disc(canvas, (y as f32, x as f32 + 7.0), 7.0, color(isthing));
        text::draw(canvas, &title, (y - 10, x + 24), TEXT, INK);
        x += 24 + text::width(&title, TEXT) + 36;
    }
    let note = "area of a point: segments in the ground truth";
    text::draw(canvas, note, (y - 10, (WIDTH - RIGHT) - text::width(note, TEXT)), TEXT, FAINT_INK);
}

/// Names of the classes without a match, as lines that fit the picture.
fn missed_lines(missed: &[&QualityPoint]) -> Vec<String> {
    if missed.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("never matched, PQ 0: {} classes", missed.len())];
    let room = WIDTH - LEFT - RIGHT;
    let mut line = String::new();
    for (i, point) in missed.iter().enumerate() {
        let comma = if i + 1 < missed.len() { ", " } else { "" };
        let name = format!("{}{comma}", text::fit(&point.name, TEXT, room / 2));
        if text::width(&line, TEXT) + text::width(&name, TEXT) > room {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(&name);
    }
    lines.push(line);
    lines.push(String::new());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, isthing: bool, sq: f64, rq: f64) -> QualityPoint {
        QualityPoint { name: name.into(), isthing, sq, rq, pq: sq * rq, n: 10 }
    }

    fn pixel(picture: &Image, (y, x): (f32, f32)) -> [u8; 3] {
        std::array::from_fn(|c| picture[(y.round() as usize, x.round() as usize, c)])
    }

    #[test]
    fn points_lie_where_their_qualities_are() {
        let points = [point("car", true, 0.83, 0.62), point("sky", false, 0.91, 0.77)];
        let picture = quality_scatter(&points);
        let axes = Axes::of(&[&points[0], &points[1]]);
        let close = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() + (b - d).abs() < 1e-9;
        assert!(close(axes.rq, (0.6, 0.8)) && close(axes.sq, (0.8, 0.95)), "{axes:?}");
        assert_eq!(pixel(&picture, (axes.y(0.62), axes.x(0.83))), THING);
        assert_eq!(pixel(&picture, (axes.y(0.77), axes.x(0.91))), STUFF);
        assert_eq!(picture.dim(), (HEIGHT, WIDTH, 3));
    }

    #[test]
    fn classes_without_a_match_are_named_below() {
        let mut points = vec![point("car", true, 0.8, 0.5)];
        points.extend((0..60).map(|i| point(&format!("class number {i}"), true, 0.0, 0.0)));
        let missed: Vec<&QualityPoint> = points[1..].iter().collect();
        let lines = missed_lines(&missed);
        assert!(lines[0].contains("60 classes") && lines.len() > 4);
        assert!(lines.iter().all(|line| text::width(line, TEXT) <= WIDTH - LEFT - RIGHT));
        assert!(lines.concat().contains("class number 59"));
        assert_eq!(quality_scatter(&points).dim().0, HEIGHT + lines.len() * LINE);
    }

    #[test]
    fn odd_input_is_drawn() {
        quality_scatter(&[]);
        quality_scatter(&[point("", true, 1.0, 1.0), point("b", true, f64::NAN, 0.5)]);
        let long = "n".repeat(900);
        quality_scatter(&[point(&long, true, 0.0, 0.0), point(&long, false, 0.5, 1e-9)]);
        let crowd: Vec<_> = (0..200).map(|i| point(&format!("class {i}"), i % 2 == 0, 0.8, 0.5)).collect();
        quality_scatter(&crowd);
    }
}
