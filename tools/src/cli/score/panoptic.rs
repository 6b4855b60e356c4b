//! Arguments of `smalti score panoptic`.

use std::path::PathBuf;

use clap::Args;

use super::ScoreCommonArgs;

/// `smalti score panoptic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Both sides are a JSON file with `annotations` (image_id, file_name, segments_info) and a folder of PNGs whose pixels are
segment ids, R + 256 G + 65536 B: COCO panoptic, and ADE20K and Cityscapes converted to it. Images are joined by image_id.
Classes, and which of them are things, are taken from the ground truth.

Examples:
  smalti score panoptic --gt panoptic_val2017.json --gt-dir panoptic_val2017 --pred pred.json --pred-dir pred
  smalti score panoptic --gt panoptic_val2017.json --pred pred.json --boundary --json scores.json
  smalti score panoptic --gt panoptic_val2017.json --pred new.json --versus old.json")]
pub struct ScorePanopticArgs {
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
    /// Boundary PQ: of a pair, the smaller of mask IoU and boundary IoU counts
    #[arg(long)]
    pub boundary: bool,
    /// Other predictions to compare with: the differences, and how likely they are chance
    #[arg(long, value_name = "FILE")]
    pub versus: Option<PathBuf>,
    /// Folder of their PNGs [default: the path of --versus without .json]
    #[arg(long, value_name = "DIR", requires = "versus")]
    pub versus_dir: Option<PathBuf>,
    /// What all scorers share.
    #[command(flatten)]
    pub common: ScoreCommonArgs,
}
