//! Arguments of `smalti score cityscapes`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ScoreCommonArgs;

/// `smalti score cityscapes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Predictions lie as the official scripts want them: for each ground truth one file, in the folder or anywhere below, whose
name starts with <city>_<sequence>_<frame>.
  instance: a .txt with lines `<mask path> <label id> <confidence>`; mask paths are relative to it, masks are PNGs in which
            everything but 0 is the object
  semantic: a .png of label ids (7 = road), not of train ids
Panoptic results are scored by `smalti score panoptic`, on ground truth that `smalti data prepare` derives from gtFine.

Examples:
  smalti score cityscapes --gt-dir gtFine/val --pred-dir results/instance --task instance --json scores.json
  smalti score cityscapes --gt-dir gtFine/val --pred-dir results/pixel --task semantic --versus results/older")]
pub struct ScoreCityscapesArgs {
    /// Folder with CITY_SEQUENCE_FRAME_gtFine_{instanceIds,labelIds}.png in it or below, such as gtFine/val
    #[arg(long, value_name = "DIR")]
    pub gt_dir: PathBuf,
    /// Folder of predictions
    #[arg(long, value_name = "DIR")]
    pub pred_dir: PathBuf,
    /// What the predictions are
    #[arg(long)]
    pub task: CityscapesTask,
    /// Other predictions on the same ground truth: adds the differences and how sure they are
    #[arg(long, value_name = "DIR")]
    pub versus: Option<PathBuf>,
    /// What all scorers share.
    #[command(flatten)]
    pub common: ScoreCommonArgs,
}

/// The two scores that have their own official script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CityscapesTask {
    /// AP and AP50 of masks with a confidence
    Instance,
    /// IoU and iIoU of label maps
    Semantic,
}
