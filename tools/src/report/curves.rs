//! The curves of a run: loss, scores, learning rate, speed.

use std::fmt::{self, Display, Formatter};

use super::chart::{Chart, Look, Mark, Series, Stop, smoothing_radius};
use super::log::{EvalPoint, RunLog, TrainPoint};
use super::scale::Axis;
use super::text::{percent, value};
use crate::output::{duration, thousands};

/// Scores that are drawn where the log has them, the leading one of each task first.
const SCORES: [&str; 11] = ["top1", "top5", "PQ", "AP", "mIoU", "mAcc", "aAcc", "SQ", "RQ", "AP50", "AP75"];
const MOST_SCORES: usize = 4;
/// The loss is drawn logarithmically when its largest value is this many times its smallest.
const LOG_FROM: f64 = 20.0;

/// All curves there are records for.
pub struct Curves<'a>(pub &'a RunLog);

impl Display for Curves<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let log = self.0;
        let x = step_axis(log);
        let charts = [
            loss(&log.train, &x),
            scores(&log.eval, &x),
            learning_rate(&log.train, &x),
            speed(&log.train, &x),
        ];
        if charts.iter().all(Option::is_none) {
            return writeln!(f, "<p class=\"none\">The log of this run holds no records yet.</p>");
        }
        writeln!(f, "<div class=\"charts\">")?;
        for chart in charts.iter().flatten() {
            write!(f, "{chart}")?;
        }
        writeln!(f, "</div>")
    }
}

/// The score that decides which evaluation is best: the first of the known ones that the log has.
pub fn leading_score(eval: &[EvalPoint]) -> Option<&'static str> {
    SCORES.into_iter().find(|name| eval.iter().any(|point| point.metric(name).is_some()))
}

/// One axis for all charts, so that they can be read below each other.
fn step_axis(log: &RunLog) -> Axis {
    let steps = || log.train.iter().map(|point| point.step).chain(log.eval.iter().map(|point| point.step));
    let (first, last) = (steps().min().unwrap_or(0) as f64, steps().max().unwrap_or(0) as f64);
    // A log that starts late, as after pruning, need not show the empty part.
    let starts_late = first > 0.25 * last && first < last;
    Axis::exact(if starts_late { first } else { 0.0 }, last, 6)
}

fn loss(train: &[TrainPoint], x: &Axis) -> Option<Chart> {
    let mut series = vec![line("loss", train, Look::Noisy, |point| point.loss)];
    for name in part_names(train) {
        let part = |point: &TrainPoint| point.parts.iter().find(|(key, _)| *key == name)?.1;
        series.push(line(&part_label(&name), train, Look::Noisy, part));
    }
    // One part alone is the loss itself.
    series.truncate(if series.len() == 2 { 1 } else { series.len() });
    let (low, high) = range(&series)?;
    // The parts are drawn with it, but do not decide: a small weight is no reason.
    let is_log = low > 0.0 && range(&series[..1]).is_some_and(|(low, high)| high / low > LOG_FROM);
    let y = if is_log { Axis::logarithmic(low, high) } else { Axis::rounded(zero_based(low, high), high, 5) };
    let note = match (smoothing_radius(train.len()) > 0, is_log) {
        (true, true) => "smoothed over the raw values, logarithmic",
        (true, false) => "smoothed over the raw values",
        (false, true) => "logarithmic",
        (false, false) => "",
    };
    Some(Chart { stops: train_stops(train), ..chart("Training loss", note, 300.0, x, y, series) })
}

fn scores(eval: &[EvalPoint], x: &Axis) -> Option<Chart> {
    let leading = leading_score(eval)?;
    let has = |name: &&str| eval.iter().any(|point| point.metric(name).is_some());
    let names: Vec<&str> = SCORES.into_iter().filter(has).take(MOST_SCORES).collect();
    let series: Vec<Series> = names
        .iter()
        .map(|name| {
            let of = |point: &EvalPoint| point.metric(name).map(|fraction| fraction * 100.0);
            Series {
                name: (*name).to_owned(),
                latest: percent(eval.last().and_then(|point| point.metric(name)), 1),
                points: eval.iter().map(|point| (point.step as f64, of(point))).collect(),
                look: Look::Dots,
            }
        })
        .collect();
    let (low, high) = range(&series)?;
    let y = Axis::rounded(low.min(0.0), high, 5);
    let stops = eval.iter().map(|point| Stop { step: point.step as f64, text: eval_readout(point, &names) });
    Some(Chart {
        stops: stops.collect(),
        mark: best(eval, leading),
        ..chart("Validation", "percent, after each evaluation", 300.0, x, y, series)
    })
}

fn learning_rate(train: &[TrainPoint], x: &Axis) -> Option<Chart> {
    let series = vec![line("learning rate", train, Look::Line, |point| point.lr)];
    let (low, high) = range(&series)?;
    let note = format!("at most {}", value(high));
    let y = Axis::rounded(low.min(0.0), high, 3);
    Some(Chart { stops: train_stops(train), ..chart("Learning rate", &note, 200.0, x, y, series) })
}

fn speed(train: &[TrainPoint], x: &Axis) -> Option<Chart> {
    let series = vec![line("speed", train, Look::Line, |point| point.images_per_s)];
    let (low, high) = range(&series)?;
    let mut rates: Vec<f64> = train.iter().filter_map(|point| point.images_per_s).collect();
    rates.sort_by(f64::total_cmp);
    let note = format!("training images per second, median {}", value(rates[rates.len() / 2]));
    let y = Axis::rounded(low.min(0.0), high, 3);
    Some(Chart { stops: train_stops(train), ..chart("Speed", &note, 200.0, x, y, series) })
}

fn chart(title: &'static str, note: &str, height: f64, x: &Axis, y: Axis, series: Vec<Series>) -> Chart {
    Chart { title, note: note.to_owned(), height, x: x.clone(), y, series, stops: Vec::new(), mark: None }
}

fn line(name: &str, train: &[TrainPoint], look: Look, of: impl Fn(&TrainPoint) -> Option<f64>) -> Series {
    Series {
        name: name.to_owned(),
        latest: train.iter().rev().find_map(&of).map_or_else(String::new, value),
        points: train.iter().map(|point| (point.step as f64, of(point))).collect(),
        look,
    }
}

/// Keys of the parts of the loss, in the order in which they first appear; other numbers stand beside them in the log.
fn part_names(train: &[TrainPoint]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in train.iter().flat_map(|point| &point.parts) {
        if name.starts_with("loss") && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Smallest and largest value of all curves; `None` if there is no value at all.
fn range(series: &[Series]) -> Option<(f64, f64)> {
    let values = || series.iter().flat_map(|one| one.points.iter().filter_map(|point| point.1));
    Some((values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?))
}

/// Where a linear axis should start: at zero unless that wastes more than half of it.
fn zero_based(low: f64, high: f64) -> f64 {
    if low > 0.0 && low < 0.5 * high { 0.0 } else { low }
}

fn best(eval: &[EvalPoint], name: &str) -> Option<Mark> {
    let scored = eval.iter().filter_map(|point| Some((point.step, point.metric(name)?)));
    // The first one wins a tie, as the checkpoint that is kept does.
    let (step, score) = scored.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    let text = format!("best {name} {}", percent(Some(score), 1));
    Some(Mark { step: step as f64, value: score * 100.0, text })
}

fn train_stops(train: &[TrainPoint]) -> Vec<Stop> {
    train.iter().map(|point| Stop { step: point.step as f64, text: train_readout(point) }).collect()
}

fn train_readout(point: &TrainPoint) -> String {
    let epoch = point.epoch.map(|epoch| format!("epoch {epoch:.1}"));
    let mut lines = vec![readout_head(point.step, epoch, point.wall_s)];
    lines.push(format!("loss {}", point.loss.map_or_else(|| "not finite".to_owned(), value)));
    let parts = point.parts.iter().filter_map(|(name, part)| Some((name, (*part)?)));
    lines.extend(parts.map(|(name, part)| format!("{} {}", part_label(name), value(part))));
    lines.extend(point.lr.map(|lr| format!("learning rate {}", value(lr))));
    lines.extend(point.images_per_s.map(|rate| format!("{rate:.1} images/s")));
    lines.join("\n")
}

fn eval_readout(point: &EvalPoint, names: &[&str]) -> String {
    let scores = names.iter().map(|name| format!("\n{name} {}", percent(point.metric(name), 2)));
    scores.fold(readout_head(point.step, None, point.wall_s), |text, line| text + &line)
}

/// `step 1 200 · epoch 3.1 · 2 min 05 s`, as far as it is known.
fn readout_head(step: u64, epoch: Option<String>, seconds: Option<f64>) -> String {
    let parts = [Some(format!("step {}", thousands(step))), epoch, seconds.map(duration)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `loss_aux` as `aux`.
fn part_label(key: &str) -> String {
    key.trim_start_matches("loss_").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(step: u64, loss: Option<f64>) -> TrainPoint {
        TrainPoint {
            step,
            epoch: Some(0.5),
            loss,
            parts: vec![("loss_decode".into(), loss), ("loss_aux".into(), None)],
            lr: Some(6e-5),
            images_per_s: None,
            wall_s: Some(90.0),
        }
    }

    fn eval(step: u64, score: Option<f64>) -> EvalPoint {
        EvalPoint { step, wall_s: None, metrics: vec![("mIoU".into(), score)], classes: vec![] }
    }

    #[test]
    fn an_empty_log_says_so() {
        let text = Curves(&RunLog::default()).to_string();
        assert!(text.contains("no records yet") && !text.contains("<svg"));
    }

    #[test]
    fn one_record_is_drawn() {
        let log = RunLog { train: vec![train(10, Some(1.5))], eval: vec![eval(10, Some(0.5))] };
        let text = Curves(&log).to_string();
        assert_eq!(text.matches("<svg").count(), 3); // no speed was recorded
        assert!(text.contains("best mIoU 50.0") && text.contains("<circle class=\"lone\""));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn undefined_scores_alone_are_no_chart() {
        let log = RunLog { train: vec![train(10, None)], eval: vec![eval(10, None)] };
        assert_eq!(leading_score(&log.eval), None);
        let text = Curves(&log).to_string();
        assert_eq!(text.matches("<svg").count(), 1); // the learning rate
        assert!(text.contains("loss not finite"));
    }

    #[test]
    fn the_first_of_the_best_is_marked() {
        let points =
            [eval(1, Some(0.25)), eval(2, Some(0.5)), eval(3, None), eval(4, Some(0.5)), eval(5, Some(0.1))];
        let mark = best(&points, "mIoU").unwrap();
        assert_eq!((mark.step, mark.value, mark.text.as_str()), (2.0, 50.0, "best mIoU 50.0"));
    }

    #[test]
    fn a_loss_over_many_decades_is_logarithmic() {
        let points = |high: f64| vec![train(1, Some(high)), train(2, Some(0.1))];
        let x = Axis::exact(0.0, 2.0, 2);
        assert!(!loss(&points(1.0), &x).unwrap().y.is_log);
        let chart = loss(&points(100.0), &x).unwrap();
        assert!(chart.y.is_log);
        assert_eq!(chart.note, "logarithmic");
    }

    #[test]
    fn readouts_name_what_was_recorded() {
        let text = train_readout(&train(1200, Some(0.5)));
        assert_eq!(text, "step 1 200 · epoch 0.5 · 1 min 30 s\nloss 0.5\ndecode 0.5\nlearning rate 6e-5");
        assert_eq!(eval_readout(&eval(7, None), &["mIoU"]), "step 7\nmIoU –");
    }
}
