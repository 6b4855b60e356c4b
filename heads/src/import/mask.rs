//! Mask2Former's head from the sizes of its tensors, and what Hugging Face's `config.json` says beside them.

use serde_json::{Map, Value};
use smalti_backbones::ModelError;

use super::size_of;
use crate::MaskHeadConfig;
use crate::mask::config::LEVELS;

const PIXEL_DECODER: &str = "sem_seg_head.pixel_decoder";
const PREDICTOR: &str = "sem_seg_head.predictor";

/// Number of classes, without "no object", which is a row of the layer too.
pub(super) fn classes(sizes: &[(&str, &[usize])]) -> Result<i64, ModelError> {
    let name = format!("{PREDICTOR}.class_embed.weight");
    let rows = size_of(sizes, &name, 0)?;
    if rows < 2 {
        return Err(ModelError::config(
            format!("`{name}`"),
            "rows of a class or more and of \"no object\"",
            rows,
        ));
    }
    Ok(rows - 1)
}

/// The head of tensors with these names and sizes. Of attention heads and points sizes tell the product; every published model
/// samples the default number of points. Nor do they tell the groups of norms.
pub(super) fn head(sizes: &[(&str, &[usize])]) -> Result<MaskHeadConfig, ModelError> {
    let size = |name: &str, dim: usize| size_of(sizes, name, dim);
    let layers = |name: &dyn Fn(usize) -> String| {
        let there = |layer: &usize| {
            let name = name(*layer);
            sizes.iter().any(|(other, _)| *other == name)
        };
        (0..sizes.len()).take_while(there).count() as i64
    };
    let encoder =
        |layer: usize, rest: &str| format!("{PIXEL_DECODER}.transformer.encoder.layers.{layer}.{rest}");
    let feed_forward =
        |layer: usize, rest: &str| format!("{PREDICTOR}.transformer_ffn_layers.{layer}.{rest}");
    let queries = format!("{PREDICTOR}.query_feat.weight");
    let default = MaskHeadConfig::default();
    let samples = size(&encoder(0, "self_attn.attention_weights.weight"), 0)?;
    Ok(MaskHeadConfig {
        channels: size(&queries, 1)?,
        mask_channels: size(&format!("{PIXEL_DECODER}.mask_features.weight"), 0)?,
        heads: (samples / (LEVELS as i64 * default.points)).max(1),
        encoder_layers: layers(&|layer| encoder(layer, "norm1.weight")),
        encoder_hidden: size(&encoder(0, "linear1.weight"), 0)?,
        queries: size(&queries, 0)?,
        decoder_layers: layers(&|layer| feed_forward(layer, "norm.weight")),
        decoder_hidden: size(&feed_forward(0, "linear1.weight"), 0)?,
        ..default
    })
}

/// Takes from a `config.json` what sizes do not tell. Its `decoder_layers` counts the prediction before the first layer too and
/// is left to the sizes.
///
/// # Errors
/// [`ModelError::Config`] naming a setting that our heads do not have.
pub(super) fn follow(head: &mut MaskHeadConfig, config: &Map<String, Value>) -> Result<(), ModelError> {
    let fixed = [
        ("activation_function", Value::from("relu")),
        ("common_stride", Value::from(4)),
        ("enforce_input_projection", Value::from(false)),
        ("feature_size", Value::from(head.channels)),
        ("hidden_dim", Value::from(head.channels)),
        ("pre_norm", Value::from(false)),
    ];
    if let Some((key, only)) =
        fixed.iter().find(|(key, only)| config.get(*key).is_some_and(|value| value != only))
    {
        let got = config.get(*key).map_or_else(String::new, ToString::to_string);
        return Err(ModelError::config(format!("`{key}`"), only.to_string(), got));
    }
    if let Some(heads) = config.get("num_attention_heads") {
        let number = heads.as_i64().filter(|&number| number > 0);
        head.heads = number.ok_or_else(|| {
            ModelError::config("`num_attention_heads`", "a whole number of 1 or more", heads)
        })?;
    }
    Ok(())
}
