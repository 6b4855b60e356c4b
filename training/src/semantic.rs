//! The semantic segmentation task: per-pixel cross-entropy, scored by mIoU at the images' own size. What does not depend on the
//! network is [`PixelTask`].

use std::sync::Arc;

use ndarray::Array3;
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

impl PixelTask for SemanticTask<'_> {
    fn validation(&self) -> &Arc<SemanticSet> {
        &self.validation
    }

    fn data(&self) -> &DataConfig {
        &self.data
    }

    fn predict(&self, input: &Array3<f32>, _: [usize; 2]) -> Result<Vec<u8>, TrainError> {
        predict(self.model, &self.inference, self.precision, input, self.device)
    }
}

/// Receives every prediction of an evaluation: the sample and `[H, W]` class ids, row-major.
pub type PredictionSink<'a> = dyn FnMut(&NormalizedSample, &[u8]) -> Result<(), TrainError> + 'a;

/// A task that gives every pixel a class: data and scores are the same whatever the network.
pub trait PixelTask: Task {
    /// Images to score on.
    fn validation(&self) -> &Arc<SemanticSet>;

    /// Sizes, normalisation and threads.
    fn data(&self) -> &DataConfig;

    /// Class of every pixel of an image of `size` (height, width), whose [`DataConfig::eval_input`] is `input` `[3, H', W']`:
    /// `height * width` ids, row-major.
    ///
    /// # Errors
    /// Images that the network does not take; what libtorch says.
    fn predict(&self, input: &Array3<f32>, size: [usize; 2]) -> Result<Vec<u8>, TrainError>;

    /// Scores the validation set image by image and hands every prediction to `sink`; `None` if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image or a label map can not be read, and what `sink` returns.
    fn score(
        &self,
        progress: &mut EvalProgress<'_>,
        sink: &mut PredictionSink<'_>,
    ) -> Result<Option<SemanticScores>, TrainError> {
        let set = self.validation();
        let mut confusion = ConfusionMatrix::new(set.classes().len());
        let samples = EvalLoader::new(Arc::clone(set), self.data())?;
        for (done, sample) in samples.enumerate() {
            let sample = sample?;
            let size = sample.labels.dim();
            let predicted = self.predict(&sample.image, [size.0, size.1])?;
            confusion.add(&predicted, &contiguous(&sample.labels))?;
            sink(&sample, &predicted)?;
            if !progress(done + 1, set.len()) {
                return Ok(None);
            }
        }
        let names: Vec<&str> = set.classes().names().collect();
        Ok(Some(confusion.finish().with_names(names)?))
    }
}

/// Class of every pixel of a normalised image `[3, H, W]`: `H * W` ids, row-major.
pub fn predict(
    model: &SemanticModel,
    inference: &InferenceConfig,
    precision: Precision,
    image: &Array3<f32>,
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

/// As the trainer logs it: mIoU decides.
pub(crate) fn evaluation(scores: &SemanticScores) -> Evaluation {
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
