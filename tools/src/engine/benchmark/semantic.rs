//! Protocols of semantic segmentation.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Result;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use smalti::draw;
use smalti::output::Progress;
use smalti_configs::AnyRun;
use smalti_datasets::{Benchmark, DataConfig, Sample, SemanticSet, Split};
use smalti_evaluation::EvalError;
use smalti_evaluation::cityscapes::{PixelCounts, PixelPart};
use smalti_evaluation::semantic::ConfusionMatrix;
use smalti_training::{Counts, PixelTask, semantic};

use super::cityscapes::{add_pixels, label_ids};
use super::official::Official;
use super::submission::OfImage;
use super::{Call, stopped};
use crate::eval::parts::Evaluated;
use crate::eval::{self, MaskSession};
use crate::session::Session;

/// Scores a network on a benchmark's validation images; none if this process counts a shard of them.
pub fn score(call: &Call<'_>, benchmark: Benchmark, recipe: AnyRun) -> Result<Option<Official>> {
    let (weights, data_root) = (&call.args.weights, call.args.data_root.as_deref());
    let open = |data: &DataConfig| SemanticSet::open(data, Split::Val, data_root).map(Arc::new);
    if matches!(recipe, AnyRun::SemanticMask(_)) {
        let session = MaskSession::with_recipe(weights, recipe, data_root)?;
        call.compare_classes(&session.classes)?;
        let task = eval::mask_task(&session, &open(&session.config.data)?)?;
        return score_task(call, benchmark, &task, &session.config.to_toml());
    }
    let session = Session::with_recipe(weights, recipe, data_root)?;
    call.compare_classes(&session.classes)?;
    let task = eval::task(&session, &open(&session.config.data)?);
    score_task(call, benchmark, &task, &session.config.to_toml())
}

fn score_task(
    call: &Call<'_>,
    benchmark: Benchmark,
    task: &impl PixelTask,
    recipe: &str,
) -> Result<Option<Official>> {
    let set = task.validation();
    let values = values(benchmark, set.classes().len());
    let written =
        |predicted: &[u8]| -> Vec<u8> { predicted.iter().map(|&class| values[usize::from(class)]).collect() };
    let places: HashMap<&str, usize> = (0..set.len()).map(|i| (set.name(i), i)).collect();
    let empty = || match benchmark {
        Benchmark::Cityscapes => Counter::Cityscapes(Box::default()),
        Benchmark::Ade20k | Benchmark::CocoPanoptic => Counter::Classes(task.counter()),
    };
    let add = |counter: &mut Counter, sample: &Sample, predicted: &[u8]| match counter {
        Counter::Classes(confusion) => semantic::add_prediction(confusion, sample, predicted),
        Counter::Cityscapes(counts) => {
            let labels = set.paths(places[sample.name.as_str()]).1;
            add_pixels(counts, &written(predicted), labels)
        }
    };

    let evaluated = || {
        let names = (0..set.len()).map(|i| set.name(i).to_owned());
        let classes = set.classes().names().map(str::to_owned);
        Evaluated::new(&call.args.weights, recipe, names, classes)
    };
    let counted = call.counted(
        None,
        evaluated,
        || Ok(empty()),
        |shard, mut submission| {
            let bar = Progress::new("evaluate", shard.images(set.len(), 1) as u64);
            let counted = task.count_by(
                shard,
                &mut |_, _| {
                    bar.inc(1);
                    true
                },
                (empty(), add),
                &mut |sample, predicted| match &mut submission {
                    Some(submission) => submission.add(of_image(benchmark, sample, written(predicted))),
                    None => Ok(()),
                },
            )?;
            bar.finish();
            counted.ok_or_else(stopped)
        },
    )?;
    let official = |counter: Counter| match counter {
        Counter::Classes(confusion) => Official::of_labels(&task.scores(&confusion)?),
        Counter::Cityscapes(counts) => Official::of_pixels(&counts.finish()),
    };
    counted.map(official).transpose()
}

/// The official counts of a benchmark.
#[derive(Clone)]
enum Counter {
    Classes(ConfusionMatrix),
    /// Cityscapes' own.
    Cityscapes(Box<PixelCounts>),
}

/// What was counted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CounterPart {
    Classes(Vec<u64>),
    Cityscapes(PixelPart),
}

impl Counts for Counter {
    type Part = CounterPart;

    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        match (self, other) {
            (Self::Classes(confusion), Self::Classes(other)) => confusion.merge(other),
            (Self::Cityscapes(counts), Self::Cityscapes(other)) => counts.merge(PixelCounts::clone(other)),
            _ => Err(EvalError::Unlike { what: "scorer" }),
        }
    }

    fn part(&self) -> CounterPart {
        match self {
            Self::Classes(confusion) => CounterPart::Classes(confusion.part()),
            Self::Cityscapes(counts) => CounterPart::Cityscapes(counts.part()),
        }
    }

    fn add_part(&mut self, part: CounterPart) -> Result<(), EvalError> {
        match (self, part) {
            (Self::Classes(confusion), CounterPart::Classes(part)) => confusion.add_part(part),
            (Self::Cityscapes(counts), CounterPart::Cityscapes(part)) => counts.add_part(part),
            _ => Err(EvalError::Unlike { what: "scorer" }),
        }
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
fn of_image(benchmark: Benchmark, sample: &Sample, values: Vec<u8>) -> OfImage {
    let stem = sample.name.rsplit('/').next().unwrap_or_default();
    let name = match benchmark {
        Benchmark::Cityscapes => {
            format!("{}_pred_labelIds.png", stem.strip_suffix("_leftImg8bit").unwrap_or(stem))
        }
        Benchmark::Ade20k | Benchmark::CocoPanoptic => format!("{stem}.png"),
    };
    let map = Array2::from_shape_vec(sample.labels.raw_dim(), values).map_err(anyhow::Error::from);
    let mut of_image = OfImage::default();
    of_image.file(name, map.and_then(|map| draw::grey_png_bytes(&map)));
    of_image
}
