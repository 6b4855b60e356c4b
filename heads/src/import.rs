//! A model from someone else's checkpoint: which network it is of, and whether every tensor has its place.
//!
//! [`smalti_checkpoints::layouts`] has given the tensors our names; here the network is recognised from their sizes or from
//! Hugging Face's `config.json`, built, and compared name by name and size by size. Only position biases may have another
//! size: those of other windows, or of DAT++ for images of another size, are interpolated, as the authors do.
//! Checked by: `tests/import.rs`, against networks of transformers, timm, torchvision and the authors.

mod mask;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use smalti_backbones::recognize::{self, Question, Recognized, Shapes};
use smalti_backbones::{BackboneConfig, Classifier, ModelError, Purpose, STAGES, weights};
use smalti_checkpoints::layouts::{Content, Family, Kind, Reading};
use tch::nn::VarStore;
use tch::{Device, nn};

use crate::{FcnConfig, MaskConfig, MaskHeadConfig, MaskModel, SemanticConfig, SemanticModel, UperConfig};

/// A network of some kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// What it is.
    pub kind: Kind,
    /// Backbone and, of [`Kind::Semantic`], heads.
    pub model: SemanticConfig,
    /// The head of [`Kind::Mask`].
    pub mask: Option<MaskHeadConfig>,
    /// Classes of its logits; 0 where there are none.
    pub num_classes: i64,
}

/// The network that a checkpoint seems to be of.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The network; undecided fields have their defaults.
    pub network: Network,
    /// What to ask for, if anything is undecided.
    pub question: Option<Question>,
}

/// The network of a checkpoint, from the sizes of its tensors.
///
/// # Errors
/// [`ModelError::Config`] naming a tensor without which it can not be told.
pub fn recognize(reading: &Reading) -> Result<Proposal, ModelError> {
    let all = sizes(reading);
    let below = if reading.kind.has_heads() { "backbone." } else { "" };
    let shapes: Shapes<'_> =
        all.iter().filter_map(|&(name, shape)| Some((name.strip_prefix(below)?, shape))).collect();
    let Recognized { config, question } = match reading.layout.family() {
        Family::Nat => recognize::nat(&shapes),
        Family::DinatS => recognize::dinat_s(&shapes),
        Family::Dat => recognize::dat(&shapes),
        Family::Davit => recognize::davit(&shapes),
        Family::Swin => recognize::swin(&shapes),
        Family::ConvNext => recognize::convnext(&shapes),
        Family::ResNet => recognize::resnet(&shapes),
        _ => unreachable!("every family of the layouts is built here"),
    }?;
    Ok(Proposal { network: with_heads(reading, config)?, question })
}

/// The network of a checkpoint beside which a `config.json` of Hugging Face stands.
///
/// # Errors
/// [`ModelError::Config`] naming a setting that our networks do not have.
pub fn from_config_json(reading: &Reading, config: &Map<String, Value>) -> Result<Network, ModelError> {
    let kind = config.get("model_type").and_then(Value::as_str);
    if !matches!(kind, Some("upernet" | "mask2former")) {
        return with_heads(reading, recognize::from_config_json(config)?);
    }
    let bad = |key: &str, expected: &str| {
        let got = config.get(key).map_or_else(|| "none".to_owned(), ToString::to_string);
        ModelError::config(format!("`{key}`"), expected, got)
    };
    let inner = config.get("backbone_config").and_then(Value::as_object);
    let backbone =
        recognize::from_config_json(inner.ok_or_else(|| bad("backbone_config", "a backbone's settings"))?)?;
    let mut network = with_heads(reading, backbone)?;
    if let Some(head) = &mut network.mask {
        mask::follow(head, config)?;
        return Ok(network);
    }
    if let Some(scales) = config.get("pool_scales") {
        let scales: Result<Vec<i64>, _> = serde_json::from_value(scales.clone());
        network.model.decode.pool_scales =
            scales.map_err(|_| bad("pool_scales", "a list of whole numbers"))?;
    }
    let fixed = [("auxiliary_num_convs", Value::from(1)), ("auxiliary_concat_input", Value::from(false))];
    match fixed.iter().find(|(key, only)| config.get(*key).is_some_and(|value| value != only)) {
        Some((key, only)) if network.model.auxiliary.is_some() => Err(bad(key, &only.to_string())),
        _ => Ok(network),
    }
}

/// Heads and number of classes are told by sizes alone.
fn with_heads(reading: &Reading, backbone: BackboneConfig) -> Result<Network, ModelError> {
    let all = sizes(reading);
    let size = |wanted: &str| size_of(&all, wanted, 0);
    let head = match reading.layout.family() {
        Family::Dat => "cls_head.weight",
        Family::Davit => "head.fc.weight",
        Family::ResNet => "fc.weight",
        _ => "head.weight",
    };
    let num_classes = match reading.kind {
        Kind::Classifier => size(head)?,
        Kind::Semantic => size("decode_head.conv_seg.weight")?,
        Kind::Mask => mask::classes(&all)?,
        Kind::Dense | Kind::Trunk => 0,
    };
    let (mut decode, mut auxiliary) = (UperConfig::default(), None);
    if reading.kind == Kind::Semantic {
        decode.channels = size("decode_head.bottleneck.conv.weight")?;
        if let Ok(channels) = size("auxiliary_head.convs.0.conv.weight") {
            auxiliary = Some(FcnConfig { channels, ..FcnConfig::default() });
        }
    }
    let mask = if reading.kind == Kind::Mask { Some(mask::head(&all)?) } else { None };
    let model = SemanticConfig { backbone, decode, auxiliary, recompute: [false; STAGES] };
    Ok(Network { kind: reading.kind, model, mask, num_classes })
}

/// Size `dim` of a tensor.
fn size_of(sizes: &[(&str, &[usize])], wanted: &str, dim: usize) -> Result<i64, ModelError> {
    let bad = |expected: String, got: String| ModelError::config(format!("`{wanted}`"), expected, got);
    let Some((_, shape)) = sizes.iter().find(|(name, _)| *name == wanted) else {
        return Err(bad("a tensor of this name in our layout".to_owned(), "none".to_owned()));
    };
    let size = shape.get(dim).map(|&size| size as i64);
    size.ok_or_else(|| bad(format!("{} dimensions or more", dim + 1), format!("shape {shape:?}")))
}

fn sizes(reading: &Reading) -> Vec<(&str, &[usize])> {
    let all = reading.moved.iter().flat_map(|moved| &moved.to);
    all.map(|(name, content)| (name.as_str(), content.shape())).collect()
}

impl Network {
    /// Names and sizes of all parameters and buffers, by building it.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that no network can be built from.
    pub fn parameters(&self) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        let store = VarStore::new(Device::Cpu);
        self.build(&store.root())?;
        let sizes = |(name, tensor): (String, tch::Tensor)| {
            (name, tensor.size().iter().map(|&size| size as usize).collect())
        };
        Ok(weights::named_tensors(&store).into_iter().map(sizes).collect())
    }

    fn build(&self, p: &nn::Path<'_>) -> Result<(), ModelError> {
        let backbone = &self.model.backbone;
        match self.kind {
            Kind::Classifier => Classifier::new(p, backbone, self.num_classes).map(drop),
            Kind::Dense => backbone.build(p, Purpose::Dense).map(drop),
            Kind::Trunk => backbone.build(p, Purpose::Classify).map(drop),
            Kind::Semantic => SemanticModel::new(p, &self.model, self.num_classes).map(drop),
            Kind::Mask => MaskModel::new(p, &self.mask_model(), self.num_classes).map(drop),
        }
    }

    /// The network of [`Kind::Mask`]; of another kind the backbone with the published head.
    pub fn mask_model(&self) -> MaskConfig {
        let (backbone, head) = (self.model.backbone.clone(), self.mask.clone().unwrap_or_default());
        MaskConfig { backbone, head, recompute: self.model.recompute }
    }
}

/// A table of position biases that was interpolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// Our name.
    pub name: String,
    /// Sizes in the file.
    pub from: Vec<usize>,
    /// Sizes in the model.
    pub to: Vec<usize>,
}

/// How a checkpoint's tensors differ from a network's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Parameters that are not there: our name, and theirs.
    pub missing: Vec<(String, Vec<String>)>,
    /// Names in the file of tensors that the network has no place for.
    pub unused: Vec<String>,
    /// Our name, sizes in the network, sizes in the file.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// Names of each list that a message shows.
const SHOWN: usize = 6;

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = |f: &mut fmt::Formatter<'_>, title: &str, items: &[String]| {
            if items.is_empty() {
                return Ok(());
            }
            let more = items.len().saturating_sub(SHOWN);
            let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
            let shown = items.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, "\n  {title} ({}): {shown}{rest}", items.len())
        };
        let missing: Vec<_> = self.missing.iter().map(|(ours, theirs)| both(ours, theirs)).collect();
        section(f, "missing", &missing)?;
        section(f, "without a place in the model", &self.unused)?;
        let shapes =
            self.shapes.iter().map(|(name, model, file)| format!("{name} expected {model:?}, got {file:?}"));
        section(f, "of another size", &shapes.collect::<Vec<_>>())
    }
}

fn both(ours: &str, theirs: &[String]) -> String {
    match theirs {
        [] => ours.to_owned(),
        [same] if same == ours => ours.to_owned(),
        theirs => format!("{ours} (there {})", theirs.join(", ")),
    }
}

/// What [`fit`] gives: everything that the model holds, and what had to be interpolated.
#[derive(Debug)]
pub struct Fitted {
    /// Our names, as many as the network has.
    pub tensors: Vec<(String, Content)>,
    /// Interpolated tables.
    pub resized: Vec<Resized>,
    /// Names in the file of tensors that have no place.
    pub unused: Vec<String>,
}

/// Why tensors are no model's weights.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The network can not be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It has other parameters.
    #[error("the tensors are not those of this network{0}")]
    Misfit(Misfit),
}

/// Gives every parameter of the network its tensor. `allow_unused` leaves tensors out that the network has no place for.
///
/// # Errors
/// A network that can not be built; what it lacks, and what the file lacks.
pub fn fit(reading: &Reading, network: &Network, allow_unused: bool) -> Result<Fitted, ImportError> {
    let parameters = network.parameters()?;
    let mut misfit = Misfit::default();
    let (mut tensors, mut resized) = (Vec::with_capacity(parameters.len()), Vec::new());
    let mut placed = BTreeSet::new();
    for (name, shape) in parameters {
        let found = reading.moved.iter().flat_map(|moved| &moved.to).find(|(other, _)| *other == name);
        let Some((_, content)) = found else {
            misfit.missing.push((name.clone(), reading.their_names(&name)));
            continue;
        };
        placed.insert(name.clone());
        let table = name
            .rsplit('.')
            .next()
            .is_some_and(|last| ["rpb", "relative_position_bias_table", "rpe_table"].contains(&last));
        if content.shape() == shape {
            tensors.push((name, content.clone()));
        } else if let Some(table) =
            Some(content).filter(|_| table).and_then(|content| content.resized(&shape))
        {
            resized.push(Resized { name: name.clone(), from: content.shape().to_vec(), to: shape });
            tensors.push((name, table));
        } else {
            misfit.shapes.push((name, shape, content.shape().to_vec()));
        }
    }
    let surplus =
        reading.moved.iter().filter(|moved| moved.to.iter().any(|(name, _)| !placed.contains(name)));
    let mut unused: Vec<String> = surplus.flat_map(|moved| moved.from.clone()).collect();
    unused.extend(reading.unknown.iter().map(|(name, _)| name.clone()));
    if !allow_unused {
        misfit.unused.clone_from(&unused);
    }
    if misfit == Misfit::default() {
        Ok(Fitted { tensors, resized, unused })
    } else {
        Err(ImportError::Misfit(misfit))
    }
}
