//! Arguments of `smalti score errors`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::LabelMapArgs;

/// `smalti score errors`.
#[derive(Debug, Subcommand)]
pub enum ScoreErrorsVerb {
    /// What each class is mistaken for: the confusion matrix as a picture, the worst confusions as a table
    Semantic(ScoreErrorsSemanticArgs),
    /// What each class loses to missed and to badly drawn segments: RQ against SQ as a picture
    Panoptic(ScoreErrorsPanopticArgs),
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

/// `smalti score errors panoptic`.
#[derive(Debug, Args)]
#[command(after_help = "\
PQ is RQ times SQ: how well segments are found, and how well those that are found fit. Points far to the left are drawn
badly, points far down are missed or invented; lines join classes of equal PQ.

Example:
  smalti score errors panoptic --gt panoptic_val2017.json --pred pred.json --out quality.png")]
pub struct ScoreErrorsPanopticArgs {
    /// Ground truth: categories, and the segments of every image
    #[arg(long, value_name = "FILE")]
    pub gt: PathBuf,
    /// Folder of its PNGs [default: the path of --gt without .json]
    #[arg(long, value_name = "DIR")]
    pub gt_dir: Option<PathBuf>,
    /// Predicted segments of every image
    #[arg(long, value_name = "FILE")]
    pub pred: PathBuf,
    /// Folder of their PNGs [default: the path of --pred without .json]
    #[arg(long, value_name = "DIR")]
    pub pred_dir: Option<PathBuf>,
    /// PNG to write the picture to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print so many of the worst classes
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub top: usize,
    /// Write the scores of all classes as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
