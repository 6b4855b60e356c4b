//! `smalti bench loader`: images a second of a training loader, CPU time, memory, and the stages of one thread.

mod cases;
mod stages;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;
use smalti_datasets::loader::Source;
use smalti_datasets::sampler::{Sampler, rng};
use smalti_datasets::{
    DataConfig, DataError, ImageFolder, ImageSource, Loader, LoaderConfig, SegmentDataConfig, SegmentSet,
    SegmentSource, SegmentTask, SemanticSet, SemanticSource, Split, stage,
};

use super::{DataTable, recipe_table};
use crate::cli::{BenchLoaderArgs, LoaderCase, LoaderSet};
use crate::output::{self, InputError, Progress, Rows};
use crate::process;
use stages::StageTimes;

/// Batches that do not count: threads start, files come into the page cache, buffers find their size.
const WARM_UP: usize = 8;

#[derive(Debug, Serialize)]
struct Report {
    smalti: &'static str,
    /// The case, or the recipe.
    case: String,
    /// Images in the set.
    images: usize,
    threads: usize,
    batch_size: usize,
    /// Images that counted.
    samples: usize,
    images_per_second: f64,
    /// CPU time of all threads, an image.
    cpu_ms: f64,
    /// The process's memory at its peak, and in use after a tenth and all of the images.
    peak_mb: Option<f64>,
    resident_mb: [Option<f64>; 2],
    stages: Vec<Spent>,
}

/// CPU time of one thread.
#[derive(Debug, Serialize)]
struct Spent {
    stage: &'static str,
    /// An image.
    cpu_ms: f64,
    share: f64,
}

/// Runs the verb.
pub fn run(args: &BenchLoaderArgs) -> Result<()> {
    let report = match (args.case, &args.config) {
        (Some(LoaderCase::LsjInstance), _) => large_scale_jitter(args, SegmentTask::Instance)?,
        (Some(LoaderCase::LsjPanoptic), _) => large_scale_jitter(args, SegmentTask::Panoptic)?,
        (Some(LoaderCase::Ade), _) => {
            let config = cases::ade(args.benchmark.unwrap_or(LoaderSet::Ade20k), args.data.as_deref())?;
            semantic(args, "ade", &config)?
        }
        (None, Some(file)) => {
            let name = file.display().to_string();
            match recipe_table(file, &args.set)? {
                DataTable::Semantic(config) => semantic(args, &name, &config)?,
                DataTable::Segments(config, task) => segments(args, &name, &config, task)?,
                DataTable::Classification(config) => {
                    let images = Arc::new(ImageFolder::open(&config, Split::Train, root(args))?);
                    measure(args, &name, &config.loader, ImageSource::new(images, &config))?
                }
            }
        }
        (None, None) => bail!(InputError::new("expected a case or --config, got neither")),
    };
    print(&report);
    if let Some(path) = &args.json {
        output::write_json(path, &report)?;
    }
    Ok(())
}

fn root(args: &BenchLoaderArgs) -> Option<&Path> {
    args.data_root.as_deref()
}

fn large_scale_jitter(args: &BenchLoaderArgs, task: SegmentTask) -> Result<Report> {
    let config = cases::lsj(args.benchmark.unwrap_or(LoaderSet::Coco), args.data.as_deref())?;
    segments(args, &format!("lsj-{task}"), &config, task)
}

fn segments(
    args: &BenchLoaderArgs,
    name: &str,
    config: &SegmentDataConfig,
    task: SegmentTask,
) -> Result<Report> {
    let images = SegmentSet::open(config, task, Split::Train, root(args))?.mix(config, root(args))?;
    let source = SegmentSource::mixed(images, &config.augment, &config.normalize);
    measure(args, name, &config.loader, source)
}

fn semantic(args: &BenchLoaderArgs, name: &str, config: &DataConfig) -> Result<Report> {
    let images = SemanticSet::open(config, Split::Train, root(args))?.mix(config, root(args))?;
    measure(args, name, &config.loader, SemanticSource::mixed(images, config))
}

/// Loads batches with all threads, then makes some of them again on this one to tell the stages apart.
fn measure<S: Source>(
    args: &BenchLoaderArgs,
    case: &str,
    config: &LoaderConfig,
    source: S,
) -> Result<Report> {
    let source = Arc::new(source);
    let mut config = config.clone();
    config.workers = args.threads.map_or(config.workers, usize::from);
    let batches = (args.samples as usize).div_ceil(config.batch_size);
    let samples = batches * config.batch_size;

    let mut loader = Loader::over(Arc::clone(&source), &config, args.seed, 0)?;
    for _ in 0..WARM_UP {
        let batch = loader.next()?;
        loader.recycle(batch);
    }
    let bar = Progress::new("load", samples as u64);
    let (begin, cpu) = (Instant::now(), process::cpu_time());
    let mut resident_early = None;
    for number in 1..=batches {
        let batch = loader.next()?;
        loader.recycle(batch);
        if number == batches.div_ceil(10) {
            resident_early = process::resident_mb();
        }
        bar.inc(config.batch_size as u64);
    }
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), process::cpu_time().saturating_sub(cpu));
    let resident_mb = [resident_early, process::resident_mb()];
    let peak_mb = process::peak_mb();
    bar.clear();
    drop(loader);

    // Stages are means over images; some hundred tell enough.
    let some = samples.min(400);
    let times = alone(source.as_ref(), &config, args.seed, some)?;
    Ok(Report {
        smalti: env!("CARGO_PKG_VERSION"),
        case: case.to_owned(),
        images: source.len(),
        threads: config.threads(),
        batch_size: config.batch_size,
        samples,
        images_per_second: samples as f64 / seconds,
        cpu_ms: cpu.as_secs_f64() * 1e3 / samples as f64,
        peak_mb,
        resident_mb,
        stages: by_stage(&times, some),
    })
}

/// Makes the first batches of the stream, of `samples` images in all, on this thread.
fn alone<S: Source>(
    source: &S,
    config: &LoaderConfig,
    seed: u64,
    samples: usize,
) -> Result<StageTimes, DataError> {
    let mut sampler = match source.repeat_factors() {
        None => Sampler::new(source.len(), seed),
        Some(factors) => Sampler::repeating(factors, seed),
    };
    let mut make = |number: usize| {
        let first = number * config.batch_size;
        let draw = |p: usize| {
            let position = sampler.at(p as u64);
            source.sample(position.index, &mut position.rng(seed))
        };
        let samples = (first..first + config.batch_size).map(draw).collect::<Result<_, _>>()?;
        source.recycle(source.batch(samples, &mut rng(seed, number as u64, u64::MAX)));
        Ok(())
    };
    let (made, times) = stages::of(|| (0..samples / config.batch_size).try_for_each(&mut make));
    made.map(|()| times)
}

fn by_stage(times: &StageTimes, samples: usize) -> Vec<Spent> {
    let all = stage::ALL.into_iter().zip(times.stages).chain([("other", times.other)]);
    let total = times.stages.iter().sum::<Duration>() + times.other;
    let row = |(stage, time): (&'static str, Duration)| Spent {
        stage,
        cpu_ms: time.as_secs_f64() * 1e3 / samples as f64,
        share: time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE),
    };
    all.map(row).collect()
}

fn print(report: &Report) {
    let mb = |mb: Option<f64>| mb.map_or_else(|| "-".to_owned(), |mb| format!("{mb:.0}"));
    output::line(&format!("{}: {} images, batches of {}", report.case, report.images, report.batch_size));
    let mut rows = Rows::new([
        "threads",
        "samples",
        "images/s",
        "CPU ms an image",
        "peak MiB",
        "MiB after a tenth",
        "at the end",
    ]);
    let [early, late] = report.resident_mb;
    rows.push([
        report.threads.to_string(),
        report.samples.to_string(),
        format!("{:.1}", report.images_per_second),
        format!("{:.2}", report.cpu_ms),
        mb(report.peak_mb),
        mb(early),
        mb(late),
    ]);
    rows.print();
    let mut rows = Rows::new(["stage, one thread", "CPU ms an image", "%"]);
    for stage in &report.stages {
        let share = format!("{:.1}", stage.share * 100.0);
        rows.push([stage.stage.to_owned(), format!("{:.2}", stage.cpu_ms), share]);
    }
    rows.print();
    if let Some(decode) = report.stages.first().filter(|decode| decode.cpu_ms > 0.0) {
        output::line(&format!(
            "decoding alone: {:.0} images/s a core; loading takes {:.2} times its CPU time",
            1e3 / decode.cpu_ms,
            report.cpu_ms / decode.cpu_ms
        ));
    }
}
