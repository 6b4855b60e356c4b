//! `smalti eval`: weights against the validation set of a recipe.

pub mod parts;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use ndarray::Array2;
use smalti::cli::EvalArgs;
use smalti::draw;
use smalti::output::{self, Progress};
use smalti_configs::{AnyRun, SemanticMaskRun};
use smalti_datasets::{ClassTable, SemanticSet, Shard, Split, decode};
use smalti_evaluation::semantic::ConfusionMatrix;
use smalti_heads::SemanticLoss;
use smalti_heads::mask::MaskCriterion;
use smalti_training::{PixelTask, SemanticMaskTask, SemanticTask, TrainError};

use crate::memory::{Needs, Room, SemanticMaskNeeds, SemanticNeeds};
use crate::session::{Run, Session, TaskSession, compare_classes, find_config};
use crate::{benchmark, classification, mask, results, run_report};
use parts::{Evaluated, Share};

/// A session of semantic segmentation with a Mask2Former.
pub type MaskSession = TaskSession<SemanticMaskRun>;

/// Runs the verb.
pub fn run(args: &EvalArgs) -> Result<()> {
    if let Some(name) = &args.benchmark {
        return benchmark::eval(name, args);
    }
    let config = find_config(&args.weights, args.config.as_deref(), &args.set)?;
    if let Some(folder) = &args.save_predictions {
        output::expect_empty(folder, "the predictions")?;
    }
    match config {
        AnyRun::Semantic(_) => semantic(args),
        AnyRun::SemanticMask(_) => semantic_mask(args),
        AnyRun::Classification(_) => classification::eval(args),
        AnyRun::Mask(_) => mask::eval(args),
    }
}

fn semantic(args: &EvalArgs) -> Result<()> {
    let data_root = args.data_root.as_deref();
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, data_root)?;
    let validation = Arc::new(SemanticSet::open(&session.config.data, Split::Val, data_root)?);
    let needs = SemanticNeeds::new(&session.config, session.classes.len())?;
    score(args, &session, &task(&session, &validation), needs)
}

fn semantic_mask(args: &EvalArgs) -> Result<()> {
    let data_root = args.data_root.as_deref();
    let session: MaskSession =
        TaskSession::with_weights(&args.weights, args.config.as_deref(), &args.set, data_root)?;
    let validation = Arc::new(SemanticSet::open(&session.config.data, Split::Val, data_root)?);
    let needs = SemanticMaskNeeds::new(&session.config, session.classes.len())?;
    score(args, &session, &mask_task(&session, &validation)?, needs)
}

/// Scores a network that gives every pixel a class.
fn score<R: Run<Classes = ClassTable>>(
    args: &EvalArgs,
    session: &TaskSession<R>,
    task: &impl PixelTask,
    needs: impl Needs,
) -> Result<()> {
    let (validation, classes) = (task.validation(), &session.classes);
    let ids: Vec<u32> = (0..validation.classes().len() as u32).collect();
    compare_classes(validation.classes(), &ids, classes, &args.weights)?;
    Room::new(needs, session.device).check_largest(validation.len(), |i| {
        let path = validation.paths(i).0;
        (path.to_owned(), decode::size(path))
    })?;
    let evaluated = || {
        let names = (0..validation.len()).map(|i| validation.name(i).to_owned());
        let classes = validation.classes().names().map(str::to_owned);
        Evaluated::new(&args.weights, &session.config.to_toml(), names, classes)
    };
    let count = |share: Share<'_>| count(args, classes, task, share.shard);
    let counted = parts::counted(args, evaluated, || Ok(task.counter()), count)?;
    let Some(counted) = counted else { return Ok(()) };
    let scores = task.scores(&counted.counts)?;
    results::print_scores(&scores);
    if let Some(path) = &args.json {
        output::write_json(path, &scores)?;
    }
    if let Some(path) = &args.pictures {
        run_report::write_sheet(path, classes, task)?;
    }
    if let Some(folder) = &args.save_predictions {
        say_where(folder, validation.len());
    }
    Ok(())
}

/// The task of a session, to evaluate with.
pub fn task<'a>(session: &'a Session, validation: &Arc<SemanticSet>) -> SemanticTask<'a> {
    SemanticTask {
        model: &session.model,
        // Evaluation takes no loss.
        loss: SemanticLoss::new(0.0, None, session.device),
        inference: session.config.inference.clone(),
        precision: session.config.train.precision,
        device: session.device,
        validation: Arc::clone(validation),
        data: session.config.data.clone(),
    }
}

/// The same with a Mask2Former.
pub fn mask_task<'a>(
    session: &'a MaskSession,
    validation: &Arc<SemanticSet>,
) -> Result<SemanticMaskTask<'a>> {
    let config = &session.config;
    Ok(SemanticMaskTask {
        model: &session.model,
        criterion: MaskCriterion::new(&config.loss, session.classes.len() as i64)?,
        inference: config.inference.clone(),
        precision: config.train.precision,
        device: session.device,
        validation: Arc::clone(validation),
        data: config.data.clone(),
    })
}

/// Counts a shard and writes what was predicted.
fn count(
    args: &EvalArgs,
    classes: &ClassTable,
    task: &impl PixelTask,
    shard: Shard,
) -> Result<ConfusionMatrix> {
    if let Some(folder) = &args.save_predictions {
        output::create_dir(folder)?;
    }
    let bar = Progress::new("evaluate", shard.images(task.validation().len(), 1) as u64);
    let mut failed = None;
    let counted = task.count(
        shard,
        &mut |_, _| {
            bar.inc(1);
            true
        },
        &mut |sample, predicted| {
            let Some(folder) = &args.save_predictions else { return Ok(()) };
            let labels = Array2::from_shape_vec(sample.labels.raw_dim(), predicted.to_vec())
                .expect("as many predictions as labels");
            let path = folder.join(format!("{}.png", sample.name));
            draw::write_label_png(&path, &labels, classes).map_err(|error| {
                failed = Some(error);
                TrainError::io(&path, "writing")(std::io::ErrorKind::Other.into())
            })
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    let counted = counted?.ok_or_else(|| anyhow!("the evaluation was stopped"))?;
    bar.finish();
    Ok(counted)
}

fn say_where(folder: &Path, count: usize) {
    output::line(&format!("{count} label maps in {}", folder.display()));
}
