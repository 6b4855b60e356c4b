//! The error of every op.

use tch::TchError;

/// What an op refuses, or what failed below it.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// A tensor or setting does not fit the op.
    #[error("{op}: {what}: expected {expected}, got {got}")]
    Argument {
        /// The op's name.
        op: &'static str,
        /// The argument.
        what: String,
        /// What the op takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A C++ exception from libtorch or from the extension.
    #[error("{op}: {message}")]
    Native {
        /// The op's name.
        op: &'static str,
        /// The exception's text.
        message: String,
    },
    /// A tch call failed.
    #[error(transparent)]
    Tch(#[from] TchError),
}
