//! What the trainer knows of a task: losses of a batch, and a score on the validation set.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use smalti_backbones::Anatomy;
use smalti_datasets::Source;
use smalti_evaluation::EvalError;
use smalti_ops::copies::HostArray;
use tch::Tensor;

use crate::TrainError;
use crate::batch::TrainBatch;

/// Losses of one batch.
#[derive(Debug)]
pub struct Losses {
    /// What is minimised; a scalar in the graph.
    pub total: Tensor,
    /// Its parts by name (`loss_decode`), for the log only.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// Result of one evaluation.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Name of the metric that decides which checkpoint is best; larger is better.
    pub metric: &'static str,
    /// Its value, 0..1.
    pub score: f64,
    /// All metrics by name (fractions, null where undefined) and `classes`, as the log records them.
    pub record: Map<String, Value>,
}

/// What an evaluation has counted, of all images or of some. However images are shared out between counters, the sum of these
/// gives the same scores to the bit.
pub trait Counts: Clone + Send {
    /// All that scores depend on, to be kept in a file.
    type Part: Serialize + DeserializeOwned;

    /// Adds what another counter has counted.
    ///
    /// # Errors
    /// A counter of something else, or one that has counted an image which this one has.
    fn merge(&mut self, other: &Self) -> Result<(), EvalError>;

    /// What was counted so far.
    fn part(&self) -> Self::Part;

    /// Adds what [`Counts::part`] gave of another counter.
    ///
    /// # Errors
    /// As for [`Counts::merge`], and parts that do not hold together.
    fn add_part(&mut self, part: Self::Part) -> Result<(), EvalError>;
}

/// Called with (done, total) during an evaluation; returning false stops it.
pub type EvalProgress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// A model with its criterion and its validation set.
pub trait Task {
    /// What training batches come from.
    type Source: Source<Batch: TrainBatch>;

    /// What of the network is not its backbone: decides what `[train.init]` can load.
    fn anatomy(&self) -> Anatomy;

    /// What of a training batch the network's device needs.
    fn arrays(batch: &<Self::Source as Source>::Batch) -> Vec<HostArray<'_>>;

    /// Losses of a training batch, with drop path, dropout and batch statistics on; `tensors` are its [`Task::arrays`] on the
    /// device.
    fn losses(
        &self,
        batch: &<Self::Source as Source>::Batch,
        tensors: Vec<Tensor>,
    ) -> Result<Losses, TrainError>;

    /// Scores the validation set, or `None` if `progress` stopped it.
    ///
    /// # Errors
    /// [`TrainError::Data`] if an image or a label map can not be read.
    fn evaluate(&self, progress: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError>;
}
