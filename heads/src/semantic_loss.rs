//! Cross-entropy of per-pixel logits, as mmsegmentation's UperNet recipes train: logits are resized to the labels,
//! pixels labelled 255 do not count, the mean is over the others, and the auxiliary head counts 0.4.
//!
//! Differs from mmsegmentation 0.x: the mean is over valid pixels, where 0.x divides by all pixels of the batch.
//! Checked by: `tests/parity_uper.rs` (values and gradients), `tests/contract.rs` (cases computed by hand).

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::{SemanticOutput, resize};

/// The label that no loss is taken at.
pub const IGNORE: i64 = 255;

/// The `[loss]` table of a semantic recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SemanticLossConfig {
    /// Weight of the auxiliary head's loss. Default 0.4.
    pub auxiliary_weight: f64,
    /// How much rarity raises a class's weight: weights are `frequency ^ -power`, scaled to a mean of 1 over pixels. 0 (the
    /// default) = all equal, 1 = every class counts the same whatever its area.
    pub balance_power: f64,
    /// Weights of the classes in order of the class table; instead of `balance_power`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f64>>,
}

impl Default for SemanticLossConfig {
    fn default() -> Self {
        Self { auxiliary_weight: 0.4, balance_power: 0.0, class_weights: None }
    }
}

/// Losses of one batch, scalars in the graph.
#[derive(Debug)]
pub struct SemanticLosses {
    /// What is minimised.
    pub total: Tensor,
    /// Share of the decode head.
    pub decode: Tensor,
    /// Share of the auxiliary head, before its weight.
    pub auxiliary: Option<Tensor>,
}

/// The criterion.
#[derive(Debug)]
pub struct SemanticLoss {
    auxiliary_weight: f64,
    class_weights: Option<Tensor>, // [K]
}

/// Class weights `frequency ^ -power` from the pixel counts of a training set, with a mean of 1 over its labelled pixels.
/// A class that never occurs gets weight 1.
pub fn balanced_weights(pixels: &[u64], power: f64) -> Vec<f64> {
    let total: f64 = pixels.iter().map(|&count| count as f64).sum();
    let raw: Vec<f64> = pixels
        .iter()
        .map(|&count| if count == 0 { 1.0 } else { (count as f64 / total).powf(-power) })
        .collect();
    let mean: f64 = pixels.iter().zip(&raw).map(|(&count, weight)| count as f64 / total * weight).sum();
    pixels.iter().zip(raw).map(|(&count, weight)| if count == 0 { 1.0 } else { weight / mean }).collect()
}

impl SemanticLoss {
    /// A criterion with one weight a class, or equal weights.
    pub fn new(auxiliary_weight: f64, class_weights: Option<&[f64]>, device: tch::Device) -> Self {
        let tensor = |weights: &[f64]| Tensor::from_slice(weights).to_kind(Kind::Float).to_device(device);
        Self { auxiliary_weight, class_weights: class_weights.map(tensor) }
    }

    /// Losses of `output` against `labels` `[B, H, W]` (i64, 255 = ignore).
    pub fn forward(&self, output: &SemanticOutput, labels: &Tensor) -> SemanticLosses {
        let decode = self.cross_entropy(&output.logits, labels);
        let auxiliary = output.auxiliary.as_ref().map(|logits| self.cross_entropy(logits, labels));
        let total = match &auxiliary {
            Some(auxiliary) => &decode + auxiliary * self.auxiliary_weight,
            None => decode.shallow_clone(),
        };
        SemanticLosses { total, decode, auxiliary }
    }

    // logits [B, K, h, w], labels [B, H, W] -> []
    fn cross_entropy(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        let size = labels.size();
        let full = resize(&logits.to_kind(Kind::Float), (size[1], size[2])); // [B, K, H, W]
        let weights = self.class_weights.as_ref();
        let sum = full.cross_entropy_loss(labels, weights, Reduction::Sum, IGNORE, 0.0);
        let valid = labels.ne(IGNORE);
        let divisor = match weights {
            // As torch does: the mean weighs pixels by their class.
            Some(weights) => {
                let safe = labels * &valid; // ignored pixels look up class 0 and are masked out again
                (weights.index_select(0, &safe.reshape([-1])) * valid.reshape([-1])).sum(Kind::Float)
            }
            None => valid.sum(Kind::Float),
        };
        // A batch without a labelled pixel has loss 0, not 0 / 0.
        sum / divisor.clamp_min(1e-6)
    }
}
