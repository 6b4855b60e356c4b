//! Image classification: what a recipe says of the model, and cross-entropy against soft targets.
//!
//! The network is `smalti_backbones::Classifier`. Label smoothing: Szegedy et al., 2015, <https://arxiv.org/abs/1512.00567>.
//! Reference code of the loss: timm 1.0.31 `mixup_target` and `SoftTargetCrossEntropy` (Apache-2.0).
//! Checked by: the tests below (the target written out), `tests/parity_classification.rs` (timm's values and gradients).

use serde::{Deserialize, Serialize};
use smalti_backbones::{BackboneConfig, Classifier, ModelError, STAGES};
use tch::{Kind, Reduction, Tensor, nn};

/// The `[model]` table of a classification recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationConfig {
    /// The backbone and its size; pool, norm and linear layer are those of its family.
    pub backbone: BackboneConfig,
    /// Activation checkpointing: stages of the backbone, finest first, that keep no activations inside their blocks while training
    /// and compute them again backward. Saves memory, costs up to one more forward pass. Default: none.
    #[serde(default)]
    pub recompute: [bool; STAGES],
}

impl ClassificationConfig {
    /// Builds the network under `p`, with the parameter names of the family's published classifiers.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that no network can be built from.
    pub fn build(&self, p: &nn::Path<'_>, num_classes: i64) -> Result<Classifier, ModelError> {
        let mut model = Classifier::new(p, &self.backbone, num_classes)?;
        model.recompute(self.recompute)?;
        Ok(model)
    }
}

/// The `[loss]` table of a classification recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassificationLossConfig {
    /// Share of the target that is spread over all classes, below 1. Default 0.
    pub label_smoothing: f64,
}

impl ClassificationLossConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), ModelError> {
        if (0.0..1.0).contains(&self.label_smoothing) {
            return Ok(());
        }
        let got = self.label_smoothing;
        Err(ModelError::config("loss.label_smoothing", "a number of 0 or more, below 1", got))
    }

    /// Cross-entropy of logits `[B, K]` against the targets of `classes` `[B]` (i64), a scalar.
    ///
    /// The target of an image is its own class by `own_share`, and by the rest the class of the image at its place from the end
    /// (mixup and CutMix), both smoothed.
    pub fn forward(&self, logits: &Tensor, classes: &Tensor, own_share: f64) -> Tensor {
        let logits = logits.to_kind(match logits.kind() {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        });
        // Cross-entropy is linear in its target, so two of them need no target of [B, K].
        let loss = |classes: &Tensor| {
            logits.cross_entropy_loss(classes, None::<&Tensor>, Reduction::Mean, -100, self.label_smoothing)
        };
        if own_share == 1.0 {
            return loss(classes);
        }
        loss(classes) * own_share + loss(&classes.flip([0])) * (1.0 - own_share)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn equals_the_target_written_out() {
        tch::manual_seed(3);
        let (batch, k) = (5, 7);
        let logits = Tensor::randn([batch, k], (Kind::Double, Device::Cpu)) * 2.0;
        let classes = Tensor::from_slice(&[6_i64, 0, 3, 3, 1]);
        for (smoothing, own) in [(0.0, 1.0), (0.1, 1.0), (0.1, 0.35), (0.0, 0.0)] {
            let hard = classes.one_hot(k).to_kind(Kind::Double);
            let smooth = hard * (1.0 - smoothing) + smoothing / k as f64; // [B, K]
            let target = &smooth * own + smooth.flip([0]) * (1.0 - own);
            let expected = -(target * logits.log_softmax(-1, Kind::Double)).sum(Kind::Double) / batch as f64;
            let got = ClassificationLossConfig { label_smoothing: smoothing }.forward(&logits, &classes, own);
            let error = (got - &expected).abs().double_value(&[]);
            assert!(
                error < 1e-12,
                "smoothing {smoothing}, own share {own}: off by {error:.1e} from {expected:?}"
            );
        }
    }

    #[test]
    fn half_precision_logits_lose_nothing_in_the_loss() {
        let logits = Tensor::from_slice2(&[[12.0_f32, -3.0, 0.5]]).to_kind(Kind::BFloat16);
        let classes = Tensor::from_slice(&[0_i64]);
        let loss = ClassificationLossConfig::default().forward(&logits, &classes, 1.0);
        assert_eq!(loss.kind(), Kind::Float);
        // ln(1 + e^-15 + e^-11.5): bf16 would round it to 0.
        assert!((loss.double_value(&[]) - 1.043_5e-5).abs() < 2e-7, "{loss:?}");
    }

    #[test]
    fn a_smoothing_of_one_or_more_is_refused() {
        let refuse = |label_smoothing| {
            ClassificationLossConfig { label_smoothing }.validate().unwrap_err().to_string()
        };
        assert!(refuse(1.0).contains("loss.label_smoothing"));
        assert!(refuse(f64::NAN).contains("NaN"));
        ClassificationLossConfig { label_smoothing: 0.1 }.validate().unwrap();
    }
}
