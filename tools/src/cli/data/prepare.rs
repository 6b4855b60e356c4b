//! Arguments of `smalti data prepare`: conversions between annotation formats.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::SplitArg;

/// `smalti data prepare`.
#[derive(Debug, Subcommand)]
pub enum PrepareVerb {
    /// COCO panoptic (JSON and PNGs) to COCO detection, as panopticapi does it
    CocoPanopticToDetection(PanopticToDetectionArgs),
    /// COCO detection to COCO panoptic, as panopticapi does it; masks must not overlap
    CocoDetectionToPanoptic(DetectionToPanopticArgs),
    /// COCO panoptic to label maps, as Mask2Former, detectron2 or panopticapi do it
    CocoPanopticToSemantic(PanopticToSemanticArgs),
    /// Cityscapes labelIds PNGs to labelTrainIds PNGs, as cityscapesscripts does it
    CityscapesTrainIds(CityscapesTrainIdsArgs),
    /// Cityscapes instanceIds PNGs to COCO panoptic, as cityscapesscripts does it
    CityscapesPanoptic(CityscapesPanopticArgs),
    /// ADE20K label maps with classes 0 to 149 and 255, as Mask2Former does it
    Ade20kSemantic(Ade20kSemanticArgs),
    /// ADE20K semantic and instance labels to COCO panoptic, as Mask2Former does it
    Ade20kPanoptic(Ade20kPanopticArgs),
    /// ADE20K instance labels to COCO detection, as Mask2Former does it
    Ade20kInstances(Ade20kInstancesArgs),
}

/// `smalti data prepare coco-panoptic-to-detection`.
#[derive(Debug, Args)]
#[command(after_help = "\
Area and box of a segment are taken from the JSON, as the official tool does.
Ids count from 0 by default, also official; scorers take a ground-truth id of 0 for \"not matched\", so prefer --first-id 1
for a file that is to be scored against.

Example:
  smalti data prepare coco-panoptic-to-detection --json panoptic_val2017.json --out instances.json --things-only --first-id 1")]
pub struct PanopticToDetectionArgs {
    /// The panoptic JSON
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,
    /// Folder of its PNGs [default: X for X.json]
    #[arg(long, value_name = "DIR")]
    pub png_dir: Option<PathBuf>,
    /// The detection JSON to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Leave out stuff segments and stuff classes
    #[arg(long)]
    pub things_only: bool,
    /// Id of the first annotation
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first_id: u64,
}

/// `smalti data prepare coco-detection-to-panoptic`.
#[derive(Debug, Args)]
#[command(after_help = "\
The first segment of a class has the colour of the class as its id, further things have shades of it. The official tool
draws the shades at random; here the same input gives the same ids.

Example:
  smalti data prepare coco-detection-to-panoptic --json instances.json --out panoptic.json --out-dir panoptic")]
pub struct DetectionToPanopticArgs {
    /// The detection JSON
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,
    /// The panoptic JSON to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Folder of the PNGs to write [default: X for X.json]
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// Classes with id, isthing and color as a JSON list [default: the 133 of COCO]
    #[arg(long, value_name = "FILE")]
    pub categories: Option<PathBuf>,
}

/// `smalti data prepare coco-panoptic-to-semantic`.
#[derive(Debug, Args)]
#[command(after_help = "\
--ids contiguous: 0, 1, ... in the order of category ids, void 255 (Mask2Former, for training)
--ids category:   the category ids, void 0 (panopticapi)
--ids stuff:      things 0, stuff 1, 2, ..., void 255 (detectron2, Panoptic FPN)

Example:
  smalti data prepare coco-panoptic-to-semantic --json panoptic_val2017.json --out-dir panoptic_semseg_val2017
  smalti data prepare coco-panoptic-to-semantic --json panoptic_val2017.json --out-json stuff.json --things-other")]
pub struct PanopticToSemanticArgs {
    /// The panoptic JSON
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,
    /// Folder of its PNGs [default: X for X.json]
    #[arg(long, value_name = "DIR")]
    pub png_dir: Option<PathBuf>,
    /// Folder of the label maps to write
    #[arg(long, value_name = "DIR", required_unless_present = "out_json")]
    pub out_dir: Option<PathBuf>,
    /// The JSON to write instead: one mask a class and image, with category ids
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out_dir", "ids"])]
    pub out_json: Option<PathBuf>,
    /// Values of the pixels
    #[arg(long, value_enum, default_value_t = IdsArg::Contiguous)]
    pub ids: IdsArg,
    /// Merge all things into class 183, "other"; with --ids category or --out-json
    #[arg(long)]
    pub things_other: bool,
}

/// `--ids`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IdsArg {
    /// Positions in the order of category ids.
    Contiguous,
    /// Category ids.
    Category,
    /// Stuff from 1, things 0.
    Stuff,
}

/// `smalti data prepare cityscapes-train-ids`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  smalti data prepare cityscapes-train-ids --gt-dir cityscapes/gtFine")]
pub struct CityscapesTrainIdsArgs {
    /// gtFine, gtCoarse or a folder in them
    #[arg(long, value_name = "DIR")]
    pub gt_dir: PathBuf,
    /// Folder for the same tree of results [default: beside the labelIds]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `smalti data prepare cityscapes-panoptic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes cityscapes_panoptic_SPLIT.json and the folder cityscapes_panoptic_SPLIT, with _trainId behind the split if
--train-ids.

Example:
  smalti data prepare cityscapes-panoptic --gt-dir cityscapes/gtFine --split val")]
pub struct CityscapesPanopticArgs {
    /// The folder gtFine
    #[arg(long, value_name = "DIR")]
    pub gt_dir: PathBuf,
    /// Which folder of it; may be repeated [default: those of val, train and test that are there]
    #[arg(long, value_name = "NAME")]
    pub split: Vec<String>,
    /// Folder of the results [default: the folder gtFine]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Category ids 0 to 18 instead of label ids
    #[arg(long)]
    pub train_ids: bool,
}

/// What the ADE20K conversions share.
#[derive(Debug, Args)]
pub struct Ade20kArgs {
    /// The folder ADEChallengeData2016
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// Which images
    #[arg(long, value_enum, default_value_t = SplitArg::All)]
    pub split: SplitArg,
    /// Folder of the results [default: the same as --root]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `smalti data prepare ade20k-semantic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes annotations_detectron2/{training,validation}.

Example:
  smalti data prepare ade20k-semantic --root ADEChallengeData2016 --split val")]
pub struct Ade20kSemanticArgs {
    /// The set.
    #[command(flatten)]
    pub set: Ade20kArgs,
}

/// `smalti data prepare ade20k-panoptic`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads images, annotations and annotations_instance; writes ade20k_panoptic_{train,val}.json and folders of that name.
Area and box of stuff are measured before things are pasted over it, as in the official files. Segment ids that the
official script draws at random are shades of the class colour in a fixed order.

Example:
  smalti data prepare ade20k-panoptic --root ADEChallengeData2016 --split val")]
pub struct Ade20kPanopticArgs {
    /// The set.
    #[command(flatten)]
    pub set: Ade20kArgs,
}

/// `smalti data prepare ade20k-instances`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads images and annotations_instance; writes ade20k_instance_{train,val}.json.

Example:
  smalti data prepare ade20k-instances --root ADEChallengeData2016 --split val")]
pub struct Ade20kInstancesArgs {
    /// The set.
    #[command(flatten)]
    pub set: Ade20kArgs,
}
