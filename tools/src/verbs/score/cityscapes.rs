//! `smalti score cityscapes`.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use smalti_evaluation::cityscapes::files::{InstanceNotes, Noted, score_instances, score_pixels};
use smalti_evaluation::cityscapes::instance::InstanceResampler;
use smalti_evaluation::cityscapes::pixel::{PixelResampler, PixelRow};
use smalti_evaluation::cityscapes::{InstanceScores, PixelScores};
use smalti_evaluation::resample::PerImage;

use super::{ClassRow, Classes, Outcome, present, with_progress};
use crate::cli::{CityscapesTask, ScoreCityscapesArgs};
use crate::output::{percent, thousands};

/// Runs the verb.
pub fn run(args: &ScoreCityscapesArgs) -> Result<()> {
    let count = |pred_dir: &Path| -> Result<Box<dyn Outcome>> {
        match args.task {
            CityscapesTask::Instance => Ok(Box::new(Instances::count(args, pred_dir)?)),
            CityscapesTask::Semantic => Ok(Box::new(Pixels::count(args, pred_dir)?)),
        }
    };
    let scored = count(&args.pred_dir)?;
    let other = args.versus.as_deref().map(count).transpose()?;
    present(scored.as_ref(), other.as_deref(), &args.common)
}

fn extra_predictions(extra: &[String]) -> Option<String> {
    let first = extra.first()?;
    Some(format!("predictions without ground truth, not scored: {}, such as {first}", extra.len()))
}

struct Instances {
    images: usize,
    scores: InstanceScores,
    per_image: Option<InstanceResampler>,
    extra_predictions: Vec<String>,
    notes: InstanceNotes,
}

impl Instances {
    fn count(args: &ScoreCityscapesArgs, pred_dir: &Path) -> Result<Self> {
        let keep = args.common.resamples(args.versus.is_some());
        let counted = with_progress(|progress| Ok(score_instances(&args.gt_dir, pred_dir, keep, progress)?))?;
        Ok(Self {
            images: counted.counts.images(),
            scores: counted.counts.finish(),
            per_image: counted.counts.per_image(),
            extra_predictions: counted.extra_predictions,
            notes: counted.notes,
        })
    }
}

impl Outcome for Instances {
    fn images(&self) -> usize {
        self.images
    }

    fn warnings(&self) -> Vec<String> {
        let note = |noted: &Noted, what: &str| {
            (noted.count > 0)
                .then(|| format!("{what}: {}, such as {}", thousands(noted.count as u64), noted.first))
        };
        let notes = &self.notes;
        let found = [
            extra_predictions(&self.extra_predictions),
            note(&notes.repeated_masks, "lines that name the mask of an earlier line, which they replace"),
            note(&notes.other_labels, "lines of labels that are not scored as instances, left out"),
            note(&notes.cut_labels, "label ids with a fraction, which is cut off"),
            note(&notes.infinite, "infinite confidences, taken as below or above all others"),
        ];
        found.into_iter().flatten().collect()
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![("AP", self.scores.ap), ("AP50", self.scores.ap50)]
    }

    fn classes(&self) -> Classes {
        let rows = self.scores.classes.iter().map(|class| ClassRow {
            name: class.name.into(),
            key: class.ap,
            cells: vec![percent(class.ap), percent(class.ap50), thousands(class.gt_instances)],
        });
        Classes { header: vec!["AP %", "AP50 %", "gt instances"], rows: rows.collect() }
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        self.per_image.as_ref().map(|images| images as &dyn PerImage)
    }
}

struct Pixels {
    images: usize,
    scores: PixelScores,
    per_image: Option<PixelResampler>,
    extra_predictions: Vec<String>,
}

impl Pixels {
    fn count(args: &ScoreCityscapesArgs, pred_dir: &Path) -> Result<Self> {
        let keep = args.common.resamples(args.versus.is_some());
        let counted = with_progress(|progress| Ok(score_pixels(&args.gt_dir, pred_dir, keep, progress)?))?;
        Ok(Self {
            images: counted.counts.images(),
            scores: counted.counts.finish(),
            per_image: counted.counts.per_image(),
            extra_predictions: counted.extra_predictions,
        })
    }
}

fn pixel_row(row: &PixelRow) -> ClassRow {
    ClassRow { name: row.name.into(), key: row.iou, cells: vec![percent(row.iou), percent(row.iiou)] }
}

const PIXEL_HEADER: [&str; 2] = ["IoU %", "iIoU %"];

impl Outcome for Pixels {
    fn images(&self) -> usize {
        self.images
    }

    fn warnings(&self) -> Vec<String> {
        extra_predictions(&self.extra_predictions).into_iter().collect()
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        self.scores.named().to_vec()
    }

    fn classes(&self) -> Classes {
        let rows = self.scores.classes.iter().map(pixel_row).collect();
        Classes { header: PIXEL_HEADER.to_vec(), rows }
    }

    fn categories(&self) -> Option<Classes> {
        let rows = self.scores.categories.iter().map(pixel_row).collect();
        Some(Classes { header: PIXEL_HEADER.to_vec(), rows })
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        self.per_image.as_ref().map(|images| images as &dyn PerImage)
    }
}
