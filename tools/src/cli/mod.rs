//! The command line: every verb's arguments, help and examples. Parsed once, by both binaries alike.

mod bench;
mod data;
mod score;
#[cfg(feature = "torch")]
mod torch;
mod weights;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

pub use bench::{BenchLoaderArgs, BenchVerb, LoaderCase, LoaderSet};
pub use data::prepare;
pub use data::{CheckArgs, DataVerb, SetArgs, ShowArgs, ShowSplit, SplitArg, StatsArgs, SynthArgs};
pub use score::{
    CityscapesTask, IouTypeArg, LabelMapArgs, ScoreCityscapesArgs, ScoreCommonArgs, ScoreErrorsInstanceArgs,
    ScoreErrorsPanopticArgs, ScoreErrorsSemanticArgs, ScoreErrorsVerb, ScoreInstanceArgs, ScorePanopticArgs,
    ScoreSemanticArgs, ScoreVerb,
};
#[cfg(feature = "torch")]
pub use torch::{
    BatchSize, BenchDtype, BenchModelArgs, BenchOp, BenchOpsArgs, ConfigArgs, ConfigVerb, DeviceArg,
    DoctorArgs, EvalArgs, ForwardArgs, ModelsArgs, PredictArgs, PredictTaskArg, TrainArgs,
};
#[cfg(feature = "torch")]
pub use weights::{ConvertArgs, FromArg, OriginArg, PullArgs};
pub use weights::{InspectArgs, WeightsVerb};

/// Trains, evaluates, runs and scores dense-prediction models
#[derive(Debug, Parser)]
#[command(
    name = "smalti",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Exit codes: 0 done, 1 the run failed, 2 the input or the arguments are wrong.

Example:
  smalti data synth --out data/synth --images 400 --val-images 60 --size 256x256
  smalti train --config configs/synth/upernet_nat_nano.toml --out runs/demo"
)]
pub struct Cli {
    /// How much to say.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Arguments that every verb takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct GlobalArgs {
    /// Say more: -v what is done, -vv why, -vvv every step
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Logging")]
    pub verbose: u8,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Logging")]
    pub quiet: bool,
}

impl GlobalArgs {
    /// The level for [`crate::output::log::init`].
    pub fn verbosity(self) -> i8 {
        if self.quiet { -1 } else { self.verbose.min(3) as i8 }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train a model from a recipe into a run folder
    #[cfg(feature = "torch")]
    Train(TrainArgs),
    /// Score a trained model on its validation set
    #[cfg(feature = "torch")]
    Eval(EvalArgs),
    /// Segment images: overlays with legend, and label maps; or classify them
    #[cfg(feature = "torch")]
    Predict(PredictArgs),
    /// Run a network on given tensors and write its features and logits, for comparisons
    #[cfg(feature = "torch")]
    Forward(ForwardArgs),
    /// Show or check a recipe
    #[cfg(feature = "torch")]
    #[command(subcommand)]
    Config(ConfigVerb),
    /// List the model variants: parameters, arithmetic, and what their authors report
    #[cfg(feature = "torch")]
    Models(ModelsArgs),
    /// Check this machine: libtorch, devices, and each native op against its slow reference
    #[cfg(feature = "torch")]
    Doctor(DoctorArgs),
    /// Time parts of smalti on this machine
    #[command(subcommand)]
    Bench(BenchVerb),
    /// Score predictions on disk against ground truth on disk; needs no libtorch
    #[command(subcommand)]
    Score(ScoreVerb),
    /// Make, check, look at and count data sets; needs no libtorch
    #[command(subcommand)]
    Data(DataVerb),
    /// Look into checkpoints of any origin, and convert them
    #[command(subcommand)]
    Weights(WeightsVerb),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

/// `smalti completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  smalti completions bash > ~/.local/share/bash-completion/completions/smalti")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    /// Walks all verbs: a purpose in one line, and an example that parses.
    #[test]
    fn every_verb_has_a_purpose_and_an_example_that_parses() {
        fn walk(command: &clap::Command, path: &str, leaves: &mut usize) {
            for verb in command.get_subcommands().filter(|c| c.get_name() != "help") {
                let path = format!("{path} {}", verb.get_name());
                let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty() && !about.contains('\n') && about.len() < 100, "{path}: {about:?}");
                if verb.has_subcommands() {
                    walk(verb, &path, leaves);
                    continue;
                }
                *leaves += 1;
                let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                let examples: Vec<_> =
                    help.lines().filter(|l| l.trim_start().starts_with("smalti ")).collect();
                assert!(!examples.is_empty(), "{path}: no example in {help:?}");
                for example in examples {
                    assert!(example.trim_start().starts_with(&path), "{path}: {example}");
                    let words = example.split_whitespace().take_while(|w| *w != ">" && *w != "|");
                    if let Err(err) = Cli::try_parse_from(words) {
                        panic!("{example}: {err}");
                    }
                }
            }
        }
        let mut leaves = 0;
        walk(&Cli::command(), "smalti", &mut leaves);
        let expected = if cfg!(feature = "torch") { 34 } else { 22 };
        assert_eq!(leaves, expected);
    }
}
