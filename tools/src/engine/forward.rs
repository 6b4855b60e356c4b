//! `smalti forward`: one pass of a network over given tensors, every intermediate result into a file, to compare with other
//! implementations.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use smalti::cli::ForwardArgs;
use smalti::output::{self, InputError, Rows};
use smalti_backbones::{BackboneConfig, Classifier, ModelError, Purpose, safetensors_io, weights};
use smalti_configs::AnyRun;
use smalti_heads::{MaskConfig, MaskModel, MaskTrace, SemanticModel};
use smalti_ops::without_data::WithoutData;
use tch::{Device, Kind, Tensor, nn, no_grad};

use crate::memory;
use crate::session::{find_config, named_device};

/// What the input has to hold.
const IMAGES: &str = "images";
/// Their rows are the classes.
const SEMANTIC_CLASSES: &str = "decode_head.conv_seg.weight";
const MASK_CLASSES: &str = "sem_seg_head.predictor.class_embed.weight";
/// The coarsest stride.
const MIN_SIDE: i64 = 32;

/// Runs the verb.
pub fn run(args: &ForwardArgs) -> Result<()> {
    let device = named_device(args.device)?;
    let images = read_images(&args.input)?.to_device(device);
    let config = find_config(&args.weights, args.config.as_deref(), &args.set)?;
    let tensors = match &config {
        AnyRun::Semantic(run) => {
            let classes = classes(&args.weights, SEMANTIC_CLASSES)?;
            let build = |p: &nn::Path<'_>| SemanticModel::new(p, &run.model, classes);
            let pass = |model: &SemanticModel, images: &Tensor| {
                let trace = model.trace(images);
                Ok(named(trace.levels, trace.logits, trace.auxiliary))
            };
            traced(args, &images, build, pass)?
        }
        AnyRun::Classification(run) => {
            let head = head_name(&run.model.backbone)?;
            let classes = classes(&args.weights, &format!("{head}.weight"))?;
            let build = |p: &nn::Path<'_>| run.model.build(p, classes);
            let pass = |model: &Classifier, images: &Tensor| {
                let (levels, logits) = model.trace(images);
                Ok(named(levels, logits, None))
            };
            traced(args, &images, build, pass)?
        }
        AnyRun::Mask(run) => masks(args, &run.model, &images)?,
        AnyRun::SemanticMask(run) => masks(args, &run.model, &images)?,
    };
    write(&args.output, &tensors, &config)?;

    let mut rows = Rows::new(["tensor", "shape"]).text_column(1);
    for (name, tensor) in &tensors {
        rows.push([name.clone(), format!("{:?}", tensor.size())]);
    }
    rows.print();
    Ok(())
}

/// The results of a Mask2Former.
fn masks(args: &ForwardArgs, config: &MaskConfig, images: &Tensor) -> Result<Vec<(String, Tensor)>> {
    // The last row is "no object".
    let classes = classes(&args.weights, MASK_CLASSES)? - 1;
    let build = |p: &nn::Path<'_>| MaskModel::new(p, config, classes);
    let pass = |model: &MaskModel, images: &Tensor| Ok(named_masks(model.trace(images)?));
    traced(args, images, build, pass)
}

/// Results of the network that `build` makes, with the weights, for images on its device.
fn traced<M>(
    args: &ForwardArgs,
    images: &Tensor,
    build: impl Fn(&nn::Path<'_>) -> Result<M, ModelError>,
    pass: impl Fn(&M, &Tensor) -> Result<Vec<(String, Tensor)>>,
) -> Result<Vec<(String, Tensor)>> {
    memory::check_batch(&args.input, images, &build, &pass)?;
    let store = nn::VarStore::new(images.device());
    let model = build(&store.root())?;
    weights::load(&store, &args.weights)?;
    no_grad(|| pass(&model, images))
}

/// Number of classes: rows of the weights' tensor `name`.
fn classes(weights: &Path, name: &str) -> Result<i64> {
    let (entries, _) = safetensors_io::inspect(weights)?;
    let classes = entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.shape.first());
    let Some(&classes) = classes else {
        let text = format!(
            "{}: expected `{name}`, from which the number of classes is taken, got {} other tensors",
            weights.display(),
            entries.len()
        );
        bail!(InputError::new(text));
    };
    Ok(classes as i64)
}

/// Name of the linear layer of a classifier, which its family decides.
fn head_name(config: &BackboneConfig) -> Result<&'static str> {
    let _mode = WithoutData::enter()?;
    let store = nn::VarStore::new(Device::Cpu);
    Ok(config.build(&store.root(), Purpose::Classify)?.classifier_end().head())
}

/// The tensor `images` `[B, 3, H, W]`.
///
/// # Errors
/// An [`InputError`] if it is missing or is not what networks take.
fn read_images(path: &Path) -> Result<Tensor> {
    let tensors = safetensors_io::read(path)?.tensors;
    let refused = |expected: &str, got: String| {
        InputError::new(format!("{}: tensor `{IMAGES}`: expected {expected}, got {got}", path.display()))
    };
    let Some((_, images)) = tensors.iter().find(|(name, _)| name == IMAGES) else {
        let mut names: Vec<&str> = tensors.iter().take(8).map(|(name, _)| name.as_str()).collect();
        if tensors.len() > names.len() {
            names.push("...");
        }
        bail!(refused("it in the file", format!("[{}]", names.join(", "))));
    };
    if images.kind() != Kind::Float {
        bail!(refused("f32", format!("{:?}", images.kind())));
    }
    let size = images.size();
    if !matches!(size[..], [batch, 3, height, width] if batch >= 1 && height.min(width) >= MIN_SIDE) {
        bail!(refused("a shape [B, 3, H, W], H and W at least 32", format!("{size:?}")));
    }
    let wrong = images.isfinite().logical_not().sum(Kind::Int64).int64_value(&[]);
    if wrong > 0 {
        bail!(refused("finite numbers", format!("{wrong} that are infinite or NaN")));
    }
    Ok(images.shallow_clone())
}

/// The results by the names that the verb promises.
fn named(levels: Vec<Tensor>, logits: Tensor, auxiliary: Option<Tensor>) -> Vec<(String, Tensor)> {
    let levels = levels.into_iter().enumerate();
    let mut tensors: Vec<_> = levels.map(|(l, level)| (format!("backbone.{l}"), level)).collect();
    tensors.push(("logits".to_owned(), logits));
    tensors.extend(auxiliary.map(|logits| ("aux_logits".to_owned(), logits)));
    tensors
}

/// The same of a Mask2Former; layer 0 of `aux` is the learned queries' prediction.
fn named_masks(trace: MaskTrace) -> Vec<(String, Tensor)> {
    let MaskTrace { levels, features, output } = trace;
    let numbered = |name: &str, maps: Vec<Tensor>| {
        let named = |(i, map)| (format!("{name}.{i}"), map);
        maps.into_iter().enumerate().map(named).collect::<Vec<_>>()
    };
    let mut tensors = numbered("backbone", levels);
    tensors.extend(numbered("pixel_decoder.memory", features.memory));
    tensors.push(("pixel_decoder.mask_features".to_owned(), features.mask_features));
    tensors.push(("class_logits".to_owned(), output.class_logits));
    tensors.push(("mask_logits".to_owned(), output.mask_logits));
    for (i, layer) in output.aux.into_iter().enumerate() {
        tensors.push((format!("aux.{i}.class_logits"), layer.class_logits));
        tensors.push((format!("aux.{i}.mask_logits"), layer.mask_logits));
    }
    tensors
}

/// Writes the tensors with the recipe as metadata; the file appears whole or not at all.
fn write(path: &Path, tensors: &[(String, Tensor)], config: &AnyRun) -> Result<()> {
    let metadata = BTreeMap::from([
        ("smalti".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("config".to_owned(), config.to_toml()),
    ]);
    let mut bytes = Vec::new();
    safetensors_io::write(path, &mut bytes, tensors, &metadata).context("the results as safetensors")?;
    output::write_atomic(path, &bytes)
}
