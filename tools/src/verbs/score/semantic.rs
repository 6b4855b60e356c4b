//! `smalti score semantic`.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use smalti_datasets::ClassTable;
use smalti_evaluation::resample::PerImage;
use smalti_evaluation::semantic::SemanticScores;
use smalti_evaluation::semantic_files::{DirScores, ScoreOptions, score_dirs};

use super::{ClassRow, Classes, Outcome, present, with_progress};
use crate::cli::{LabelMapArgs, ScoreSemanticArgs};
use crate::output::{self, percent, thousands};

/// Runs the verb.
pub fn run(args: &ScoreSemanticArgs) -> Result<()> {
    let maps = Maps::of(&args.maps)?;
    let options = ScoreOptions {
        boundary: args.boundary,
        keep_images: args.common.resamples(args.versus.is_some()),
        ..maps.options
    };
    let scored = maps.score(&args.maps.pred_dir, options)?;
    let other = match &args.versus {
        Some(folder) => {
            Some(Scored { versus: Some(folder.display().to_string()), ..maps.score(folder, options)? })
        }
        None => None,
    };
    let unasked = scored.scores.classes.iter().filter(|c| c.gt_pixels == 0 && c.pred_pixels > 0).count();
    if unasked > 0 {
        output::note(&format!(
            "classes predicted without having ground truth: {unasked}; mIoU counts them as 0, d2_mIoU leaves them out"
        ));
    }
    present(&scored, other.as_ref().map(|other| other as &dyn Outcome), &args.common)
}

/// The ground truth and how maps are to be read.
pub(super) struct Maps<'a> {
    pub(super) gt_dir: &'a Path,
    pub(super) names: Option<ClassTable>,
    pub(super) options: ScoreOptions,
}

impl<'a> Maps<'a> {
    pub(super) fn of(args: &'a LabelMapArgs) -> Result<Self> {
        let names = args.classes.as_deref().map(ClassTable::load).transpose()?;
        let named = names.as_ref().map(ClassTable::len);
        let num_classes = args.num_classes.map(usize::from).or(named).unwrap_or_default(); // clap wants one of the two
        let options = ScoreOptions {
            ignore_label: args.ignore_label,
            reduce_zero_label: args.reduce_zero_label,
            ..ScoreOptions::new(num_classes)
        };
        Ok(Self { gt_dir: &args.gt_dir, names, options })
    }

    /// Counts one folder of predictions.
    pub(super) fn score(&self, pred_dir: &Path, options: ScoreOptions) -> Result<Scored> {
        let counted = with_progress(|progress| Ok(score_dirs(self.gt_dir, pred_dir, options, progress)?))?;
        let mut scores = counted.finish();
        if let Some(names) = &self.names {
            scores = scores.with_names(names.names())?;
        }
        Ok(Scored { counted, scores, shifted: options.reduce_zero_label, versus: None })
    }
}

/// What one folder of predictions scored.
pub(super) struct Scored {
    pub(super) counted: DirScores,
    pub(super) scores: SemanticScores,
    /// Whether ground truth was shifted (`--reduce-zero-label`).
    shifted: bool,
    /// The folder, if this is the other side of a comparison: what is wrong with the ground truth was said already.
    versus: Option<String>,
}

impl Scored {
    fn ground_truth_warning(&self) -> Option<String> {
        let last = self.scores.classes.len().saturating_sub(1);
        let outside = self.counted.confusion.outside_gt();
        (outside > 0).then(|| {
            format!(
                "{} ground truth pixels are neither 0 to {last} nor the ignore label: check --num-classes, \
                 --ignore-label, --reduce-zero-label",
                thousands(outside)
            )
        })
    }

    fn prediction_warning(&self) -> Option<String> {
        let last = self.scores.classes.len().saturating_sub(1);
        let outside = self.counted.confusion.outside_pred();
        let never_0 = self.scores.classes.first().is_some_and(|class| class.pred_pixels == 0);
        let hint = if self.shifted && never_0 {
            "; none is 0, so they may hold class + 1, as ADE20K's server wants it: --reduce-zero-label does not shift them"
        } else {
            ""
        };
        (outside > 0).then(|| {
            format!(
                "{} predicted pixels are outside 0 to {last}: they count as misses{hint}",
                thousands(outside)
            )
        })
    }
}

impl Outcome for Scored {
    fn images(&self) -> usize {
        self.counted.images
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let extra = &self.counted.extra_predictions;
        if let Some(first) = extra.first() {
            warnings.push(format!(
                "predictions without ground truth, not scored: {}, such as {first}",
                extra.len()
            ));
        }
        match &self.versus {
            None => warnings.extend(self.ground_truth_warning().into_iter().chain(self.prediction_warning())),
            Some(_) => warnings.extend(self.prediction_warning()),
        }
        let side = self.versus.as_ref().map_or(String::new(), |folder| format!("{folder}: "));
        warnings.into_iter().map(|text| format!("{side}{text}")).collect()
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        self.scores.named()
    }

    fn classes(&self) -> Classes {
        let mut header = vec!["IoU %", "Acc %", "Dice %", "Fscore %", "Precision %", "Recall %"];
        let boundary = self.scores.boundary.as_ref();
        header.extend(boundary.map(|_| "boundary IoU %"));
        header.push("gt pixels");
        let rows = self.scores.classes.iter().enumerate().map(|(id, class)| {
            let values = [class.iou, class.acc, class.dice, class.fscore, class.precision, class.recall];
            let mut cells = values.map(percent).to_vec();
            cells.extend(boundary.map(|boundary| percent(boundary.classes.get(id).copied().flatten())));
            cells.push(thousands(class.gt_pixels));
            ClassRow { name: class.name.clone(), key: class.iou, cells }
        });
        Classes { header, rows: rows.collect() }
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        self.counted.per_image.as_ref().map(|images| images as &dyn PerImage)
    }
}
