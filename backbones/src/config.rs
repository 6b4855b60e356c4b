//! Which backbone to build.

use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{
    Backbone, ConvNextConfig, DatConfig, DavitConfig, DinatSConfig, ModelError, NatConfig, Purpose,
    ResNetConfig, SwinConfig,
};

/// A backbone of any family: `family = "nat"` and the family's own fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum BackboneConfig {
    /// Neighborhood Attention Transformer, dilated or not.
    Nat(NatConfig),
    /// Swin Transformer.
    Swin(SwinConfig),
    /// ConvNeXt.
    #[serde(rename = "convnext")]
    ConvNext(ConvNextConfig),
    /// ResNet.
    #[serde(rename = "resnet")]
    ResNet(ResNetConfig),
    /// Dilated neighborhood attention in Swin's layout.
    DinatS(DinatSConfig),
    /// Dual Attention Vision Transformer.
    Davit(DavitConfig),
    /// Vision Transformer with Deformable Attention, DAT++.
    Dat(DatConfig),
}

impl BackboneConfig {
    /// Builds the network under `p` for a purpose.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the field's name if no network can be built from the values.
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<Box<dyn Backbone>, ModelError> {
        Ok(match self {
            Self::Nat(config) => Box::new(config.build(p, purpose)?),
            Self::Swin(config) => Box::new(config.build(p, purpose)?),
            Self::ConvNext(config) => Box::new(config.build(p, purpose)?),
            Self::ResNet(config) => Box::new(config.build(p, purpose)?),
            Self::DinatS(config) => Box::new(config.build(p, purpose)?),
            Self::Davit(config) => Box::new(config.build(p, purpose)?),
            Self::Dat(config) => Box::new(config.build(p, purpose)?),
        })
    }

    /// Checks every field without building anything.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn validate(&self) -> Result<(), ModelError> {
        self.parameters(1).map(drop)
    }

    /// Scalars of the networks, counted without building them.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn parameters(&self, num_classes: i64) -> Result<ParameterCounts, ModelError> {
        macro_rules! counts {
            ($config:expr) => {{
                let arch = $config.arch()?;
                let (backbone, classifier) =
                    (arch.backbone_parameters(), arch.classifier_parameters(num_classes));
                ParameterCounts { backbone, classifier }
            }};
        }
        Ok(match self {
            Self::Nat(config) => counts!(config),
            Self::Swin(config) => counts!(config),
            Self::ConvNext(config) => counts!(config),
            Self::ResNet(config) => counts!(config),
            Self::DinatS(config) => counts!(config),
            Self::Davit(config) => counts!(config),
            Self::Dat(config) => counts!(config),
        })
    }
}

/// Numbers of scalars that training changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterCounts {
    /// Of the dense backbone, per-level norms included.
    pub backbone: i64,
    /// Of the image classifier: what papers count.
    pub classifier: i64,
}
