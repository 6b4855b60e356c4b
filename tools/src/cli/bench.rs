//! Arguments of `smalti bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[cfg(feature = "torch")]
use super::torch::{BenchModelArgs, BenchOpsArgs};

/// `smalti bench`.
#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Time the native ops, forward and with backward, beside the least time this machine could take
    #[cfg(feature = "torch")]
    Ops(BenchOpsArgs),
    /// Time image classifiers of every family: forward, or with backward; memory, multiply-adds a second
    #[cfg(feature = "torch")]
    Model(BenchModelArgs),
    /// Time the training loader: images a second, CPU time, memory, and where the time goes
    Loader(BenchLoaderArgs),
}

/// `smalti bench loader`.
#[derive(Debug, Args)]
#[command(after_help = "\
Batches (of cases 4 images) are loaded from the training split and handed back. Images a second need an idle machine; CPU time, of all threads, does
not. The stages are those of one thread that makes the same batches; other work is flips, copies, freed memory. Memory is the
whole process's, at its peak and after a tenth and all of the images.

Examples:
  smalti bench loader lsj-instance --data-root /data
  smalti bench loader ade --data /data/ADEChallengeData2016 --threads 1 --json loader.json
  smalti bench loader --config configs/synth/upernet_nat_nano.toml --samples 100000")]
pub struct BenchLoaderArgs {
    /// A pipeline of the papers
    #[arg(value_enum, value_name = "CASE", required_unless_present = "config", conflicts_with = "config")]
    pub case: Option<LoaderCase>,
    /// In place of a case: the recipe (TOML) whose data table is loaded
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change a value of the recipe; may be repeated
    #[arg(long, value_name = "PATH=VALUE", requires = "config")]
    pub set: Vec<String>,
    /// The benchmark whose files a case loads [default: ade20k for ade, coco for the others]
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "config")]
    pub benchmark: Option<LoaderSet>,
    /// Folder of the benchmark [default: where it is below the data root]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "data_root"])]
    pub data: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data; for benchmarks $DETECTRON2_DATASETS too]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Loader threads [default: the recipe's; of cases one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Images that count
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..))]
    pub samples: u32,
    /// Seed of order and transforms
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The cases of `smalti bench loader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoaderCase {
    /// Mask2Former on COCO instances: flip, large-scale jitter 0.1 to 2 of 1024x1024 with Pillow's filter, masks
    LsjInstance,
    /// The same on panoptic segments
    LsjPanoptic,
    /// mmsegmentation on ADE20K: resize to (2048, 512) x 0.5 to 2, crop 512 with category limit 0.75, flip, photometric
    Ade,
}

/// The benchmarks of `smalti bench loader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoaderSet {
    /// ADE20K; for lsj with the files of `data prepare`
    Ade20k,
    /// Cityscapes
    Cityscapes,
    /// COCO 2017; for ade the classes of its panoptic annotations
    Coco,
}
