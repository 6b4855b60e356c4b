//! Mask classifiers: what `train`, `eval` and `predict` do for recipes with `task = "panoptic"` or `task = "instance"`.

mod compared;
mod picture;
mod predict;
mod report;
pub mod saved;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use smalti::cli::{EvalArgs, TrainArgs};
use smalti::output::{self, Progress, Rows, percent};
use smalti_configs::MaskRun;
use smalti_datasets::{ClassTable, SegmentSet, SegmentSource, Shard, Split};
use smalti_heads::mask::MaskCriterion;
use smalti_training::mask::MaskScorer;
use smalti_training::{Evaluation, MaskTask, TrainError};

use crate::eval::parts::{self, Evaluated};
use crate::memory::{MaskNeeds, Room};
use crate::session::{TaskSession, compare_classes};
use crate::train::{Sizes, drive, mix_lines};
use saved::PredictionFiles;

pub use predict::predict;

pub type Session = TaskSession<MaskRun>;

/// Trains, prints the last scores and writes the report.
pub fn train(args: &TrainArgs, out: &Path, config: MaskRun) -> Result<()> {
    let data_root = args.data_root.as_deref();
    let [images, validation] = SegmentSet::open_both(&config.data, config.segments(), data_root)?;
    let classes = images.classes().clone();
    let images = images.mix(&config.data, data_root)?;
    let session = Session::new(config, classes)?;
    let task = task(&session, validation)?;
    let data = &session.config.data;
    let (classes, validation, mix) = (session.classes.len(), task.validation.len(), mix_lines(&images));
    let sizes = Sizes { classes, validation, mix };
    let source = SegmentSource::mixed(images, &data.augment, &data.normalize);
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
    let room =
        Room::new(MaskNeeds::new(&config.model, &config.data.eval, session.classes.len())?, session.device);
    room.check_largest(validation.len(), |i| (validation.image_path(i), validation.image_size(i)))?;
    let task = task(&session, validation)?;
    let mut files = match &args.save_predictions {
        Some(folder) => Some(PredictionFiles::new(folder, &task.validation)?),
        None => None,
    };

    let set = &task.validation;
    let evaluated = || {
        let names = (0..set.len()).map(|i| set.name(i));
        let classes = set.classes().names().map(str::to_owned);
        Evaluated::new(&args.weights, &config.to_toml(), names, classes)
    };
    let empty = || Ok(MaskScorer::new(set)?);
    let counted = parts::counted(args, evaluated, empty, |share| count(&task, share.shard, files.as_mut()))?;
    let Some(counted) = counted else { return Ok(()) };
    let scores = counted.counts.finish()?;
    print(&scores.evaluation(), &session.classes);
    if let Some(path) = &args.json {
        output::write_json(path, &scores.to_json()?)?;
    }
    if let Some(path) = &args.pictures {
        compared::write_sheet(path, &session, &task)?;
    }
    if let Some(files) = files {
        files.finish()?;
    }
    Ok(())
}

/// Counts a shard and writes what was predicted.
fn count(task: &MaskTask<'_>, shard: Shard, mut files: Option<&mut PredictionFiles>) -> Result<MaskScorer> {
    let bar = Progress::new("evaluate", shard.images(task.validation.len(), 1) as u64);
    let mut failed = None;
    let counted = task.count(
        shard,
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
    let Some(scorer) = counted? else { bail!("the evaluation was stopped") };
    bar.finish();
    Ok(scorer)
}

/// The task of a session.
pub fn task(session: &Session, validation: SegmentSet) -> Result<MaskTask<'_>> {
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
