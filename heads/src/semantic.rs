//! A per-pixel classifier: backbone, decode head, auxiliary head.

use serde::{Deserialize, Serialize};
use smalti_backbones::{Anatomy, Backbone, BackboneConfig, ModelError, Purpose, STAGES};
use tch::Tensor;
use tch::nn;

use crate::{FcnConfig, FcnHead, UperConfig, UperHead};

/// The `[model]` table of a semantic recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticConfig {
    /// The backbone and its size.
    pub backbone: BackboneConfig,
    /// The UperNet head.
    #[serde(default)]
    pub decode: UperConfig,
    /// The auxiliary head that helps training; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<FcnConfig>,
    /// Activation checkpointing: stages of the backbone, finest first, that keep no activations inside their blocks while training
    /// and compute them again backward. Saves memory, costs up to one more forward pass. Default: none.
    #[serde(default)]
    pub recompute: [bool; STAGES],
}

/// Logits of one forward pass.
#[derive(Debug)]
pub struct SemanticOutput {
    /// `[B, K, H/4, W/4]`
    pub logits: Tensor,
    /// `[B, K, H_level, W_level]` of the auxiliary head, when training with one.
    pub auxiliary: Option<Tensor>,
}

/// All that a pass in evaluation computes on its way.
#[derive(Debug)]
pub struct SemanticTrace {
    /// The backbone's levels `[B, C_l, H_l, W_l]`, finest first.
    pub levels: Vec<Tensor>,
    /// `[B, K, H/4, W/4]`
    pub logits: Tensor,
    /// `[B, K, H_level, W_level]` of the auxiliary head, if there is one.
    pub auxiliary: Option<Tensor>,
}

/// The network.
#[derive(Debug)]
pub struct SemanticModel {
    backbone: Box<dyn Backbone>,
    decode: UperHead,
    auxiliary: Option<FcnHead>,
    num_classes: i64,
}

impl SemanticModel {
    /// Builds the network under `p`; parameters start with `backbone.`, `decode_head.` and `auxiliary_head.`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that no network can be built from.
    pub fn new(p: &nn::Path<'_>, config: &SemanticConfig, num_classes: i64) -> Result<Self, ModelError> {
        let mut backbone = config.backbone.build(&(p / "backbone"), Purpose::Dense)?;
        backbone.recompute(config.recompute)?;
        let levels = backbone.levels();
        let decode = UperHead::new(&(p / "decode_head"), &config.decode, levels, num_classes)?;
        let auxiliary = config
            .auxiliary
            .as_ref()
            .map(|auxiliary| FcnHead::new(&(p / "auxiliary_head"), auxiliary, levels, num_classes))
            .transpose()?;
        Ok(Self { backbone, decode, auxiliary, num_classes })
    }

    /// Number of classes K of the logits.
    pub fn num_classes(&self) -> i64 {
        self.num_classes
    }

    /// What of the network is not its backbone.
    pub fn anatomy(&self) -> Anatomy {
        let class_layers = vec!["decode_head.conv_seg", "auxiliary_head.conv_seg"];
        Anatomy::new(self.backbone.classifier_end(), class_layers)
    }

    /// Logits of `images` `[B, 3, H, W]` (normalised, H and W of 32 or more).
    pub fn forward_t(&self, images: &Tensor, train: bool) -> SemanticOutput {
        let levels = self.backbone.forward_t(images, train);
        let auxiliary = self.auxiliary.as_ref().filter(|_| train);
        SemanticOutput {
            logits: self.decode.forward_t(&levels, train),
            auxiliary: auxiliary.map(|head| head.forward_t(&levels, train)),
        }
    }

    /// One pass in evaluation over `images` `[B, 3, H, W]`, the auxiliary head included, with its intermediate results.
    pub fn trace(&self, images: &Tensor) -> SemanticTrace {
        let levels = self.backbone.forward_t(images, false);
        SemanticTrace {
            logits: self.decode.forward_t(&levels, false),
            auxiliary: self.auxiliary.as_ref().map(|head| head.forward_t(&levels, false)),
            levels,
        }
    }
}
