//! Mask2Former's heads, pixel decoder and transformer decoder. Our names are the authors', whose code is built on detectron2;
//! those of transformers 5.23.0 stand on the right.

use super::dropped::Dropped;
use super::rule::{Rule, fused, same};

/// What tells Mask2Former from OneFormer, MaskFormer and from its own other pixel decoders, of which only the backbone is read.
static SIGNATURES: [([&str; 2], &[Rule]); 3] = [
    (
        ["sem_seg_head.predictor.query_feat.weight", "sem_seg_head.pixel_decoder.transformer.level_embed"],
        &AUTHORS,
    ),
    (
        ["sem_seg_head.predictor.static_query.weight", "sem_seg_head.pixel_decoder.transformer.level_embed"],
        &AUTHORS,
    ),
    (
        ["model.transformer_module.queries_features.weight", "model.pixel_level_module.decoder.level_embed"],
        &HF,
    ),
];

/// What the names of heads begin with.
const HEADS: [&str; 4] =
    ["sem_seg_head.", "model.pixel_level_module.decoder.", "model.transformer_module.", "class_predictor."];

/// What checkpoints hold beside the network.
pub(super) static BESIDE: [Dropped; 1] =
    [Dropped { name: "criterion.", reason: "weights of the loss, which a recipe's `loss` has" }];

/// The rules of the heads that these names belong to, if they are Mask2Former's.
pub(super) fn rules(names: &[&str]) -> Option<&'static [Rule]> {
    let all = |wanted: &[&str]| wanted.iter().all(|wanted| names.contains(wanted));
    SIGNATURES.iter().find(|(wanted, _)| all(wanted)).map(|&(_, rules)| rules)
}

/// Whether a tensor belongs to the heads.
pub(super) fn is_head(name: &str) -> bool {
    HEADS.iter().any(|head| name.starts_with(head))
}

/// Names are alike, but that checkpoints of the first weeks call the learned queries otherwise.
pub(super) static AUTHORS: [Rule; 2] = [
    same(&["sem_seg_head.predictor.query_feat.**"], &["sem_seg_head.predictor.query_feat.**"]),
    same(&["sem_seg_head.predictor.query_feat.**"], &["sem_seg_head.predictor.static_query.**"]),
];

/// Of a rule whose one name begins as another's, the longer stands first.
pub(super) static HF: [Rule; 25] = [
    same(
        &["sem_seg_head.pixel_decoder.transformer.level_embed"],
        &["model.pixel_level_module.decoder.level_embed"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.input_proj.#.#.**"],
        &["model.pixel_level_module.decoder.input_projections.#.#.**"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.mask_features.**"],
        &["model.pixel_level_module.decoder.mask_projection.**"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.adapter_#.norm.**"],
        &["model.pixel_level_module.decoder.adapter_#.1.**"],
    ),
    same(&["sem_seg_head.pixel_decoder.adapter_#.**"], &["model.pixel_level_module.decoder.adapter_#.0.**"]),
    same(&["sem_seg_head.pixel_decoder.layer_#.norm.**"], &["model.pixel_level_module.decoder.layer_#.1.**"]),
    same(&["sem_seg_head.pixel_decoder.layer_#.**"], &["model.pixel_level_module.decoder.layer_#.0.**"]),
    same(
        &["sem_seg_head.pixel_decoder.transformer.encoder.layers.#.norm1.**"],
        &["model.pixel_level_module.decoder.encoder.layers.#.self_attn_layer_norm.**"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.transformer.encoder.layers.#.norm2.**"],
        &["model.pixel_level_module.decoder.encoder.layers.#.final_layer_norm.**"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.transformer.encoder.layers.#.linear#.**"],
        &["model.pixel_level_module.decoder.encoder.layers.#.fc#.**"],
    ),
    same(
        &["sem_seg_head.pixel_decoder.transformer.encoder.layers.#.self_attn.**"],
        &["model.pixel_level_module.decoder.encoder.layers.#.self_attn.**"],
    ),
    same(&["sem_seg_head.predictor.query_embed.**"], &["model.transformer_module.queries_embedder.**"]),
    same(&["sem_seg_head.predictor.query_feat.**"], &["model.transformer_module.queries_features.**"]),
    same(&["sem_seg_head.predictor.level_embed.**"], &["model.transformer_module.level_embed.**"]),
    same(&["sem_seg_head.predictor.decoder_norm.**"], &["model.transformer_module.decoder.layernorm.**"]),
    same(
        &["sem_seg_head.predictor.mask_embed.layers.#.**"],
        &["model.transformer_module.decoder.mask_predictor.mask_embedder.#.0.**"],
    ),
    same(&["sem_seg_head.predictor.class_embed.**"], &["class_predictor.**"]),
    same(
        &["sem_seg_head.predictor.transformer_cross_attention_layers.#.multihead_attn.**"],
        &["model.transformer_module.decoder.layers.#.cross_attn.**"],
    ),
    same(
        &["sem_seg_head.predictor.transformer_cross_attention_layers.#.norm.**"],
        &["model.transformer_module.decoder.layers.#.cross_attn_layer_norm.**"],
    ),
    fused(
        &["sem_seg_head.predictor.transformer_self_attention_layers.#.self_attn.in_proj_weight"],
        &[
            "model.transformer_module.decoder.layers.#.self_attn.q_proj.weight",
            "model.transformer_module.decoder.layers.#.self_attn.k_proj.weight",
            "model.transformer_module.decoder.layers.#.self_attn.v_proj.weight",
        ],
    ),
    fused(
        &["sem_seg_head.predictor.transformer_self_attention_layers.#.self_attn.in_proj_bias"],
        &[
            "model.transformer_module.decoder.layers.#.self_attn.q_proj.bias",
            "model.transformer_module.decoder.layers.#.self_attn.k_proj.bias",
            "model.transformer_module.decoder.layers.#.self_attn.v_proj.bias",
        ],
    ),
    same(
        &["sem_seg_head.predictor.transformer_self_attention_layers.#.self_attn.out_proj.**"],
        &["model.transformer_module.decoder.layers.#.self_attn.out_proj.**"],
    ),
    same(
        &["sem_seg_head.predictor.transformer_self_attention_layers.#.norm.**"],
        &["model.transformer_module.decoder.layers.#.self_attn_layer_norm.**"],
    ),
    same(
        &["sem_seg_head.predictor.transformer_ffn_layers.#.norm.**"],
        &["model.transformer_module.decoder.layers.#.final_layer_norm.**"],
    ),
    same(
        &["sem_seg_head.predictor.transformer_ffn_layers.#.linear#.**"],
        &["model.transformer_module.decoder.layers.#.fc#.**"],
    ),
];
