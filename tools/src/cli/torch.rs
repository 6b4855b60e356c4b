//! Arguments of the verbs that need libtorch; `smalti` hands them to `smalti-torch`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

/// `smalti train`.
#[derive(Debug, Args)]
#[command(after_help = "\
The run folder holds config.toml, env.json, metrics.jsonl, TensorBoard events, checkpoints and report.html.
An interrupted run goes on where it stopped with --resume, to the bit on CPU.

Examples:
  smalti train --config configs/synth/upernet_nat_nano.toml --out runs/demo
  smalti train --config configs/imagenet/nat_tiny.toml --data-root /data --out runs/nat_tiny
  smalti train --config configs/camvid/upernet_nat_nano.toml --data-root data --set train.steps=2000 --out runs/camvid
  smalti train --resume --out runs/camvid")]
pub struct TrainArgs {
    /// The recipe (TOML); a resumed run has its own
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub config: Option<PathBuf>,
    /// Change a value of the recipe, such as train.steps=2000; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --out; starts it if there is none yet
    #[arg(long)]
    pub resume: bool,
    /// The run folder [default: runs/DATASET-RECIPE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
}

/// `smalti eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --config the recipe stored with the weights is used.

Example:
  smalti eval --weights runs/demo/checkpoints/best.safetensors --json scores.json --save-predictions labels")]
pub struct EvalArgs {
    /// The recipe (TOML) [default: the one the weights were trained with]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The weights (safetensors)
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Change a value of the recipe, such as inference.short_edge=512; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Write the scores as JSON, fractions at full precision
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write every prediction as a label PNG, as `score semantic` reads it; not of a classifier
    #[arg(long, value_name = "DIR")]
    pub save_predictions: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
}

/// `smalti predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes NAME_overlay.png (picture, classes, legend) and NAME_labels.png (class ids in the classes' palette) for every input.
A classifier prints the five likeliest classes of every input and writes them to predictions.json.
Without --config the recipe stored with the weights is used.

Examples:
  smalti predict --weights runs/demo/checkpoints/best.safetensors photo.jpg --out out
  smalti predict --weights best.safetensors street/ 'more/*.png' --out out --opacity 0.4")]
pub struct PredictArgs {
    /// The weights (safetensors)
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// The recipe (TOML) [default: the one the weights were trained with]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Change a value of the recipe; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Images, folders of images, or patterns such as 'frames/*.jpg'
    #[arg(value_name = "INPUT", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How strongly classes are painted over the picture, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = opacity)]
    pub opacity: f32,
}

fn opacity(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// `smalti config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print a recipe with every default written out
    #[command(after_help = "\
Example:
  smalti config show configs/camvid/upernet_nat_nano.toml --set data.loader.batch_size=8")]
    Show(ConfigArgs),
    /// Check a recipe: unknown keys, wrong types, values that do not fit each other
    #[command(after_help = "\
Example:
  smalti config check configs/camvid/upernet_nat_nano.toml")]
    Check(ConfigArgs),
}

/// Arguments of `smalti config show` and `check`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The recipe (TOML)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Change a value of the recipe; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}

/// `smalti models`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  smalti models --json models.json")]
pub struct ModelsArgs {
    /// Write the table as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `smalti doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with the one thing to fix, if anything does not fit.

Example:
  smalti doctor --json doctor.json")]
pub struct DoctorArgs {
    /// Write the findings as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `smalti bench`.
#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Time the native ops, forward and with backward, beside the least time this machine could take
    Ops(BenchOpsArgs),
}

/// `smalti bench ops`.
#[derive(Debug, Args)]
#[command(after_help = "\
Times are medians after two calls that do not count. The floor is the larger of two times: the op's exact arithmetic at
the rate of a large matrix product, and every input and output moved once at the rate of a large copy, both measured first.
Gathered: what deformable attention reads at places of its own choice, mostly from caches; not part of the floor.

Examples:
  smalti bench ops
  smalti bench ops --op na2d --filter 56x56 --batch 1 --dtype f32,bf16 --json ops.json")]
pub struct BenchOpsArgs {
    /// Only this op
    #[arg(long, value_enum, value_name = "OP")]
    pub op: Option<BenchOp>,
    /// Only shapes whose name contains this, such as 56x56 or 'dilation 8'
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// Images a batch
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,8",
          value_parser = clap::value_parser!(i64).range(1..=4096))]
    pub batch: Vec<i64>,
    /// Types of the tensors; reference points, offsets and logits stay f32
    #[arg(long, value_enum, value_name = "TYPE,...", value_delimiter = ',', default_value = "f32")]
    pub dtype: Vec<BenchDtype>,
    /// Calls that count
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Where to run: auto (the first GPU, else the CPU), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
    /// Write the times as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The ops of `smalti bench ops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchOp {
    /// 2D neighborhood attention, on the shapes of NAT and DiNAT
    Na2d,
    /// Multi-scale deformable attention, on the shapes of Mask2Former's pixel decoder
    MsDeformAttn,
}

/// The types of `smalti bench ops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchDtype {
    /// 32 bits
    F32,
    /// bfloat16
    Bf16,
}

/// A device by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceArg {
    /// The first GPU, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu or cuda:N, such as cuda:0".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        let parse = |text: &str| text.parse::<DeviceArg>();
        assert_eq!(parse("auto"), Ok(DeviceArg::Auto));
        assert_eq!(parse("cpu"), Ok(DeviceArg::Cpu));
        assert_eq!(parse("cuda:1"), Ok(DeviceArg::Cuda(1)));
        for wrong in ["", "cuda", "cuda:", "cuda:-1", "CPU", "gpu"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
