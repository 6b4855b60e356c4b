//! Config fields that several families share: taking them from a variant's row, and the limits they must obey.
//!
//! The limits lie far above any published size: a slip in a recipe is an error and not an exhausted machine.

use crate::ModelError;

/// Number of stages of every family, and of feature levels.
pub const STAGES: usize = 4;

const MAX_EMBED_DIM: i64 = 4096;
const MAX_DEPTH: i64 = 1000;
const MAX_HEAD_DIM: i64 = 1024; // of the attention kernels
const MAX_MLP_RATIO: f64 = 64.0;
const MAX_NEIGHBORHOOD: i64 = 13; // of the attention kernels

/// A config error of `model.backbone.<field>`.
pub(crate) fn bad(field: &str, expected: impl Into<String>, got: impl ToString) -> ModelError {
    ModelError::config(format!("model.backbone.{field}"), expected, got)
}

/// The value given, or the variant's.
pub(crate) fn required<T>(field: &str, given: Option<T>, row: Option<T>) -> Result<T, ModelError> {
    given.or(row).ok_or_else(|| bad(field, "a value, or a `variant` to take it from", "neither"))
}

/// One number a stage.
pub(crate) fn four(field: &str, list: Option<&Vec<i64>>) -> Result<Option<[i64; STAGES]>, ModelError> {
    let Some(list) = list else { return Ok(None) };
    let array =
        list.as_slice().try_into().map_err(|_| bad(field, "4 numbers, one a stage", format!("{list:?}")))?;
    Ok(Some(array))
}

/// Channels of the first stage, a multiple of `unit`.
pub(crate) fn check_embed_dim(embed_dim: i64, unit: i64) -> Result<(), ModelError> {
    if embed_dim % unit == 0 && (unit..=MAX_EMBED_DIM).contains(&embed_dim) {
        return Ok(());
    }
    let multiple = match unit {
        1 => "a number".to_owned(),
        2 => "an even number".to_owned(),
        unit => format!("a multiple of {unit}"),
    };
    Err(bad("embed_dim", format!("{multiple} from {unit} to {MAX_EMBED_DIM}"), embed_dim))
}

/// Blocks of every stage.
pub(crate) fn check_depths(depths: &[i64; STAGES]) -> Result<(), ModelError> {
    if depths.iter().all(|depth| (1..=MAX_DEPTH).contains(depth)) {
        return Ok(());
    }
    Err(bad("depths", format!("1 to {MAX_DEPTH} blocks a stage"), format!("{depths:?}")))
}

/// Attention heads of every stage, whose channels are `embed_dim` doubled from stage to stage.
pub(crate) fn check_heads(heads: &[i64; STAGES], embed_dim: i64) -> Result<(), ModelError> {
    for (stage, &heads) in heads.iter().enumerate() {
        let channels = embed_dim << stage;
        if heads < 1 || channels % heads != 0 {
            return Err(bad("heads", format!("a divisor of stage {stage}'s {channels} channels"), heads));
        }
        if channels / heads > MAX_HEAD_DIM {
            let expected =
                format!("at most {MAX_HEAD_DIM} channels a head of stage {stage}'s {channels} channels");
            return Err(bad("heads", expected, heads));
        }
    }
    Ok(())
}

/// Hidden width of an MLP over its channels.
pub(crate) fn check_mlp_ratio(mlp_ratio: f64, embed_dim: i64) -> Result<(), ModelError> {
    if hidden_channels(embed_dim, mlp_ratio) >= 1 && mlp_ratio <= MAX_MLP_RATIO {
        return Ok(());
    }
    Err(bad("mlp_ratio", format!("1 / embed_dim to {MAX_MLP_RATIO}"), mlp_ratio))
}

/// Initial value of a layer scale; `None` = no layer scale.
pub(crate) fn check_layer_scale(value: Option<f64>) -> Result<(), ModelError> {
    match value {
        Some(value) if !(value > 0.0 && value.is_finite()) => {
            Err(bad("layer_scale", "0 (none) or a positive number", value))
        }
        _ => Ok(()),
    }
}

/// Width of an MLP's hidden layer, rounded down as the references do.
pub(crate) fn hidden_channels(channels: i64, mlp_ratio: f64) -> i64 {
    (channels as f64 * mlp_ratio) as i64
}

/// Side of a neighborhood attention's window.
pub(crate) fn check_window(window: i64) -> Result<(), ModelError> {
    if window % 2 == 1 && (3..=MAX_NEIGHBORHOOD).contains(&window) {
        return Ok(());
    }
    Err(bad("window", format!("an odd number from 3 to {MAX_NEIGHBORHOOD}"), window))
}
