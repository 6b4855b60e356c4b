//! `smalti score semantic`.

use anyhow::Result;
use serde_json::Value;
use smalti_datasets::ClassTable;
use smalti_evaluation::resample::PerImage;
use smalti_evaluation::semantic::SemanticScores;
use smalti_evaluation::semantic_files::{DirScores, ScoreOptions, score_dirs};

use super::{ClassRow, Classes, Outcome, present, with_progress};
use crate::cli::ScoreSemanticArgs;
use crate::output::{percent, thousands};

/// Runs the verb.
pub fn run(args: &ScoreSemanticArgs) -> Result<()> {
    let names = args.classes.as_deref().map(ClassTable::load).transpose()?;
    let named = names.as_ref().map(ClassTable::len);
    let num_classes = args.num_classes.map(usize::from).or(named).unwrap_or_default(); // clap wants one of the two
    let options = ScoreOptions {
        num_classes,
        ignore_label: args.ignore_label,
        reduce_zero_label: args.reduce_zero_label,
    };
    let counted = with_progress(|progress| Ok(score_dirs(&args.gt_dir, &args.pred_dir, options, progress)?))?;
    let mut scores = counted.confusion.finish();
    if let Some(names) = &names {
        scores = scores.with_names(names.names())?;
    }
    present(&Scored { counted, scores }, None, &args.common)
}

struct Scored {
    counted: DirScores,
    scores: SemanticScores,
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
        let last = self.scores.classes.len().saturating_sub(1);
        let outside = self.counted.confusion.outside_gt();
        if outside > 0 {
            warnings.push(format!(
                "{} ground truth pixels are neither 0 to {last} nor the ignore label: check --num-classes, \
                 --ignore-label, --reduce-zero-label",
                thousands(outside)
            ));
        }
        let outside = self.counted.confusion.outside_pred();
        if outside > 0 {
            warnings.push(format!(
                "{} predicted pixels are outside 0 to {last}: they count as misses",
                thousands(outside)
            ));
        }
        warnings
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        self.scores.metrics.named().to_vec()
    }

    fn classes(&self) -> Classes {
        let header = vec!["IoU %", "Acc %", "Dice %", "Fscore %", "Precision %", "Recall %", "gt pixels"];
        let rows = self.scores.classes.iter().map(|class| {
            let values = [class.iou, class.acc, class.dice, class.fscore, class.precision, class.recall];
            let mut cells = values.map(percent).to_vec();
            cells.push(thousands(class.gt_pixels));
            ClassRow { name: class.name.clone(), key: class.iou, cells }
        });
        Classes { header, rows: rows.collect() }
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        None
    }
}
