//! Mask2Former's transformer decoder: queries that look at the inside of the masks they have predicted so far.
//!
//! Paper: Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022,
//! <https://arxiv.org/abs/2112.01527>, section 3.2. Reference code: facebookresearch/Mask2Former 9b0651c
//! `transformer_decoder/mask2former_transformer_decoder.py` (MIT), whose parameter names these are.
//! Differs from the reference: where a query may look is decided by its embedding's product with resized mask features, not by
//! its resized mask, which is the same number but for rounding; a pass in evaluation makes full masks and classes of the
//! last layer only. No pre-norm and no input projection, which no published model has.
//! Shapes: memory `[B, C, H_l, W_l]` and mask features `[B, C_mask, H_0, W_0]` -> class logits `[B, Q, K + 1]`, mask logits
//! `[B, Q, H_0, W_0]`.
//! Checked by: `tests/parity_mask.rs` (predictions of all layers and gradients of the reference), `tests/contract.rs`.
//!
//! Traps: keys have places added, values have not, both have the level's embedding; a query whose mask is empty on a level looks
//! everywhere; no gradient passes through the choice of where to look.

use tch::nn;
use tch::{Device, Tensor, no_grad};

use super::attention::Attention;
use super::config::{LEVELS, MaskHeadConfig};
use super::layers::{FeedForward, by_inputs, layer_norm, linear};
use super::pixel_decoder::PixelFeatures;
use super::places::{self, Places};
use super::position::sine_embedding;
use super::{MaskOutput, MaskPrediction};
use crate::{map_size, resize};

/// The transformer decoder with its predictions.
#[derive(Debug)]
pub struct MaskDecoder {
    query_feat: Tensor,  // [Q, C], what queries are at first
    query_embed: Tensor, // [Q, C], added to queries wherever they ask
    level_embed: Tensor, // [L, C]
    layers: Vec<DecoderLayer>,
    decoder_norm: nn::LayerNorm,
    class_embed: nn::Linear,
    mask_embed: [nn::Linear; 3],
    places: Option<Places>,
    device: Device,
}

impl MaskDecoder {
    /// Builds the decoder under `p`; `config` has passed its checks.
    pub(super) fn new(p: &nn::Path<'_>, config: &MaskHeadConfig, num_classes: i64) -> Self {
        let &MaskHeadConfig { channels, queries, .. } = config;
        let embedding = |name: &str, rows: i64| (p / name).randn("weight", &[rows, channels], 0.0, 1.0);
        let by_default = |p: &nn::Path<'_>, outputs: i64| {
            linear(p, channels, outputs, by_inputs(channels), by_inputs(channels))
        };
        let mask_embed = p / "mask_embed" / "layers";
        Self {
            query_feat: embedding("query_feat", queries),
            query_embed: embedding("query_embed", queries),
            level_embed: embedding("level_embed", LEVELS as i64),
            layers: (0..config.decoder_layers).map(|i| DecoderLayer::new(p, i, config)).collect(),
            decoder_norm: layer_norm(&(p / "decoder_norm"), channels),
            class_embed: by_default(&(p / "class_embed"), num_classes + 1),
            mask_embed: [channels, channels, config.mask_channels]
                .iter()
                .enumerate()
                .map(|(k, &outputs)| by_default(&(&mask_embed / k), outputs))
                .collect::<Vec<_>>()
                .try_into()
                .expect("three layers"),
            places: Places::new(&(p / "places"), config, channels, places::Init::Zero),
            device: p.device(),
        }
    }

    /// What the queries predict; `every_layer` asks for the predictions before the last layer's too.
    pub fn forward(&self, features: &PixelFeatures, every_layer: bool) -> MaskOutput {
        let levels: Vec<AttendedLevel> =
            (0..).zip(&features.memory).map(|(i, map)| self.level(map, i, features)).collect();
        let batch = features.mask_features.size()[0];
        let places = self.query_embed.unsqueeze(0); // [1, Q, C]
        let mut queries = self.query_feat.unsqueeze(0).expand([batch, -1, -1], false); // [B, Q, C]
        let mut aux = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let level = &levels[i % levels.len()];
            let normed = queries.apply(&self.decoder_norm);
            let embeddings = self.mask_embeddings(&normed);
            if every_layer {
                aux.push(self.predict(&normed, &embeddings, features));
            }
            queries = layer.forward(&queries, &places, level, &level.allowed(&embeddings));
        }
        let normed = queries.apply(&self.decoder_norm);
        let last = self.predict(&normed, &self.mask_embeddings(&normed), features);
        MaskOutput { class_logits: last.class_logits, mask_logits: last.mask_logits, aux }
    }

    /// Level `i` of memory, `[B, C, H, W]`, ready for the layers that attend to it.
    fn level(&self, map: &Tensor, i: i64, features: &PixelFeatures) -> AttendedLevel {
        let size = map_size(map);
        let values = map.flatten(2, 3).transpose(1, 2) + self.level_embed.get(i); // [B, N, C]
        let mut places = sine_embedding(size, values.size()[2], values.kind(), self.device); // [N, C]
        if let Some(finer) = &self.places {
            places += finer.forward(size, values.kind()).reshape([-1, values.size()[2]]);
        }
        // Masks are linear in the mask features: resizing these once spares resizing every layer's masks.
        let mask_features = no_grad(|| resize(&features.mask_features, size).flatten(2, 3));
        AttendedLevel { keys: &values + places, values, mask_features }
    }

    // [B, Q, C] -> [B, Q, C_mask]
    fn mask_embeddings(&self, normed: &Tensor) -> Tensor {
        let [first, second, last] = &self.mask_embed;
        normed.apply(first).relu_().apply(second).relu_().apply(last)
    }

    fn predict(&self, normed: &Tensor, embeddings: &Tensor, features: &PixelFeatures) -> MaskPrediction {
        let (height, width) = map_size(&features.mask_features);
        let (batch, queries, _) = embeddings.size3().expect("embeddings [B, Q, C_mask] by construction");
        let masks = embeddings.bmm(&features.mask_features.flatten(2, 3)); // [B, Q, H_0 * W_0]
        MaskPrediction {
            class_logits: normed.apply(&self.class_embed),
            mask_logits: masks.reshape([batch, queries, height, width]),
        }
    }
}

/// A level of memory as the decoder's layers see it.
struct AttendedLevel {
    keys: Tensor,          // [B, N, C]
    values: Tensor,        // [B, N, C]
    mask_features: Tensor, // [B, C_mask, N], without gradient
}

impl AttendedLevel {
    /// Where queries with these mask embeddings `[B, Q, C_mask]` may look, `[B, 1, Q, N]`: inside their masks, everywhere if a mask
    /// is empty.
    fn allowed(&self, embeddings: &Tensor) -> Tensor {
        no_grad(|| {
            let inside = embeddings.bmm(&self.mask_features).ge(0.0); // [B, Q, N]
            let empty = inside.any_dim(2, true).bitwise_not(); // [B, Q, 1]
            inside.bitwise_or_tensor(&empty).unsqueeze(1)
        })
    }
}

/// Masked cross-attention, self-attention and a feed-forward network, each added to its input and normed.
#[derive(Debug)]
struct DecoderLayer {
    cross_attn: Attention,
    cross_norm: nn::LayerNorm,
    self_attn: Attention,
    self_norm: nn::LayerNorm,
    feed_forward: FeedForward,
}

impl DecoderLayer {
    /// Layer `index` under the decoder's path `p`.
    fn new(p: &nn::Path<'_>, index: i64, config: &MaskHeadConfig) -> Self {
        let &MaskHeadConfig { channels, heads, decoder_hidden, .. } = config;
        let cross = p / "transformer_cross_attention_layers" / index;
        let own = p / "transformer_self_attention_layers" / index;
        let feed_forward = p / "transformer_ffn_layers" / index;
        Self {
            cross_attn: Attention::new(&(&cross / "multihead_attn"), channels, heads),
            cross_norm: layer_norm(&(&cross / "norm"), channels),
            self_attn: Attention::new(&(&own / "self_attn"), channels, heads),
            self_norm: layer_norm(&(&own / "norm"), channels),
            feed_forward: FeedForward::new(&feed_forward, channels, decoder_hidden, "norm"),
        }
    }

    // queries [B, Q, C], their places [1, Q, C] -> [B, Q, C]
    fn forward(&self, x: &Tensor, places: &Tensor, level: &AttendedLevel, allowed: &Tensor) -> Tensor {
        let seen = self.cross_attn.forward(&(x + places), &level.keys, &level.values, Some(allowed));
        let x = (x + seen).apply(&self.cross_norm);
        let placed = &x + places;
        let told = self.self_attn.forward(&placed, &placed, &x, None);
        self.feed_forward.forward(&(x + told).apply(&self.self_norm))
    }
}
