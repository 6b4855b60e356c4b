//! `smalti score`: each task counts in its own file and hands an [`Outcome`] to [`present`], which does what they share.

mod errors;
mod panoptic;
mod semantic;

use std::sync::OnceLock;

use anyhow::Result;
use serde_json::{Value, json};
use smalti_evaluation::resample::{self, Compared, Interval, PerImage};

use crate::cli::{ScoreCommonArgs, ScoreVerb};
use crate::output::table::Rows;
use crate::output::{self, InputError, Progress, percent};

/// Up to so many classes are printed one by one without being asked for.
const FEW_CLASSES: usize = 40;

/// Resamples of `--versus` where `--ci` does not say.
const DEFAULT_RESAMPLES: u32 = 1000;

/// Runs `smalti score ...`.
pub fn score(verb: &ScoreVerb) -> Result<()> {
    match verb {
        ScoreVerb::Panoptic(args) => panoptic::run(args),
        ScoreVerb::Semantic(args) => semantic::run(args),
        ScoreVerb::Errors(verb) => errors::run(verb),
    }
}

/// What one task's scorer found.
trait Outcome {
    /// Number of images scored.
    fn images(&self) -> usize;
    /// What a user should know about the input: one sentence each, with a count.
    fn warnings(&self) -> Vec<String>;
    /// The means, in the field's order, fractions.
    fn metrics(&self) -> Vec<(&'static str, Option<f64>)>;
    /// One row a class, in any order.
    fn classes(&self) -> Classes;
    /// `{"task": ..., "metrics": {...}, "classes": {...}}`, fractions.
    fn json(&self) -> Result<Value>;
    /// Every image's own counts, if they were kept.
    fn per_image(&self) -> Option<&dyn PerImage>;
}

/// The per-class table: printed best first by the first column.
struct Classes {
    /// Titles of the columns after the class name.
    header: Vec<&'static str>,
    rows: Vec<ClassRow>,
}

struct ClassRow {
    name: String,
    /// What the rows are sorted by; classes without a value come last.
    key: Option<f64>,
    cells: Vec<String>,
}

/// Counts with a progress bar: `work` gets a callback `(done, total)` that may be called from any thread.
fn with_progress<T>(work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> Result<T>) -> Result<T> {
    let bar: OnceLock<Progress> = OnceLock::new();
    let result = work(&|_, total| bar.get_or_init(|| Progress::new("score", total as u64)).inc(1))?;
    if let Some(bar) = bar.get() {
        bar.finish();
    }
    Ok(result)
}

/// Warnings, tables, intervals, comparison, JSON. `other` was scored on the same ground truth (`--versus`).
///
/// Warnings of both results come before anything else, so that `--strict` prints no numbers.
fn present(outcome: &dyn Outcome, other: Option<&dyn Outcome>, args: &ScoreCommonArgs) -> Result<()> {
    heed(&outcome.warnings(), args.strict)?;
    if let Some(other) = other {
        heed(&other.warnings(), args.strict)?;
    }
    let metrics = outcome.metrics();
    let intervals = match args.ci {
        Some(resamples) => Some(resample::bootstrap(kept(outcome)?, resamples, args.seed)?),
        None => None,
    };
    let compared = match other {
        Some(other) => {
            let resamples = args.ci.unwrap_or(DEFAULT_RESAMPLES);
            Some(resample::compare(kept(outcome)?, kept(other)?, resamples, args.seed)?)
        }
        None => None,
    };
    print_classes(outcome.classes(), args.per_class);
    print_metrics(&metrics, intervals.as_deref());
    if let (Some(other), Some(compared)) = (other, &compared) {
        print_comparison(&metrics, &other.metrics(), compared);
    }
    let plural = if outcome.images() == 1 { "" } else { "s" };
    output::line(&format!("{} image{plural}", outcome.images()));
    if let Some(path) = &args.json {
        let mut value = outcome.json()?;
        if let Some(intervals) = &intervals {
            let named = metrics.iter().zip(intervals).map(|((name, _), i)| ((*name).to_string(), json!(i)));
            value["ci"] = json!({ "level": resample::LEVEL, "resamples": args.ci, "metrics": named.collect::<serde_json::Map<_, _>>() });
        }
        if let (Some(other), Some(compared)) = (other, &compared) {
            let named = metrics.iter().zip(compared).map(|((name, _), c)| ((*name).to_string(), json!(c)));
            value["versus"] = json!({
                "metrics": other.json()?["metrics"],
                "resamples": args.ci.unwrap_or(DEFAULT_RESAMPLES),
                "difference": named.collect::<serde_json::Map<_, _>>(),
            });
        }
        output::write_json(path, &value)?;
    }
    Ok(())
}

/// The images of an outcome that is to be resampled: a scorer that did not keep them must not pass over the wish.
fn kept(outcome: &dyn Outcome) -> Result<&dyn PerImage> {
    let missing = || InputError::new("--ci and --versus: this scorer keeps no counts of single images");
    outcome.per_image().ok_or_else(|| missing().into())
}

/// Prints warnings, or with `--strict` ends with them.
fn heed(warnings: &[String], strict: bool) -> Result<()> {
    if strict && !warnings.is_empty() {
        return Err(InputError::new(format!("refused by --strict:\n  {}", warnings.join("\n  "))).into());
    }
    for text in warnings {
        output::warning(text);
    }
    Ok(())
}

fn print_classes(mut classes: Classes, asked: bool) {
    if !asked && classes.rows.len() > FEW_CLASSES {
        return;
    }
    classes.rows.sort_by(|a, b| {
        let key = |row: &ClassRow| row.key.unwrap_or(f64::NEG_INFINITY);
        key(b).total_cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
    });
    let mut rows = Rows::new(std::iter::once("class").chain(classes.header));
    for row in classes.rows {
        rows.push(std::iter::once(row.name).chain(row.cells));
    }
    rows.print();
}

fn print_metrics(metrics: &[(&'static str, Option<f64>)], intervals: Option<&[Option<Interval>]>) {
    let Some(intervals) = intervals else {
        let mut rows = Rows::new(["metric", "%"]);
        for (name, value) in metrics {
            rows.push([(*name).to_string(), percent(*value)]);
        }
        return rows.print();
    };
    let mut rows = Rows::new(["metric", "%", "95 % interval"]);
    for ((name, value), interval) in metrics.iter().zip(intervals) {
        let range = interval
            .map_or_else(|| "-".into(), |i| format!("{} .. {}", percent(Some(i.low)), percent(Some(i.high))));
        rows.push([(*name).to_string(), percent(*value), range]);
    }
    rows.print();
}

fn print_comparison(
    metrics: &[(&'static str, Option<f64>)],
    other: &[(&'static str, Option<f64>)],
    compared: &[Option<Compared>],
) {
    let mut rows = Rows::new(["metric", "%", "versus %", "difference", "95 % interval", "p"]);
    for (((name, value), (_, other)), compared) in metrics.iter().zip(other).zip(compared) {
        let signed = |f: f64| format!("{:+.2}", f * 100.0);
        let [difference, range, p] = compared.map_or_else(
            || ["-", "-", "-"].map(String::from),
            |c| {
                [
                    signed(c.difference),
                    format!("{} .. {}", signed(c.low), signed(c.high)),
                    format!("{:.4}", c.p),
                ]
            },
        );
        rows.push([(*name).to_string(), percent(*value), percent(*other), difference, range, p]);
    }
    rows.print();
}
