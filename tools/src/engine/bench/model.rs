//! `smalti bench model`: image classifiers of every family, or the network of a recipe, as a table and as JSON.

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::{BatchSize, BenchModelArgs};
use smalti::output::{self, InputError, Progress};
use smalti_backbones::catalog::{count_classifier, variants};
use smalti_backbones::{Classifier, Variant};
use smalti_ops::bench_cases::Timer;
use smalti_ops::runtime::runtime_facts;
use tch::nn::VarStore;
use tch::{Kind, Tensor, no_grad};

use super::network::{self, Case, Measured, WARM_UPS};
use super::recipe;
use crate::models::named;
use crate::session::named_device;

const CLASSES: i64 = 1000;

#[derive(Serialize)]
struct Report {
    smalti: &'static str,
    libtorch: String,
    device: String,
    threads: i32,
    repeat: u32,
    /// Whether a backward pass is part of every time.
    train: bool,
    results: Vec<Measured>,
}

/// Runs the verb.
pub fn run(args: &BenchModelArgs) -> Result<()> {
    let device = named_device(args.device)?;
    let mut report = Report {
        smalti: env!("CARGO_PKG_VERSION"),
        libtorch: runtime_facts()?.version,
        device: format!("{device:?}").to_lowercase(),
        threads: tch::get_num_threads(),
        repeat: args.repeat,
        train: args.train,
        results: Vec::new(),
    };
    let timer = Timer { device, warm_ups: WARM_UPS, repeat: args.repeat as usize };
    output::line(&format!("{} threads, {}, libtorch {}", report.threads, report.device, report.libtorch));
    report.results = match &args.config {
        Some(path) => recipe::measure(args, path, &timer)?,
        None => classifiers(args, &timer)?,
    };
    network::print(&report.results, report.train);
    if let Some(path) = &args.json {
        output::write_json(path, &report)?;
    }
    Ok(())
}

/// The variants asked for that are not too large.
fn chosen(args: &BenchModelArgs) -> Result<Vec<Variant>> {
    let mut all = Vec::new();
    for filter in &args.filter {
        all.extend(named(filter)?);
    }
    if args.filter.is_empty() {
        all = variants();
    }
    let mut chosen = Vec::new();
    for variant in all {
        if variant.config.parameters(CLASSES)?.classifier <= i64::from(args.max_params) * 1_000_000 {
            chosen.push(variant);
        }
    }
    if chosen.is_empty() {
        bail!(InputError::new(format!(
            "`--max-params {}`: every variant asked for has more million parameters",
            args.max_params
        )));
    }
    Ok(chosen)
}

/// Times every classifier asked for.
fn classifiers(args: &BenchModelArgs, timer: &Timer) -> Result<Vec<Measured>> {
    let chosen = chosen(args)?;
    let bar = Progress::new("bench", (chosen.len() * args.batch.len()) as u64);
    let mut results = Vec::new();
    for variant in &chosen {
        for &batch in &args.batch {
            bar.message(&format!("{} {}, {}x{}", variant.family, variant.name, batch.images, batch.side));
            results.push(measure(variant, batch, args.train, timer)?);
            bar.inc(1);
        }
    }
    bar.finish();
    Ok(results)
}

fn measure(variant: &Variant, batch: BatchSize, train: bool, timer: &Timer) -> Result<Measured> {
    let BatchSize { images, side } = batch;
    let multiply_adds = count_classifier(&variant.config, CLASSES, [side, side])?.multiply_adds();
    let store = VarStore::new(timer.device);
    let classifier = Classifier::new(&store.root(), &variant.config, CLASSES)?;
    let input = Tensor::randn([images, 3, side, side], (Kind::Float, timer.device));
    let mut parameters = store.trainable_variables();
    let case = Case { family: variant.family, variant: variant.name, batch, multiply_adds, train };
    case.measure(timer, || {
        if train {
            classifier.forward_t(&input, true).sum(Kind::Float).backward();
            parameters.iter_mut().for_each(Tensor::zero_grad);
        } else {
            drop(no_grad(|| classifier.forward_t(&input, false)));
        }
        Ok(())
    })
}
