//! `report.html` of a finished training of a mask classifier.

use std::path::{Path, PathBuf};

use anyhow::Result;
use smalti::draw;
use smalti::report::{self, ClassColumn, ClassRow, ClassTable, Picture, ReportInputs};
use smalti_datasets::ClassInfo;
use smalti_training::trainer::Summary;
use smalti_training::{Evaluation, MaskTask};

use super::compared::{compared, own_task};
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

fn pictures(session: &Session, task: &MaskTask<'_>) -> Result<Vec<Picture>> {
    let pictured = compared(session, task, &[own_task(task)])?.into_iter().map(|image| {
        let found = image.found;
        let caption = format!("{found} segments predicted, {} annotated", image.annotated);
        let png = draw::png_bytes(&draw::contact_sheet(&[image.tiles]))?;
        Ok(Picture { title: image.name, caption, png })
    });
    pictured.collect()
}
