//! The image classification task: cross-entropy against soft targets, scored by top-1 accuracy.

use std::iter;
use std::sync::Arc;

use serde_json::{Value, json};
use smalti_backbones::{Anatomy, Classifier};
use smalti_datasets::image_folder::{ClassifiedImage, ImageBatch};
use smalti_datasets::loader::EvalLoader;
use smalti_datasets::{ImageDataConfig, ImageFolder, ImageSource, Shard};
use smalti_evaluation::EvalError;
use smalti_evaluation::classification::{ClassificationCounts, ClassificationScores};
use smalti_heads::ClassificationLossConfig;
use smalti_ops::copies::HostArray;
use tch::{Device, Kind, Tensor, no_grad};

use crate::TrainError;
use crate::batch::{array, class_ids, exactly};
use crate::feed::Feed;
use crate::precision::Precision;
use crate::task::{Counts, EvalProgress, Evaluation, Losses, Task};

/// An image classifier with its criterion and its validation set.
#[derive(Debug)]
pub struct ClassificationTask<'a> {
    /// The network.
    pub model: &'a Classifier,
    /// The criterion.
    pub loss: ClassificationLossConfig,
    /// Arithmetic of the network.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// Images to score on.
    pub validation: Arc<ImageFolder>,
    /// View, normalisation, batches and threads.
    pub data: ImageDataConfig,
}

impl Task for ClassificationTask<'_> {
    type Source = ImageSource;

    fn anatomy(&self) -> Anatomy {
        self.model.anatomy()
    }

    fn arrays(batch: &ImageBatch) -> Vec<HostArray<'_>> {
        vec![array(&batch.images), class_ids(&batch.classes)]
    }

    fn losses(&self, batch: &ImageBatch, tensors: Vec<Tensor>) -> Result<Losses, TrainError> {
        let [images, classes] = exactly(tensors); // [B, 3, H, W], [B]
        let logits = {
            let _autocast = self.precision.guard(self.device)?;
            self.model.forward_t(&images, true) // [B, K]
        };
        let total = self.loss.forward(&logits, &classes, batch.own_share);
        Ok(Losses { parts: vec![("loss_class", total.shallow_clone())], total })
    }

    fn evaluate(&self, progress: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError> {
        Ok(self.score(progress)?.as_ref().map(evaluation))
    }
}

impl ClassificationTask<'_> {
    /// Scores the validation set in batches of the loader's size; `None` if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image can not be read.
    pub fn score(&self, progress: &mut EvalProgress<'_>) -> Result<Option<ClassificationScores>, TrainError> {
        let counted = self.count(Shard::WHOLE, progress)?;
        counted.map(|counts| self.scores(&counts)).transpose()
    }

    /// Nothing counted yet.
    pub fn counter(&self) -> ClassificationCounts {
        ClassificationCounts::new(self.validation.classes().len())
    }

    /// Counts a shard of the validation set, whole batches of it, as [`ClassificationTask::score`] does all of it.
    ///
    /// # Errors
    /// As for [`ClassificationTask::score`].
    pub fn count(
        &self,
        shard: Shard,
        progress: &mut EvalProgress<'_>,
    ) -> Result<Option<ClassificationCounts>, TrainError> {
        let num_classes = self.validation.classes().len();
        let mut views = EvalLoader::of_images(Arc::clone(&self.validation), &self.data, shard)?;
        let (total, batch_size) = (views.len(), self.data.loader.batch_size);
        let batches = iter::from_fn(move || {
            let batch: Result<Vec<ClassifiedImage>, _> = views.by_ref().take(batch_size).collect();
            match batch {
                Ok(batch) if batch.is_empty() => None,
                batch => Some(batch.map(ImageBatch::stack).map_err(TrainError::from)),
            }
        });
        Feed::to(self.device).run(
            batches,
            |batch| vec![array(&batch.images)],
            |batches| {
                let (mut counts, mut done) = (self.counter(), 0);
                for batch in batches {
                    let (batch, tensors) = batch?;
                    let [images] = exactly(tensors); // [B, 3, H, W]
                    let logits = forward(self.model, self.precision, &images)?;
                    for (scores, &class) in logits.chunks_exact(num_classes).zip(&batch.classes) {
                        counts.add(scores, class as usize)?;
                    }
                    done += batch.classes.len();
                    if !progress(done, total) {
                        return Ok(None);
                    }
                }
                Ok(Some(counts))
            },
        )?
    }

    /// The scores of what was counted.
    ///
    /// # Errors
    /// [`TrainError::Eval`] for counts of another number of classes.
    pub fn scores(&self, counts: &ClassificationCounts) -> Result<ClassificationScores, TrainError> {
        let folders = self.validation.classes().iter().map(|class| class.folder.as_str());
        Ok(counts.finish().with_names(folders)?)
    }
}

impl Counts for ClassificationCounts {
    type Part = Self;

    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        self.merge(other)
    }

    fn part(&self) -> Self {
        self.clone()
    }

    fn add_part(&mut self, part: Self) -> Result<(), EvalError> {
        self.merge(&part)
    }
}

/// Logits `[B, K]` of a batch of evaluation views, row-major.
pub fn logits(
    model: &Classifier,
    precision: Precision,
    batch: &ImageBatch,
    device: Device,
) -> Result<Vec<f32>, TrainError> {
    let images = array(&batch.images).tensor()?.to_device(device); // [B, 3, H, W]
    forward(model, precision, &images)
}

/// The same of `[B, 3, H, W]` on the device.
fn forward(model: &Classifier, precision: Precision, images: &Tensor) -> Result<Vec<f32>, TrainError> {
    let _autocast = precision.guard(images.device())?;
    let logits: Tensor = no_grad(|| model.forward_t(images, false)).to_kind(Kind::Float); // [B, K]
    Ok(Vec::try_from(logits.contiguous().reshape([-1]))?)
}

fn evaluation(scores: &ClassificationScores) -> Evaluation {
    let number = |value: Option<f64>| value.map_or(Value::Null, Value::from);
    let named = scores.metrics.named();
    let mut record: serde_json::Map<_, _> =
        named.iter().map(|(name, value)| ((*name).to_string(), number(*value))).collect();
    let classes = scores.classes.iter().map(|class| {
        let share = class.images as f64 / scores.images.max(1) as f64;
        let numbers = json!({"top1": number(class.top1), "top5": number(class.top5), "share": share});
        (class.name.clone(), numbers)
    });
    record.insert("classes".into(), Value::Object(classes.collect()));
    Evaluation { metric: "top1", score: scores.metrics.top1.unwrap_or(0.0), record }
}
