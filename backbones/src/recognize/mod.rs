//! Which network a set of weights is of: from the sizes of its tensors, or from the `config.json` beside it.
//!
//! Sizes tell widths, depths, windows and most else. What they can not tell (dilations; the heads of DaViT; the strides of DAT++'s
//! keys) is taken from the one published variant that fits, or asked for.

mod dat;
mod hf;

use std::collections::BTreeMap;

use crate::fields::{STAGES, hidden_channels};
use crate::{
    BackboneConfig, ConvNextConfig, ConvNextVariant, DavitConfig, DavitVariant, DinatSConfig, DinatSVariant,
    ModelError, NatConfig, NatVariant, ResNetConfig, ResNetVariant, SwinConfig, SwinVariant,
};

pub use dat::dat;
pub use hf::{from_config_json, to_config_json};

/// A network, and what its weights do not tell.
#[derive(Debug, Clone)]
pub struct Recognized {
    /// The network; undecided fields have their defaults.
    pub config: BackboneConfig,
    /// What to ask for, if anything is undecided.
    pub question: Option<Question>,
}

/// What weights do not tell of their network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Fields of `model.backbone` of which any one decides.
    pub fields: &'static [&'static str],
    /// What is not told, and what may be meant.
    pub text: String,
}

/// Names of a family's parameters in our layout, with their sizes.
#[derive(Debug, Default)]
pub struct Shapes<'a>(BTreeMap<&'a str, &'a [usize]>);

impl<'a> FromIterator<(&'a str, &'a [usize])> for Shapes<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [usize])>>(shapes: T) -> Self {
        Self(shapes.into_iter().collect())
    }
}

impl Shapes<'_> {
    /// Size `dim` of a tensor.
    fn size(&self, name: &str, dim: usize) -> Result<i64, ModelError> {
        let bad = |expected: String, got: &dyn std::fmt::Display| {
            Err(ModelError::config(format!("`{name}`"), expected, got))
        };
        match self.0.get(name) {
            None => bad("a tensor of this name in our layout".to_owned(), &"none"),
            Some(shape) => match shape.get(dim) {
                Some(&size) if (1..=1 << 20).contains(&size) => Ok(size as i64),
                _ => bad(format!("{} dimensions of 1 to 2^20", dim + 1), &format!("shape {shape:?}")),
            },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// How many blocks each stage has, of which `weight` names a parameter.
    fn depths(&self, weight: impl Fn(usize, usize) -> String) -> Vec<i64> {
        let blocks = |l: usize| (0..self.0.len()).take_while(|&j| self.has(&weight(l, j))).count();
        (0..STAGES).map(|l| blocks(l) as i64).collect()
    }
}

/// The ratio of which [`hidden_channels`] makes `hidden` of `channels`.
fn mlp_ratio(hidden: i64, channels: i64) -> f64 {
    let ratio = hidden as f64 / channels as f64;
    if hidden_channels(channels, ratio) < hidden { ratio.next_up() } else { ratio }
}

/// The side of a window with this many biases in a row: every pair of pixels has one.
fn window(biases: i64) -> i64 {
    (biases + 1) / 2
}

/// Quoted and joined.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

const DILATIONS: &[&str] = &["variant", "dilations"];

/// NAT or DiNAT of the sizes of its parameters; dilations are always a question.
pub fn nat(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let embed_dim = shapes.size("patch_embed.proj.1.weight", 0)?;
    let block = |l: usize, rest: &str| format!("levels.{l}.blocks.0.{rest}");
    let heads = (0..STAGES).map(|l| shapes.size(&block(l, "attn.rpb"), 0)).collect::<Result<_, _>>()?;
    let config = NatConfig {
        embed_dim: Some(embed_dim),
        depths: Some(shapes.depths(|l, j| format!("levels.{l}.blocks.{j}.norm1.weight"))),
        heads: Some(heads),
        mlp_ratio: Some(mlp_ratio(shapes.size(&block(0, "mlp.fc1.weight"), 0)?, embed_dim)),
        layer_scale: Some(if shapes.has(&block(0, "gamma1")) { 1e-5 } else { 0.0 }),
        window: Some(window(shapes.size(&block(0, "attn.rpb"), 1)?)),
        ..NatConfig::default()
    };
    let arch = config.arch()?;
    let fits = |variant: &NatVariant| {
        let row = NatConfig { variant: Some(*variant), ..NatConfig::default() }.arch();
        row.is_ok_and(|row| {
            let scale = arch.layer_scale.is_some() == row.layer_scale.is_some();
            (row.embed_dim, row.depths, row.heads, row.mlp_ratio, row.window)
                == (arch.embed_dim, arch.depths, arch.heads, arch.mlp_ratio, arch.window)
                && scale
        })
    };
    let variants: Vec<_> = NatVariant::ALL.into_iter().filter(fits).map(NatVariant::name).collect();
    Ok(Recognized { config: BackboneConfig::Nat(config), question: Some(dilations(&variants)) })
}

/// `DiNAT_s` of the sizes of its parameters; dilations are always a question.
pub fn dinat_s(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let embed_dim = shapes.size("patch_embed.proj.weight", 0)?;
    let block = |l: usize, rest: &str| format!("layers.{l}.blocks.0.{rest}");
    let heads = (0..STAGES).map(|l| shapes.size(&block(l, "attn.rpb"), 0)).collect::<Result<_, _>>()?;
    let config = DinatSConfig {
        embed_dim: Some(embed_dim),
        depths: Some(shapes.depths(|l, j| format!("layers.{l}.blocks.{j}.norm1.weight"))),
        heads: Some(heads),
        mlp_ratio: Some(mlp_ratio(shapes.size(&block(0, "mlp.fc1.weight"), 0)?, embed_dim)),
        window: Some(window(shapes.size(&block(0, "attn.rpb"), 1)?)),
        ..DinatSConfig::default()
    };
    let arch = config.arch()?;
    let fits = |variant: &DinatSVariant| {
        let row = DinatSConfig { variant: Some(*variant), ..DinatSConfig::default() }.arch();
        row.is_ok_and(|row| {
            (row.embed_dim, row.depths, row.heads, row.mlp_ratio, row.window)
                == (arch.embed_dim, arch.depths, arch.heads, arch.mlp_ratio, arch.window)
        })
    };
    let variants: Vec<_> = DinatSVariant::ALL.into_iter().filter(fits).map(DinatSVariant::name).collect();
    Ok(Recognized { config: BackboneConfig::DinatS(config), question: Some(dilations(&variants)) })
}

fn dilations(variants: &[&str]) -> Question {
    let known = listed(variants.iter().copied());
    let what = if variants.is_empty() {
        "`model.backbone.dilations`, to a published setting or a list a stage".to_owned()
    } else {
        format!(
            "`model.backbone.variant` to {known}, or `model.backbone.dilations` to another published setting"
        )
    };
    let text = format!("weights do not tell their dilations: set {what}");
    Question { fields: DILATIONS, text }
}

/// Swin of the sizes of its parameters.
pub fn swin(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let embed_dim = shapes.size("patch_embed.proj.weight", 0)?;
    let block = |l: usize, rest: &str| format!("layers.{l}.blocks.0.{rest}");
    let table = "attn.relative_position_bias_table";
    let heads = (0..STAGES).map(|l| shapes.size(&block(l, table), 1)).collect::<Result<_, _>>()?;
    let positions = shapes.size(&block(0, table), 0)?;
    let config = SwinConfig {
        embed_dim: Some(embed_dim),
        depths: Some(shapes.depths(|l, j| format!("layers.{l}.blocks.{j}.norm1.weight"))),
        heads: Some(heads),
        mlp_ratio: Some(mlp_ratio(shapes.size(&block(0, "mlp.fc1.weight"), 0)?, embed_dim)),
        window: Some(window(positions.isqrt())),
        ..SwinConfig::default()
    };
    let arch = config.arch()?;
    let named = |variant| SwinConfig { variant: Some(variant), ..SwinConfig::default() };
    let known =
        SwinVariant::ALL.into_iter().map(named).find(|named| named.arch().is_ok_and(|row| row == arch));
    Ok(Recognized { config: BackboneConfig::Swin(known.unwrap_or(config)), question: None })
}

/// ConvNeXt of the sizes of its parameters.
pub fn convnext(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let scale = if shapes.has("stages.0.0.gamma") { None } else { Some(0.0) };
    let config = ConvNextConfig {
        embed_dim: Some(shapes.size("downsample_layers.0.0.weight", 0)?),
        depths: Some(shapes.depths(|l, j| format!("stages.{l}.{j}.norm.weight"))),
        layer_scale: scale,
        ..ConvNextConfig::default()
    };
    let arch = config.arch()?;
    let named = |variant| ConvNextConfig { variant: Some(variant), ..ConvNextConfig::default() };
    let known =
        ConvNextVariant::ALL.into_iter().map(named).find(|named| named.arch().is_ok_and(|row| row == arch));
    Ok(Recognized { config: BackboneConfig::ConvNext(known.unwrap_or(config)), question: None })
}

/// ResNet of the sizes of its parameters.
pub fn resnet(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let config = ResNetConfig {
        depths: Some(shapes.depths(|l, j| format!("layer{}.{j}.conv1.weight", l + 1))),
        width: Some(shapes.size("conv1.weight", 0)?),
        ..ResNetConfig::default()
    };
    let arch = config.arch()?;
    let named = |variant| ResNetConfig { variant: Some(variant), ..ResNetConfig::default() };
    let known =
        ResNetVariant::ALL.into_iter().map(named).find(|named| named.arch().is_ok_and(|row| row == arch));
    Ok(Recognized { config: BackboneConfig::ResNet(known.unwrap_or(config)), question: None })
}

/// DaViT of the sizes of its parameters; heads, window and kind of channel attention are those of the variant that fits.
pub fn davit(shapes: &Shapes<'_>) -> Result<Recognized, ModelError> {
    let embed_dim = shapes.size("stem.conv.weight", 0)?;
    let depths = shapes.depths(|l, j| format!("stages.{l}.blocks.{j}.0.norm1.weight"));
    let kernel = shapes.size("stages.1.downsample.conv.weight", 2)?;
    let ratio = mlp_ratio(shapes.size("stages.0.blocks.0.0.mlp.fc1.weight", 0)?, embed_dim);
    let qkv_bias = shapes.has("stages.0.blocks.0.0.attn.qkv.bias");
    let named = |variant| DavitConfig { variant: Some(variant), ..DavitConfig::default() };
    let fits = |named: &DavitConfig| {
        named.arch().is_ok_and(|row| {
            (row.embed_dim, row.depths.to_vec(), row.downsample_kernel, row.mlp_ratio, row.qkv_bias)
                == (embed_dim, depths.clone(), kernel, ratio, qkv_bias)
        })
    };
    if let Some(config) = DavitVariant::ALL.into_iter().map(named).find(fits) {
        return Ok(Recognized { config: BackboneConfig::Davit(config), question: None });
    }
    let config = DavitConfig {
        embed_dim: Some(embed_dim),
        depths: Some(depths),
        mlp_ratio: Some(ratio),
        qkv_bias: Some(qkv_bias),
        downsample_kernel: Some(kernel),
        ..DavitConfig::default()
    };
    let text = "no published variant has these sizes, and weights do not tell the heads: set `model.backbone.heads`, and \
                `window` and `channel_attention` if they are not 7 and v1"
        .to_owned();
    let question = Some(Question { fields: &["heads", "variant"], text });
    Ok(Recognized { config: BackboneConfig::Davit(config), question })
}
