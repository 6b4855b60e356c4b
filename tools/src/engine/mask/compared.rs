//! Validation images beside their annotations and what the network makes of them.

use std::path::Path;

use anyhow::Result;
use smalti::cli::PredictTaskArg;
use smalti::draw::{self, Tile};
use smalti::output;
use smalti_datasets::SegmentTask;
use smalti_datasets::sample::SegmentedSample;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_training::MaskTask;
use smalti_training::mask::{MaskResults, Wanted};

use super::Session;
use super::picture::Regions;
use crate::run_report::PICTURES;

/// How strongly segments are painted over the image.
const OPACITY: f32 = 0.65;

/// One image of the validation set.
pub struct Compared {
    /// Its name in the set.
    pub name: String,
    /// The image, its annotations, then a prediction a task.
    pub tiles: Vec<Tile>,
    /// Segments predicted for the first task.
    pub found: usize,
    /// Segments annotated.
    pub annotated: usize,
}

/// The task that the network's recipe names.
pub fn own_task(task: &MaskTask<'_>) -> PredictTaskArg {
    match task.validation.task() {
        SegmentTask::Panoptic => PredictTaskArg::Panoptic,
        SegmentTask::Instance => PredictTaskArg::Instance,
    }
}

/// Images spread over the validation set, with predictions for these tasks.
pub fn compared(session: &Session, task: &MaskTask<'_>, tasks: &[PredictTaskArg]) -> Result<Vec<Compared>> {
    let set = &task.validation;
    let data = &session.config.data;
    let (normalizer, predictor) = (Normalizer::new(&data.normalize), task.predictor());
    let wanted = Wanted {
        panoptic: tasks.contains(&PredictTaskArg::Panoptic),
        instances: tasks.contains(&PredictTaskArg::Instance),
        semantic: tasks.contains(&PredictTaskArg::Semantic),
    };
    let count = set.len().min(PICTURES);
    (0..count)
        .map(|i| {
            let sample = set.load(i * set.len() / count)?;
            let (height, width, _) = sample.image.dim();
            let view = data.eval.view(&sample.image, &normalizer);
            let results = predictor.predict(&view, [height, width], wanted)?;
            let paint = |regions: &Regions| regions.over(&sample.image, &session.classes, OPACITY);
            let mut tiles = vec![
                Tile::new("image", sample.image.clone()),
                Tile::new("ground truth", paint(&Regions::of_sample(&sample)?)),
            ];
            let predicted: Vec<Regions> =
                tasks.iter().map(|task| regions(&results, *task, &sample)).collect();
            let captions = tasks.iter().map(|task| match task {
                PredictTaskArg::Panoptic => "panoptic",
                PredictTaskArg::Instance => "instances",
                PredictTaskArg::Semantic => "semantic",
            });
            tiles.extend(captions.zip(&predicted).map(|(name, regions)| Tile::new(name, paint(regions))));
            let found =
                predicted.first().map_or(0, |first| first.segments.iter().copied().max().unwrap_or(0));
            Ok(Compared {
                name: sample.name.clone(),
                tiles,
                found: found as usize,
                annotated: sample.segments.len(),
            })
        })
        .collect()
}

fn regions(results: &MaskResults, task: PredictTaskArg, sample: &SegmentedSample) -> Regions {
    let (height, width, _) = sample.image.dim();
    match (task, &results.panoptic, &results.semantic) {
        (PredictTaskArg::Panoptic, Some(panoptic), _) => Regions::of_panoptic(panoptic),
        (PredictTaskArg::Semantic, _, Some(semantic)) => Regions::of_semantic(semantic),
        _ => Regions::of_instances((height, width), results.instances.as_deref().unwrap_or_default()),
    }
}

/// Writes one sheet of them: a row an image, and all that the network can predict in it.
pub fn write_sheet(path: &Path, session: &Session, task: &MaskTask<'_>) -> Result<()> {
    let tasks: &[PredictTaskArg] = match own_task(task) {
        PredictTaskArg::Panoptic => {
            &[PredictTaskArg::Panoptic, PredictTaskArg::Instance, PredictTaskArg::Semantic]
        }
        _ => &[PredictTaskArg::Instance],
    };
    let rows: Vec<Vec<Tile>> = compared(session, task, tasks)?.into_iter().map(|image| image.tiles).collect();
    draw::write_png(path, &draw::contact_sheet(&rows))?;
    output::line(&format!("{} images, annotations and predictions: {}", rows.len(), path.display()));
    Ok(())
}
