//! The error type of the report.

use std::path::PathBuf;

use crate::output::exit;

/// What keeps a report from being written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The log of the run cannot be read.
    #[error("{}: reading failed", path.display())]
    ReadLog {
        /// The log.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A line of the log, other than a last one that a kill cut, is not a record.
    #[error("{}:{line}: expected {expected}, got {got}", path.display())]
    Record {
        /// The log.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, shortened.
        got: String,
    },
    /// A picture whose bytes are not a PNG file.
    #[error("picture {title:?} of the report: expected the bytes of a PNG file, got {got}")]
    NotPng {
        /// Title of the picture.
        title: String,
        /// Length and first bytes of what was handed over.
        got: String,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Write(anyhow::Error),
}

impl ReportError {
    /// The exit code of the process that stops with this error: 2 for wrong input, 1 for a failed run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReadLog { .. } | Self::Record { .. } => 2,
            Self::NotPng { .. } => 1,
            Self::Write(error) => exit::code(error),
        }
    }
}
