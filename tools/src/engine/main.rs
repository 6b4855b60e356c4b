//! The half of the smalti command that needs libtorch. Users call `smalti`, which hands these verbs over.

mod bench;
mod benchmark;
mod class_names;
mod classification;
mod config;
mod doctor;
mod eval;
mod forward;
mod mask;
mod memory;
mod models;
mod predict;
mod results;
mod run_report;
mod session;
mod train;
mod watch;
mod weights_convert;

use std::process::ExitCode;

use clap::Parser;
use smalti::cli::{BenchVerb, Cli, Verb, WeightsVerb};
use smalti::output;
use smalti_backbones::ModelError;
use smalti_backbones::safetensors_io::SafetensorsError;
use smalti_configs::ConfigError;
use smalti_training::TrainError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::init_log(cli.global.verbosity());
    // Before any thread starts: threads inherit the setting.
    smalti_ops::runtime::flush_denormals(true);
    let result = match &cli.verb {
        Verb::Train(args) => train::run(args),
        Verb::Eval(args) => eval::run(args),
        Verb::Predict(args) => predict::run(args),
        Verb::Forward(args) => forward::run(args),
        Verb::Config(command) => config::run(command),
        Verb::Models(args) => models::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Bench(BenchVerb::Ops(args)) => bench::ops(args),
        Verb::Bench(BenchVerb::Model(args)) => bench::model(args),
        Verb::Weights(WeightsVerb::Convert(args)) => weights_convert::run(args),
        Verb::Score(_)
        | Verb::Data(_)
        | Verb::Bench(BenchVerb::Loader(_))
        | Verb::Weights(WeightsVerb::Inspect(_) | WeightsVerb::Pull(_))
        | Verb::Completions(_) => {
            Err(output::InputError::new("this verb is run by smalti itself, not by smalti-torch").into())
        }
    };
    output::finish_with(result, exit_code)
}

/// Exit code of the errors that only this half knows.
fn exit_code(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = error.downcast_ref::<TrainError>() {
        return Some(error.exit_code());
    }
    if let Some(error) = error.downcast_ref::<ModelError>() {
        return Some(if matches!(error, ModelError::Op(_) | ModelError::Tch(_)) { 1 } else { 2 });
    }
    if let Some(error) = error.downcast_ref::<smalti::report::ReportError>() {
        return Some(error.exit_code());
    }
    if error.is::<ConfigError>() || error.is::<SafetensorsError>() {
        return Some(2);
    }
    None
}
