//! `smalti weights convert`: a checkpoint of any origin as ours, or as another code base's.

mod beside;
mod classes;
mod folder;
mod masks;
mod recipe;
mod report;
mod target;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json};
use smalti::cli::{ConvertArgs, FromArg};
use smalti::output::{self, InputError};
use smalti::verbs;
use smalti_backbones::BackboneConfig;
use smalti_backbones::davit::ChannelAttentionVersion;
use smalti_checkpoints::Checkpoint;
use smalti_checkpoints::layouts::{self, Content, Family, Kind, Layout, Moved, Origin, Reading};
use smalti_heads::import::{self, Fitted, ImportError, Network};

use beside::Beside;
use classes::Classes;
use folder::Folder;
use report::Report;
use target::Target;

/// Runs the verb.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let checkpoint = Checkpoint::open(&verbs::weights_source(&args.source)?)?;
    let weights = checkpoint.state_dict(args.wrapper.as_deref())?;
    let from = match args.from {
        FromArg::Auto => None,
        FromArg::Named(origin) => Some(origin.origin()),
    };
    let reading = layouts::read(&weights.tensors, from).map_err(|fault| fault.in_file(checkpoint.path()))?;
    let beside = Beside::read(checkpoint.path())?;
    let to = args.to.map(|origin| layout_to_write(reading.layout.family(), origin.origin())).transpose()?;
    let names_alone = to.is_some_and(|(_, origin)| origin != Origin::Hf);
    let target = Target::new(args, &checkpoint, &weights, &reading, &beside, names_alone)?;

    let fitted = import::fit(&reading, &target.network, args.allow_unused).map_err(|error| match error {
        ImportError::Model(error) => anyhow::Error::from(error),
        misfit @ ImportError::Misfit(_) => misfits(checkpoint.path(), &reading, &misfit),
    })?;
    let mut report = Report::new(&checkpoint, &weights, &reading, &target, &fitted);
    notes(&mut report, &reading, &target, beside.config_json());

    let folder = Folder::new(&args.out)?;
    match to {
        None => write_ours(&folder, &target, &fitted, args.half)?,
        Some((layout, origin)) => {
            let layout = florence2(layout, &target.network, origin);
            let moved = write_theirs(&folder, layout, origin, &target, &fitted, args.half)
                .with_context(|| args.source.display().to_string())?;
            report.written(layout, &moved);
        }
    }
    output::write_json(&folder.path("report.json"), &report)?;
    folder.keep()?;
    report.print(&args.out, args.all);
    if let Some(path) = &args.json {
        output::write_json(path, &report)?;
    }
    Ok(())
}

fn misfits(path: &Path, reading: &Reading, misfit: &ImportError) -> anyhow::Error {
    let text = format!(
        "{}: {}: {misfit}\n  compare with `smalti weights inspect --all`; another model is chosen with --config or --set, \
         tensors without a place are left out with --allow-unused",
        path.display(),
        reading.layout.describe(),
    );
    InputError::new(text).into()
}

/// The layout of a code base for a family.
fn layout_to_write(family: Family, origin: Origin) -> Result<(&'static Layout, Origin)> {
    let Some(layout) = Layout::of(family, origin) else {
        let known: Vec<_> = Layout::origins(family).map(Origin::name).collect();
        let text = format!(
            "--to {}: expected a code base with {}, one of {}",
            origin.name(),
            family.name(),
            known.join(", ")
        );
        bail!(InputError::new(text));
    };
    Ok((layout, origin))
}

/// timm has other names for Florence-2's towers than for all other DaViTs.
fn florence2(layout: &'static Layout, network: &Network, origin: Origin) -> &'static Layout {
    let second = |config: &BackboneConfig| match config {
        BackboneConfig::Davit(config) => {
            config.arch().is_ok_and(|arch| arch.channel_attention == ChannelAttentionVersion::V2)
        }
        _ => false,
    };
    if origin == Origin::Timm && second(&network.model.backbone) {
        Layout::of_timm_florence2()
    } else {
        layout
    }
}

/// What the numbers do not show.
fn notes(report: &mut Report, reading: &Reading, target: &Target, config_json: Option<&Map<String, Json>>) {
    let (family, origin) = (reading.layout.family(), reading.layout.origin());
    if family == Family::ResNet && origin == Origin::Detectron2 {
        report.note(
            "images are RGB here; detectron2's are BGR unless INPUT.FORMAT says otherwise, as it does for torchvision's weights",
        );
    }
    let eps = config_json.and_then(|config| config.get("layer_norm_eps")).and_then(Json::as_f64);
    if family == Family::ConvNext
        && reading.kind == Kind::Classifier
        && let Some(eps) = eps.filter(|&eps| eps != 1e-6)
    {
        report.note(&format!(
            "config.json has layer_norm_eps {eps:e}; the norm before the classifier has the authors' 1e-6 here"
        ));
    }
    target.notes.iter().for_each(|note| report.note(note));
}

fn write_ours(folder: &Folder, target: &Target, fitted: &Fitted, half: bool) -> Result<()> {
    let mut metadata = BTreeMap::from([(crate::session::CONFIG_KEY.to_owned(), target.recipe.clone())]);
    if let Some(classes) = &target.classes {
        let text = classes.to_json().context("the classes do not fit into JSON")?;
        metadata.insert(crate::session::CLASSES_KEY.to_owned(), text);
        if let (true, Classes::Pixels(table)) = (target.label_maps, classes) {
            output::write_json(&folder.path(recipe::CLASSES_FILE), &classes::file(table))?;
        }
    }
    folder.weights(&stored(&fitted.tensors, half)?, &metadata)?;
    output::write_atomic(&folder.path("config.toml"), target.recipe.as_bytes())
}

fn write_theirs(
    folder: &Folder,
    layout: &Layout,
    origin: Origin,
    target: &Target,
    fitted: &Fitted,
    half: bool,
) -> Result<Vec<Moved>> {
    let kind = target.network.kind;
    let moved = layouts::write(&fitted.tensors, layout, origin, kind)
        .map_err(|fault| InputError::new(fault.to_string()))?;
    let tensors: Vec<(String, Content)> = moved.iter().flat_map(|moved| moved.to.clone()).collect();
    // transformers asks for the framework.
    folder.weights(&stored(&tensors, half)?, &BTreeMap::from([("format".to_owned(), "pt".to_owned())]))?;
    if origin == Origin::Hf
        && let Some(config) = target.config_json()?
    {
        output::write_json(&folder.path("config.json"), &config)?;
    }
    Ok(moved)
}

/// The tensors as they are to be stored.
fn stored(tensors: &[(String, Content)], half: bool) -> Result<Vec<(String, Content)>> {
    if !half {
        return Ok(tensors.to_vec());
    }
    let halved = tensors.iter().map(|(name, content)| {
        let content = content.halved().map_err(|value| {
            InputError::new(format!("--half: {name}: expected values of at most 65504, got {value}"))
        })?;
        Ok((name.clone(), content))
    });
    halved.collect()
}
