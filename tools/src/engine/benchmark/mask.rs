//! Protocols of panoptic and instance segmentation.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use smalti::output::Progress;
use smalti_configs::AnyRun;
use smalti_datasets::segment_set::SegmentBenchmark;
use smalti_datasets::{SegmentEvalSample, SegmentSet, SegmentTask, Split};
use smalti_evaluation::EvalError;
use smalti_evaluation::cityscapes::{InstanceAp, InstancePart};
use smalti_training::mask::{MaskPart, MaskResults, MaskScorer, Wanted};
use smalti_training::{Counts, TrainError};

use super::cityscapes::add_instances;
use super::mask_files::MaskFiles;
use super::official::Official;
use super::{Call, stopped};
use crate::eval::parts::Evaluated;
use crate::mask::{Session, task};

/// Scores a network on a benchmark's validation images; none if this process counts a shard of them.
pub fn score(call: &Call<'_>, recipe: AnyRun) -> Result<Option<Official>> {
    let data_root = call.args.data_root.as_deref();
    let session = Session::with_recipe(&call.args.weights, recipe, data_root)?;
    call.compare_classes(&session.classes)?;
    let config = &session.config;
    let validation = SegmentSet::open(&config.data, config.segments(), Split::Val, data_root)?;
    let task = task(&session, validation)?;
    let set = &task.validation;
    let files = MaskFiles::new(set);
    let panoptic = set.task() == SegmentTask::Panoptic;
    let wanted = Wanted { panoptic, instances: !panoptic, semantic: false };
    let add = |scorer: &mut Scorer, sample: &SegmentEvalSample, results: &MaskResults| {
        scorer.add(set, sample, results)
    };

    let evaluated = || {
        let names = (0..set.len()).map(|i| set.name(i));
        let classes = set.classes().names().map(str::to_owned);
        Evaluated::new(&call.args.weights, &config.to_toml(), names, classes)
    };
    let empty = || Ok(Scorer::new(set)?);
    let counted = call.counted(files.listing().as_ref(), evaluated, empty, |shard, mut submission| {
        let bar = Progress::new("evaluate", shard.images(set.len(), 1) as u64);
        let counted = task.count_by(
            shard,
            wanted,
            &mut |_, _| {
                bar.inc(1);
                true
            },
            (Scorer::new(set)?, add),
            &mut |sample, results| match &mut submission {
                Some(submission) => submission.add(files.of_image(set, sample.index, results)?),
                None => Ok(()),
            },
        )?;
        bar.finish();
        counted.ok_or_else(stopped)
    })?;
    counted.map(|scorer| scorer.finish()).transpose()
}

/// The official scorer of a set.
#[derive(Clone)]
enum Scorer {
    /// Panoptic quality, or COCO's AP.
    Coco(Box<MaskScorer>),
    /// Cityscapes' own AP.
    Cityscapes(Box<InstanceAp>),
}

/// What it has counted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScorerPart {
    Coco(MaskPart),
    Cityscapes(InstancePart),
}

impl Scorer {
    fn new(set: &SegmentSet) -> Result<Self, TrainError> {
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
            Self::Cityscapes(ap) => {
                add_instances(ap, set, sample.index, results.instances.as_deref().unwrap_or_default())
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
            Self::Cityscapes(ap) => Official::of_objects(&ap.finish()),
        }
    }
}

impl Counts for Scorer {
    type Part = ScorerPart;

    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        match (self, other) {
            (Self::Coco(scorer), Self::Coco(other)) => scorer.merge(other),
            (Self::Cityscapes(ap), Self::Cityscapes(other)) => {
                ap.merge(InstanceAp::clone(other));
                Ok(())
            }
            _ => Err(EvalError::Unlike { what: "scorer" }),
        }
    }

    fn part(&self) -> ScorerPart {
        match self {
            Self::Coco(scorer) => ScorerPart::Coco(scorer.part()),
            Self::Cityscapes(ap) => ScorerPart::Cityscapes(ap.part()),
        }
    }

    fn add_part(&mut self, part: ScorerPart) -> Result<(), EvalError> {
        match (self, part) {
            (Self::Coco(scorer), ScorerPart::Coco(part)) => scorer.add_part(part),
            (Self::Cityscapes(ap), ScorerPart::Cityscapes(part)) => ap.add_part(part),
            _ => Err(EvalError::Unlike { what: "scorer" }),
        }
    }
}
