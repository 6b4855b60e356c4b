//! Arguments of `smalti data`.

pub mod prepare;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use smalti_datasets::Split;
use smalti_datasets::synth::SynthLayout;

use prepare::PrepareVerb;

/// `smalti data`.
#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Generate a panoptic set in COCO layout, or pictures in class folders; same seed, same set
    Synth(SynthArgs),
    /// Read a whole set and list what training would trip over; exit code 2 if it cannot be trained on
    Check(CheckArgs),
    /// Draw images with their ground truth and class names, before and after augmentation
    Show(ShowArgs),
    /// Count classes, image sizes, pixel mean and spread
    Stats(StatsArgs),
    /// Convert annotation formats with the results of the official tools
    #[command(subcommand)]
    Prepare(PrepareVerb),
}

/// `smalti data synth`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smalti data synth --out data/synth --images 400 --val-images 60 --size 256x256 --seed 1
  smalti data synth --layout classes --out data/synth-classes --images 4000 --val-images 400 --size 64x64")]
pub struct SynthArgs {
    /// Folder to write; absent, empty, or holding the same set
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Training images
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub images: usize,
    /// Validation images
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub val_images: usize,
    /// Height and width in pixels
    #[arg(long, value_name = "HxW", default_value = "256x256", value_parser = size)]
    pub size: (usize, usize),
    /// Same seed, same set
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// What the set is for
    #[arg(long, value_enum, default_value_t = LayoutArg::Panoptic)]
    pub layout: LayoutArg,
}

/// What a generated set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayoutArg {
    /// Segmentation: scenes in COCO's layout
    Panoptic,
    /// Classification: pictures of one thing each, a folder a class, as ImageNet lies on disk
    Classes,
}

impl From<LayoutArg> for SynthLayout {
    fn from(layout: LayoutArg) -> Self {
        match layout {
            LayoutArg::Panoptic => Self::Panoptic,
            LayoutArg::Classes => Self::Classes,
        }
    }
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once(['x', 'X']).and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    parts.ok_or_else(|| "expected height and width such as 256x256".to_owned())
}

/// Where the data set is described.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The recipe (TOML); only its task and data table are read
    #[arg(long, value_name = "FILE", required_unless_present = "annotations")]
    pub config: Option<PathBuf>,
    /// Change a value of the recipe, such as data.ignore_label=11; may be repeated
    #[arg(long, value_name = "PATH=VALUE", requires = "config")]
    pub set: Vec<String>,
    /// Without a recipe: the folder of images
    #[arg(long, value_name = "DIR", requires = "annotations", conflicts_with = "config")]
    pub images: Option<PathBuf>,
    /// Without a recipe: an annotation file in COCO's form, of instances or panoptic
    #[arg(long, value_name = "FILE", requires = "images", conflicts_with = "config")]
    pub annotations: Option<PathBuf>,
    /// Without a recipe: the folder of panoptic PNGs [default: the annotation file's name without its extension]
    #[arg(long, value_name = "DIR", requires = "annotations")]
    pub labels: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data; for benchmarks $DETECTRON2_DATASETS too]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
}

impl SetArgs {
    /// The recipe, or the annotation file, as it was given.
    pub fn name(&self) -> String {
        let given = self.config.as_ref().or(self.annotations.as_ref());
        given.map_or_else(String::new, |path| path.display().to_string())
    }
}

/// A split, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// Training images.
    Train,
    /// Validation images.
    Val,
    /// Both, one after the other.
    All,
}

impl SplitArg {
    /// The splits it stands for.
    pub fn splits(self) -> &'static [Split] {
        match self {
            Self::Train => &[Split::Train],
            Self::Val => &[Split::Val],
            Self::All => &[Split::Train, Split::Val],
        }
    }
}

/// `smalti data check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Of a benchmark and of class folders, the splits that are there are checked; --split asks for one. Files with the same bytes
are one finding, however many they are; of long lists 10 are printed, 1000 are on the page, and where splits share images all in
the JSON. Errors end with exit code 2, warnings do not.

Examples:
  smalti data check --config configs/camvid/upernet_nat_nano.toml --data-root data
  smalti data check --images train --annotations instances.json --html findings.html")]
pub struct CheckArgs {
    /// The set.
    #[command(flatten)]
    pub data: SetArgs,
    /// Which images
    #[arg(long, value_enum, default_value_t = SplitArg::All)]
    pub split: SplitArg,
    /// Write the findings as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the findings as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `smalti data stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  smalti data stats --config configs/camvid/upernet_nat_nano.toml --split train --chart classes.png")]
pub struct StatsArgs {
    /// The set.
    #[command(flatten)]
    pub data: SetArgs,
    /// Which images
    #[arg(long, value_enum, default_value_t = SplitArg::All)]
    pub split: SplitArg,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the numbers as one HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Draw the share of every class as a PNG; needs one --split
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
}

/// `smalti data show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Images are spread evenly over the split; of sets that the recipe mixes for training each is named and has its share of the
pictures, one at least. With --augment images look as training sees them; those with instances or panoptic segments are then
shown before and after.

Example:
  smalti data show --config configs/camvid/upernet_nat_nano.toml --num 12 --out sheet.png")]
pub struct ShowArgs {
    /// The set.
    #[command(flatten)]
    pub data: SetArgs,
    /// Which images
    #[arg(long, value_enum, default_value_t = ShowSplit::Train)]
    pub split: ShowSplit,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub num: u16,
    /// Apply the training transforms of the recipe
    #[arg(long)]
    pub augment: bool,
    /// Random numbers of --augment
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// The file to write: a contact sheet as PNG, or, if its name ends with .html, one page with all pictures
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// One split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShowSplit {
    /// Training images.
    Train,
    /// Validation images.
    Val,
}

impl From<ShowSplit> for Split {
    fn from(split: ShowSplit) -> Self {
        match split {
            ShowSplit::Train => Self::Train,
            ShowSplit::Val => Self::Val,
        }
    }
}
