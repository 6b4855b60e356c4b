//! The text file of one image's instance predictions: a line is `<mask path> <label id> <confidence>`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::path::{Component, Path, PathBuf, absolute};

use smalti_datasets::DataError;
use smalti_datasets::cityscapes::Label;

use crate::EvalError;

/// Larger files are refused unread.
const MAX_FILE: u64 = 1 << 28;

/// One prediction, of a class that is scored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) mask: PathBuf,
    pub(super) label_id: i64,
    pub(super) confidence: f64,
}

/// How often something was seen, and where first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Number of lines.
    pub count: usize,
    /// File, line and what it says; empty if there is none.
    pub first: String,
}

impl Noted {
    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = what();
        }
        self.count += 1;
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 {
            self.first = other.first;
        }
        self.count += other.count;
    }
}

/// Lines that the official script takes in a way that their author may not have meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceNotes {
    /// A mask path that an earlier line of the file has: only the last such line counts.
    pub repeated_masks: Noted,
    /// A label that is not scored as instances: the line is left out.
    pub other_labels: Noted,
    /// A label id with a fraction, which is cut off.
    pub cut_labels: Noted,
    /// A confidence that is infinite: it sorts above or below all others.
    pub infinite: Noted,
}

impl InstanceNotes {
    pub(super) fn merge(&mut self, other: Self) {
        self.repeated_masks.merge(other.repeated_masks);
        self.other_labels.merge(other.other_labels);
        self.cut_labels.merge(other.cut_labels);
        self.infinite.merge(other.infinite);
    }
}

/// The folder that all masks have to lie in.
#[derive(Debug)]
pub(super) struct Root {
    /// As the user wrote it, for messages.
    shown: PathBuf,
    /// From the file system's root, without `.` and `..`.
    whole: PathBuf,
}

impl Root {
    pub(super) fn new(dir: &Path) -> Result<Self, EvalError> {
        let whole = absolute(dir).map_err(|source| EvalError::List { path: dir.to_owned(), source })?;
        Ok(Self { shown: dir.to_owned(), whole: plain(&whole) })
    }

    /// Where a mask lies that the text file `txt` names; `None` if that is outside.
    fn mask(&self, txt: &Path, name: &str) -> Option<PathBuf> {
        let folder = txt.parent()?.strip_prefix(&self.shown).ok()?;
        let whole = plain(&self.whole.join(folder).join(name));
        Some(self.shown.join(whole.strip_prefix(&self.whole).ok()?))
    }
}

/// The path without `.` and `..`, by its text alone, as the official script does it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The predictions of a file, in order of their first mention.
pub(super) fn read(txt: &Path, root: &Root, notes: &mut InstanceNotes) -> Result<Vec<Line>, EvalError> {
    let text = text(txt)?;
    let mut lines: Vec<Line> = Vec::new();
    let mut seen = HashMap::new();
    for (index, content) in text.lines().enumerate() {
        let record = format!("line {}", index + 1);
        let place = || format!("{}:{}", txt.display(), index + 1);
        let refuse = |reason| DataError::record(txt, record.clone(), reason);
        let parsed = Fields::parse(content).map_err(refuse)?;
        if Path::new(parsed.mask).has_root() {
            let reason = format!("expected a relative mask path, got {}", parsed.mask);
            return Err(refuse(reason).into());
        }
        let Some(mask) = root.mask(txt, parsed.mask) else {
            let (root, got) = (root.shown.display(), parsed.mask);
            return Err(refuse(format!("expected a mask path inside {root}, got {got}")).into());
        };
        let label_id = parsed.label as i64; // towards zero, as the official script
        let Some(label) = Label::by_id(label_id) else {
            return Err(refuse(format!("expected a label id from -1 to 33, got {}", parsed.label)).into());
        };
        if parsed.label.fract() != 0.0 {
            notes.cut_labels.add(|| format!("{} ({})", place(), parsed.label));
        }
        if label.is_instance_class() {
            if parsed.confidence.is_infinite() {
                notes.infinite.add(place);
            }
        } else {
            notes.other_labels.add(|| format!("{} ({})", place(), label.name));
        }
        let line = Line { mask, label_id, confidence: parsed.confidence };
        match seen.entry(line.mask.clone()) {
            Entry::Occupied(at) => {
                notes.repeated_masks.add(|| format!("{} ({})", place(), parsed.mask));
                let at: usize = *at.get();
                lines[at] = line;
            }
            Entry::Vacant(at) => {
                at.insert(lines.len());
                lines.push(line);
            }
        }
    }
    // Only now: of two lines with one mask the last counts, and that may be the one that is left out.
    lines.retain(|line| Label::by_id(line.label_id).is_some_and(Label::is_instance_class));
    Ok(lines)
}

fn text(txt: &Path) -> Result<String, EvalError> {
    let size = fs::metadata(txt).map_err(DataError::io(txt, "reading"))?.len();
    if size > MAX_FILE {
        let reason = format!("expected at most {MAX_FILE} bytes of text, got {size}");
        return Err(EvalError::Layout { path: txt.to_owned(), reason });
    }
    let bytes = fs::read(txt).map_err(DataError::io(txt, "reading"))?;
    String::from_utf8(bytes).map_err(|err| {
        let before = &err.as_bytes()[..err.utf8_error().valid_up_to()];
        let line = before.split(|&byte| byte == b'\n').count();
        DataError::record(txt, format!("line {line}"), "expected UTF-8 text").into()
    })
}

/// A line taken apart.
struct Fields<'a> {
    mask: &'a str,
    label: f64,
    confidence: f64,
}

impl<'a> Fields<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [mask, label, confidence] = fields[..] else {
            let got = if line.trim().is_empty() {
                "an empty line".into()
            } else {
                format!("{} fields", fields.len())
            };
            return Err(format!(
                "expected `<mask path> <label id> <confidence>` with one space between, got {got}"
            ));
        };
        let number = |what: &str, field: &str| {
            let parsed = field.trim().parse::<f64>().ok().filter(|value| !value.is_nan());
            parsed.ok_or_else(|| format!("expected a number as the {what}, got `{}`", field.trim()))
        };
        Ok(Self { mask, label: number("label id", label)?, confidence: number("confidence", confidence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_by_their_text() {
        let root = Root { shown: "pred".into(), whole: "/data/pred".into() };
        let mask = |name| root.mask(Path::new("pred/ulm/a.txt"), name);
        assert_eq!(mask("masks//./a.png"), Some("pred/ulm/masks/a.png".into()));
        assert_eq!(mask("../bonn/a.png"), Some("pred/bonn/a.png".into()));
        assert_eq!(mask("../../pred/a.png"), Some("pred/a.png".into()));
        assert_eq!((mask("../../pred2/a.png"), mask("../../../../../etc/a.png")), (None, None));
    }

    #[test]
    fn fields_are_parted_by_single_spaces() {
        let parse = |line| Fields::parse(line).map(|f| (f.mask.to_owned(), f.label, f.confidence));
        assert_eq!(parse("a.png 26 0.5"), Ok(("a.png".into(), 26.0, 0.5)));
        assert_eq!(parse("a.png 26.0 -1e3\r"), Ok(("a.png".into(), 26.0, -1000.0)));
        assert!(parse("a.png  26 0.5").unwrap_err().contains("got 4 fields"));
        assert!(parse("").unwrap_err().contains("got an empty line"));
        assert!(parse("a.png car 0.5").unwrap_err().contains("as the label id, got `car`"));
        assert!(parse("a.png 26 nan").unwrap_err().contains("as the confidence, got `nan`"));
    }
}
