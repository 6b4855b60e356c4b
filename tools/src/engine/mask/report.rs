//! `report.html` of a finished training of a mask classifier.

use std::path::{Path, PathBuf};

use anyhow::Result;
use smalti::draw::{self, Tile};
use smalti::report::{self, ClassColumn, ClassRow, ClassTable, Picture, ReportInputs};
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::{ClassInfo, SegmentTask};
use smalti_training::mask::Wanted;
use smalti_training::trainer::Summary;
use smalti_training::{Evaluation, MaskTask};

use super::picture::Regions;
use super::{MEANS, OF_CLASS, Session};
use crate::run_report;

/// Writes the report, with pictures by the weights as they are now, and returns its path.
pub fn write(
    session: &Session,
    task: &MaskTask<'_>,
    summary: &Summary,
    run: &Path,
    best: &Path,
) -> Result<PathBuf> {
    let path = run.join("report.html");
    let config = &session.config;
    let shown = MEANS.iter().filter(|name| summary.last.record.contains_key(**name));
    let batch_size = config.data.loader.batch_size;
    let inputs = ReportInputs {
        title: run_report::title(run),
        subtitle: format!("{} segmentation, {}", config.task.name(), config.data.files),
        facts: run_report::facts(session, batch_size, task.validation.len(), summary, best),
        metrics: shown.map(|name| run_report::metric(&summary.last, name)).collect(),
        classes: classes(session, &summary.last),
        pictures: pictures(session, task)?,
        config_toml: config.to_toml(),
        next: run_report::next_commands(best),
    };
    report::write(&path, Some(&run.join("metrics.jsonl")), &inputs)?;
    Ok(path)
}

fn classes(session: &Session, evaluation: &Evaluation) -> ClassTable {
    let column = |(name, hint): (&'static str, &'static str)| ClassColumn { name, hint, is_score: true };
    let row = |class: &ClassInfo| ClassRow {
        name: class.name.clone(),
        color: Some(class.color),
        values: OF_CLASS.iter().map(|(key, _)| run_report::of_class(evaluation, &class.name, key)).collect(),
    };
    ClassTable {
        columns: OF_CLASS.into_iter().map(column).collect(),
        rows: session.classes.iter().map(row).collect(),
    }
}

/// Image, annotations and prediction side by side, of images spread over the validation set.
fn pictures(session: &Session, task: &MaskTask<'_>) -> Result<Vec<Picture>> {
    let set = &task.validation;
    let data = &session.config.data;
    let (normalizer, predictor) = (Normalizer::new(&data.normalize), task.predictor());
    let panoptic = set.task() == SegmentTask::Panoptic;
    let wanted = Wanted { panoptic, instances: !panoptic, semantic: false };
    let count = set.len().min(run_report::PICTURES);
    (0..count)
        .map(|i| {
            let sample = set.load(i * set.len() / count)?;
            let (height, width, _) = sample.image.dim();
            let view = data.eval.view(&sample.image, &normalizer);
            let results = predictor.predict(&view, [height, width], wanted)?;
            let (predicted, found) = match (&results.panoptic, &results.instances) {
                (Some(panoptic), _) => (Regions::of_panoptic(panoptic), panoptic.segments.len()),
                (None, instances) => {
                    let regions =
                        Regions::of_instances((height, width), instances.as_deref().unwrap_or_default());
                    let drawn = regions.segments.iter().copied().max().unwrap_or(0);
                    (regions, drawn as usize)
                }
            };
            let paint = |regions: &Regions| regions.over(&sample.image, &session.classes, 0.65);
            let tiles = [
                Tile::new("image", sample.image.clone()),
                Tile::new("ground truth", paint(&Regions::of_sample(&sample)?)),
                Tile::new("prediction", paint(&predicted)),
            ];
            let png = draw::png_bytes(&draw::contact_sheet(&[tiles.to_vec()]))?;
            let caption = format!("{found} segments predicted, {} annotated", sample.segments.len());
            Ok(Picture { title: sample.name.clone(), caption, png })
        })
        .collect()
}
