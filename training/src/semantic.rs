//! The semantic segmentation task: per-pixel cross-entropy, scored by mIoU at the images' own size.

use std::sync::Arc;

use serde_json::Value;
use smalti_backbones::Anatomy;
use smalti_datasets::loader::EvalLoader;
use smalti_datasets::sample::NormalizedSample;
use smalti_datasets::{Batch, DataConfig, SemanticSet, SemanticSource};
use smalti_evaluation::semantic::{ClassScores, ConfusionMatrix, SemanticScores};
use smalti_heads::{InferenceConfig, SemanticLoss, SemanticModel};
use tch::{Device, Kind};

use crate::TrainError;
use crate::batch::tensor;
use crate::precision::Precision;
use crate::task::{EvalProgress, Evaluation, Losses, Task};

/// A semantic model with its criterion and its validation set.
#[derive(Debug)]
pub struct SemanticTask<'a> {
    /// The network.
    pub model: &'a SemanticModel,
    /// The criterion.
    pub loss: SemanticLoss,
    /// How predictions are made.
    pub inference: InferenceConfig,
    /// Arithmetic of the network.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// Images to score on.
    pub validation: Arc<SemanticSet>,
    /// Normalisation and threads.
    pub data: DataConfig,
}

impl Task for SemanticTask<'_> {
    type Source = SemanticSource;

    fn anatomy(&self) -> Anatomy {
        self.model.anatomy()
    }

    fn losses(&self, batch: &Batch) -> Result<Losses, TrainError> {
        let images = tensor(batch.images.as_slice(), batch.images.shape(), self.device);
        let labels = tensor(batch.labels.as_slice(), batch.labels.shape(), self.device).to_kind(Kind::Int64);
        let output = {
            let _autocast = self.precision.guard(self.device)?;
            self.model.forward_t(&images, true)
        };
        let losses = self.loss.forward(&output, &labels);
        let mut parts = vec![("loss_decode", losses.decode)];
        parts.extend(losses.auxiliary.map(|auxiliary| ("loss_aux", auxiliary)));
        Ok(Losses { total: losses.total, parts })
    }

    fn evaluate(&self, progress: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError> {
        let scores = self.score(progress, &mut |_, _| Ok(()))?;
        Ok(scores.as_ref().map(evaluation))
    }
}

/// Receives every prediction of an evaluation: the sample and `[H, W]` class ids, row-major.
pub type PredictionSink<'a> = dyn FnMut(&NormalizedSample, &[u8]) -> Result<(), TrainError> + 'a;

impl SemanticTask<'_> {
    /// Scores the validation set image by image and hands every prediction to `sink`; `None` if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image or a label map can not be read, and what `sink` returns.
    pub fn score(
        &self,
        progress: &mut EvalProgress<'_>,
        sink: &mut PredictionSink<'_>,
    ) -> Result<Option<SemanticScores>, TrainError> {
        let total = self.validation.len();
        let mut confusion = ConfusionMatrix::new(self.validation.classes().len());
        let samples = EvalLoader::new(Arc::clone(&self.validation), &self.data)?;
        for (done, sample) in samples.enumerate() {
            let sample = sample?;
            let predicted = predict(self.model, &self.inference, self.precision, &sample.image, self.device)?;
            confusion.add(&predicted, &contiguous(&sample.labels))?;
            sink(&sample, &predicted)?;
            if !progress(done + 1, total) {
                return Ok(None);
            }
        }
        let names: Vec<&str> = self.validation.classes().names().collect();
        Ok(Some(confusion.finish().with_names(names)?))
    }
}

/// Class of every pixel of a normalised image `[3, H, W]`: `H * W` ids, row-major.
pub fn predict(
    model: &SemanticModel,
    inference: &InferenceConfig,
    precision: Precision,
    image: &ndarray::Array3<f32>,
    device: Device,
) -> Result<Vec<u8>, TrainError> {
    let input = tensor(image.as_slice(), image.shape(), device).unsqueeze(0);
    let _autocast = precision.guard(device)?;
    let classes = inference.predict(model, &input).contiguous().reshape([-1]);
    Ok(Vec::try_from(classes)?)
}

fn contiguous(labels: &smalti_datasets::LabelMap) -> std::borrow::Cow<'_, [u8]> {
    labels.as_slice().map_or_else(|| labels.iter().copied().collect::<Vec<_>>().into(), Into::into)
}

fn evaluation(scores: &SemanticScores) -> Evaluation {
    let number = |value: Option<f64>| value.map_or(Value::Null, Value::from);
    let metrics = scores.metrics.named();
    let mut record: serde_json::Map<_, _> =
        metrics.iter().map(|(name, value)| ((*name).to_string(), number(*value))).collect();
    let labelled: u64 = scores.classes.iter().map(|class| class.gt_pixels).sum();
    let class = |class: &ClassScores| {
        let share = class.gt_pixels as f64 / labelled.max(1) as f64;
        let values =
            serde_json::json!({"IoU": number(class.iou), "Acc": number(class.acc), "gt_share": share});
        (class.name.clone(), values)
    };
    record.insert("classes".into(), Value::Object(scores.classes.iter().map(class).collect()));
    Evaluation { metric: "mIoU", score: scores.metrics.m_iou.unwrap_or(0.0), record }
}
