//! The classes of a run: their final scores, and how each was learned.

use std::fmt::{self, Display, Formatter};

use super::log::EvalPoint;
use super::text::{Esc, UNDEFINED, css_color, percent, short_steps};
use super::{ClassColumn, ClassRow};
use crate::output::thousands;

/// Scores a class can have, the one to show first.
const CLASS_SCORES: [&str; 3] = ["IoU", "PQ", "AP"];
/// Columns that fit beside each other.
const MOST_COLUMNS: usize = 20;

/// Rows by score, best first; classes without a score last, in their own order.
pub fn ranked(classes: &[ClassRow]) -> Vec<&ClassRow> {
    let mut rows: Vec<&ClassRow> = classes.iter().collect();
    let key = |row: &ClassRow| score(row).unwrap_or(f64::NEG_INFINITY);
    rows.sort_by(|a, b| key(b).total_cmp(&key(a)));
    rows
}

/// The number that ranks a class.
fn score(row: &ClassRow) -> Option<f64> {
    row.values.first().copied().flatten()
}

/// How many of the last scored classes are pointed out: a quarter, three at most.
fn weak_count(scored: usize) -> usize {
    (scored / 4).min(3)
}

/// The table of final scores.
pub struct FinalScores<'a> {
    /// Columns of the rows.
    pub columns: &'a [ClassColumn],
    /// See [`ranked`].
    pub rows: &'a [&'a ClassRow],
}

impl Display for FinalScores<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self.rows;
        let scored = rows.iter().filter(|row| score(row).is_some()).count();
        let strong = scored - weak_count(scored);
        let value = |row: &ClassRow, place: usize| row.values.get(place).copied().flatten();
        let known = |&(place, _): &(usize, &ClassColumn)| {
            place == 0 || rows.iter().any(|row| value(row, place).is_some())
        };
        // Place, column, and the fraction whose bar is full.
        let columns: Vec<(usize, &ClassColumn, f64)> = self
            .columns
            .iter()
            .enumerate()
            .filter(known)
            .map(|(place, column)| {
                let largest = rows.iter().filter_map(|row| value(row, place)).fold(0.0, f64::max);
                (place, column, if column.is_score { 1.0 } else { largest })
            })
            .collect();
        write!(f, "<div class=\"scroll\"><table class=\"classes\"><thead><tr><th scope=\"col\">Class</th>")?;
        for (_, ClassColumn { name, hint, .. }, _) in &columns {
            write!(f, "<th scope=\"col\" class=\"num\" title=\"{hint}, percent\">{name}</th>")?;
        }
        writeln!(f, "</tr></thead><tbody>")?;
        for (rank, row) in rows.iter().enumerate() {
            let weak = score(row).is_some() && rank >= strong;
            let class = if weak { " class=\"weak\" title=\"among the lowest scores\"" } else { "" };
            let class = if score(row).is_none() { " class=\"absent\"" } else { class };
            write!(f, "<tr{class}><th scope=\"row\">{}{}</th>", Chip(row.color), Esc(&row.name))?;
            for &(place, column, full) in &columns {
                let kind = match (place, column.is_score) {
                    (0, _) => "first",
                    (_, true) => "other",
                    (_, false) => "share",
                };
                write!(f, "{}", Bar(kind, value(row, place), full))?;
            }
            writeln!(f, "</tr>")?;
        }
        writeln!(f, "</tbody></table></div>")
    }
}

/// A sample of a class's colour, if it has one.
struct Chip(Option<[u8; 3]>);

impl Display for Chip {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |color| {
            write!(f, "<i class=\"chip\" style=\"background:{}\"></i>", css_color(color))
        })
    }
}

/// A table cell with a fraction as a bar and a number; the bar is full at the last field.
struct Bar(&'static str, Option<f64>, f64);

impl Display for Bar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(kind, fraction, full) = *self;
        let Some(fraction) = fraction.filter(|fraction| fraction.is_finite()) else {
            return write!(f, "<td class=\"num\">{UNDEFINED}</td>");
        };
        let width = if full > 0.0 { (fraction / full * 100.0).clamp(0.0, 100.0) } else { 0.0 };
        write!(f, "<td class=\"num\"><span class=\"bar {kind}\"><i style=\"width:{width:.1}%\"></i></span>")?;
        write!(f, "<span>{}</span></td>", percent(Some(fraction), 2))
    }
}

/// Scores of each class at each evaluation, as a mosaic of tiles.
pub struct Mosaic<'a> {
    /// Classes in the order of the table.
    pub rows: &'a [&'a ClassRow],
    /// The evaluations of the run.
    pub eval: &'a [EvalPoint],
}

impl Mosaic<'_> {
    /// Whether there is a course to show: two evaluations with scores of classes.
    pub fn is_worth_showing(&self) -> bool {
        self.score().is_some() && self.eval.iter().filter(|point| !point.classes.is_empty()).count() >= 2
    }

    fn score(&self) -> Option<&'static str> {
        let has = |name: &&str| {
            let mut scores = self.eval.iter().flat_map(|point| &point.classes).flat_map(|(_, scores)| scores);
            scores.any(|(known, score)| known == name && score.is_some())
        };
        CLASS_SCORES.into_iter().find(has)
    }

    /// Names and colours: those of the table first, then classes that only the log knows.
    fn names(&self) -> Vec<(&str, Option<[u8; 3]>)> {
        let mut names: Vec<_> = self.rows.iter().map(|row| (row.name.as_str(), row.color)).collect();
        for (name, _) in self.eval.iter().flat_map(|point| &point.classes) {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name, None));
            }
        }
        names
    }
}

impl Display for Mosaic<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(score) = self.score() else { return Ok(()) };
        let columns = spread(self.eval, MOST_COLUMNS);
        write!(
            f,
            "<div class=\"scroll\"><table class=\"mosaic\"><thead><tr><th scope=\"col\">{score} at step</th>"
        )?;
        for point in &columns {
            write!(f, "<th scope=\"col\">{}</th>", short_steps(point.step))?;
        }
        writeln!(f, "</tr></thead><tbody>")?;
        for (name, color) in self.names() {
            write!(f, "<tr><th scope=\"row\">")?;
            write!(f, "{}{}</th>", Chip(color), Esc(name))?;
            for point in &columns {
                let step = thousands(point.step);
                let score = point.class_metric(name, score).filter(|score| score.is_finite());
                match score {
                    Some(score) => {
                        let tile = (score * 10.0).round().clamp(0.0, 10.0) as u8;
                        let (exact, whole) = (percent(Some(score), 2), percent(Some(score), 0));
                        write!(
                            f,
                            "<td class=\"h{tile}\" title=\"{}, step {step}: {exact}\">{whole}</td>",
                            Esc(name)
                        )?;
                    }
                    None => write!(
                        f,
                        "<td class=\"void\" title=\"{}, step {step}: not defined\"></td>",
                        Esc(name)
                    )?,
                }
            }
            writeln!(f, "</tr>")?;
        }
        writeln!(f, "</tbody></table></div>")
    }
}

/// At most `most` of the items, evenly spread, the first and the last among them.
fn spread<T>(items: &[T], most: usize) -> Vec<&T> {
    if items.len() <= most {
        return items.iter().collect();
    }
    // Rounded to the nearest: i * (n - 1) / (most - 1).
    (0..most).map(|i| &items[(i * (items.len() - 1) + (most - 1) / 2) / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [ClassColumn; 3] = [
        ClassColumn { name: "IoU", hint: "overlap", is_score: true },
        ClassColumn { name: "Acc", hint: "found", is_score: true },
        ClassColumn { name: "Pixels", hint: "share", is_score: false },
    ];

    fn row(name: &str, iou: Option<f64>) -> ClassRow {
        ClassRow { name: name.to_owned(), color: Some([1, 2, 3]), values: vec![iou, None, Some(0.2)] }
    }

    fn point(step: u64, scores: &[(&str, Option<f64>)]) -> EvalPoint {
        let classes = scores.iter().map(|&(name, score)| (name.to_owned(), vec![("IoU".to_owned(), score)]));
        EvalPoint { step, wall_s: None, metrics: vec![], classes: classes.collect() }
    }

    #[test]
    fn rows_go_from_best_to_undefined() {
        let rows =
            [row("a", None), row("b", Some(0.1)), row("c", Some(0.9)), row("d", None), row("e", Some(0.1))];
        let names: Vec<_> = ranked(&rows).iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "e", "a", "d"]);
    }

    #[test]
    fn the_weakest_quarter_is_marked_but_never_an_absent_class() {
        let scores = [Some(0.9), Some(0.8), Some(0.7), Some(0.1), None];
        let rows: Vec<_> = scores.iter().map(|&score| row("x", score)).collect();
        let text = FinalScores { columns: &COLUMNS, rows: &ranked(&rows) }.to_string();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("<tr")).collect();
        assert!(lines[3].contains("weak") && lines[3].contains("10.00"), "{text}");
        assert_eq!(text.matches("weak").count(), 1);
        assert!(lines[4].contains("absent") && lines[4].contains(UNDEFINED), "{text}");
        assert_eq!([1, 3, 4, 11, 12, 150].map(weak_count), [0, 0, 1, 2, 3, 3]);
        // Nobody has an Acc; of equal shares all bars are full.
        assert!(!text.contains("Acc") && text.matches("bar share\"><i style=\"width:100.0%").count() == 5);
    }

    #[test]
    fn bars_are_as_long_as_their_fraction() {
        let bar = |fraction, full| Bar("first", fraction, full).to_string();
        assert!(bar(Some(0.4312), 1.0).contains("width:43.1%"));
        assert!(bar(Some(0.1), 0.2).contains("width:50.0%"));
        assert!(bar(Some(0.1), 0.2).contains(">10.00<"));
        assert!(bar(Some(0.0), 0.0).contains("width:0.0%"));
        assert!(!bar(Some(f64::NAN), 1.0).contains("NaN"));
    }

    #[test]
    fn tiles_follow_the_score() {
        let eval =
            [point(500, &[("Sky", Some(0.04)), ("Pole", None)]), point(12_500, &[("Sky", Some(0.96))])];
        let sky = row("Sky", Some(0.96));
        let mosaic = Mosaic { rows: &[&sky], eval: &eval };
        assert!(mosaic.is_worth_showing());
        let text = mosaic.to_string();
        // 0.04 -> tile 0, 0.96 -> tile 10; Pole is known to the log alone, and never scored.
        assert!(text.contains(r#"<td class="h0" title="Sky, step 500: 4.00">4</td>"#), "{text}");
        assert!(text.contains(r#"<td class="h10" title="Sky, step 12 500: 96.00">96</td>"#), "{text}");
        assert!(text.contains("<th scope=\"col\">12.5k</th>"), "{text}");
        assert_eq!(text.matches("class=\"void\"").count(), 2);
        assert!(!Mosaic { rows: &[&sky], eval: &eval[..1] }.is_worth_showing());
        assert!(!Mosaic { rows: &[&sky], eval: &[] }.is_worth_showing());
    }

    #[test]
    fn columns_spread_evenly_with_both_ends() {
        let items: Vec<usize> = (0..101).collect();
        assert_eq!(spread(&items, 5), [&0, &25, &50, &75, &100]);
        assert_eq!(spread(&items[..3], 5), [&0, &1, &2]);
    }
}
