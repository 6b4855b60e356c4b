//! Arguments of the verbs that need libtorch; `smalti` hands them to `smalti-torch`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use smalti_datasets::Shard;

/// `smalti train`.
#[derive(Debug, Args)]
#[command(after_help = "\
The run folder holds config.toml, env.json, metrics.jsonl, TensorBoard events, checkpoints and report.html.
An interrupted run goes on where it stopped with --resume, to the bit on CPU.

Examples:
  smalti train --config configs/synth/upernet_nat_nano.toml --out runs/demo
  smalti train --config configs/imagenet/nat_tiny.toml --data-root /data --out runs/nat_tiny
  smalti train --config configs/camvid/upernet_nat_nano.toml --data-root data --set train.steps=2000 --out runs/camvid
  smalti train --resume --out runs/camvid
  smalti train --config mine.toml --weights nat_tiny/model.safetensors --out runs/mine")]
pub struct TrainArgs {
    /// The recipe (TOML); a resumed run has its own
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub config: Option<PathBuf>,
    /// Start from these weights (safetensors of a run or of `weights convert`): all of a network with the same heads, else the
    /// backbone; sets train.init.weights, see also train.init.part
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Take of the weights what fits and list the rest, such as queries or classes of another number; sets train.init.partial
    #[arg(long)]
    pub partial: bool,
    /// Change a value of the recipe, such as train.steps=2000; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --out; starts it if there is none yet
    #[arg(long)]
    pub resume: bool,
    /// The run folder [default: runs/DATASET-RECIPE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data; for benchmarks $DETECTRON2_DATASETS too]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
}

/// `smalti eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --config the recipe stored with the weights is used.
--benchmark takes set, split, classes, sizes of images and scores from an official protocol, and the rest from the recipe:
  coco-panoptic coco-instance coco-semantic          ade20k-panoptic ade20k-instance ade20k-semantic
  cityscapes-panoptic cityscapes-instance cityscapes-semantic
Several processes share an evaluation with --shard K/N --parts DIR each; the same call without --shard adds their parts up and
has the scores of one process, to the last digit, and with --benchmark the same submission.

Examples:
  smalti eval --weights runs/demo/tuned/checkpoints/best.safetensors --json scores.json --save-predictions labels
  smalti eval --weights mask2former.safetensors --benchmark coco-panoptic --data-root /data --submission out
  torchrun --no-python --nproc-per-node 8 smalti eval --weights best.safetensors --parts parts
  smalti eval --weights best.safetensors --parts parts --json scores.json")]
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
    /// Write every prediction as `score` reads it: label PNGs; of panoptic and instance networks panoptic.json, panoptic/,
    /// instances.json and semantic/, as far as the set is annotated for it; not of a classifier. The folder must be empty or not
    /// there
    #[arg(long, value_name = "DIR")]
    pub save_predictions: Option<PathBuf>,
    /// Draw eight validation images, their ground truth and what is predicted side by side (PNG); of a panoptic network
    /// all three tasks; not of a classifier
    #[arg(long, value_name = "FILE", conflicts_with = "benchmark")]
    pub pictures: Option<PathBuf>,
    /// Evaluate by an official protocol instead of the recipe's validation set, such as coco-panoptic
    #[arg(long, value_name = "NAME", conflicts_with = "save_predictions")]
    pub benchmark: Option<String>,
    /// With --benchmark, write the predictions in its official submission format; the folder must be empty or not there. With
    /// --shard they wait in --parts until the same call without it puts them together here
    #[arg(long, value_name = "DIR", requires = "benchmark")]
    pub submission: Option<PathBuf>,
    /// Count only the images K, K + N, K + 2N, ... (of classifiers: batches) into a part in --parts [default with --parts:
    /// $RANK of $WORLD_SIZE, if a launcher sets them]
    #[arg(long, value_name = "K/N", requires = "parts")]
    pub shard: Option<Shard>,
    /// Folder of the parts of an evaluation that several processes share; without a shard they are added up. Parts hold counts,
    /// and predictions for --submission only
    #[arg(long, value_name = "DIR", conflicts_with = "save_predictions")]
    pub parts: Option<PathBuf>,
    /// Folder that holds the data sets [default: $SMALTI_DATA, else data; for benchmarks $DETECTRON2_DATASETS too]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
}

/// `smalti predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes NAME_overlay.png (picture, classes, legend) and NAME_labels.png (class ids in the classes' palette) for every input.
A panoptic network writes NAME_overlay.png, NAME_panoptic.png (segment ids as COCO has them) and predictions.json with the
segments; --task instance gives its instances as run lengths in predictions.json instead, --task semantic its label maps.
A classifier prints the five likeliest classes of every input and writes them to predictions.json.
Without --config the recipe stored with the weights is used.

Examples:
  smalti predict --weights runs/demo/checkpoints/best.safetensors photo.jpg --out out
  smalti predict --weights best.safetensors street/ 'more/*.png' --out out --opacity 0.4
  smalti predict --weights mask2former.safetensors --task instance photo.jpg --out out")]
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
    /// What a panoptic or instance network is to predict [default: its recipe's task]
    #[arg(long, value_name = "TASK")]
    pub task: Option<PredictTaskArg>,
    /// How strongly classes are painted over the picture, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = opacity)]
    pub opacity: f32,
}

/// Results of `smalti predict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PredictTaskArg {
    /// Segments that do not overlap
    Panoptic,
    /// Every object with a score
    Instance,
    /// The class of every pixel
    Semantic,
}

fn opacity(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// `smalti forward`.
#[derive(Debug, Args)]
#[command(after_help = "\
The input holds `images` [B, 3, H, W], f32, already normalised. The output holds `backbone.0` to `backbone.3` (the backbone's
levels [B, C, H/s, W/s] as the head takes them, finest first, s = 4, 8, 16, 32), `logits` [B, K, H/4, W/4], and, if the recipe
has an auxiliary head, `aux_logits`. Of a Mask2Former these are `pixel_decoder.memory.0` to `.2` (strides 32, 16, 8),
`pixel_decoder.mask_features`, `class_logits` [B, Q, K + 1] and `mask_logits` [B, Q, H/4, W/4] of the last layer, and
`aux.I.class_logits` and `aux.I.mask_logits` of the learned queries (0) and the layers before it. The network runs as in evaluation.
The output's metadata holds the recipe.

Example:
  smalti forward --config configs/camvid/upernet_nat_nano.toml --weights best.safetensors --input x.safetensors --output y.safetensors")]
pub struct ForwardArgs {
    /// The recipe (TOML) [default: the one the weights were trained with]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The weights (safetensors)
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Change a value of the recipe; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// The images (safetensors)
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where to write the results (safetensors)
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Where to run: auto (the first GPU, else the CPU), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
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
Families and variants are named as in recipes: family = \"nat\", variant = \"dinat_tiny\".

Examples:
  smalti models
  smalti models davit
  smalti models dinat_large --json dinat_large.json")]
pub struct ModelsArgs {
    /// Only this family, or variants whose name contains this; shows reported results of dense prediction too
    #[arg(value_name = "FAMILY")]
    pub filter: Option<String>,
    /// Show every reported image size and result of dense prediction
    #[arg(long)]
    pub results: bool,
    /// Write everything that is known of these variants as JSON
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

/// `smalti bench model`.
#[derive(Debug, Args)]
#[command(after_help = "\
Times are medians after two calls that do not count, of networks with random weights. CPU ms is the time of all threads
together. Memory is what the passes take beyond the weights (CPU on Linux). GMAC: giga multiply-adds of matrix products and convolutions, counted from the ops that run.

Examples:
  smalti bench model
  smalti bench model swin davit --max-params 100
  smalti bench model dinat_tiny --batch 8x224 --train --json model.json
  smalti bench model --config configs/coco/mask2former_panoptic_swin_tiny.toml --batch 1x512 --train")]
pub struct BenchModelArgs {
    /// Only these families, or variants whose name contains this
    #[arg(value_name = "FAMILY")]
    pub filter: Vec<String>,
    /// In place of classifiers: the recipe (TOML) whose segmentation network is timed; with --train its loss is part of the time
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filter", "max_params"])]
    pub config: Option<PathBuf>,
    /// Change a value of the recipe; may be repeated
    #[arg(long, value_name = "PATH=VALUE", requires = "config", conflicts_with = "filter")]
    pub set: Vec<String>,
    /// Weights of the recipe's network [default: random ones]
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with = "filter")]
    pub weights: Option<PathBuf>,
    /// Classes of the recipe's network
    #[arg(long, value_name = "K", requires = "config", conflicts_with = "filter", default_value_t = 133, value_parser = clap::value_parser!(i64).range(1..=65_535))]
    pub classes: i64,
    /// Objects of an image that the loss of a mask classifier is computed for
    #[arg(long, value_name = "N", requires = "config", conflicts_with = "filter", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub objects: u16,
    /// Images a batch and the side of an image
    #[arg(long, value_name = "NxSIDE,...", value_delimiter = ',', default_value = "8x224,1x512")]
    pub batch: Vec<BatchSize>,
    /// Time a forward and a backward pass together, in training
    #[arg(long)]
    pub train: bool,
    /// Leave out variants with more million parameters
    #[arg(long, value_name = "M", default_value_t = 30)]
    pub max_params: u32,
    /// Calls that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Where to run: auto (the first GPU, else the CPU), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
    /// Write the times as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Number and side of square images, such as `8x224`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize {
    /// Images.
    pub images: i64,
    /// Pixels of a side.
    pub side: i64,
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (images, side) = text.split_once('x')?;
            Some(Self { images: images.parse().ok()?, side: side.parse().ok()? })
        };
        parse()
            .filter(|size| (1..=4096).contains(&size.images) && (32..=8192).contains(&size.side))
            .ok_or_else(|| {
                "expected images and side such as 8x224, 1 to 4096 images of 32 to 8192 pixels".to_owned()
            })
    }
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
    fn batches_by_size() {
        let parse = |text: &str| text.parse::<BatchSize>();
        assert_eq!(parse("8x224"), Ok(BatchSize { images: 8, side: 224 }));
        for wrong in ["", "8", "x224", "8x", "0x224", "8x31", "8x224x224", "-1x64"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

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
