//! The image classifier of every family: its backbone, a global average pool, a norm, a linear layer.
//!
//! Parameters carry the names of the family's published ImageNet checkpoints, the backbone's at the root beside `norm` and
//! `head`. Checked by: `tests/parity_*.rs` (logits and gradients of the reference implementations), `tests/contract.rs`.

use tch::nn::{self, Module};
use tch::{Kind, Tensor};

use crate::layers::{layer_norm_eps, linear};
use crate::{Anatomy, Backbone, BackboneConfig, ModelError, Purpose, STAGES};

const MAX_CLASSES: i64 = 1 << 20;

/// How a family gets from its last map to the logits, with its names for the parameters on the way.
///
/// Names are dotted paths from the classifier's root, `eps` is of the layer norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClassifierEnd {
    /// Norm of every pixel, then the mean over pixels: NAT, DiNAT, Swin, DAT.
    NormThenPool {
        /// Name of the norm.
        norm: &'static str,
        /// Added to the variance.
        eps: f64,
        /// Name of the linear layer.
        head: &'static str,
    },
    /// The mean over pixels, then its norm: ConvNeXt, DaViT.
    PoolThenNorm {
        /// Name of the norm.
        norm: &'static str,
        /// Added to the variance.
        eps: f64,
        /// Name of the linear layer.
        head: &'static str,
    },
    /// The mean over pixels alone: ResNet.
    Pool {
        /// Name of the linear layer.
        head: &'static str,
    },
}

impl ClassifierEnd {
    /// Name of the linear layer.
    pub const fn head(self) -> &'static str {
        match self {
            Self::NormThenPool { head, .. } | Self::PoolThenNorm { head, .. } | Self::Pool { head } => head,
        }
    }
}

/// Norm and pool, in the family's order.
#[derive(Debug)]
enum Pooling {
    NormThenPool(nn::LayerNorm),
    PoolThenNorm(nn::LayerNorm),
    Pool,
}

impl Pooling {
    // [B, C, H, W] -> [B, C]
    fn forward(&self, map: &Tensor) -> Tensor {
        let x = map.permute([0, 2, 3, 1]); // [B, H, W, C]
        let pool = |x: &Tensor| x.mean_dim([1_i64, 2].as_slice(), false, None::<Kind>);
        match self {
            Self::NormThenPool(norm) => pool(&x.apply(norm)),
            Self::PoolThenNorm(norm) => pool(&x).apply(norm),
            Self::Pool => pool(&x),
        }
    }
}

/// An image classifier.
#[derive(Debug)]
pub struct Classifier {
    backbone: Box<dyn Backbone>,
    pooling: Pooling,
    head: nn::Linear,
}

impl Classifier {
    /// Builds the network under `p`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that no network can be built from.
    pub fn new(p: &nn::Path<'_>, config: &BackboneConfig, num_classes: i64) -> Result<Self, ModelError> {
        if !(1..=MAX_CLASSES).contains(&num_classes) {
            return Err(ModelError::config("num_classes", format!("1 to {MAX_CLASSES}"), num_classes));
        }
        let backbone = config.build(p, Purpose::Classify)?;
        let channels = backbone.levels().last().map_or(0, |level| level.channels);
        let norm = |name, eps| layer_norm_eps(&below(p, name), channels, eps);
        let (pooling, head) = match backbone.classifier_end() {
            ClassifierEnd::NormThenPool { norm: name, eps, head } => {
                (Pooling::NormThenPool(norm(name, eps)), head)
            }
            ClassifierEnd::PoolThenNorm { norm: name, eps, head } => {
                (Pooling::PoolThenNorm(norm(name, eps)), head)
            }
            ClassifierEnd::Pool { head } => (Pooling::Pool, head),
        };
        Ok(Self { pooling, head: linear(&below(p, head), channels, num_classes), backbone })
    }

    /// Stages that compute their activations again backward, see [`Backbone::recompute`].
    ///
    /// # Errors
    /// [`ModelError::Config`] if a stage would count what it sees twice.
    pub fn recompute(&mut self, stages: [bool; STAGES]) -> Result<(), ModelError> {
        self.backbone.recompute(stages)
    }

    /// What of the network is not its backbone.
    pub fn anatomy(&self) -> Anatomy {
        let end = self.backbone.classifier_end();
        Anatomy::new(end, vec![end.head()])
    }

    /// Levels without norms `[B, C_l, H_l, W_l]`, finest first, and logits `[B, K]` of `images` `[B, 3, H, W]`, in evaluation.
    pub fn trace(&self, images: &Tensor) -> (Vec<Tensor>, Tensor) {
        let levels = self.backbone.forward_t(images, false);
        let logits =
            self.head.forward(&self.pooling.forward(levels.last().expect("every backbone has levels")));
        (levels, logits)
    }

    /// Logits `[B, K]` of `images` `[B, 3, H, W]`, normalised, of any size that the backbone takes. `train` turns on drop path.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        let map = self.backbone.last_map(images, train); // [B, C, H/32, W/32]
        self.head.forward(&self.pooling.forward(&map))
    }
}

/// The path of a dotted name below `p`.
fn below<'a>(p: &nn::Path<'a>, name: &str) -> nn::Path<'a> {
    name.split('.').fold(p.clone(), |p, part| p / part)
}
