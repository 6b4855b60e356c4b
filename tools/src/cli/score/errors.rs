//! Arguments of `smalti score errors`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{IouTypeArg, LabelMapArgs};

/// `smalti score errors`.
#[derive(Debug, Subcommand)]
pub enum ScoreErrorsVerb {
    /// What each class is mistaken for: the confusion matrix as a picture, the worst confusions as a table
    Semantic(ScoreErrorsSemanticArgs),
    /// What each class loses to missed and to badly drawn segments: RQ against SQ as a picture
    Panoptic(ScoreErrorsPanopticArgs),
    /// What instances lose AP to: wrong classes, bad places, duplicates, background, missed objects (TIDE)
    Instance(ScoreErrorsInstanceArgs),
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

/// `smalti score errors instance`.
#[derive(Debug, Args)]
#[command(after_help = "\
The breakdown of TIDE (Bolya et al., ECCV 2020), with the numbers of tidecv: dAP is the AP that is gained if all errors of
one kind are mended and nothing else. The AP is that of one threshold and, other than COCO's AP50, of at most 100
detections an image, and classes without ground truth but with detections count with 0.

Examples:
  smalti score errors instance --gt instances_val2017.json --pred segm_results.json --out errors.png
  smalti score errors instance --gt instances_val2017.json --pred bbox_results.json --iou-type bbox --threshold 0.75")]
pub struct ScoreErrorsInstanceArgs {
    /// Annotation file of the ground truth
    #[arg(long, value_name = "FILE")]
    pub gt: PathBuf,
    /// Results file
    #[arg(long, value_name = "FILE")]
    pub pred: PathBuf,
    /// What is compared; tidecv knows no `boundary`: the smaller IoU of masks and of their boundaries
    #[arg(long, value_enum, default_value_t = IouTypeArg::Segm)]
    pub iou_type: IouTypeArg,
    /// Least IoU of a right detection
    #[arg(long, value_name = "IOU", default_value_t = 0.5)]
    pub threshold: f64,
    /// Greatest IoU of a detection that lies on background
    #[arg(long, value_name = "IOU", default_value_t = 0.1)]
    pub background: f64,
    /// PNG to write the bar chart to
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the numbers as JSON, fractions at full precision
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
