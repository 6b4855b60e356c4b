//! Arguments of `smalti score semantic`.

use std::path::PathBuf;

use clap::Args;

use super::ScoreCommonArgs;

/// `smalti score semantic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Files pair by their path below the two folders without the ending. Label maps are PNGs of one channel or a palette whose
values are class ids.

mIoU and the other plain names follow mmsegmentation, where a class that is predicted but has no ground truth counts as
0; d2_ names follow detectron2, where it leaves the mean. Ground truth of the ignore label does not count for either.

Examples:
  smalti score semantic --gt-dir labels/val --pred-dir predictions --num-classes 19 --json scores.json
  smalti score semantic --gt-dir annotations/validation --pred-dir out --classes ade20k.txt --reduce-zero-label
  smalti score semantic --gt-dir labels/val --pred-dir new --num-classes 19 --ci 1000 --versus old")]
pub struct ScoreSemanticArgs {
    /// The label maps.
    #[command(flatten)]
    pub maps: LabelMapArgs,
    /// Score the outlines of classes as well: boundary_mIoU, within 2 % of the image's diagonal
    #[arg(long)]
    pub boundary: bool,
    /// Compare with the predictions in another folder: differences, their intervals and p-values
    #[arg(long, value_name = "DIR")]
    pub versus: Option<PathBuf>,
    /// What all scorers share.
    #[command(flatten)]
    pub common: ScoreCommonArgs,
}

/// Two folders of label maps and how to read them.
#[derive(Debug, Args)]
pub struct LabelMapArgs {
    /// Folder of ground truth label maps
    #[arg(long, value_name = "DIR")]
    pub gt_dir: PathBuf,
    /// Folder of predicted label maps
    #[arg(long, value_name = "DIR")]
    pub pred_dir: PathBuf,
    /// Number of classes K; classes are 0 to K-1 [default: as many as --classes names]
    #[arg(
        long,
        value_name = "K",
        required_unless_present = "classes",
        value_parser = clap::value_parser!(u16).range(1..=255)
    )]
    pub num_classes: Option<u16>,
    /// Class names: classes.json, or a .txt file with one name a line
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Ground truth of this value does not count
    #[arg(long, value_name = "ID", default_value_t = 255)]
    pub ignore_label: u8,
    /// Shift the ground truth: 0 becomes 255, every other value one less (ADE20K); predictions stay as they are
    #[arg(long)]
    pub reduce_zero_label: bool,
}
