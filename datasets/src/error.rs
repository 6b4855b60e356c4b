//! The one error type of this crate. Messages name the file, the record, what was expected and what was found;
//! a cause that has its own error stays reachable as `source` and is not repeated in the text.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What can go wrong while reading, writing, checking or loading data and recipes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused a file operation; `action` reads like "reading" or "creating the folder".
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as a gerund.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file that does not exist where the configuration or a list says it should be.
    #[error("{}: no such file or folder ({wanted_by})", path.display())]
    Missing {
        /// The path that was looked for.
        path: PathBuf,
        /// Who asked for it: a config key or a list file with its line.
        wanted_by: String,
    },
    /// An image file that cannot be decoded or is of a kind that has no clear meaning here.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The image file.
        path: PathBuf,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// A file that is not valid JSON, or JSON of another form; the source names line, column and field.
    #[error("{}: not the expected JSON", path.display())]
    Json {
        /// The JSON file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// One record of a readable file is wrong: a line of a list, a class, an annotation.
    #[error("{}: {record}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record, such as "line 12", "class 3" or "annotation 917 (image 42)".
        record: String,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// An argument or configuration value outside what is allowed.
    #[error("`{field}`: expected {expected}, got {got}")]
    Invalid {
        /// Full dotted name of the field, or the name of the argument.
        field: String,
        /// The allowed values.
        expected: String,
        /// The value found.
        got: String,
    },
    /// A recipe (TOML file plus overrides) that does not fit what reads it.
    #[error("{}{}: {reason}", origin, line.map(|l| format!(":{l}")).unwrap_or_default())]
    Recipe {
        /// The recipe file, or the `--set` argument that is at fault.
        origin: String,
        /// Line in the file, counted from 1, where known.
        line: Option<usize>,
        /// What is wrong, naming the dotted key, expected and got.
        reason: String,
    },
    /// Label values outside the classes of the set.
    #[error("{}: label value {value} in {count} pixels, expected {expected}{hint}", path.display())]
    LabelValue {
        /// The label file.
        path: PathBuf,
        /// The most frequent offending raw value.
        value: u8,
        /// Pixels with that value.
        count: u64,
        /// The raw values that may occur.
        expected: String,
        /// What to set in the recipe, starting with a separator; empty if nothing is obvious.
        hint: String,
    },
    /// A label map whose size is not that of its image.
    #[error("{}: label map is {}x{} (HxW), its image {} is {}x{}", labels.display(), got.0, got.1, image.display(), expected.0, expected.1)]
    SizeMismatch {
        /// The label file.
        labels: PathBuf,
        /// The image file.
        image: PathBuf,
        /// Height and width of the image.
        expected: (usize, usize),
        /// Height and width of the label map.
        got: (usize, usize),
    },
    /// A run-length encoded mask that is not one; the caller knows which record holds it.
    #[error("run-length encoded mask: {reason}")]
    Rle {
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// An output folder that holds something that must not be overwritten.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// What was expected and what it holds.
        reason: String,
    },
    /// The system gave no thread to load with.
    #[error("no thread could be started for the loader; try fewer `data.loader.workers`")]
    Thread {
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A thread of the loader panicked; this is a defect, reported instead of a hang.
    #[error("the loader failed on sample {sample}: {reason}")]
    Worker {
        /// Name of the sample in work.
        sample: String,
        /// The panic's text.
        reason: String,
    },
}

/// Whether an I/O failure is cured by another path, a permission or a freed disk (exit code 2), as opposed to a device
/// or process that fails (exit code 1).
pub fn is_about_the_place(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::UnexpectedEof
    )
}

impl DataError {
    /// Adapter for `map_err` on I/O results; `action` is a gerund such as "reading".
    pub fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }

    /// A wrong record of a file, see [`DataError::Record`].
    pub fn record(path: &Path, record: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Record { path: path.to_owned(), record: record.into(), reason: reason.into() }
    }

    /// An image that cannot be used, see [`DataError::Image`].
    pub fn image(path: &Path, reason: impl Into<String>) -> Self {
        Self::Image { path: path.to_owned(), reason: reason.into() }
    }

    /// A value outside what is allowed, see [`DataError::Invalid`].
    #[expect(clippy::needless_pass_by_value, reason = "callers pass what they have, mostly numbers")]
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Whether one sample's files are at fault, as opposed to the recipe, the device or the program.
    pub fn is_about_a_sample(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Image { .. }
            | Self::Json { .. }
            | Self::Record { .. }
            | Self::LabelValue { .. }
            | Self::SizeMismatch { .. }
            | Self::Rle { .. } => true,
            Self::Io { source, .. } => is_about_the_place(source.kind()),
            Self::Invalid { .. }
            | Self::Recipe { .. }
            | Self::Output { .. }
            | Self::Thread { .. }
            | Self::Worker { .. } => false,
        }
    }

    /// The message followed by those of its sources, joined by ": ". For places that keep text only.
    pub fn full_message(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(err) = source {
            text.push_str(": ");
            text.push_str(&err.to_string());
            source = err.source();
        }
        text
    }
}
