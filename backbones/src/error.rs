//! The error of models: configs that can not be built and weights that do not fit.

use std::path::PathBuf;

use smalti_ops::OpError;
use tch::TchError;

use crate::safetensors_io::SafetensorsError;
use crate::weights::WeightsMismatch;

/// What building a model or loading its weights refuses.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A config field has a value that no model can be built from.
    #[error("{field}: expected {expected}, got {got}")]
    Config {
        /// Dotted path of the field.
        field: String,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// A weights file holds other parameters than the model.
    #[error("{}: the weights do not fit this model\n{mismatch}", path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// Missing, surplus and differing keys.
        mismatch: WeightsMismatch,
    },
    /// A weights file can not be read.
    #[error(transparent)]
    File(#[from] SafetensorsError),
    /// A native op failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A tch call failed.
    #[error(transparent)]
    Tch(#[from] TchError),
}

impl ModelError {
    /// A config error.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over temporaries")]
    pub fn config(field: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Config { field: field.into(), expected: expected.into(), got: got.to_string() }
    }
}
