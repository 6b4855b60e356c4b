//! The one error type of this crate. Messages name the file, what was expected and what was found; a cause that
//! has its own error stays reachable as `source` and is not repeated in the text.

use std::path::{Path, PathBuf};

use smalti_backbones::safetensors_io::SafetensorsError;
use smalti_backbones::{ModelError, TransferError};
use smalti_datasets::DataError;
use smalti_datasets::error::is_about_the_place;
use smalti_evaluation::EvalError;
use smalti_heads::mask::error::MaskError;
use smalti_ops::OpError;
use tch::TchError;

use crate::signals::Signal;

/// What can go wrong while training, saving and resuming.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The operating system refused a file operation; `action` reads like "writing" or "creating the folder".
    #[error("{}: {action} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as a gerund.
        action: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A checkpoint that is damaged or does not fit the run.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or the file in it.
        path: PathBuf,
        /// What a good checkpoint of this run would hold.
        expected: String,
        /// What was found.
        got: String,
    },
    /// Checkpoints exist but none of them can be used.
    #[error("{}: no usable checkpoint: {}", path.display(), reasons.join("; "))]
    NoGoodCheckpoint {
        /// The folder of checkpoints.
        path: PathBuf,
        /// Each checkpoint found with what is wrong, newest first.
        reasons: Vec<String>,
    },
    /// The loss or a gradient became infinite or NaN.
    #[error("step {step}: {what} is not finite; images: {}; batch saved in {}", names.join(", "), dump.display())]
    NonFinite {
        /// The step, counted from 1.
        step: u64,
        /// The quantity, such as "loss_decode" or "the gradient of head.fuse.weight".
        what: String,
        /// Names of the batch's images.
        names: Vec<String>,
        /// Where the batch was written.
        dump: PathBuf,
    },
    /// A number on the way to the gradients is infinite or NaN; the trainer skips the batch or makes
    /// [`TrainError::NonFinite`] of it.
    #[error("{what} is not finite")]
    Diverged {
        /// The quantity, such as "the class cost of query 3 and target 0".
        what: String,
    },
    /// A signal asked the run to stop; the checkpoint is written.
    #[error("stopped by {signal} after step {step}; continue with --resume")]
    Interrupted {
        /// The signal.
        signal: Signal,
        /// Steps completed and saved.
        step: u64,
    },
    /// The folder already belongs to another run.
    #[error("{} already holds a run ({found}): pass --resume to continue it, or another --out", path.display())]
    RunExists {
        /// The run's folder.
        path: PathBuf,
        /// What shows it, such as "config.toml".
        found: String,
    },
    /// Another process is writing the same run.
    #[error("{}: in use by another run ({owner}): wait for it, stop it, or pass another --out", path.display())]
    RunLocked {
        /// The run's folder.
        path: PathBuf,
        /// What the lock file says of its holder.
        owner: String,
    },
    /// A configuration value outside what is allowed.
    #[error("`{field}`: expected {expected}, got {got}")]
    Config {
        /// Full dotted name of the field.
        field: String,
        /// The allowed values.
        expected: String,
        /// The value found.
        got: String,
    },
    /// A file of tensors that cannot be read or written.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The data set, the recipe's data table or the loader.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model that can not be built, or weights that do not fit it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A mask classifier's losses or results that can not be computed.
    #[error(transparent)]
    Mask(MaskError),
    /// Weights that training can not start from.
    #[error(transparent)]
    Transfer(TransferError),
    /// Scores that can not be computed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A native op failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// libtorch failed.
    #[error("libtorch failed")]
    Tch(#[from] TchError),
}

impl From<TransferError> for TrainError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::File(error) => error.into(),
            error => Self::Transfer(error),
        }
    }
}

impl From<MaskError> for TrainError {
    fn from(error: MaskError) -> Self {
        match error {
            MaskError::NonFiniteCost { term, layer, image, query, target, .. } => Self::Diverged {
                what: format!(
                    "the {term} cost of query {query} and target {target} (decoder layer {layer}, image {image} of the batch)"
                ),
            },
            MaskError::Data(error) => error.into(),
            error => Self::Mask(error),
        }
    }
}

impl TrainError {
    /// Adapter for `map_err` on I/O results; `action` is a gerund such as "writing".
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// A value outside what is allowed, see [`TrainError::Config`].
    #[expect(clippy::needless_pass_by_value, reason = "callers pass numbers and literals")]
    pub fn config(field: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Config { field: field.into(), expected: expected.into(), got: got.to_string() }
    }

    /// A checkpoint that cannot be used, see [`TrainError::Checkpoint`].
    pub fn checkpoint(path: impl Into<PathBuf>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.into(), expected: expected.into(), got: got.into() }
    }

    /// Whether the input, the arguments or the place to write to are at fault (exit code 2), rather than the run.
    pub fn is_input_error(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Safetensors(SafetensorsError::Io { source, .. }) => {
                is_about_the_place(source.kind())
            }
            // Our own tensors that do not fit the format, or a failing copy, are no input.
            Self::Safetensors(SafetensorsError::Layout { .. } | SafetensorsError::Copy { .. })
            | Self::NonFinite { .. }
            | Self::Diverged { .. }
            | Self::Mask(_)
            | Self::Interrupted { .. }
            | Self::Tch(_)
            | Self::Op(_)
            | Self::Eval(_)
            | Self::Model(ModelError::Op(_) | ModelError::Tch(_))
            | Self::Data(DataError::Worker { .. }) => false,
            Self::Data(DataError::Io { source, .. }) => is_about_the_place(source.kind()),
            Self::Checkpoint { .. }
            | Self::NoGoodCheckpoint { .. }
            | Self::RunExists { .. }
            | Self::RunLocked { .. }
            | Self::Config { .. }
            | Self::Safetensors(_)
            | Self::Model(_)
            | Self::Transfer(_)
            | Self::Data(_) => true,
        }
    }

    /// The process exit code: 2 for input errors, the signal's own code after an interruption, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { signal, .. } => signal.exit_code(),
            _ if self.is_input_error() => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn exit_codes_tell_input_from_failure() {
        let io = |kind: ErrorKind| TrainError::io("runs/x", "writing")(kind.into());
        assert_eq!(io(ErrorKind::StorageFull).exit_code(), 2);
        assert_eq!(io(ErrorKind::PermissionDenied).exit_code(), 2);
        assert_eq!(io(ErrorKind::Other).exit_code(), 1);
        assert_eq!(TrainError::config("schedule.decay.power", "above 0", -1.0).exit_code(), 2);
        assert_eq!(TrainError::Tch(TchError::Torch("x".into())).exit_code(), 1);
        assert_eq!(TrainError::Interrupted { signal: Signal::Usr1, step: 3 }.exit_code(), 75);
        assert_eq!(TrainError::Interrupted { signal: Signal::Term, step: 3 }.exit_code(), 143);
    }

    #[test]
    fn a_non_finite_loss_names_step_images_and_dump() {
        let error = TrainError::NonFinite {
            step: 17,
            what: "loss_decode".into(),
            names: vec!["a.jpg".into(), "b.jpg".into()],
            dump: "runs/x/non_finite".into(),
        };
        let text = error.to_string();
        assert_eq!(
            text,
            "step 17: loss_decode is not finite; images: a.jpg, b.jpg; batch saved in runs/x/non_finite"
        );
    }
}
