//! Hierarchical vision backbones behind one trait, and weight loading.
//!
//! One family, one file: module doc with paper and traps, config, blocks bottom-up, model, variant table. A name becomes a
//! type in [`BackboneConfig::build`] and nowhere else; heads learn channels and strides from [`Backbone::levels`].

pub mod checkpoint_tensors;
mod config;
mod error;
mod layers;
pub mod nat;
pub mod safetensors_io;
pub mod weights;

pub use config::BackboneConfig;
pub use error::ModelError;
pub use nat::{Nat, NatConfig, NatVariant};

use tch::Tensor;

/// One feature level of a backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Channels of the feature map.
    pub channels: i64,
    /// Input pixels per feature pixel; odd sizes round up, so a level of stride `s` has about `ceil(H / s)` rows.
    pub stride: i64,
}

/// A network that turns an image into feature maps of falling resolution.
pub trait Backbone: std::fmt::Debug {
    /// Channels and stride of every level, finest first.
    fn levels(&self) -> &[Level];

    /// Features of all levels, finest first.
    ///
    /// # Shapes
    /// `images` `[B, 3, H, W]`, normalised, any size of at least 32; level `l` is `[B, C_l, H_l, W_l]` in the order of
    /// [`levels`](Self::levels). `train` turns on drop path.
    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor>;
}
