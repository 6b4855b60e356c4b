//! What matching, the criterion and post-processing refuse.

use std::fmt;

use smalti_datasets::DataError;
use smalti_ops::OpError;
use tch::TchError;

use super::assignment::AssignmentError;

/// A part of the cost of pairing a query with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostTerm {
    /// Probability of the target's class.
    Class,
    /// Cross-entropy of the masks.
    Mask,
    /// Dice of the masks.
    Dice,
    /// The weighted sum, of which every part alone is finite.
    Sum,
}

impl fmt::Display for CostTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::Mask => "mask",
            Self::Dice => "dice",
            Self::Sum => "summed",
        })
    }
}

/// Input that no loss or result can be computed from.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// A tensor or number does not fit.
    #[error("{what}: expected {expected}, got {got}")]
    Argument {
        /// The argument.
        what: String,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// A query and a target whose cost is no number: the network's output has diverged.
    #[error(
        "the {term} cost of query {query} and target {target} is {value}, expected a finite number \
         (decoder layer {layer}, image {image} of the batch)"
    )]
    NonFiniteCost {
        /// The first part of the cost that is not finite.
        term: CostTerm,
        /// Layer of the decoder whose predictions were matched, 0 = those of the raw queries.
        layer: usize,
        /// Position of the image in the batch.
        image: usize,
        /// The query.
        query: usize,
        /// The target.
        target: usize,
        /// The cost.
        value: f64,
    },
    /// A mask that can not be encoded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Costs that can not be assigned by.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// A native op, or what ranks say to each other, failed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A tch call failed.
    #[error(transparent)]
    Tch(#[from] TchError),
}

impl MaskError {
    /// An argument that does not fit.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over temporaries")]
    pub(super) fn argument(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Argument { what: what.into(), expected: expected.into(), got: got.to_string() }
    }
}
