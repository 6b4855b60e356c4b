//! Arguments of `smalti score`: one file a task, and what all of them share.

mod cityscapes;
mod errors;
mod instance;
mod panoptic;
mod semantic;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use cityscapes::{CityscapesTask, ScoreCityscapesArgs};
pub use errors::{
    ScoreErrorsInstanceArgs, ScoreErrorsPanopticArgs, ScoreErrorsSemanticArgs, ScoreErrorsVerb,
};
pub use instance::{IouTypeArg, ScoreInstanceArgs};
pub use panoptic::ScorePanopticArgs;
pub use semantic::{LabelMapArgs, ScoreSemanticArgs};

/// `smalti score`.
#[derive(Debug, Subcommand)]
pub enum ScoreVerb {
    /// Panoptic quality (PQ, SQ, RQ) of COCO panoptic files, as panopticapi counts it
    Panoptic(ScorePanopticArgs),
    /// COCO's average precision of instances: masks, boxes or boundaries
    Instance(ScoreInstanceArgs),
    /// mIoU and its relatives of two folders of label PNGs, as mmsegmentation and detectron2 count them
    Semantic(ScoreSemanticArgs),
    /// Where a result loses its points: a picture and a table of its errors
    #[command(subcommand)]
    Errors(ScoreErrorsVerb),
    /// Instance AP or pixel-level IoU and iIoU, as the official Cityscapes scripts count them
    Cityscapes(ScoreCityscapesArgs),
}

/// What every task's scorer can be asked for.
#[derive(Debug, Args)]
pub struct ScoreCommonArgs {
    /// Print a row for every class; the default where there are at most 40
    #[arg(long)]
    pub per_class: bool,
    /// Write the scores as JSON, fractions at full precision
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Refuse input that the official scorer takes but that changes its numbers: every warning becomes an error
    #[arg(long)]
    pub strict: bool,
    /// Add 95 % confidence intervals from N bootstrap resamples of the images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub ci: Option<u32>,
    /// Random numbers of --ci and --versus: the same seed gives the same intervals
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
}

impl ScoreCommonArgs {
    /// Whether every image's own counts are needed afterwards, which costs memory in proportion to the images.
    pub fn resamples(&self, versus: bool) -> bool {
        self.ci.is_some() || versus
    }
}
