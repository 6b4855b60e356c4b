//! Arguments of `smalti score`: one file a task, and what all of them share.

mod cityscapes;
mod semantic;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use cityscapes::{CityscapesTask, ScoreCityscapesArgs};
pub use semantic::ScoreSemanticArgs;

/// `smalti score`.
#[derive(Debug, Subcommand)]
pub enum ScoreVerb {
    /// mIoU and its relatives of two folders of label PNGs, as mmsegmentation and detectron2 count them
    Semantic(ScoreSemanticArgs),
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
