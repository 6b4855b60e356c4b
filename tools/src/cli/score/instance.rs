//! Arguments of `smalti score instance`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ScoreCommonArgs;

/// `smalti score instance`.
#[derive(Debug, Args)]
#[command(after_help = "\
Both files are in the COCO format: an annotation file with polygons or run lengths, and a list of results. Categories and
images may have any ids; ADE20K instances are scored the same way. Results without masks can be scored with
--iou-type bbox; results with masks and boxes have the areas of their boxes (as in pycocotools), which changes APs, APm, APl.

Examples:
  smalti score instance --gt instances_val2017.json --pred segm_results.json --json scores.json
  smalti score instance --gt instances_val2017.json --pred segm_results.json --iou-type boundary --per-class
  smalti score instance --gt instances_val2017.json --pred new.json --versus old.json")]
pub struct ScoreInstanceArgs {
    /// Annotation file of the ground truth
    #[arg(long, value_name = "FILE")]
    pub gt: PathBuf,
    /// Results file
    #[arg(long, value_name = "FILE")]
    pub pred: PathBuf,
    /// What is compared; with `boundary` the smaller IoU of masks and of their boundaries counts
    #[arg(long, value_enum, default_value_t = IouTypeArg::Segm)]
    pub iou_type: IouTypeArg,
    /// Detections of an image and category that count: three ascending limits. AR1, AR10 and AR100 stand for the first,
    /// second and third of them, all other metrics for the third; only AP is always of 100 if that is among them
    #[arg(long, value_name = "A,B,C", default_value = "1,10,100", value_parser = max_dets)]
    pub max_dets: [u32; 3],
    /// Other results to compare with, on the same ground truth: difference, interval and p-value of each metric
    #[arg(long, value_name = "FILE")]
    pub versus: Option<PathBuf>,
    /// What all scorers share.
    #[command(flatten)]
    pub common: ScoreCommonArgs,
}

/// `--iou-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IouTypeArg {
    /// Masks
    Segm,
    /// Boxes
    Bbox,
    /// Masks and their boundaries
    Boundary,
}

fn max_dets(text: &str) -> Result<[u32; 3], String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let limits: Option<[u32; 3]> = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    match limits {
        Some(limits @ [first, second, third]) if 0 < first && first < second && second < third => Ok(limits),
        _ => Err("expected three ascending numbers, such as 1,10,100".into()),
    }
}
