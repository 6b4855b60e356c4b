//! Hugging Face's `config.json`, as transformers 5.23.0 and 4.x write it, to our config and back.

use serde_json::{Map, Value, json};

use crate::fields::STAGES;
use crate::{
    BackboneConfig, ConvNextConfig, DavitConfig, Dilations, ModelError, NatConfig, ResNetConfig, SwinConfig,
    davit::ChannelAttentionVersion,
};

/// Types of models whose settings are read.
const MODEL_TYPES: &str = "dinat, nat, swin, convnext, resnet, or florence2 for its vision tower";

/// A `config.json`'s object, or one of its inner ones.
struct Settings<'a>(&'a Map<String, Value>);

/// A setting that no network of ours has.
fn bad(key: &str, expected: &str, got: Option<&Value>) -> ModelError {
    let got = got.map_or_else(|| "none".to_owned(), ToString::to_string);
    ModelError::config(format!("`{key}`"), expected, got)
}

impl Settings<'_> {
    fn number(&self, key: &str) -> Result<i64, ModelError> {
        self.0.get(key).and_then(Value::as_i64).ok_or_else(|| bad(key, "a whole number", self.0.get(key)))
    }

    fn number_or(&self, key: &str, default: i64) -> Result<i64, ModelError> {
        if self.0.contains_key(key) { self.number(key) } else { Ok(default) }
    }

    fn real_or(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        match self.0.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| bad(key, "a number", Some(value))),
        }
    }

    fn numbers_or(&self, key: &str, default: &[i64]) -> Result<Vec<i64>, ModelError> {
        match self.0.get(key) {
            None => Ok(default.to_vec()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| bad(key, "a list of whole numbers", Some(value))),
        }
    }

    /// Refuses a setting that our networks do not have.
    fn fixed(&self, key: &str, only: &Value) -> Result<(), ModelError> {
        match self.0.get(key) {
            Some(value) if value != only => {
                // 0 and 0.0, false and absent are the same here.
                let same = value.as_f64().zip(only.as_f64()).is_some_and(|(a, b)| a == b);
                if same { Ok(()) } else { Err(bad(key, &only.to_string(), Some(value))) }
            }
            _ => Ok(()),
        }
    }
}

/// The network of a `config.json`. Absent settings have transformers' defaults, which the hub's files leave out.
///
/// # Errors
/// [`ModelError::Config`] naming a type of model that is not read, or a setting that our networks do not have.
pub fn from_config_json(config: &Map<String, Value>) -> Result<BackboneConfig, ModelError> {
    let settings = Settings(config);
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let config = match kind {
        "dinat" | "nat" => BackboneConfig::Nat(nat(&settings, kind == "dinat")?),
        "swin" => BackboneConfig::Swin(swin(&settings)?),
        "convnext" => BackboneConfig::ConvNext(convnext(&settings)?),
        "resnet" => BackboneConfig::ResNet(resnet(&settings)?),
        "florence2" => BackboneConfig::Davit(florence2(config)?),
        _ => return Err(bad("model_type", MODEL_TYPES, config.get("model_type"))),
    };
    config.validate()?;
    Ok(config)
}

/// `drop_path_rate` is a setting of training and stays 0.
fn nat(settings: &Settings<'_>, dilated: bool) -> Result<NatConfig, ModelError> {
    settings.fixed("patch_size", &json!(4))?;
    settings.fixed("qkv_bias", &json!(true))?;
    settings.fixed("hidden_act", &json!("gelu"))?;
    settings.fixed("layer_norm_eps", &json!(1e-5))?;
    // The defaults of transformers' DinatConfig; published files name what they differ in.
    let dilations = match settings.0.get("dilations") {
        _ if !dilated => None,
        None | Some(Value::Null) => {
            Some(vec![vec![1, 8, 1], vec![1, 4, 1, 4], vec![1, 2, 1, 2, 1, 2], vec![1, 1, 1, 1, 1]])
        }
        Some(value) => {
            let lists: Result<Vec<Vec<i64>>, _> = serde_json::from_value(value.clone());
            Some(lists.map_err(|_| bad("dilations", "a list of numbers a stage", Some(value)))?)
        }
    };
    let dilated = dilations.filter(|lists| lists.iter().flatten().any(|&dilation| dilation != 1));
    Ok(NatConfig {
        embed_dim: Some(settings.number_or("embed_dim", 64)?),
        depths: Some(settings.numbers_or("depths", &[3, 4, 6, 5])?),
        heads: Some(settings.numbers_or("num_heads", &[2, 4, 8, 16])?),
        mlp_ratio: Some(settings.real_or("mlp_ratio", 3.0)?),
        layer_scale: Some(settings.real_or("layer_scale_init_value", 0.0)?.max(0.0)),
        window: Some(settings.number_or("kernel_size", 7)?),
        dilations: dilated.map(Dilations::Lists),
        ..NatConfig::default()
    })
}

fn swin(settings: &Settings<'_>) -> Result<SwinConfig, ModelError> {
    settings.fixed("patch_size", &json!(4))?;
    settings.fixed("qkv_bias", &json!(true))?;
    settings.fixed("hidden_act", &json!("gelu"))?;
    settings.fixed("use_absolute_embeddings", &json!(false))?;
    settings.fixed("layer_norm_eps", &json!(1e-5))?;
    Ok(SwinConfig {
        embed_dim: Some(settings.number_or("embed_dim", 96)?),
        depths: Some(settings.numbers_or("depths", &[2, 2, 6, 2])?),
        heads: Some(settings.numbers_or("num_heads", &[3, 6, 12, 24])?),
        mlp_ratio: Some(settings.real_or("mlp_ratio", 4.0)?),
        window: Some(settings.number_or("window_size", 7)?),
        ..SwinConfig::default()
    })
}

/// The width of the first stage of four that double.
fn doubling(settings: &Settings<'_>, key: &str, default: [i64; STAGES]) -> Result<i64, ModelError> {
    let sizes = settings.numbers_or(key, &default)?;
    let doubles =
        sizes.len() == STAGES && sizes.windows(2).all(|pair| pair[0].checked_mul(2) == Some(pair[1]));
    if doubles {
        Ok(sizes[0])
    } else {
        Err(bad(key, "four numbers, each twice the last", settings.0.get(key)))
    }
}

fn convnext(settings: &Settings<'_>) -> Result<ConvNextConfig, ModelError> {
    settings.fixed("patch_size", &json!(4))?;
    settings.fixed("hidden_act", &json!("gelu"))?;
    Ok(ConvNextConfig {
        embed_dim: Some(doubling(settings, "hidden_sizes", [96, 192, 384, 768])?),
        depths: Some(settings.numbers_or("depths", &[3, 3, 9, 3])?),
        layer_scale: Some(settings.real_or("layer_scale_init_value", 1e-6)?.max(0.0)),
        ..ConvNextConfig::default()
    })
}

fn resnet(settings: &Settings<'_>) -> Result<ResNetConfig, ModelError> {
    settings.fixed("layer_type", &json!("bottleneck"))?;
    settings.fixed("hidden_act", &json!("relu"))?;
    settings.fixed("downsample_in_first_stage", &json!(false))?;
    settings.fixed("downsample_in_bottleneck", &json!(false))?;
    let width = settings.number_or("embedding_size", 64)?;
    if doubling(settings, "hidden_sizes", [256, 512, 1024, 2048])? != width.saturating_mul(4) {
        return Err(bad("hidden_sizes", "four times `embedding_size` first", settings.0.get("hidden_sizes")));
    }
    Ok(ResNetConfig {
        depths: Some(settings.numbers_or("depths", &[3, 4, 6, 3])?),
        width: Some(width),
        ..ResNetConfig::default()
    })
}

fn florence2(config: &Map<String, Value>) -> Result<DavitConfig, ModelError> {
    let Some(vision) = config.get("vision_config").and_then(Value::as_object) else {
        return Err(bad("vision_config", "settings of the vision tower", config.get("vision_config")));
    };
    let settings = Settings(vision);
    settings.fixed("patch_size", &json!([7, 3, 3, 3]))?;
    settings.fixed("patch_stride", &json!([4, 2, 2, 2]))?;
    settings.fixed("patch_padding", &json!([3, 1, 1, 1]))?;
    settings.fixed("patch_prenorm", &json!([false, true, true, true]))?;
    let heads = settings.numbers_or("num_heads", &[4, 8, 16, 32])?;
    if settings.numbers_or("num_groups", &[4, 8, 16, 32])? != heads {
        return Err(bad("num_groups", "as many as `num_heads`", vision.get("num_groups")));
    }
    // Florence-2's own code writes `dim_embed`.
    let widths = if vision.contains_key("dim_embed") { "dim_embed" } else { "embed_dim" };
    Ok(DavitConfig {
        embed_dim: Some(doubling(&settings, widths, [128, 256, 512, 1024])?),
        depths: Some(settings.numbers_or("depths", &[1, 1, 9, 1])?),
        heads: Some(heads),
        mlp_ratio: Some(settings.real_or("mlp_ratio", 4.0)?),
        qkv_bias: Some(vision.get("qkv_bias").and_then(Value::as_bool).unwrap_or(true)),
        window: Some(settings.number_or("window_size", 12)?),
        downsample_kernel: Some(3),
        channel_attention: Some(ChannelAttentionVersion::V2),
        ..DavitConfig::default()
    })
}

/// What transformers' config of this backbone has, if it has such a backbone.
///
/// # Errors
/// As of the config's `arch`.
pub fn to_config_json(config: &BackboneConfig) -> Result<Option<Map<String, Value>>, ModelError> {
    const OUT: [&str; 4] = ["stage1", "stage2", "stage3", "stage4"];
    let widths = |first: i64| (0..STAGES).map(|l| first << l).collect::<Vec<_>>();
    let value = match config {
        BackboneConfig::Nat(config) => {
            let arch = config.arch()?;
            json!({
                "model_type": "dinat", "embed_dim": arch.embed_dim, "depths": arch.depths, "num_heads": arch.heads,
                "kernel_size": arch.window, "dilations": arch.dilations, "mlp_ratio": arch.mlp_ratio,
                "layer_scale_init_value": arch.layer_scale.unwrap_or(0.0), "patch_size": 4, "out_features": OUT,
            })
        }
        BackboneConfig::Swin(config) => {
            let arch = config.arch()?;
            json!({
                "model_type": "swin", "embed_dim": arch.embed_dim, "depths": arch.depths, "num_heads": arch.heads,
                "window_size": arch.window, "mlp_ratio": arch.mlp_ratio, "patch_size": 4, "out_features": OUT,
            })
        }
        BackboneConfig::ConvNext(config) => {
            let arch = config.arch()?;
            json!({
                "model_type": "convnext", "hidden_sizes": widths(arch.embed_dim), "depths": arch.depths,
                "layer_scale_init_value": arch.layer_scale.unwrap_or(0.0), "layer_norm_eps": 1e-6, "patch_size": 4,
                "out_features": OUT,
            })
        }
        BackboneConfig::ResNet(config) => {
            let arch = config.arch()?;
            json!({
                "model_type": "resnet", "embedding_size": arch.width, "hidden_sizes": widths(4 * arch.width),
                "depths": arch.depths, "layer_type": "bottleneck", "out_features": OUT,
            })
        }
        BackboneConfig::DinatS(_) | BackboneConfig::Davit(_) | BackboneConfig::Dat(_) => return Ok(None),
    };
    Ok(value.as_object().cloned())
}
