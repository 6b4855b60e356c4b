//! Which backbone to build.

use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{
    Backbone, ConvNext, ConvNextConfig, Dat, DatConfig, Davit, DavitConfig, DinatS, DinatSConfig, ModelError,
    Nat, NatConfig, Purpose, ResNet, ResNetConfig, Swin, SwinConfig,
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
            Self::Nat(config) => Box::new(Nat::new(p, config, purpose)?),
            Self::Swin(config) => Box::new(Swin::new(p, config, purpose)?),
            Self::ConvNext(config) => Box::new(ConvNext::new(p, config, purpose)?),
            Self::ResNet(config) => Box::new(ResNet::new(p, config, purpose)?),
            Self::DinatS(config) => Box::new(DinatS::new(p, config, purpose)?),
            Self::Davit(config) => Box::new(Davit::new(p, config, purpose)?),
            Self::Dat(config) => Box::new(Dat::new(p, config, purpose)?),
        })
    }

    /// Checks every field without building anything.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Nat(config) => config.arch().map(drop),
            Self::Swin(config) => config.arch().map(drop),
            Self::ConvNext(config) => config.arch().map(drop),
            Self::ResNet(config) => config.arch().map(drop),
            Self::DinatS(config) => config.arch().map(drop),
            Self::Davit(config) => config.arch().map(drop),
            Self::Dat(config) => config.arch().map(drop),
        }
    }
}
