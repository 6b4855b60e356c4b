//! Hierarchical vision backbones behind one trait, and weight loading.
//!
//! One family, one file: module doc with paper and traps, config, blocks bottom-up, network, variant table. A name becomes a
//! network in [`BackboneConfig::build`] and nowhere else; heads learn channels and strides from [`Backbone::levels`]. [`catalog`]
//! lists every variant, [`published`] what their authors report.

mod blocks;
pub mod catalog;
pub mod checkpoint_tensors;
pub mod classifier;
mod config;
pub mod convnext;
pub mod dat;
pub mod davit;
pub mod dilations;
pub mod dinat_s;
mod error;
mod fields;
mod layers;
pub mod nat;
mod neighborhood;
mod patches;
pub mod published;
pub mod recognize;
pub mod resnet;
pub mod safetensors_io;
mod staged;
pub mod swin;
pub mod transfer;
pub mod weights;
mod windows;

pub use catalog::Variant;
pub use classifier::{Classifier, ClassifierEnd};
pub use config::{BackboneConfig, ParameterCounts};
pub use convnext::{ConvNextConfig, ConvNextVariant};
pub use dat::{DatConfig, DatVariant};
pub use davit::{DavitConfig, DavitVariant};
pub use dilations::{DilationPreset, Dilations};
pub use dinat_s::{DinatSConfig, DinatSVariant};
pub use error::ModelError;
pub use fields::STAGES;
pub use nat::{NatConfig, NatVariant};
pub use resnet::{ResNet, ResNetConfig, ResNetVariant};
pub use staged::Staged;
pub use swin::{SwinConfig, SwinVariant};
pub use transfer::{Anatomy, Part, Transfer, TransferError};

use tch::Tensor;

/// One feature level of a backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Channels of the feature map.
    pub channels: i64,
    /// Input pixels per feature pixel. A level of stride `s` has `ceil(H / s)` rows, of ConvNeXt `floor(H / s)`.
    pub stride: i64,
}

/// What a backbone is built for; both share all other parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dense prediction: every level has the norm that the family's dense code gives it.
    Dense,
    /// Image classification: no level has a norm; [`Classifier`] adds the family's end.
    Classify,
}

/// A network that turns an image into feature maps of falling resolution.
pub trait Backbone: std::fmt::Debug {
    /// Channels and stride of every level, finest first.
    fn levels(&self) -> &[Level];

    /// Features of all levels, finest first, normed if the backbone was built for [`Purpose::Dense`].
    ///
    /// # Shapes
    /// `images` `[B, 3, H, W]`, normalised, any size of at least 32; level `l` is `[B, C_l, H_l, W_l]` in the order of
    /// [`levels`](Self::levels). `train` turns on drop path.
    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor>;

    /// The last level before any norm of levels: what a classifier pools.
    ///
    /// # Shapes
    /// `images` as of [`forward_t`](Self::forward_t); the map is `[B, C, H, W]` with the last level's sizes.
    fn last_map(&self, images: &Tensor, train: bool) -> Tensor;

    /// Stages, finest first, that keep no activations inside their blocks while training: backward computes these again.
    ///
    /// # Errors
    /// [`ModelError::Config`] if a stage would count what it sees twice.
    fn recompute(&mut self, stages: [bool; STAGES]) -> Result<(), ModelError>;

    /// How the family's classifiers get from [`last_map`](Self::last_map) to logits.
    fn classifier_end(&self) -> ClassifierEnd;
}
