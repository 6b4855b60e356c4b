//! What the trainer tells whoever watches it.

use std::path::Path;

use smalti_backbones::Transfer;

use crate::task::Evaluation;

/// One finished step.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// Steps completed.
    pub step: u64,
    /// Loss of this step's batch.
    pub loss: f64,
    /// Learning rate of this step before per-parameter factors.
    pub lr: f64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Images in the batch.
    pub images: usize,
    /// Seconds of the step, from the batch on the device to the updated weights.
    pub seconds: f64,
}

/// Watches a training; every method has a default that does nothing.
pub trait Observer {
    /// The network has weights of a file, before the first step.
    fn initialised(&mut self, _transfer: &Transfer) {}
    /// Training begins at `step` of `total`.
    fn started(&mut self, _step: u64, _total: u64) {}
    /// Something the user should know, such as a damaged checkpoint that was passed over.
    fn note(&mut self, _text: &str) {}
    /// A step is done.
    fn step(&mut self, _report: &StepReport) {}
    /// `done` of `total` images are evaluated.
    fn evaluating(&mut self, _done: usize, _total: usize) {}
    /// An evaluation is done; `best` if it is the best so far.
    fn evaluated(&mut self, _step: u64, _evaluation: &Evaluation, _best: bool) {}
    /// A checkpoint was written.
    fn saved(&mut self, _step: u64, _path: &Path) {}
}

/// Watches nothing.
impl Observer for () {}
