//! `smalti predict` with a mask classifier: pictures of segments, and what they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use smalti::cli::{PredictArgs, PredictTaskArg};
use smalti::draw;
use smalti::output::{self, Progress};
use smalti_configs::Task;
use smalti_datasets::coco::Segmentation;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::{ClassTable, DataError, Image, decode};
use smalti_training::mask::{MaskPredictor, MaskResults, Wanted};

use super::Session;
use super::picture::Regions;
use super::saved::ids_as_rgb;
use crate::memory::{MaskNeeds, Room};

/// One image of `predictions.json`.
#[derive(Serialize)]
struct Prediction {
    image: PathBuf,
    /// Of a panoptic map, by the values of the PNG.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments_info: Option<Vec<NamedSegment>>,
    /// By falling class probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Vec<NamedInstance>>,
}

#[derive(Serialize)]
struct NamedSegment {
    id: u32,
    class: usize,
    name: String,
    isthing: bool,
    score: f64,
}

#[derive(Serialize)]
struct NamedInstance {
    class: usize,
    name: String,
    score: f64,
    segmentation: Segmentation,
}

/// Writes pictures and results of the named images; returns what could not be read.
pub fn predict(args: &PredictArgs, inputs: &BTreeMap<String, PathBuf>) -> Result<Vec<DataError>> {
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, None)?;
    let kind = args.task.unwrap_or(match session.config.task {
        Task::Instance => PredictTaskArg::Instance,
        _ => PredictTaskArg::Panoptic,
    });
    output::create_dir(&args.out)?;
    let config = &session.config;
    let normalizer = Normalizer::new(&config.data.normalize);
    let predictor = MaskPredictor {
        model: &session.model,
        inference: &config.inference,
        precision: config.train.precision,
        device: session.device,
        things: session.classes.iter().map(|class| class.is_thing).collect(),
    };
    let wanted = Wanted {
        panoptic: kind == PredictTaskArg::Panoptic,
        instances: kind == PredictTaskArg::Instance,
        semantic: kind == PredictTaskArg::Semantic,
    };

    let room =
        Room::new(MaskNeeds::new(&config.model, &config.data.eval, session.classes.len())?, session.device);
    let bar = Progress::new("predict", inputs.len() as u64);
    let (mut failures, mut predictions) = (Vec::new(), Vec::new());
    for (name, path) in inputs {
        match decode::image(path) {
            Ok(image) => {
                let (height, width, _) = image.dim();
                room.check(path, [height, width])?;
                let view = config.data.eval.view(&image, &normalizer);
                let results = predictor.predict(&view, [height, width], wanted)?;
                write(args, name, &image, &results, &session.classes)?;
                predictions.push(prediction(path.clone(), results, &session.classes));
            }
            Err(error) => failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish();
    let more = match kind {
        PredictTaskArg::Panoptic => ", *_panoptic.png and predictions.json",
        PredictTaskArg::Instance => " and predictions.json",
        PredictTaskArg::Semantic => " and *_labels.png",
    };
    if kind != PredictTaskArg::Semantic {
        output::write_json(&args.out.join("predictions.json"), &predictions)?;
    }
    let done = inputs.len() - failures.len();
    output::line(&format!("{done} images: *_overlay.png{more} in {}", args.out.display()));
    Ok(failures)
}

fn write(
    args: &PredictArgs,
    name: &str,
    image: &Image,
    results: &MaskResults,
    classes: &ClassTable,
) -> Result<()> {
    let (height, width, _) = image.dim();
    let file = |what: &str| args.out.join(format!("{name}_{what}.png"));
    let regions = match results {
        MaskResults { panoptic: Some(panoptic), .. } => {
            draw::write_png(&file("panoptic"), &ids_as_rgb(&panoptic.ids))?;
            Regions::of_panoptic(panoptic)
        }
        MaskResults { semantic: Some(semantic), .. } => {
            let regions = Regions::of_semantic(semantic);
            draw::write_label_png(&file("labels"), &regions.labels, classes)?;
            regions
        }
        MaskResults { instances, .. } => {
            Regions::of_instances((height, width), instances.as_deref().unwrap_or_default())
        }
    };
    let overlay = regions.over(image, classes, args.opacity);
    draw::write_png(&file("overlay"), &draw::with_legend(&overlay, &regions.labels, classes))
}

fn prediction(image: PathBuf, results: MaskResults, classes: &ClassTable) -> Prediction {
    let name = |class: usize| classes.get(class).map_or_else(String::new, |class| class.name.clone());
    let segments_info = results.panoptic.map(|panoptic| {
        let segment = |segment: &smalti_heads::mask::post::PanopticSegment| NamedSegment {
            id: segment.id,
            class: segment.class,
            name: name(segment.class),
            isthing: segment.thing,
            score: segment.score,
        };
        panoptic.segments.iter().map(segment).collect()
    });
    let instances = results.instances.map(|instances| {
        let instance = |found: &smalti_heads::mask::post::Instance| NamedInstance {
            class: found.class,
            name: name(found.class),
            score: found.score,
            segmentation: Segmentation::compressed(&found.mask),
        };
        instances.iter().map(instance).collect()
    });
    Prediction { image, segments_info, instances }
}
