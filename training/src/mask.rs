//! The tasks of mask classifiers: panoptic and instance segmentation by Mask2Former, scored at the images' own size.

mod predict;
mod score;

use std::iter;
use std::sync::Arc;

use smalti_backbones::Anatomy;
use smalti_datasets::loader::EvalLoader;
use smalti_datasets::transform::segments::{SegmentBatch, SegmentTargets};
use smalti_datasets::{SegmentDataConfig, SegmentEvalSample, SegmentSet, SegmentSource, SegmentTask, Shard};
use smalti_heads::MaskModel;
use smalti_heads::mask::MaskCriterion;
use smalti_heads::mask::criterion::LayerLosses;
use smalti_heads::mask::post::MaskInferenceConfig;
use smalti_heads::mask::targets::MaskTarget;
use smalti_ops::copies::HostArray;
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::batch::{array, class_ids, exactly, one_image};
use crate::feed::Feed;
use crate::overlap::{self, count_overlapped};
use crate::precision::Precision;
use crate::task::{Counts, EvalProgress, Evaluation, Losses, Task};

pub(crate) use predict::logits;
pub use predict::{MaskLogits, MaskPredictor, MaskResults, Wanted};
pub use score::{MaskPart, MaskScorer, MaskScores};

/// A mask classifier with its criterion and its validation set.
#[derive(Debug)]
pub struct MaskTask<'a> {
    /// The network.
    pub model: &'a MaskModel,
    /// The criterion.
    pub criterion: MaskCriterion,
    /// How predictions are made.
    pub inference: MaskInferenceConfig,
    /// Arithmetic of the network.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// Images to score on.
    pub validation: Arc<SegmentSet>,
    /// Sizes in evaluation, normalisation and threads.
    pub data: SegmentDataConfig,
}

impl Task for MaskTask<'_> {
    type Source = SegmentSource<SegmentSet>;

    fn anatomy(&self) -> Anatomy {
        self.model.anatomy()
    }

    fn arrays(batch: &SegmentBatch) -> Vec<HostArray<'_>> {
        iter::once(array(&batch.images)).chain(batch.targets.iter().flat_map(target_arrays)).collect()
    }

    fn losses(&self, _: &SegmentBatch, tensors: Vec<Tensor>) -> Result<Losses, TrainError> {
        let [images, targets @ ..] = tensors.as_slice() else { panic!("expected tensors, got none") };
        let with_labelled = self.criterion.config().ignore_unlabelled;
        let (targets, _) = targets.as_chunks::<2>();
        let targets: Vec<MaskTarget> =
            targets.iter().map(|[classes, masks]| target(classes, masks, with_labelled)).collect();
        losses(self.model, &self.criterion, self.precision, images, &targets)
    }

    fn evaluate(&self, progress: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError> {
        let scores = self.score(progress, &mut |_, _| Ok(()))?;
        Ok(scores.as_ref().map(MaskScores::evaluation))
    }
}

/// Losses of a mask classifier for `images` `[B, 3, H, W]`, whatever their targets are made of.
pub(crate) fn losses(
    model: &MaskModel,
    criterion: &MaskCriterion,
    precision: Precision,
    images: &Tensor,
    targets: &[MaskTarget],
) -> Result<Losses, TrainError> {
    let num_masks = criterion.num_masks(targets)?;
    let output = {
        let _autocast = precision.guard(images.device())?;
        model.forward_t(images, true)?
    };
    // Outside autocast: costs and losses need f32.
    let losses = criterion.forward(&output.layers(), targets, num_masks)?;
    let config = criterion.config();
    let term = |pick: fn(&LayerLosses) -> &Tensor, weight: f64| {
        let values: Vec<Tensor> = losses.layers.iter().map(|layer| pick(layer).detach()).collect();
        Tensor::stack(&values, 0).sum(None::<Kind>) * weight
    };
    let parts = vec![
        ("loss_class", term(|layer| &layer.class, config.class_weight)),
        ("loss_mask", term(|layer| &layer.mask, config.mask_weight)),
        ("loss_dice", term(|layer| &layer.dice, config.dice_weight)),
        ("num_masks", Tensor::from(num_masks)),
    ];
    Ok(Losses { total: losses.total, parts })
}

/// Receives every image of an evaluation in order, on another thread, with all that was predicted of it.
pub type MaskSink<'a> = dyn FnMut(&SegmentEvalSample, &MaskResults) -> Result<(), TrainError> + Send + 'a;

impl MaskTask<'_> {
    /// What predicts as this task's evaluation does.
    pub fn predictor(&self) -> MaskPredictor<'_> {
        let things = self.validation.classes().iter().map(|class| class.is_thing).collect();
        MaskPredictor {
            model: self.model,
            inference: &self.inference,
            precision: self.precision,
            device: self.device,
            things,
        }
    }

    /// What the evaluation of this set needs of every image.
    pub fn wanted(&self) -> Wanted {
        let panoptic = self.validation.task() == SegmentTask::Panoptic;
        Wanted { panoptic, instances: true, semantic: panoptic }
    }

    /// Scores the validation set image by image, all from one forward pass each, and hands every prediction to `sink`; `None`
    /// if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image or its annotations can not be read, and what `sink` returns.
    pub fn score(
        &self,
        progress: &mut EvalProgress<'_>,
        sink: &mut MaskSink<'_>,
    ) -> Result<Option<MaskScores>, TrainError> {
        let counted = self.count(Shard::WHOLE, progress, sink)?;
        counted.map(|scorer| scorer.finish()).transpose()
    }

    /// Counts a shard of the validation set as [`MaskTask::score`] does all of it. Results are made of the network's logits,
    /// counted and handed to `sink` while the network is at the next image.
    ///
    /// # Errors
    /// As for [`MaskTask::score`].
    pub fn count(
        &self,
        shard: Shard,
        progress: &mut EvalProgress<'_>,
        sink: &mut MaskSink<'_>,
    ) -> Result<Option<MaskScorer>, TrainError> {
        let set = &self.validation;
        let add = |scorer: &mut MaskScorer, sample: &SegmentEvalSample, results: &MaskResults| {
            scorer.add(&set.image_id(sample.index), sample, results)
        };
        self.count_by(shard, self.wanted(), progress, (MaskScorer::new(set)?, add), sink)
    }

    /// Counts what is `wanted` of a shard in another way than [`MaskTask::count`]: threads have a clone of the counter each, to which
    /// `add` adds an image. `None` if `progress` stopped it.
    ///
    /// # Errors
    /// As for [`MaskTask::score`], and what `add` returns.
    pub fn count_by<C: Counts>(
        &self,
        shard: Shard,
        wanted: Wanted,
        progress: &mut EvalProgress<'_>,
        (counter, add): (
            C,
            impl Fn(&mut C, &SegmentEvalSample, &MaskResults) -> Result<(), TrainError> + Sync,
        ),
        sink: &mut MaskSink<'_>,
    ) -> Result<Option<C>, TrainError> {
        let predictor = self.predictor();
        let samples = EvalLoader::of_segments(Arc::clone(&self.validation), &self.data, shard)?;
        let total = samples.len();
        let forward = |(sample, tensors): (SegmentEvalSample, Vec<Tensor>)| {
            let [input] = exactly(tensors); // [1, 3, H', W']
            let (height, width, _) = sample.sample.image.dim();
            let logits = predictor.forward(&input, sample.view.valid, [height, width])?;
            Ok::<_, TrainError>((sample, logits))
        };
        let mut stopped = false;
        let (inference, things) = (&self.inference, &predictor.things);
        let counted = Feed::to(self.device).run(
            samples.map(|sample| Ok(sample?)),
            |sample| vec![one_image(&sample.view.image)],
            |samples| {
                let outputs = samples.zip(1..).map_while(|(sample, done)| {
                    let output = sample.and_then(forward);
                    stopped = !progress(done, total);
                    (!stopped).then_some(output)
                });
                count_overlapped(
                    outputs,
                    overlap::threads(&self.data.loader),
                    counter,
                    |counter, (sample, logits)| {
                        let results = logits.results(inference, things, wanted)?;
                        add(counter, sample, &results)?;
                        Ok(results)
                    },
                    |(sample, _), results| sink(sample, results),
                )
            },
        )??;
        Ok((!stopped).then_some(counted))
    }
}

/// What of the targets of one image goes to the device, for [`target`].
fn target_arrays(targets: &SegmentTargets) -> [HostArray<'_>; 2] {
    [class_ids(&targets.classes), array(&targets.masks)]
}

/// The targets of one image: `classes` `[N]` i64, `masks` `[N, H, W]` u8. In panoptic sets the segments cover all that is labelled.
fn target(classes: &Tensor, masks: &Tensor, with_labelled: bool) -> MaskTarget {
    let labelled = with_labelled.then(|| match *masks.size() {
        // The largest of no masks is not defined.
        [0, height, width] => Tensor::zeros([height, width], (masks.kind(), masks.device())),
        _ => masks.amax([0], false), // [H, W]
    });
    MaskTarget { classes: classes.shallow_clone(), masks: masks.shallow_clone(), labelled }
}
