//! Arguments of `smalti weights`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `smalti weights`.
#[derive(Debug, Subcommand)]
pub enum WeightsVerb {
    /// Show what a checkpoint holds, whoever wrote it; nothing in it is executed
    Inspect(InspectArgs),
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
    /// A file, an index of parts, or a folder with one of them
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
