//! What became of every tensor, as JSON and as a table.

use std::path::Path;

use serde::Serialize;
use smalti::output::{self, Rows, thousands};
use smalti_checkpoints::layouts::{Layout, Moved, Reading};
use smalti_checkpoints::{Checkpoint, StateDict};
use smalti_heads::import::Fitted;

use super::target::Target;

/// Rows of the table without `--all`.
const SHOWN: usize = 16;

/// The report of a conversion.
#[derive(Debug, Serialize)]
pub struct Report {
    source: String,
    format: &'static str,
    /// Where the weights stand in the file; empty for the file itself.
    wrapper: String,
    /// Whose names, of which family.
    layout: String,
    /// What stood before the backbone's names.
    prefix: &'static str,
    /// `classifier`, `backbone`, `backbone without norms of levels`, `UperNet` or `Mask2Former`.
    kind: &'static str,
    num_classes: i64,
    parameters: u64,
    /// Who told the model's sizes.
    told_by: &'static str,
    /// What was written other than our names.
    #[serde(skip_serializing_if = "Option::is_none")]
    written_as: Option<String>,
    used: Vec<Used>,
    resized: Vec<Resized>,
    dropped: Vec<Dropped>,
    /// Tensors that the model has no place for.
    unused: Vec<String>,
    /// Parameters that the source lacks; a conversion with any fails.
    missing: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Used {
    source: Vec<String>,
    ours: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<String>,
    /// What was done beside renaming.
    #[serde(skip_serializing_if = "str::is_empty")]
    how: &'static str,
    shape: Vec<usize>,
    dtype: &'static str,
}

#[derive(Debug, Serialize)]
struct Resized {
    ours: String,
    from: Vec<usize>,
    to: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Dropped {
    source: String,
    shape: Vec<usize>,
    reason: &'static str,
}

impl Report {
    pub fn new(
        checkpoint: &Checkpoint,
        weights: &StateDict<'_>,
        reading: &Reading,
        target: &Target,
        fitted: &Fitted,
    ) -> Self {
        let placed = |moved: &&Moved| {
            moved.to.iter().all(|(name, _)| fitted.tensors.iter().any(|(other, _)| other == name))
        };
        let used = |moved: &Moved| Used {
            // The state dict lost its prefix, such as `module.`, before its names were looked at.
            source: moved.from.iter().map(|name| format!("{}{name}", weights.prefix)).collect(),
            ours: moved.to.iter().map(|(name, _)| name.clone()).collect(),
            written: Vec::new(),
            how: moved.how,
            shape: moved.to[0].1.shape().to_vec(),
            dtype: moved.to[0].1.dtype().name(),
        };
        let mut notes: Vec<String> = weights
            .others
            .iter()
            .take(SHOWN)
            .map(|(name, kind)| format!("`{name}` beside the tensors is {kind} and was not looked at"))
            .collect();
        if !weights.prefix.is_empty() {
            notes.push(format!("all names had `{}` in front", weights.prefix));
        }
        Self {
            source: checkpoint.path().display().to_string(),
            format: checkpoint.format().name(),
            wrapper: weights.wrapper.clone(),
            layout: reading.layout.describe(),
            prefix: reading.prefix,
            kind: reading.kind.name(),
            num_classes: target.network.num_classes,
            parameters: fitted.tensors.iter().map(|(_, content)| content.numel() as u64).sum(),
            told_by: target.told_by,
            written_as: None,
            used: reading.moved.iter().filter(placed).map(used).collect(),
            resized: fitted
                .resized
                .iter()
                .map(|table| Resized {
                    ours: table.name.clone(),
                    from: table.from.clone(),
                    to: table.to.clone(),
                })
                .collect(),
            dropped: reading
                .discarded
                .iter()
                .map(|tensor| Dropped {
                    source: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                    reason: tensor.reason,
                })
                .collect(),
            unused: fitted.unused.clone(),
            missing: Vec::new(),
            notes,
        }
    }

    /// Adds a remark.
    pub fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Adds the names of another code base that were written.
    pub fn written(&mut self, layout: &Layout, moved: &[Moved]) {
        self.written_as = Some(layout.describe());
        for used in &mut self.used {
            let theirs = moved.iter().filter(|moved| moved.from.iter().any(|name| used.ours.contains(name)));
            used.written = theirs.flat_map(|moved| moved.to.iter().map(|(name, _)| name.clone())).collect();
        }
    }

    /// Prints everything but, without `--all`, only the first of many tensors.
    pub fn print(&self, out: &Path, all: bool) {
        let classes =
            if self.num_classes > 0 { format!(", {} classes", self.num_classes) } else { String::new() };
        output::line(&format!("{}: {}", self.source, self.format));
        output::line(&format!("{}: {}{classes}; told by {}", self.layout, self.kind, self.told_by));
        let shown = if all { self.used.len() } else { SHOWN };
        let last = if self.written_as.is_some() { "written" } else { "smalti" };
        let mut rows = Rows::new(["source", last, "shape", ""]).text_column(1).text_column(2).text_column(3);
        // A name a line: three in a row would be wider than any terminal.
        let lines = |names: &[String]| names.iter().map(|name| escaped(name)).collect::<Vec<_>>().join("\n");
        for used in self.used.iter().take(shown) {
            let target = if self.written_as.is_some() { &used.written } else { &used.ours };
            let shape: Vec<_> = used.shape.iter().map(ToString::to_string).collect();
            rows.push([lines(&used.source), lines(target), shape.join(" x "), used.how.to_owned()]);
        }
        rows.print();
        if self.used.len() > shown {
            output::line(&format!("and {} more; --all lists them", self.used.len() - shown));
        }
        for table in &self.resized {
            output::line(&format!("interpolated: {} from {:?} to {:?}", table.ours, table.from, table.to));
        }
        self.print_dropped();
        if !self.unused.is_empty() {
            output::line(&format!("without a place: {}", escaped(&self.unused.join(", "))));
        }
        self.notes.iter().for_each(|note| output::line(&format!("note: {note}")));
        output::line(&format!(
            "{}: {} tensors, {} elements; nothing is missing",
            out.display(),
            self.used.iter().map(|used| used.ours.len()).sum::<usize>(),
            thousands(self.parameters),
        ));
    }

    /// A line a reason.
    fn print_dropped(&self) {
        let mut reasons: Vec<&str> = Vec::new();
        for dropped in &self.dropped {
            if !reasons.contains(&dropped.reason) {
                reasons.push(dropped.reason);
            }
        }
        for reason in reasons {
            let names: Vec<_> = self.dropped.iter().filter(|dropped| dropped.reason == reason).collect();
            let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
            output::line(&format!("dropped: {}{more}: {reason}", escaped(&names[0].source)));
        }
    }
}

/// Names of a file without what could steer a terminal.
fn escaped(names: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().collect::<String>() } else { c.to_string() };
    names.chars().map(escape).collect()
}
