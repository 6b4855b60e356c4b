//! Protocols of semantic segmentation.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use ndarray::Array2;
use smalti::cli::EvalArgs;
use smalti::draw;
use smalti::output::Progress;
use smalti_configs::{AnyRun, Protocol};
use smalti_datasets::{Benchmark, DataConfig, Sample, SemanticSet, Split};
use smalti_training::{PixelTask, TrainError};

use super::cityscapes::{Pixels, label_ids};
use super::compare_classes;
use super::folder::Folder;
use super::official::Official;
use crate::eval::{self, MaskSession};
use crate::session::Session;

/// Scores a network on a benchmark's validation images.
pub fn score(
    protocol: &Protocol,
    benchmark: Benchmark,
    recipe: AnyRun,
    args: &EvalArgs,
    folder: Option<Folder>,
) -> Result<Official> {
    let data_root = args.data_root.as_deref();
    let open = |data: &DataConfig| SemanticSet::open(data, Split::Val, data_root).map(Arc::new);
    if matches!(recipe, AnyRun::SemanticMask(_)) {
        let session = MaskSession::with_recipe(&args.weights, recipe, data_root)?;
        compare_classes(protocol, &session.classes, &args.weights)?;
        let task = eval::mask_task(&session, &open(&session.config.data)?)?;
        return score_task(benchmark, &task, folder);
    }
    let session = Session::with_recipe(&args.weights, recipe, data_root)?;
    compare_classes(protocol, &session.classes, &args.weights)?;
    score_task(benchmark, &eval::task(&session, &open(&session.config.data)?), folder)
}

fn score_task(benchmark: Benchmark, task: &impl PixelTask, folder: Option<Folder>) -> Result<Official> {
    let validation = task.validation();
    let mut pixels = (benchmark == Benchmark::Cityscapes).then(Pixels::default);
    let values = values(benchmark, validation.classes().len());
    let places: HashMap<&str, usize> = (0..validation.len()).map(|i| (validation.name(i), i)).collect();

    let bar = Progress::new("evaluate", validation.len() as u64);
    let scores = task.score(
        &mut |_, _| {
            bar.inc(1);
            true
        },
        &mut |sample, predicted| {
            let written: Vec<u8> = predicted.iter().map(|&class| values[usize::from(class)]).collect();
            if let (Some(pixels), Some(&i)) = (&mut pixels, places.get(sample.name.as_str())) {
                pixels.add(&written, validation.paths(i).1)?;
            }
            folder.as_ref().map_or(Ok(()), |folder| write(folder, benchmark, sample, written))
        },
    )?;
    let scores = scores.ok_or_else(|| anyhow!("the evaluation was stopped"))?;
    bar.finish();
    folder.map_or(Ok(()), Folder::finish)?;
    match pixels {
        Some(pixels) => Official::of_pixels(&pixels.finish()),
        None => Official::of_labels(&scores),
    }
}

/// The value of each class in a submission: label ids of Cityscapes, of ADE20K 1 to 150, of COCO, which asks for no such maps,
/// the class ids.
fn values(benchmark: Benchmark, classes: usize) -> Vec<u8> {
    match benchmark {
        Benchmark::Cityscapes => label_ids(),
        Benchmark::Ade20k => (1..=classes as u8).collect(), // tables hold at most 255 classes
        Benchmark::CocoPanoptic => (0..classes as u8).collect(),
    }
}

/// A grey PNG with the name of the image; of Cityscapes with that of the frame in front.
fn write(folder: &Folder, benchmark: Benchmark, sample: &Sample, values: Vec<u8>) -> Result<(), TrainError> {
    let stem = sample.name.rsplit('/').next().unwrap_or_default();
    let name = match benchmark {
        Benchmark::Cityscapes => {
            format!("{}_pred_labelIds.png", stem.strip_suffix("_leftImg8bit").unwrap_or(stem))
        }
        Benchmark::Ade20k | Benchmark::CocoPanoptic => format!("{stem}.png"),
    };
    let map = Array2::from_shape_vec(sample.labels.raw_dim(), values).map_err(anyhow::Error::from);
    folder.write(&name, map.and_then(|map| draw::grey_png_bytes(&map)))
}
