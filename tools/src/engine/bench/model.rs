//! `smalti bench model`: image classifiers of every family, as a table and as JSON.

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::{BatchSize, BenchModelArgs};
use smalti::output::{self, InputError, Progress, Rows};
use smalti_backbones::catalog::{count_classifier, variants};
use smalti_backbones::{Classifier, Variant};
use smalti_ops::bench_cases::Timer;
use smalti_ops::runtime::runtime_facts;
use tch::nn::VarStore;
use tch::{Kind, Tensor, no_grad};

use super::{digits, memory};
use crate::models::named;
use crate::session::named_device;

/// Calls before those that count: the first one faults memory in, the second finds everything warm.
const WARM_UPS: usize = 2;
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

/// One row of the result.
#[derive(Serialize)]
struct Measured {
    family: &'static str,
    variant: &'static str,
    batch: i64,
    size: i64,
    ms: f64,
    images_per_second: f64,
    /// Giga multiply-adds of the forward pass over the batch.
    forward_gmac: f64,
    /// Giga multiply-adds a second; a backward pass counts two times the forward's.
    gmac_per_second: f64,
    /// Megabytes that the passes take beyond the weights.
    memory_mb: Option<f64>,
}

/// Runs the verb.
pub fn run(args: &BenchModelArgs) -> Result<()> {
    let device = named_device(args.device)?;
    let chosen = chosen(args)?;
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

    let bar = Progress::new("bench", (chosen.len() * args.batch.len()) as u64);
    for variant in &chosen {
        for &batch in &args.batch {
            bar.message(&format!("{} {}, {}x{}", variant.family, variant.name, batch.images, batch.side));
            report.results.push(measure(variant, batch, args.train, &timer)?);
            bar.inc(1);
        }
    }
    bar.finish();
    print(&report);
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

fn measure(variant: &Variant, batch: BatchSize, train: bool, timer: &Timer) -> Result<Measured> {
    let BatchSize { images, side } = batch;
    let count = count_classifier(&variant.config, CLASSES, [side, side])?;
    let forward_gmac = images as f64 * count.multiply_adds() as f64 / 1e9;
    let store = VarStore::new(timer.device);
    let classifier = Classifier::new(&store.root(), &variant.config, CLASSES)?;
    let input = Tensor::randn([images, 3, side, side], (Kind::Float, timer.device));
    let mut parameters = store.trainable_variables();
    let mut seconds = 0.0;
    let peak = memory::peak_mb(|| {
        seconds = timer.median_seconds(|| {
            if train {
                classifier.forward_t(&input, true).sum(Kind::Float).backward();
                parameters.iter_mut().for_each(Tensor::zero_grad);
            } else {
                drop(no_grad(|| classifier.forward_t(&input, false)));
            }
        });
    });
    let passes = if train { 3.0 } else { 1.0 };
    Ok(Measured {
        family: variant.family,
        variant: variant.name,
        batch: images,
        size: side,
        ms: seconds * 1e3,
        images_per_second: images as f64 / seconds,
        forward_gmac,
        gmac_per_second: passes * forward_gmac / seconds,
        memory_mb: peak.filter(|_| !timer.device.is_cuda()), // the process's own memory says nothing of a GPU's
    })
}

fn print(report: &Report) {
    let time = if report.train { "forward + backward ms" } else { "forward ms" };
    let header = ["family", "variant", "batch", "size", time, "images/s", "GMAC", "GMAC/s", "memory MB"];
    let mut rows = Rows::new(header).text_column(1);
    for result in &report.results {
        rows.push([
            result.family.to_owned(),
            result.variant.to_owned(),
            result.batch.to_string(),
            result.size.to_string(),
            digits(result.ms),
            format!("{:.1}", result.images_per_second),
            format!("{:.2}", result.forward_gmac),
            format!("{:.0}", result.gmac_per_second),
            result.memory_mb.map_or_else(|| "-".to_owned(), |mb| format!("{mb:.0}")),
        ]);
    }
    rows.print();
}
