//! Semantic segmentation by Mask2Former: the data and scores of [`SemanticTask`](crate::SemanticTask), the network and
//! losses of [`MaskTask`](crate::MaskTask).
//!
//! Reference code: facebookresearch/Mask2Former 9b0651c, `mask_former_semantic_dataset_mapper.py` and `maskformer_model.py`,
//! licence MIT: every class that a crop shows is one target, the unlabelled none; results are those of
//! [`SemanticOrder::ResizeScores`](smalti_heads::mask::post::SemanticOrder).
//! Differs from the reference: padding of training images is 0 after normalisation instead of 128 before it.
//! Shapes: labels `[B, H, W]` -> of each image masks `[N, H, W]`, N the classes that it shows.
//! Checked by: the tests below (targets), `tests/resume/semantic_mask.rs`, `heads/tests/parity_mask_post.rs` (order of results).

mod predict;

use std::sync::Arc;

use ndarray::ArrayView2;
use smalti_backbones::Anatomy;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::transform::segments::EvalView;
use smalti_datasets::{Batch, DataConfig, IGNORE, Image, SemanticSet, SemanticSource};
use smalti_heads::MaskModel;
use smalti_heads::mask::MaskCriterion;
use smalti_heads::mask::post::SemanticMaskInferenceConfig;
use smalti_heads::mask::targets::MaskTarget;
use smalti_ops::copies::HostArray;
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::batch::{array, class_ids};
use crate::mask::losses;
use crate::precision::Precision;
use crate::semantic::{PixelTask, evaluation};
use crate::task::{EvalProgress, Evaluation, Losses, Task};

pub use predict::{SemanticMaskOutput, SemanticMaskPredictor};

/// A mask classifier of label maps with its criterion and its validation set.
#[derive(Debug)]
pub struct SemanticMaskTask<'a> {
    /// The network.
    pub model: &'a MaskModel,
    /// The criterion.
    pub criterion: MaskCriterion,
    /// How predictions are made.
    pub inference: SemanticMaskInferenceConfig,
    /// Arithmetic of the network.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// Images to score on.
    pub validation: Arc<SemanticSet>,
    /// Sizes in evaluation, normalisation and threads.
    pub data: DataConfig,
}

impl Task for SemanticMaskTask<'_> {
    type Source = SemanticSource;

    fn anatomy(&self) -> Anatomy {
        self.model.anatomy()
    }

    fn arrays(batch: &Batch) -> Vec<HostArray<'_>> {
        let classes = batch.labels.outer_iter().map(|map| class_ids(&present(&map)));
        [array(&batch.images), array(&batch.labels)].into_iter().chain(classes).collect()
    }

    fn losses(&self, _: &Batch, tensors: Vec<Tensor>) -> Result<Losses, TrainError> {
        let [images, labels, classes @ ..] = tensors.as_slice() else {
            panic!("expected tensors of images, labels and classes, got {}", tensors.len())
        };
        let with_labelled = self.criterion.config().ignore_unlabelled;
        let images_classes = (0..).zip(classes);
        let targets: Vec<MaskTarget> = images_classes
            .map(|(image, classes)| target(&labels.get(image), classes, with_labelled))
            .collect();
        losses(self.model, &self.criterion, self.precision, images, &targets)
    }

    fn evaluate(&self, progress: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError> {
        let scores = self.score(progress, &mut |_, _| Ok(()))?;
        Ok(scores.as_ref().map(evaluation))
    }
}

impl PixelTask for SemanticMaskTask<'_> {
    type Output = SemanticMaskOutput;

    fn validation(&self) -> &Arc<SemanticSet> {
        &self.validation
    }

    fn data(&self) -> &DataConfig {
        &self.data
    }

    fn device(&self) -> Device {
        self.device
    }

    fn forward(
        &self,
        image: &Image,
        view: &EvalView,
        input: &Tensor,
    ) -> Result<SemanticMaskOutput, TrainError> {
        self.predictor().forward(image, view, input)
    }

    fn classes(output: &SemanticMaskOutput) -> Result<Vec<u8>, TrainError> {
        output.classes()
    }
}

impl SemanticMaskTask<'_> {
    /// What predicts as this task's evaluation does.
    pub fn predictor(&self) -> SemanticMaskPredictor<'_> {
        SemanticMaskPredictor {
            model: self.model,
            inference: &self.inference,
            precision: self.precision,
            device: self.device,
            eval: self.data.eval.clone().unwrap_or_default(),
            normalizer: Normalizer::new(&self.data.normalize),
        }
    }
}

/// The classes of a label map, rising.
fn present(map: &ArrayView2<'_, u8>) -> Vec<u8> {
    let mut seen = [false; IGNORE as usize];
    for &label in map.iter().filter(|&&label| label != IGNORE) {
        seen[usize::from(label)] = true;
    }
    (0..IGNORE).filter(|&class| seen[usize::from(class)]).collect()
}

/// One mask for each of these `classes` `[N]` i64 of a label map `[H, W]` u8; none is legal.
fn target(labels: &Tensor, classes: &Tensor, with_labelled: bool) -> MaskTarget {
    let ids = classes.to_kind(Kind::Uint8).reshape([-1, 1, 1]); // [N, 1, 1]
    let masks = labels.unsqueeze(0).eq_tensor(&ids); // [N, H, W]
    let labelled = with_labelled.then(|| labels.ne(i64::from(IGNORE)));
    MaskTarget { classes: classes.shallow_clone(), masks, labelled }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Target by target as numpy's `unique` and comparisons make them in the reference.
    #[test]
    fn every_class_of_a_crop_is_one_mask_and_the_unlabelled_none() {
        let map = ndarray::array![[3_u8, 3, 255], [0, 254, 0]];
        let classes = present(&map.view());
        assert_eq!(classes, [0, 3, 254]);
        let labels = array(&map).tensor().expect("a small one");
        let ids = |classes: &[u8]| class_ids(classes).tensor().expect("a small one");
        let made = target(&labels, &ids(&classes), true);
        let values = |tensor: &Tensor| Vec::<i64>::try_from(tensor.to_kind(Kind::Int64).reshape([-1]));
        assert_eq!(values(&made.classes).expect("numbers"), [0, 3, 254]);
        assert_eq!(made.masks.size(), [3, 2, 3]);
        let masks = [[0, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]].concat();
        assert_eq!(values(&made.masks).expect("numbers"), masks);
        let labelled = made.labelled.expect("asked for");
        assert_eq!(values(&labelled).expect("numbers"), [1, 1, 0, 1, 1, 1]);

        let nothing = target(&labels, &ids(&[]), false);
        assert_eq!((nothing.len(), nothing.masks.size()), (0, vec![0, 2, 3]));
        assert!(nothing.labelled.is_none());
    }
}
