//! `report.html` of a finished training: what the run learned, in numbers, curves and pictures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ndarray::Array2;
use serde_json::Value;
use smalti::draw::{self, Tile};
use smalti::output;
use smalti::report::{self, ClassColumn, ClassRow, ClassTable, Picture, ReportInputs};
use smalti_datasets::transform::normalize::Normalizer;
use smalti_training::trainer::Summary;
use smalti_training::{Evaluation, PixelTask};

use crate::session::{Run, TaskSession};

/// Validation images that a report shows.
pub const PICTURES: usize = 8;

/// Writes the report, with pictures by the weights as they are now, and returns its path.
pub fn after_training<R: Run<Classes = smalti_datasets::ClassTable>>(
    session: &TaskSession<R>,
    task: &impl PixelTask,
    summary: &Summary,
    run: &Path,
    best: &Path,
) -> Result<PathBuf> {
    let path = run.join("report.html");
    let data = task.data();
    let inputs = ReportInputs {
        title: title(run),
        subtitle: format!("semantic segmentation, {}", data.files),
        facts: facts(session, data.loader.batch_size, task.validation().len(), summary, best),
        metrics: ["mIoU", "mAcc", "aAcc", "fwIoU"].iter().map(|name| metric(&summary.last, name)).collect(),
        classes: classes(&session.classes, &summary.last),
        pictures: pictures(&session.classes, task)?,
        config_toml: session.config.to_toml(),
        next: next_commands(best),
    };
    report::write(&path, Some(&run.join("metrics.jsonl")), &inputs)?;
    Ok(path)
}

/// A number of the log's record of an evaluation, with its name.
pub fn metric(evaluation: &Evaluation, name: &str) -> (String, Option<f64>) {
    (name.to_string(), evaluation.record.get(name).and_then(Value::as_f64))
}

/// Name of the run: its folder's.
pub fn title(run: &Path) -> String {
    run.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
}

/// What to do with the best weights.
pub fn next_commands(best: &Path) -> Vec<String> {
    vec![
        format!("smalti eval --weights {}", best.display()),
        format!("smalti predict --weights {} --out pictures IMAGE_OR_FOLDER", best.display()),
    ]
}

/// What to know about a run of any task.
pub fn facts<R: Run>(
    session: &TaskSession<R>,
    batch_size: usize,
    validation: usize,
    summary: &Summary,
    best: &Path,
) -> Vec<(String, String)> {
    let steps = session.config.train().steps;
    let best_score = format!("best {}", summary.last.metric);
    let command: Vec<String> = std::env::args().skip(1).collect();
    let facts = [
        ("parameters", format!("{:.2} M", session.parameters() as f64 / 1e6)),
        ("device", format!("{:?}", session.device).to_lowercase()),
        ("threads", tch::get_num_threads().to_string()),
        ("steps", format!("{steps} of batch {batch_size}")),
        ("time", output::duration(summary.wall_s)),
        (best_score.as_str(), format!("{:.2} % at step {}", summary.best.1 * 100.0, summary.best.0)),
        ("validation images", validation.to_string()),
        ("weights", best.display().to_string()),
        ("command", format!("smalti {}", command.join(" "))),
    ];
    facts.map(|(key, value)| (key.to_string(), value)).to_vec()
}

/// What the log's record of an evaluation says of a class.
pub fn of_class(evaluation: &Evaluation, class: &str, key: &str) -> Option<f64> {
    evaluation.record.get("classes")?.get(class)?.get(key)?.as_f64()
}

fn classes(classes: &smalti_datasets::ClassTable, evaluation: &Evaluation) -> ClassTable {
    let columns = vec![
        ClassColumn { name: "IoU", hint: "intersection over union", is_score: true },
        ClassColumn { name: "Acc", hint: "share of its pixels that were found", is_score: true },
        ClassColumn { name: "Pixels", hint: "share of all labelled pixels", is_score: false },
    ];
    let row = |class: &smalti_datasets::ClassInfo| ClassRow {
        name: class.name.clone(),
        color: Some(class.color),
        values: ["IoU", "Acc", "gt_share"].map(|key| of_class(evaluation, &class.name, key)).to_vec(),
    };
    ClassTable { columns, rows: classes.iter().map(row).collect() }
}

fn pictures(classes: &smalti_datasets::ClassTable, task: &impl PixelTask) -> Result<Vec<Picture>> {
    let pictured = compared(classes, task)?.into_iter().map(|image| {
        let png = draw::png_bytes(&draw::contact_sheet(&[image.tiles]))?;
        Ok(Picture { title: image.name, caption: image.caption, png })
    });
    pictured.collect()
}

/// One image of the validation set.
struct Compared {
    name: String,
    caption: String,
    tiles: Vec<Tile>,
}

/// Image, ground truth and prediction side by side, of images spread over the validation set.
fn compared(classes: &smalti_datasets::ClassTable, task: &impl PixelTask) -> Result<Vec<Compared>> {
    let (set, data) = (task.validation(), task.data());
    let normalizer = Normalizer::new(&data.normalize);
    let count = set.len().min(PICTURES);
    (0..count)
        .map(|i| {
            let sample = set.load(i * set.len() / count)?;
            let view = data.eval_view(&sample.image, &normalizer);
            let predicted = task.predict(&sample.image, &view)?;
            let predicted = Array2::from_shape_vec(sample.labels.raw_dim(), predicted)?;
            let paint = |labels| draw::overlay(&sample.image, labels, classes, 0.65);
            let tiles = vec![
                Tile::new("image", sample.image.clone()),
                Tile::new("ground truth", paint(&sample.labels)),
                Tile::new("prediction", paint(&predicted)),
            ];
            Ok(Compared { caption: agreement(&predicted, &sample.labels), name: sample.name, tiles })
        })
        .collect()
}

/// Writes one sheet of them, a row an image.
pub fn write_sheet(path: &Path, classes: &smalti_datasets::ClassTable, task: &impl PixelTask) -> Result<()> {
    let rows: Vec<Vec<Tile>> = compared(classes, task)?.into_iter().map(|image| image.tiles).collect();
    draw::write_png(path, &draw::contact_sheet(&rows))?;
    output::line(&format!("{} images, ground truth and predictions: {}", rows.len(), path.display()));
    Ok(())
}

fn agreement(predicted: &Array2<u8>, labels: &Array2<u8>) -> String {
    let counted = labels.iter().filter(|&&label| label != smalti_datasets::IGNORE).count();
    let right = predicted.iter().zip(labels).filter(|(a, b)| a == b).count();
    format!("{:.1} % of pixels right", 100.0 * right as f64 / counted.max(1) as f64)
}
