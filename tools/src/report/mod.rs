//! The report of a run: one HTML file with its curves, scores, pictures and facts, complete without a network.
//!
//! Everything is inline: the style sheet, curves as SVG, pictures as base64. The same input gives the same bytes.
//! A small script makes tooltips quicker and pictures larger; without it nothing is missing.

mod banner;
mod chart;
mod classes;
mod curves;
mod document;
mod error;
mod log;
mod page;
mod scale;
mod text;

use std::path::Path;

pub use document::{Document, Part, Section};
pub use error::ReportError;

use crate::output::write_atomic;

/// A picture of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What it shows, in a few words.
    pub title: String,
    /// A sentence below it; may be empty.
    pub caption: String,
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
}

/// A column of the table of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassColumn {
    /// Short, as scores are called.
    pub name: &'static str,
    /// What it says, for those who do not know the short name.
    pub hint: &'static str,
    /// Bars are as long as the fraction; or else they compare the classes, and the largest fraction's is full.
    pub is_score: bool,
}

/// The final numbers of one class, as fractions; `None` where they are not defined.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassRow {
    /// Name, as in the log of the run.
    pub name: String,
    /// RGB, where the classes have colours.
    pub color: Option<[u8; 3]>,
    /// One a column; the first decides about the order.
    pub values: Vec<Option<f64>>,
}

/// The final numbers of all classes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassTable {
    /// What is known of a class. Columns in which no class has a number are left out.
    pub columns: Vec<ClassColumn>,
    /// One row a class, in any order.
    pub rows: Vec<ClassRow>,
}

/// What a report tells beside the curves, which come from the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportInputs {
    /// Name of the run.
    pub title: String,
    /// A line below the title, such as the name of the recipe; may be empty.
    pub subtitle: String,
    /// What to know about the run: device, parameters, time, command, seed.
    pub facts: Vec<(String, String)>,
    /// Scores of the final evaluation as fractions, the most important one first.
    pub metrics: Vec<(String, Option<f64>)>,
    /// Final numbers of the classes; may be empty.
    pub classes: ClassTable,
    /// Predictions and the like.
    pub pictures: Vec<Picture>,
    /// The resolved configuration.
    pub config_toml: String,
    /// Commands to try next; lines that start with `#` explain.
    pub next: Vec<String>,
}

/// Writes the report of a run to `path`, whole or not at all. `metrics_jsonl` is the log of the run; without it the
/// report has no curves. A last line of the log that a kill cut is passed over.
///
/// # Errors
/// The log cannot be read or has a malformed line (named by number), a picture is not a PNG, or the file cannot be
/// written.
pub fn write(path: &Path, metrics_jsonl: Option<&Path>, inputs: &ReportInputs) -> Result<(), ReportError> {
    let log = metrics_jsonl.map(log::RunLog::read).transpose()?;
    let html = page::render(log.as_ref(), inputs)?;
    write_atomic(path, html.as_bytes()).map_err(ReportError::Write)
}

#[cfg(test)]
mod tests;
