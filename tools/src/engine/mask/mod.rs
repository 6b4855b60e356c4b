//! Mask classifiers: what `train`, `eval` and `predict` do for recipes with `task = "panoptic"` or `task = "instance"`.

mod picture;
mod predict;
mod report;
mod saved;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use smalti::cli::{EvalArgs, TrainArgs};
use smalti::output::{self, Progress, Rows, percent};
use smalti_configs::MaskRun;
use smalti_datasets::{ClassTable, SegmentSet, SegmentSource, Split};
use smalti_heads::mask::MaskCriterion;
use smalti_training::{Evaluation, MaskTask, TrainError};

use crate::memory::{MaskNeeds, Room};
use crate::session::{TaskSession, compare_classes};
use crate::train::{Sizes, drive};
use saved::PredictionFiles;

pub use predict::predict;

type Session = TaskSession<MaskRun>;

/// Trains, prints the last scores and writes the report.
pub fn train(args: &TrainArgs, out: &Path, config: MaskRun) -> Result<()> {
    let [images, validation] =
        SegmentSet::open_both(&config.data, config.segments(), args.data_root.as_deref())?;
    let session = Session::new(config, images.classes().clone())?;
    let task = task(&session, validation)?;
    let data = &session.config.data;
    let source = SegmentSource::new(Arc::new(images), &data.augment, &data.normalize);
    let sizes = Sizes { classes: session.classes.len(), validation: task.validation.len() };
    let trained = drive(args, out, &session, &task, source, &data.loader, &sizes)?;

    print(&trained.summary.last, &session.classes);
    trained.say_best();
    let path = report::write(&session, &task, &trained.summary, trained.run.path(), &trained.best)?;
    trained.say_where(&path);
    Ok(())
}

/// Scores weights on the validation images.
pub fn eval(args: &EvalArgs) -> Result<()> {
    let data_root = args.data_root.as_deref();
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, data_root)?;
    let config = &session.config;
    let validation = SegmentSet::open(&config.data, config.segments(), Split::Val, data_root)?;
    compare_classes(validation.classes(), &validation.category_ids(), &session.classes, &args.weights)?;
    let room = Room::new(MaskNeeds::new(config, session.classes.len())?, session.device);
    room.check_largest(validation.len(), |i| (validation.image_path(i), validation.image_size(i)))?;
    let task = task(&session, validation)?;
    let mut files = match &args.save_predictions {
        Some(folder) => Some(PredictionFiles::new(folder, &task.validation)?),
        None => None,
    };

    let bar = Progress::new("evaluate", task.validation.len() as u64);
    let mut failed = None;
    let scores = task.score(
        &mut |_, _| {
            bar.inc(1);
            true
        },
        &mut |sample, results| {
            let Some(files) = &mut files else { return Ok(()) };
            files.add(sample, results).map_err(|error| {
                failed = Some(error);
                TrainError::io(files.folder(), "writing")(std::io::ErrorKind::Other.into())
            })
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    let Some(scores) = scores? else { bail!("the evaluation was stopped") };
    bar.finish();
    print(&scores.evaluation(), &session.classes);
    if let Some(path) = &args.json {
        output::write_json(path, &scores.to_json()?)?;
    }
    if let Some(files) = files {
        files.finish()?;
    }
    Ok(())
}

fn task(session: &Session, validation: SegmentSet) -> Result<MaskTask<'_>> {
    let config = &session.config;
    Ok(MaskTask {
        model: &session.model,
        criterion: MaskCriterion::new(&config.loss, session.classes.len() as i64)?,
        inference: config.inference.clone(),
        precision: config.train.precision,
        device: session.device,
        validation: Arc::new(validation),
        data: config.data.clone(),
    })
}

/// The numbers of a class that tables show, where they are scored, with what they say.
const OF_CLASS: [(&str, &str); 6] = [
    ("PQ", "panoptic quality"),
    ("SQ", "mean IoU of the segments that were found"),
    ("RQ", "F1 of finding segments"),
    ("AP", "average precision of masks"),
    ("AP50", "the same at IoU 0.5"),
    ("IoU", "intersection over union"),
];

/// The means that headlines show, where they are scored.
const MEANS: [&str; 8] = ["PQ", "PQ_th", "PQ_st", "SQ", "RQ", "AP", "AP50", "mIoU"];

/// Classes that a table lists; the JSON has all.
const LISTED: usize = 40;

/// Per-class table and headline of an evaluation.
fn print(evaluation: &Evaluation, classes: &ClassTable) {
    let values = |class: &str, key: &str| crate::run_report::of_class(evaluation, class, key);
    let scored: Vec<&'static str> = OF_CLASS
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| classes.names().any(|class| values(class, key).is_some()))
        .collect();
    let mut rows = Rows::new(std::iter::once("class").chain(scored.iter().copied()));
    for class in classes.names().take(LISTED) {
        let cells = scored.iter().map(|key| percent(values(class, key)));
        rows.push(std::iter::once(class.to_owned()).chain(cells));
    }
    rows.print();
    if classes.len() > LISTED {
        output::line(&format!("and {} more classes; --json FILE has all", classes.len() - LISTED));
    }
    let means: Vec<String> = MEANS
        .iter()
        .filter(|name| evaluation.record.contains_key(**name))
        .map(|name| format!("{name} {} %", percent(crate::run_report::metric(evaluation, name).1)))
        .collect();
    output::line(&means.join("   "));
}
