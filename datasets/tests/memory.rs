//! A loader holds as much memory after a hundred thousand samples as after ten thousand. A test binary of its own, as memory
//! is that of the process.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests: they stop where they cannot go on"
)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use smalti_datasets::config::{FlipConfig, LoaderConfig, NormalizeConfig};
use smalti_datasets::synth::{SynthLayout, SynthOptions, generate};
use smalti_datasets::transform::resize_filter::ResizeFilter;
use smalti_datasets::transform::segments::{LargeScaleJitterConfig, SegmentAugmentConfig};
use smalti_datasets::{IndexCache, Loader, SegmentDataConfig, SegmentSet, SegmentSource, SegmentTask, Split};

/// What buffers that find their largest size late may add, in KiB.
const GROWTH: u64 = 6 << 10;

/// Tests of this file take turns.
static ALONE: Mutex<()> = Mutex::new(());

/// Memory in use, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// A stream over 200 generated images of 64x64 with their segments.
fn stream(folder: &Path, task: SegmentTask) -> Loader<SegmentSource<SegmentSet>> {
    let options = SynthOptions {
        out: folder.join("set"),
        images: 200,
        val_images: 0,
        size: (64, 64),
        seed: 3,
        layout: SynthLayout::Panoptic,
    };
    generate(&options, &|_, _| ()).unwrap();
    let (kind, labels) = match task {
        SegmentTask::Instance => ("instances", ""),
        SegmentTask::Panoptic => ("panoptic", "labels = \"panoptic_train\""),
    };
    let train = format!("images = \"train\"\nannotations = \"annotations/{kind}_train.json\"\n{labels}");
    let root = options.out.display();
    let cfg: SegmentDataConfig = toml::from_str(&format!("root = \"{root}\"\n[train]\n{train}")).unwrap();
    let set = SegmentSet::open_with(&cfg, task, Split::Train, None, &IndexCache::none()).unwrap();
    let augment = [
        SegmentAugmentConfig::Flip(FlipConfig::default()),
        SegmentAugmentConfig::LargeScaleJitter(LargeScaleJitterConfig {
            size: [64, 64],
            scale: [0.1, 2.0],
            filter: ResizeFilter::Pil,
        }),
    ];
    let source = SegmentSource::new(Arc::new(set), &augment, &NormalizeConfig::default());
    let cfg = LoaderConfig { batch_size: 8, workers: 2, ..LoaderConfig::default() };
    Loader::over(Arc::new(source), &cfg, 1, 0).unwrap()
}

/// Draws `samples`, and refuses growth after the first tenth of them.
fn stays_flat(task: SegmentTask, samples: usize) {
    let _alone = ALONE.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut loader = stream(folder.path(), task);
    let mut draw = |samples: usize| {
        for _ in 0..samples / 8 {
            let batch = loader.next().unwrap();
            assert_eq!(batch.images.dim(), (8, 3, 64, 64));
            loader.recycle(batch);
        }
        resident()
    };
    let early = draw(samples / 10);
    let late = draw(samples - samples / 10);
    println!("{task}: {early} KiB after {}, {late} KiB after {samples} samples", samples / 10);
    assert!(late <= early + GROWTH, "{task}: {early} KiB, then {late} KiB");
}

#[test]
fn ten_thousand_samples_take_what_one_thousand_do() {
    stays_flat(SegmentTask::Panoptic, 10_000);
    stays_flat(SegmentTask::Instance, 10_000);
}

#[test]
#[ignore = "takes minutes; run with --release -- --ignored --nocapture"]
fn a_hundred_thousand_samples_take_what_ten_thousand_do() {
    stays_flat(SegmentTask::Panoptic, 100_000);
    stays_flat(SegmentTask::Instance, 100_000);
}
