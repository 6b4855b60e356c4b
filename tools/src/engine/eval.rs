//! `smalti eval`: weights against the validation set of a recipe.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use ndarray::Array2;
use smalti::cli::EvalArgs;
use smalti::draw;
use smalti::output::{self, Progress};
use smalti_configs::Task;
use smalti_datasets::{SemanticSet, Split, decode};
use smalti_heads::SemanticLoss;
use smalti_training::{SemanticTask, TrainError};

use crate::memory::{Room, SemanticNeeds};
use crate::session::{Session, compare_classes, task_of};
use crate::{classification, mask, results};

/// Runs the verb.
pub fn run(args: &EvalArgs) -> Result<()> {
    match task_of(&args.weights, args.config.as_deref(), &args.set)? {
        Task::Semantic => semantic(args),
        Task::Classification => classification::eval(args),
        Task::Panoptic | Task::Instance => mask::eval(args),
    }
}

fn semantic(args: &EvalArgs) -> Result<()> {
    let data_root = args.data_root.as_deref();
    let session = Session::with_weights(&args.weights, args.config.as_deref(), &args.set, data_root)?;
    let validation = Arc::new(SemanticSet::open(&session.config.data, Split::Val, data_root)?);
    let ids: Vec<u32> = (0..validation.classes().len() as u32).collect();
    compare_classes(validation.classes(), &ids, &session.classes, &args.weights)?;
    let needs = SemanticNeeds::new(&session.config, session.classes.len())?;
    Room::new(needs, session.device).check_largest(validation.len(), |i| {
        let path = validation.paths(i).0;
        (path.to_owned(), decode::size(path))
    })?;
    let task = SemanticTask {
        model: &session.model,
        // Evaluation takes no loss.
        loss: SemanticLoss::new(0.0, None, session.device),
        inference: session.config.inference.clone(),
        precision: session.config.train.precision,
        device: session.device,
        validation: Arc::clone(&validation),
        data: session.config.data.clone(),
    };
    if let Some(folder) = &args.save_predictions {
        output::create_dir(folder)?;
    }

    let bar = Progress::new("evaluate", validation.len() as u64);
    let mut failed = None;
    let scores = task.score(
        &mut |_, _| {
            bar.inc(1);
            true
        },
        &mut |sample, predicted| {
            let Some(folder) = &args.save_predictions else { return Ok(()) };
            let labels = Array2::from_shape_vec(sample.labels.raw_dim(), predicted.to_vec())
                .expect("as many predictions as labels");
            let path = folder.join(format!("{}.png", sample.name));
            draw::write_label_png(&path, &labels, &session.classes).map_err(|error| {
                failed = Some(error);
                TrainError::io(&path, "writing")(std::io::ErrorKind::Other.into())
            })
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    let scores = scores?.ok_or_else(|| anyhow!("the evaluation was stopped"))?;
    bar.finish();
    results::print_scores(&scores);
    if let Some(path) = &args.json {
        output::write_json(path, &scores)?;
    }
    if let Some(folder) = &args.save_predictions {
        say_where(folder, validation.len());
    }
    Ok(())
}

fn say_where(folder: &Path, count: usize) {
    output::line(&format!("{count} label maps in {}", folder.display()));
}
