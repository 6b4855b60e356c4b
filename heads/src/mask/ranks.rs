//! The processes that train one network together, as the criterion sees them.

use std::fmt::Debug;

use smalti_ops::OpError;

/// Averages a number over all ranks of a training.
///
/// What the criterion divides by has to be the same on every rank: the gradients that are averaged afterwards are then those of
/// one large batch, however its objects are spread.
pub trait Ranks: Debug + Send + Sync {
    /// The mean of `value` over all ranks. Every rank calls it once a step, also one whose images show no object.
    ///
    /// # Errors
    /// What the communication between ranks fails with.
    fn mean(&self, value: f64) -> Result<f64, OpError>;
}

/// One process that trains by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct SingleRank;

impl Ranks for SingleRank {
    fn mean(&self, value: f64) -> Result<f64, OpError> {
        Ok(value)
    }
}
