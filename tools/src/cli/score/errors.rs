//! Arguments of `smalti score errors`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::LabelMapArgs;

/// `smalti score errors`.
#[derive(Debug, Subcommand)]
pub enum ScoreErrorsVerb {
    /// What each class is mistaken for: the confusion matrix as a picture, the worst confusions as a table
    Semantic(ScoreErrorsSemanticArgs),
}

/// `smalti score errors semantic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each row of the picture is a class of the ground truth, and its cells share out that class's pixels over what was
predicted there: right ones on the diagonal in green, confusions in red, on a scale that shows small shares.

Example:
  smalti score errors semantic --gt-dir labels/val --pred-dir predictions --classes names.txt --out confusion.png")]
pub struct ScoreErrorsSemanticArgs {
    /// The label maps.
    #[command(flatten)]
    pub maps: LabelMapArgs,
    /// PNG to write the confusion matrix to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print so many of the worst confusions
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub top: usize,
    /// Write all counts and confusions as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
