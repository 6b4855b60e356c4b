//! Arithmetic of the forward pass: f32, or bf16 where autocast allows it.

use serde::{Deserialize, Serialize};
use smalti_ops::runtime::Autocast;
use tch::Device;

use crate::TrainError;

/// `train.precision`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Everything in f32.
    #[default]
    F32,
    /// Convolutions and matrix products in bf16 by autocast; parameters, norms and losses stay f32.
    Bf16,
}

impl Precision {
    /// Autocast for as long as the result lives, if this precision asks for it.
    pub fn guard(self, device: Device) -> Result<Option<Autocast>, TrainError> {
        Ok(match self {
            Self::F32 => None,
            Self::Bf16 => Some(Autocast::bf16(device)?),
        })
    }
}
