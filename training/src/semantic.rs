//! The semantic segmentation task: per-pixel cross-entropy, scored by mIoU at the images' own size. What does not depend on the
//! network is [`PixelTask`].

use std::sync::Arc;

use ndarray::Array3;
use serde_json::Value;
use smalti_backbones::Anatomy;
use smalti_datasets::loader::EvalLoader;
use smalti_datasets::transform::segments::EvalView;
use smalti_datasets::{Batch, DataConfig, EvalSample, Image, Sample, SemanticSet, SemanticSource, Shard};
use smalti_evaluation::EvalError;
use smalti_evaluation::semantic::{ClassScores, ConfusionMatrix, SemanticScores};
use smalti_heads::{InferenceConfig, SemanticLoss, SemanticModel};
use smalti_ops::copies::HostArray;
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::batch::{array, exactly, one_image};
use crate::feed::Feed;
use crate::overlap::{self, count_overlapped};
use crate::precision::Precision;
use crate::task::{Counts, EvalProgress, Evaluation, Losses, Task};

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

    fn arrays(batch: &Batch) -> Vec<HostArray<'_>> {
        vec![array(&batch.images), array(&batch.labels)]
    }

    fn losses(&self, _: &Batch, tensors: Vec<Tensor>) -> Result<Losses, TrainError> {
        let [images, labels] = exactly(tensors); // [B, 3, H, W], [B, H, W]
        let labels = labels.to_kind(Kind::Int64);
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
    type Output = Tensor;

    fn validation(&self) -> &Arc<SemanticSet> {
        &self.validation
    }

    fn data(&self) -> &DataConfig {
        &self.data
    }

    fn device(&self) -> Device {
        self.device
    }

    fn forward(&self, _: &Image, _: &EvalView, input: &Tensor) -> Result<Tensor, TrainError> {
        classes(self.model, &self.inference, self.precision, input)
    }

    fn classes(output: &Tensor) -> Result<Vec<u8>, TrainError> {
        ids(output)
    }
}

/// Receives every prediction of an evaluation in order, on another thread: the sample and `[H, W]` class ids, row-major.
pub type PredictionSink<'a> = dyn FnMut(&Sample, &[u8]) -> Result<(), TrainError> + Send + 'a;

/// A task that gives every pixel a class: data and scores are the same whatever the network.
pub trait PixelTask: Task {
    /// What the network says of an image, on its device; classes are made of it on another thread.
    type Output: Send;

    /// Images to score on.
    fn validation(&self) -> &Arc<SemanticSet>;

    /// Sizes, normalisation and threads.
    fn data(&self) -> &DataConfig;

    /// Where the network lives.
    fn device(&self) -> Device;

    /// The network on an image `[H, W, 3]`, whose [`DataConfig::eval_view`] is `view`, with that view's image as `input`
    /// `[1, 3, H', W']` on the network's device.
    ///
    /// # Errors
    /// Images that the network does not take; what libtorch says.
    fn forward(&self, image: &Image, view: &EvalView, input: &Tensor) -> Result<Self::Output, TrainError>;

    /// Class of every pixel of that image: `height * width` ids, row-major.
    ///
    /// # Errors
    /// What libtorch says.
    fn classes(output: &Self::Output) -> Result<Vec<u8>, TrainError>;

    /// Both.
    ///
    /// # Errors
    /// As for them.
    fn predict(&self, image: &Image, view: &EvalView) -> Result<Vec<u8>, TrainError> {
        let input = one_image(&view.image).tensor()?.to_device(self.device()); // [1, 3, H', W']
        Self::classes(&self.forward(image, view, &input)?)
    }

    /// Scores the validation set image by image and hands every prediction to `sink`; `None` if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image or a label map can not be read, and what `sink` returns.
    fn score(
        &self,
        progress: &mut EvalProgress<'_>,
        sink: &mut PredictionSink<'_>,
    ) -> Result<Option<SemanticScores>, TrainError> {
        let counted = self.count(Shard::WHOLE, progress, sink)?;
        counted.map(|confusion| self.scores(&confusion)).transpose()
    }

    /// Nothing counted yet.
    fn counter(&self) -> ConfusionMatrix {
        ConfusionMatrix::new(self.validation().classes().len())
    }

    /// Counts a shard of the validation set as [`PixelTask::score`] does all of it. Predictions are counted and handed to
    /// `sink` while the network is at the next image.
    ///
    /// # Errors
    /// As for [`PixelTask::score`].
    fn count(
        &self,
        shard: Shard,
        progress: &mut EvalProgress<'_>,
        sink: &mut PredictionSink<'_>,
    ) -> Result<Option<ConfusionMatrix>, TrainError> {
        self.count_by(shard, progress, (self.counter(), add_prediction), sink)
    }

    /// Counts a shard in another way than [`PixelTask::count`]: threads have a clone of the counter each, to which `add` adds the
    /// prediction of an image. `None` if `progress` stopped it.
    ///
    /// # Errors
    /// As for [`PixelTask::score`], and what `add` returns.
    fn count_by<C: Counts>(
        &self,
        shard: Shard,
        progress: &mut EvalProgress<'_>,
        (counter, add): (C, impl Fn(&mut C, &Sample, &[u8]) -> Result<(), TrainError> + Sync),
        sink: &mut PredictionSink<'_>,
    ) -> Result<Option<C>, TrainError> {
        let samples = EvalLoader::new(Arc::clone(self.validation()), self.data(), shard)?;
        let total = samples.len();
        let forward = |(EvalSample { sample, view }, tensors): (EvalSample, Vec<Tensor>)| {
            let [input] = exactly(tensors); // [1, 3, H', W']
            let output = self.forward(&sample.image, &view, &input)?;
            Ok::<_, TrainError>((sample, output))
        };
        let mut stopped = false;
        let counted = Feed::to(self.device()).run(
            samples.map(|sample| Ok(sample?)),
            |sample| vec![one_image(&sample.view.image)],
            |samples| {
                let predictions = samples.zip(1..).map_while(|(sample, done)| {
                    let prediction = sample.and_then(forward);
                    stopped = !progress(done, total);
                    (!stopped).then_some(prediction)
                });
                count_overlapped(
                    predictions,
                    overlap::threads(&self.data().loader),
                    counter,
                    |counter, (sample, output)| {
                        let predicted = Self::classes(output)?;
                        add(counter, sample, &predicted)?;
                        Ok(predicted)
                    },
                    |(sample, _), predicted| sink(sample, predicted),
                )
            },
        )??;
        Ok((!stopped).then_some(counted))
    }

    /// The scores of what was counted.
    ///
    /// # Errors
    /// [`TrainError::Eval`] for counts of another number of classes.
    fn scores(&self, confusion: &ConfusionMatrix) -> Result<SemanticScores, TrainError> {
        let names: Vec<&str> = self.validation().classes().names().collect();
        Ok(confusion.finish().with_names(names)?)
    }
}

/// Counts the prediction of an image, `[H, W]` class ids, row-major.
///
/// # Errors
/// [`TrainError::Eval`] if it has not the pixels of the image's labels.
pub fn add_prediction(
    confusion: &mut ConfusionMatrix,
    sample: &Sample,
    predicted: &[u8],
) -> Result<(), TrainError> {
    Ok(confusion.add(predicted, &contiguous(&sample.labels))?)
}

impl Counts for ConfusionMatrix {
    type Part = Vec<u64>;

    fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        self.merge(other)
    }

    fn part(&self) -> Vec<u64> {
        self.counts()
    }

    fn add_part(&mut self, part: Vec<u64>) -> Result<(), EvalError> {
        let other = Self::from_counts(self.num_classes(), part)?;
        self.merge(&other)
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
    let input = one_image(image).tensor()?.to_device(device); // [1, 3, H, W]
    ids(&classes(model, inference, precision, &input)?)
}

/// The same of `[1, 3, H, W]` on the device, `[H, W]`.
fn classes(
    model: &SemanticModel,
    inference: &InferenceConfig,
    precision: Precision,
    input: &Tensor,
) -> Result<Tensor, TrainError> {
    let _autocast = precision.guard(input.device())?;
    Ok(inference.predict(model, input))
}

fn ids(classes: &Tensor) -> Result<Vec<u8>, TrainError> {
    Ok(Vec::try_from(classes.contiguous().reshape([-1]))?)
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
