//! `smalti predict`: label maps, segments and overlays of images on disk; of a classifier the likeliest classes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ndarray::Array2;
use smalti::cli::{PredictArgs, PredictTaskArg};
use smalti::draw;
use smalti::output::{self, InputError, Progress};
use smalti_configs::{AnyRun, SemanticMaskRun, Task};
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::{ClassTable, DataError, Image, LabelMap, decode};
use smalti_training::semantic;
use smalti_training::semantic_mask::SemanticMaskPredictor;

use crate::memory::{Needs, Room, SemanticMaskNeeds, SemanticNeeds};
use crate::session::{Session, TaskSession, find_config};
use crate::{classification, mask};

/// Smallest side the network takes: its coarsest stride.
const MIN_SIDE: usize = 32;

/// Runs the verb. An image that can not be read is reported at the end; all others are predicted.
pub fn run(args: &PredictArgs) -> Result<()> {
    let inputs = find_images(&args.inputs)?;
    let count = inputs.len();
    let config = find_config(&args.weights, args.config.as_deref(), &args.set)?;
    let task = config.task();
    if let Some(asked) = args.task
        && task.segments().is_none()
        && (task, asked) != (Task::Semantic, PredictTaskArg::Semantic)
    {
        bail!(InputError::new(format!("--task: this network predicts its own task alone, {}", task.name())));
    }
    let failures = match config {
        AnyRun::Semantic(_) => semantic(args, inputs)?,
        AnyRun::SemanticMask(_) => semantic_mask(args, inputs)?,
        AnyRun::Classification(_) => classification::predict(args, &inputs)?,
        AnyRun::Mask(_) => mask::predict(args, &name_outputs(inputs)?)?,
    };
    if failures.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = failures.iter().map(DataError::full_message).collect();
    let text = format!("{} of {count} images could not be read:\n{}", failures.len(), texts.join("\n"));
    Err(InputError::new(text).into())
}

fn semantic(args: &PredictArgs, inputs: Vec<PathBuf>) -> Result<Vec<DataError>> {
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, None)?;
    let normalizer = Normalizer::new(&session.config.data.normalize);
    let room = Room::new(SemanticNeeds::new(&session.config, session.classes.len())?, session.device);
    label_maps(args, inputs, &session.classes, &room, |image| predict(&session, &normalizer, image))
}

fn semantic_mask(args: &PredictArgs, inputs: Vec<PathBuf>) -> Result<Vec<DataError>> {
    let session: TaskSession<SemanticMaskRun> =
        TaskSession::with_weights(&args.weights, args.config.as_deref(), &args.set, None)?;
    let config = &session.config;
    let predictor = SemanticMaskPredictor {
        model: &session.model,
        inference: &config.inference,
        precision: config.train.precision,
        device: session.device,
        eval: config.data.eval.clone().unwrap_or_default(),
        normalizer: Normalizer::new(&config.data.normalize),
    };
    let room = Room::new(SemanticMaskNeeds::new(config, session.classes.len())?, session.device);
    label_maps(args, inputs, &session.classes, &room, |image| {
        let (height, width, _) = image.dim();
        Array2::from_shape_vec((height, width), predictor.predict(image)?).context("a class for every pixel")
    })
}

/// Writes overlays and label maps; returns what could not be read.
fn label_maps(
    args: &PredictArgs,
    inputs: Vec<PathBuf>,
    classes: &ClassTable,
    room: &Room<impl Needs>,
    predict: impl Fn(&Image) -> Result<LabelMap>,
) -> Result<Vec<DataError>> {
    let inputs = name_outputs(inputs)?;
    output::create_dir(&args.out)?;

    let bar = Progress::new("predict", inputs.len() as u64);
    let mut failures = Vec::new();
    for (name, path) in &inputs {
        match decode::image(path) {
            Ok(image) => {
                room.check(path, [image.dim().0, image.dim().1])?;
                let labels = predict(&image)?;
                let overlay = draw::overlay(&image, &labels, classes, args.opacity);
                let picture = draw::with_legend(&overlay, &labels, classes);
                draw::write_png(&args.out.join(format!("{name}_overlay.png")), &picture)?;
                draw::write_label_png(&args.out.join(format!("{name}_labels.png")), &labels, classes)?;
            }
            Err(error) => failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish();
    let done = inputs.len() - failures.len();
    output::line(&format!("{done} images: *_overlay.png and *_labels.png in {}", args.out.display()));
    Ok(failures)
}

/// Class of every pixel of an image; images below the coarsest stride are padded for the network and cut back.
fn predict(session: &Session, normalizer: &Normalizer, image: &Image) -> Result<LabelMap> {
    let input = normalizer.image(image, [MIN_SIDE, MIN_SIDE]);
    let (config, precision) = (&session.config.inference, session.config.train.precision);
    let classes = semantic::predict(&session.model, config, precision, &input, session.device)?;
    let (_, height, width) = input.dim();
    let padded = Array2::from_shape_vec((height, width), classes).context("a class for every pixel")?;
    let (height, width, _) = image.dim();
    Ok(padded.slice(ndarray::s![..height, ..width]).to_owned())
}

/// Files as they are, folders by their images, everything else as a glob pattern.
fn find_images(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        let (path, input) = (input.as_path(), input.to_string_lossy());
        if path.is_dir() {
            let before = found.len();
            found.extend(images_in(path)?);
            if found.len() == before {
                bail!(InputError::new(format!(
                    "{input}: expected .jpg, .jpeg or .png images in this folder, got none"
                )));
            }
        } else if path.exists() {
            found.push(path.to_path_buf());
        } else {
            let matches = glob::glob(&input).map_err(|error| {
                InputError::new(format!("{input}: neither a file nor a pattern: {error}"))
            })?;
            let before = found.len();
            found.extend(matches.filter_map(Result::ok).filter(|path| path.is_file()));
            if found.len() == before {
                bail!(InputError::new(format!("{input}: no such file, and nothing matches it as a pattern")));
            }
        }
    }
    Ok(found)
}

fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| InputError::new(format!("{}", folder.display())))?;
    let is_image = |path: &PathBuf| {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| ["jpg", "jpeg", "png"].contains(&extension.as_str()))
    };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_image).collect();
    paths.sort();
    Ok(paths)
}

/// Output name of every input: its stem, with as many parent folders as tell equal stems apart.
fn name_outputs(paths: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = stem(&path);
        let mut folders = path.parent();
        while let Some(other) = named.get(&name) {
            if *other == path {
                break;
            }
            let Some(folder) = folders.filter(|folder| folder.file_name().is_some()) else {
                let text =
                    format!("{} and {}: both would be written as {name}", other.display(), path.display());
                bail!(InputError::new(text));
            };
            name = format!("{}-{name}", stem(folder));
            folders = folder.parent();
        }
        named.insert(name, path);
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stems_are_told_apart_by_their_folders() {
        let paths = ["a/x/1.png", "b/x/1.png", "2.png", "2.png"].map(PathBuf::from);
        let names: Vec<String> = name_outputs(paths.to_vec()).unwrap().into_keys().collect();
        assert_eq!(names, ["1", "2", "x-1"]);
        let clash = ["1.png", "1.jpg"].map(PathBuf::from);
        assert!(name_outputs(clash.to_vec()).unwrap_err().to_string().contains("both would be written as 1"));
    }
}
