//! Sizes of a Mask2Former. The defaults are those of all published models; of these only the number of queries differs.

use serde::{Deserialize, Serialize};
use smalti_backbones::{BackboneConfig, ModelError, STAGES};

use crate::conv_module::MAX_CHANNELS;

/// Levels that the encoder refines and the decoder attends to.
pub(crate) const LEVELS: usize = 3;

/// Most queries, layers and points that a config may ask for, far above any published one.
const MAX_QUERIES: i64 = 10_000;
const MAX_LAYERS: i64 = 100;
const MAX_POINTS: i64 = 64;
/// 2048 periods a side: finer than any map.
const MAX_OCTAVES: i64 = 12;
/// Widest head that deformable attention computes.
const MAX_HEAD_CHANNELS: i64 = 1024;
/// The widest hidden layer of a feed-forward network.
const MAX_HIDDEN: i64 = 4 * MAX_CHANNELS;

/// The `[model]` table of a recipe with Mask2Former.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// The backbone and its size.
    pub backbone: BackboneConfig,
    /// Pixel decoder and transformer decoder.
    #[serde(default)]
    pub head: MaskHeadConfig,
    /// Activation checkpointing: stages of the backbone, finest first, that keep no activations inside their blocks while training
    /// and compute them again backward. Saves memory, costs up to one more forward pass. Default: none.
    #[serde(default)]
    pub recompute: [bool; STAGES],
}

/// Settings of the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskHeadConfig {
    /// Width of tokens, maps and queries; a multiple of 4, of `heads` and of `norm_groups`. Default 256.
    pub channels: i64,
    /// Channels of the mask features, whose products with the queries' embeddings are mask logits. Default 256.
    pub mask_channels: i64,
    /// Attention heads of encoder and decoder. Default 8.
    pub heads: i64,
    /// Groups of the pixel decoder's group norms. Default 32.
    pub norm_groups: i64,
    /// Deformable attention layers of the pixel decoder. Default 6.
    pub encoder_layers: i64,
    /// Hidden width of the encoder's feed-forward networks. Default 1024.
    pub encoder_hidden: i64,
    /// Points that a head of the encoder samples on every level. Default 4.
    pub points: i64,
    /// Queries: the most segments of an image. Default 100; published models with a large backbone have 200.
    pub queries: i64,
    /// Layers of the transformer decoder, without the prediction from the learned queries, which detectron2's `DEC_LAYERS`
    /// counts too. Default 9.
    pub decoder_layers: i64,
    /// Hidden width of the decoder's feed-forward networks. Default 2048.
    pub decoder_hidden: i64,
    /// Octaves of sines and cosines of a pixel's place, from one period a side on, that learned projections add to
    /// the mask features and to the decoder's keys. Default 0, none, as in the authors' network. What they are good for: `places.rs`.
    #[serde(skip_serializing_if = "is_zero")]
    pub place_octaves: i64,
}

impl Default for MaskHeadConfig {
    fn default() -> Self {
        Self {
            channels: 256,
            mask_channels: 256,
            heads: 8,
            norm_groups: 32,
            encoder_layers: 6,
            encoder_hidden: 1024,
            points: 4,
            queries: 100,
            decoder_layers: 9,
            decoder_hidden: 2048,
            place_octaves: 0,
        }
    }
}

impl MaskHeadConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that no head can be built from.
    pub fn validate(&self) -> Result<(), ModelError> {
        let limits = [
            ("channels", self.channels, MAX_CHANNELS),
            ("mask_channels", self.mask_channels, MAX_CHANNELS),
            ("heads", self.heads, MAX_CHANNELS),
            ("norm_groups", self.norm_groups, MAX_CHANNELS),
            ("encoder_layers", self.encoder_layers, MAX_LAYERS),
            ("encoder_hidden", self.encoder_hidden, MAX_HIDDEN),
            ("points", self.points, MAX_POINTS),
            ("queries", self.queries, MAX_QUERIES),
            ("decoder_layers", self.decoder_layers, MAX_LAYERS),
            ("decoder_hidden", self.decoder_hidden, MAX_HIDDEN),
        ];
        for (name, value, most) in limits {
            if !(1..=most).contains(&value) {
                return Err(refused(name, format!("1 to {most}"), value));
            }
        }
        if !(0..=MAX_OCTAVES).contains(&self.place_octaves) {
            return Err(refused("place_octaves", format!("0 to {MAX_OCTAVES}"), self.place_octaves));
        }
        // Sines and cosines of rows and of columns share the channels.
        if self.channels % 4 != 0 {
            return Err(refused("channels", "a multiple of 4", self.channels));
        }
        for (name, parts) in [("heads", self.heads), ("norm_groups", self.norm_groups)] {
            if self.channels % parts != 0 {
                return Err(refused(name, format!("a divisor of channels = {}", self.channels), parts));
            }
        }
        if self.channels / self.heads > MAX_HEAD_CHANNELS {
            let expected = format!("at most {MAX_HEAD_CHANNELS} of {} channels a head", self.channels);
            return Err(refused("heads", expected, self.heads));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn refused(name: &str, expected: impl Into<String>, got: i64) -> ModelError {
    ModelError::config(format!("model.head.{name}"), expected, got)
}
