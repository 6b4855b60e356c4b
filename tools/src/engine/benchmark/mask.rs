//! Protocols of panoptic and instance segmentation.

use anyhow::{Result, bail};
use smalti::cli::EvalArgs;
use smalti::output::Progress;
use smalti_configs::{AnyRun, Protocol};
use smalti_datasets::segment_set::SegmentBenchmark;
use smalti_datasets::{SegmentEvalSample, SegmentSet, SegmentTask, Split};
use smalti_training::TrainError;
use smalti_training::mask::{MaskResults, MaskScorer, Wanted};

use super::cityscapes::Objects;
use super::compare_classes;
use super::folder::Folder;
use super::mask_files::MaskFiles;
use super::official::Official;
use crate::mask::{Session, task};

/// Scores a network on a benchmark's validation images.
pub fn score(
    protocol: &Protocol,
    recipe: AnyRun,
    args: &EvalArgs,
    folder: Option<Folder>,
) -> Result<Official> {
    let data_root = args.data_root.as_deref();
    let session = Session::with_recipe(&args.weights, recipe, data_root)?;
    compare_classes(protocol, &session.classes, &args.weights)?;
    let config = &session.config;
    let validation = SegmentSet::open(&config.data, config.segments(), Split::Val, data_root)?;
    let task = task(&session, validation)?;
    let set = &task.validation;
    let mut scorer = Scorer::new(set)?;
    let mut files = folder.map(|folder| MaskFiles::new(folder, set)).transpose()?;
    let panoptic = set.task() == SegmentTask::Panoptic;
    let wanted = Wanted { panoptic, instances: !panoptic, semantic: false };

    let bar = Progress::new("evaluate", set.len() as u64);
    let whole = task.predict_each(
        wanted,
        &mut |_, _| {
            bar.inc(1);
            true
        },
        &mut |sample, results| {
            scorer.add(set, sample, results)?;
            files.as_mut().map_or(Ok(()), |files| files.add(set, sample.index, results))
        },
    )?;
    if !whole {
        bail!("the evaluation was stopped");
    }
    bar.finish();
    files.map_or(Ok(()), MaskFiles::finish)?;
    scorer.finish()
}

/// The official scorer of a set.
enum Scorer {
    /// Panoptic quality, or COCO's AP.
    Coco(Box<MaskScorer>),
    /// Cityscapes' own AP.
    Cityscapes(Box<Objects>),
}

impl Scorer {
    fn new(set: &SegmentSet) -> Result<Self> {
        Ok(match (set.benchmark(), set.task()) {
            (Some(SegmentBenchmark::Cityscapes), SegmentTask::Instance) => Self::Cityscapes(Box::default()),
            _ => Self::Coco(Box::new(MaskScorer::new(set)?)),
        })
    }

    fn add(
        &mut self,
        set: &SegmentSet,
        sample: &SegmentEvalSample,
        results: &MaskResults,
    ) -> Result<(), TrainError> {
        match self {
            Self::Coco(scorer) => scorer.add(&set.image_id(sample.index), sample, results),
            Self::Cityscapes(objects) => {
                objects.add(set, sample.index, results.instances.as_deref().unwrap_or_default())
            }
        }
    }

    fn finish(&self) -> Result<Official> {
        match self {
            Self::Coco(scorer) => {
                let scores = scorer.finish()?;
                match &scores.panoptic {
                    Some(panoptic) => Official::of_panoptic(panoptic),
                    None => Official::of_instances(&scores.instance),
                }
            }
            Self::Cityscapes(objects) => Official::of_objects(&objects.finish()),
        }
    }
}
