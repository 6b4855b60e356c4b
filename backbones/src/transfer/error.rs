//! Why a network can not start from a file, and what may be done about it.

use std::path::{Path, PathBuf};

use super::Part;
use crate::safetensors_io::SafetensorsError;
use crate::weights::WeightsMismatch;

/// What rows of layers may be.
pub(super) const CLASSES: &str = "classes";
pub(super) const QUERIES: &str = "queries";
/// Last parts of the names of position biases, whose sizes depend on the window.
const POSITION_BIASES: [&str; 2] = ["rpb", "relative_position_bias_table"];

/// How many classes or queries network and file have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// A layer with a row for each.
    pub layer: &'static str,
    /// `classes` or `queries`.
    pub of: &'static str,
    /// In the network.
    pub expected: i64,
    /// In the file.
    pub got: i64,
}

/// Why a network can not start from a file. Messages name the recipe's keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A folder, or a checkpoint in another format.
    #[error(
        "{}: expected a safetensors file with smalti's names, got {got}; `smalti weights convert {} OUT` makes one, \
         OUT/model.safetensors",
        path.display(), path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        got: String,
    },
    /// All is wanted of a file with other heads.
    #[error(
        "{}: `train.init.part = \"{}\"`: expected {expected}, got {got}; `part = \"backbone\"` takes the backbone alone",
        path.display(), part.name()
    )]
    OtherHeads {
        /// The weights file.
        path: PathBuf,
        /// What was asked for.
        part: Part,
        /// What the network is.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// The file has another number of classes, of queries, or of both, and fits but for that.
    #[error("{}: {}", path.display(), counted(counts))]
    Counts {
        /// The weights file.
        path: PathBuf,
        /// What differs.
        counts: Vec<Count>,
    },
    /// Names or sizes differ.
    #[error("{}: the weights do not fit this model\n{mismatch}{}", path.display(), remedies(path, mismatch))]
    Misfit {
        /// The weights file.
        path: PathBuf,
        /// Missing, surplus and differing tensors of what was to be loaded.
        mismatch: WeightsMismatch,
    },
    /// The file can not be read.
    #[error(transparent)]
    File(#[from] SafetensorsError),
}

/// What differs, and what may be done about it.
fn counted(counts: &[Count]) -> String {
    let texts: Vec<String> = counts
        .iter()
        .map(|count| {
            format!("`{}`: expected {} {}, got {}", count.layer, count.expected, count.of, count.got)
        })
        .collect();
    let remedy = if counts.iter().all(|count| count.of == CLASSES) {
        "`train.init.part = \"all_but_classes\"` takes all other layers, `\"backbone\"` the backbone alone"
    } else {
        "`train.init.partial = true` (--partial) takes all other layers, `train.init.part = \"backbone\"` the backbone alone"
    };
    format!("{}; {remedy}", texts.join(", "))
}

/// What may be done about a mismatch, a line each.
fn remedies(path: &Path, mismatch: &WeightsMismatch) -> String {
    let path = path.display();
    let is_bias = |name: &str| name.rsplit('.').next().is_some_and(|last| POSITION_BIASES.contains(&last));
    let other_window = mismatch.shapes.iter().any(|(name, ..)| is_bias(name)).then(|| {
        format!(
            "\n  position biases of another window: `smalti weights convert {path} OUT --set model.backbone.window=N` \
             interpolates them"
        )
    });
    let other_names = (!mismatch.missing.is_empty() || !mismatch.surplus.is_empty()).then(|| {
        format!(
            "\n  of another code base? `smalti weights convert {path} OUT` gives it smalti's names; \
             `smalti weights inspect {path} --all` lists them"
        )
    });
    [other_window, other_names].into_iter().flatten().collect()
}
