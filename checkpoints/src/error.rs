//! What can be wrong with a checkpoint: always the file, the place in it, what was expected, what was found, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// What opening a checkpoint or reading a tensor refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused a file operation.
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, as a gerund.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The content cannot be used.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: Box<Fault>,
    },
}

impl CheckpointError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// What is wrong with the content, unless the operating system failed.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Content { fault, .. } => Some(fault),
            Self::Io { .. } => None,
        }
    }
}

/// Why content is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Cut, altered, or contradicting itself.
    Damaged,
    /// Sound, but of a kind that is not read.
    Unsupported,
    /// A pickle that names code outside the list of harmless names. Nothing of it was executed.
    Forbidden,
    /// Asks for more memory, depth or entries than a file of its size has a reason to.
    TooLarge,
    /// Holds several sets of weights, or not the one that was asked for.
    Choice,
    /// Sound, but its tensors are not those of a model and a layout that are known.
    Layout,
}

/// One thing that is wrong with a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of refusal.
    pub kind: FaultKind,
    /// The place: a tensor's name, or a record and the byte offset in it.
    pub record: String,
    /// What is allowed there.
    pub expected: String,
    /// What was found.
    pub got: String,
    /// What to do next.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, expected, got, help, .. } = self;
        write!(f, "{record}: expected {expected}, got {got}; {help}")
    }
}

const FETCH_AGAIN: &str = "the file is cut or altered: fetch it again and compare size and checksum";
const SAVE_PLAINLY: &str = "nothing was executed; if you trust the file, load it where it was made and save its weights \
                            alone: torch.save(model.state_dict(), FILE), or as safetensors";

impl Fault {
    fn new(
        kind: FaultKind,
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { kind, record: record.into(), expected: expected.into(), got: got.into(), help: help.into() }
    }

    pub(crate) fn damaged(
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::new(FaultKind::Damaged, record, expected, got, FETCH_AGAIN)
    }

    pub(crate) fn unsupported(
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(FaultKind::Unsupported, record, expected, got, help)
    }

    pub(crate) fn forbidden(record: impl Into<String>, global: impl Into<String>) -> Self {
        let expected = "names of tensors, containers and plain settings";
        Self::new(FaultKind::Forbidden, record, expected, global, SAVE_PLAINLY)
    }

    pub(crate) fn too_large(
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        let help = "no file of this size has a reason for that: fetch it again from its authors, or save the weights alone";
        Self::new(FaultKind::TooLarge, record, expected, got, help)
    }

    pub(crate) fn choice(
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(FaultKind::Choice, record, expected, got, help)
    }

    pub(crate) fn layout(
        record: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::new(FaultKind::Layout, record, expected, got, help)
    }

    /// The error of a file that has this wrong with it.
    pub fn in_file(self, path: &Path) -> CheckpointError {
        CheckpointError::Content { path: path.to_owned(), fault: Box::new(self) }
    }
}

/// Names from a file, safe to print: control characters escaped, cut where too long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut out: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}
