//! Line charts as inline SVG: axes, ticks, legend, and a readout of each step that needs no script.

use std::fmt::{self, Display, Formatter, Write};

use super::scale::{Axis, smooth};
use super::text::Esc;

/// One curve. Undefined values leave gaps.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    /// The latest value, as the legend shows it.
    pub latest: String,
    /// Step and value, steps ascending.
    pub points: Vec<(f64, Option<f64>)>,
    pub look: Look,
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The values as a thin line, with their smoothed course over it.
    Noisy,
    /// A plain line.
    Line,
    /// A line with a dot at each value.
    Dots,
}

/// The readout at one step.
#[derive(Debug, Clone)]
pub struct Stop {
    pub step: f64,
    pub text: String,
}

/// A value to point out.
#[derive(Debug, Clone)]
pub struct Mark {
    pub step: f64,
    pub value: f64,
    pub text: String,
}

/// A figure with a title, a legend and curves over training steps.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: &'static str,
    /// Unit and remarks, beside the title.
    pub note: String,
    /// Height of the drawing, whose width is [`WIDTH`].
    pub height: f64,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub stops: Vec<Stop>,
    pub mark: Option<Mark>,
}

/// Width of a drawing; the page scales it to the room there is.
const WIDTH: f64 = 600.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// More values than this on a curve are drawn by the extremes of their neighbourhoods.
const MOST_VALUES: usize = 600;
/// More readouts than this are too narrow to hit.
const MOST_STOPS: usize = 120;

impl Chart {
    fn x_of(&self, step: f64) -> f64 {
        LEFT + self.x.place(step) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        let bottom = self.height - BOTTOM;
        bottom - self.y.place(value) * (bottom - TOP)
    }

    /// Names and latest values, if there is more than one curve to tell apart.
    fn write_legend(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.series.len() < 2 {
            return Ok(());
        }
        write!(f, "<ul class=\"legend\">")?;
        for (i, series) in self.series.iter().enumerate() {
            let (name, latest) = (Esc(&series.name), Esc(&series.latest));
            write!(f, "<li class=\"s{}\"><i></i>{name} <b>{latest}</b></li>", i % COLOURS)?;
        }
        writeln!(f, "</ul>")
    }

    fn write_grid(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, self.height - BOTTOM);
        f.write_str("<g class=\"grid\">")?;
        for tick in &self.y.ticks {
            let y = self.y_of(tick.at);
            write!(f, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>")?;
        }
        write!(
            f,
            "</g><g class=\"axis\"><line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>"
        )?;
        for tick in &self.x.ticks {
            let x = self.x_of(tick.at);
            write!(f, "<line x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>", bottom + 4.0)?;
        }
        f.write_str("</g><g class=\"ticks\">")?;
        for tick in &self.y.ticks {
            let (x, y) = (LEFT - 8.0, self.y_of(tick.at) + 4.0);
            write!(f, "<text class=\"y\" x=\"{x}\" y=\"{y:.1}\">{}</text>", Esc(&tick.label))?;
        }
        for tick in &self.x.ticks {
            let (x, y) = (self.x_of(tick.at), bottom + 18.0);
            write!(f, "<text x=\"{x:.1}\" y=\"{y}\">{}</text>", Esc(&tick.label))?;
        }
        let middle = f64::midpoint(LEFT, right);
        write!(f, "<text class=\"name\" x=\"{middle}\" y=\"{}\">step</text></g>", self.height - 5.0)
    }

    fn write_series(&self, f: &mut Formatter<'_>, index: usize, series: &Series) -> fmt::Result {
        write!(f, "<g class=\"s{}\">", index % COLOURS)?;
        match series.look {
            Look::Noisy => {
                let values: Vec<_> = series.points.iter().map(|point| point.1).collect();
                let smoothed = smooth(&values, smoothing_radius(values.len()));
                let course: Vec<_> = series.points.iter().map(|point| point.0).zip(smoothed).collect();
                self.write_line(f, "raw", &series.points)?;
                self.write_line(f, "line", &course)?;
            }
            Look::Line | Look::Dots => self.write_line(f, "line", &series.points)?,
        }
        if series.look == Look::Dots && series.points.len() <= MOST_STOPS {
            for &(step, value) in &series.points {
                if let Some(value) = value {
                    let (x, y) = (self.x_of(step), self.y_of(value));
                    write!(f, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>")?;
                }
            }
        }
        f.write_str("</g>")
    }

    /// A path through the defined values; one that stands alone becomes a dot.
    fn write_line(&self, f: &mut Formatter<'_>, class: &str, points: &[(f64, Option<f64>)]) -> fmt::Result {
        let points = thinned(points);
        let mut path = String::new();
        for run in points.split(|point| point.1.is_none()).filter(|run| !run.is_empty()) {
            let places = run.iter().filter_map(|point| Some((self.x_of(point.0), self.y_of(point.1?))));
            let places: Vec<_> = places.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            match run {
                [(step, Some(value))] if class == "line" => {
                    let (x, y) = (self.x_of(*step), self.y_of(*value));
                    write!(f, "<circle class=\"lone\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>")?;
                }
                _ => write!(path, "M{}", places.join("L"))?,
            }
        }
        if path.is_empty() { Ok(()) } else { write!(f, "<path class=\"{class}\" d=\"{path}\"/>") }
    }

    fn write_mark(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(mark) = &self.mark else { return Ok(()) };
        let (x, y) = (self.x_of(mark.step), self.y_of(mark.value));
        // Text keeps inside: it ends at the mark in the right half. It lies below, as other scores tend to be higher.
        let side = if x > WIDTH / 2.0 { "end" } else { "start" };
        let text_y = if y > self.height - BOTTOM - 28.0 { y - 11.0 } else { y + 21.0 };
        write!(f, "<g class=\"mark\"><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\"/>")?;
        write!(
            f,
            "<text x=\"{x:.1}\" y=\"{text_y:.1}\" text-anchor=\"{side}\">{}</text></g>",
            Esc(&mark.text)
        )
    }

    /// Invisible columns, each with a line that shows under the pointer and a tooltip.
    fn write_stops(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let stride = self.stops.len().div_ceil(MOST_STOPS).max(1);
        let stops: Vec<&Stop> = self.stops.iter().step_by(stride).collect();
        let places: Vec<f64> = stops.iter().map(|stop| self.x_of(stop.step)).collect();
        let height = self.height - BOTTOM - TOP;
        f.write_str("<g class=\"stops\">")?;
        for (i, stop) in stops.iter().enumerate() {
            let x = places[i];
            let from = if i == 0 { LEFT } else { f64::midpoint(places[i - 1], x) };
            let to = places.get(i + 1).map_or(WIDTH - RIGHT, |&next| f64::midpoint(x, next));
            write!(f, "<g><title>{}</title>", Esc(&stop.text))?;
            let width = (to - from).max(0.5);
            write!(f, "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>")?;
            write!(f, "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{}\"/></g>", TOP + height)?;
        }
        f.write_str("</g>")
    }
}

impl Display for Chart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let title = Esc(self.title);
        write!(f, "<figure class=\"chart\"><figcaption><h3>{title}</h3>")?;
        if !self.note.is_empty() {
            write!(f, " <span class=\"note\">{}</span>", Esc(&self.note))?;
        }
        writeln!(f, "</figcaption>")?;
        self.write_legend(f)?;
        let height = self.height;
        write!(
            f,
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title} over training steps\">"
        )?;
        self.write_grid(f)?;
        // The first series is the one that matters most: drawn last, it lies on top.
        for (i, series) in self.series.iter().enumerate().rev() {
            self.write_series(f, i, series)?;
        }
        self.write_mark(f)?;
        self.write_stops(f)?;
        writeln!(f, "</svg></figure>")
    }
}

/// Number of line colours in the style sheet.
const COLOURS: usize = 5;

/// Neighbours on each side that the smoothed course averages over: a twentieth of the curve, none on short ones.
pub fn smoothing_radius(values: usize) -> usize {
    if values < 20 { 0 } else { (values / 20).min(100) }
}

/// At most about [`MOST_VALUES`] points: of every bucket of neighbours the lowest and the highest, and every gap.
fn thinned(points: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
    if points.len() <= MOST_VALUES {
        return points.to_vec();
    }
    let bucket = points.len().div_ceil(MOST_VALUES / 2);
    let mut kept = Vec::with_capacity(MOST_VALUES + 2);
    for bucket in points.chunks(bucket) {
        let defined = || bucket.iter().enumerate().filter_map(|(i, point)| Some((i, point.1?)));
        let low = defined().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i);
        let high = defined().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i);
        let gap = bucket.iter().position(|point| point.1.is_none());
        let mut indices: Vec<usize> = [low, high, gap].into_iter().flatten().collect();
        indices.sort_unstable();
        indices.dedup();
        kept.extend(indices.into_iter().map(|i| bucket[i]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>, look: Look) -> Chart {
        let series = Series { name: "loss".into(), latest: "1".into(), points, look };
        Chart {
            title: "Loss",
            note: String::new(),
            height: 152.0,
            x: Axis::exact(0.0, 100.0, 4),
            y: Axis::rounded(0.0, 10.0, 4),
            series: vec![series],
            stops: vec![Stop { step: 0.0, text: "a".into() }, Stop { step: 100.0, text: "<b>".into() }],
            mark: None,
        }
    }

    #[test]
    fn lines_lie_where_the_axes_say() {
        // 536 wide from 50, 100 high from 12: (0, 0) is bottom left, (100, 10) top right.
        let text =
            chart(vec![(0.0, Some(0.0)), (50.0, Some(5.0)), (100.0, Some(10.0))], Look::Line).to_string();
        assert!(text.contains(r#"<path class="line" d="M50.0 112.0L318.0 62.0L586.0 12.0"/>"#), "{text}");
    }

    #[test]
    fn undefined_values_leave_gaps_and_lone_ones_are_dots() {
        let points = vec![(0.0, Some(0.0)), (25.0, None), (50.0, Some(5.0)), (100.0, Some(10.0))];
        let text = chart(points, Look::Line).to_string();
        assert!(text.contains(r#"<circle class="lone" cx="50.0" cy="112.0""#), "{text}");
        assert!(text.contains(r#"d="M318.0 62.0L586.0 12.0""#), "{text}");
        let text = chart(vec![(50.0, None)], Look::Noisy).to_string();
        assert!(!text.contains("<path"), "{text}");
        let text = chart(vec![(50.0, Some(5.0))], Look::Dots).to_string();
        assert!(text.contains(r#"<circle cx="318.0" cy="62.0""#), "{text}");
    }

    #[test]
    fn readouts_tile_the_width_and_are_escaped() {
        let text = chart(vec![], Look::Line).to_string();
        assert!(
            text.contains(r#"<title>a</title><rect x="50.0" y="12" width="268.0" height="100"/>"#),
            "{text}"
        );
        assert!(text.contains(r#"<title>&lt;b&gt;</title><rect x="318.0" y="12" width="268.0""#), "{text}");
    }

    #[test]
    fn thinning_keeps_peaks_and_gaps() {
        let mut points: Vec<_> = (0..10_000).map(|i| (i as f64, Some(1.0))).collect();
        points[4321].1 = Some(9.0);
        points[7777].1 = None;
        let kept = thinned(&points);
        assert!(kept.len() <= 2 * MOST_VALUES, "{}", kept.len());
        assert!(kept.contains(&(4321.0, Some(9.0))) && kept.contains(&(7777.0, None)));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..MOST_VALUES]), &points[..MOST_VALUES]);
    }
}
