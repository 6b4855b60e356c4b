//! Arguments of `smalti weights`.

use std::path::PathBuf;

#[cfg(feature = "torch")]
use clap::ValueEnum;
use clap::{Args, Subcommand};
#[cfg(feature = "torch")]
use smalti_checkpoints::layouts::Origin;

/// `smalti weights`.
#[derive(Debug, Subcommand)]
pub enum WeightsVerb {
    /// Show what a checkpoint holds, whoever wrote it; nothing in it is executed
    Inspect(InspectArgs),
    /// Fetch a repository's weights from the Hugging Face hub into the cache that its libraries share
    #[cfg(feature = "torch")]
    Pull(PullArgs),
    /// Turn a checkpoint of any origin into smalti's, or into another code base's
    #[cfg(feature = "torch")]
    Convert(ConvertArgs),
}

/// `smalti weights inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads safetensors (with an index too), .pth, .pt and .bin of every version of torch, and pickles of numpy arrays such as
detectron2's .pkl. A pickle that names anything but tensors, containers and settings is refused, and the name printed.

Examples:
  smalti weights inspect nat_tiny.pth
  smalti weights inspect upernet.pth --wrapper state_dict --all --json upernet.json")]
pub struct InspectArgs {
    /// A file, an index of parts, a folder with one of them, or a repository in the hub's cache
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// Which set of weights, if there are several, such as model_ema [default: state_dict, model, ...]
    #[arg(long, value_name = "NAME")]
    pub wrapper: Option<String>,
    /// List every tensor
    #[arg(long)]
    pub all: bool,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `smalti weights pull`.
#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(after_help = "\
Fetches config.json, preprocessor_config.json and the weights: model.safetensors, else its index and parts, else the same of
pytorch_model.bin. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to Hugging Face's own
libraries. What the cache has is not fetched again, and a download that broke off goes on where it did.

Examples:
  smalti weights pull shi-labs/nat-mini-in1k-224
  smalti weights pull facebook/convnext-tiny-224 --revision refs/pr/3")]
pub struct PullArgs {
    /// The repository: OWNER/NAME, as in the address of its page
    #[arg(value_name = "REPO_ID")]
    pub repository: String,
    /// A branch, a tag, or a commit
    #[arg(long, value_name = "REV", default_value = "main")]
    pub revision: String,
}

/// `smalti weights convert`.
#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(after_help = "\
Reads what `weights inspect` reads, with the names of Hugging Face, timm, SHI-Labs, mmsegmentation, detectron2, torchvision and
the authors. Every tensor of the source is used, dropped for a reason, or an error; every parameter of the model gets one.
OUT_DIR gets model.safetensors, config.toml and report.json; UperNet also classes.json. `smalti predict` takes the
model.safetensors of classifiers and of networks with heads as it is. The folder appears whole or not at all. What is read and what errors
mean: docs/weights.md.

Examples:
  smalti weights convert microsoft/swin-tiny-patch4-window7-224 swin_tiny
  smalti weights convert dinat_tiny.pth dinat_tiny --set model.backbone.variant=dinat_tiny
  smalti weights convert runs/demo/checkpoints/best.safetensors demo_hf --to hf")]
pub struct ConvertArgs {
    /// A file, an index of parts, a folder with one of them, or a repository in the hub's cache
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The folder to make
    #[arg(value_name = "OUT_DIR")]
    pub out: PathBuf,
    /// Whose names the source has
    #[arg(long, value_enum, value_name = "NAMES", default_value_t = FromArg::Auto)]
    pub from: FromArg,
    /// Write these names instead of smalti's
    #[arg(long, value_enum, value_name = "NAMES")]
    pub to: Option<OriginArg>,
    /// A recipe whose `[model]` table the weights are for [default: told by the source]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change a value of the model, such as model.backbone.window=11; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Which set of weights, if there are several, such as model_ema [default: state_dict, model, ...]
    #[arg(long, value_name = "NAME")]
    pub wrapper: Option<String>,
    /// Leave tensors out that the model has no place for
    #[arg(long)]
    pub allow_unused: bool,
    /// Store floats as f16, at half the size; a value that f16 can not hold is an error
    #[arg(long)]
    pub half: bool,
    /// List every tensor
    #[arg(long)]
    pub all: bool,
    /// Write the report here too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Whose names a source has.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromArg {
    /// Told by the names.
    Auto,
    /// Of this code base.
    Named(OriginArg),
}

#[cfg(feature = "torch")]
impl ValueEnum for FromArg {
    fn value_variants<'a>() -> &'a [Self] {
        use OriginArg::{Dat, Davit, Detectron2, Facebook, Hf, Microsoft, Mmseg, Shi, Timm, Torchvision};
        const ALL: [FromArg; 11] = [
            FromArg::Auto,
            FromArg::Named(Hf),
            FromArg::Named(Timm),
            FromArg::Named(Shi),
            FromArg::Named(Mmseg),
            FromArg::Named(Detectron2),
            FromArg::Named(Dat),
            FromArg::Named(Davit),
            FromArg::Named(Microsoft),
            FromArg::Named(Facebook),
            FromArg::Named(Torchvision),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::Auto => Some(clap::builder::PossibleValue::new("auto")),
            Self::Named(origin) => origin.to_possible_value(),
        }
    }
}

/// A code base.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "their names say it")]
pub enum OriginArg {
    Hf,
    Timm,
    Shi,
    Mmseg,
    Detectron2,
    Dat,
    Davit,
    Microsoft,
    Facebook,
    Torchvision,
}

#[cfg(feature = "torch")]
impl OriginArg {
    /// The code base in the terms of the layouts.
    pub fn origin(self) -> Origin {
        match self {
            Self::Hf => Origin::Hf,
            Self::Timm => Origin::Timm,
            Self::Shi => Origin::Shi,
            Self::Mmseg => Origin::Mmseg,
            Self::Detectron2 => Origin::Detectron2,
            Self::Dat => Origin::Dat,
            Self::Davit => Origin::Davit,
            Self::Microsoft => Origin::Microsoft,
            Self::Facebook => Origin::Facebook,
            Self::Torchvision => Origin::Torchvision,
        }
    }
}
