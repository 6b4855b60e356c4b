//! `smalti score`.

use anyhow::Result;
use smalti_datasets::ClassTable;
use smalti_evaluation::semantic::SemanticScores;
use smalti_evaluation::semantic_files::{ScoreOptions, score_dirs};

use crate::cli::{ScoreSemanticArgs, ScoreVerb};
use crate::output::table::Rows;
use crate::output::{self, Progress, percent, thousands};

/// Runs `smalti score ...`.
pub fn score(verb: &ScoreVerb) -> Result<()> {
    match verb {
        ScoreVerb::Semantic(args) => semantic(args),
    }
}

fn semantic(args: &ScoreSemanticArgs) -> Result<()> {
    let names = args.classes.as_deref().map(ClassTable::load).transpose()?;
    let named = names.as_ref().map(ClassTable::len);
    let num_classes = args.num_classes.map(usize::from).or(named).unwrap_or_default(); // clap wants one of the two
    let options = ScoreOptions {
        num_classes,
        ignore_label: args.ignore_label,
        reduce_zero_label: args.reduce_zero_label,
    };
    let bar: std::sync::OnceLock<Progress> = std::sync::OnceLock::new();
    let scored = score_dirs(&args.gt_dir, &args.pred_dir, options, &|_, total| {
        bar.get_or_init(|| Progress::new("score", total as u64)).inc(1);
    })?;
    if let Some(bar) = bar.get() {
        bar.finish();
    }
    warn(
        num_classes,
        &scored.extra_predictions,
        scored.confusion.outside_gt(),
        scored.confusion.outside_pred(),
    );
    let mut scores = scored.confusion.finish();
    if let Some(names) = &names {
        scores = scores.with_names(names.names())?;
    }
    print(&scores, args.per_class);
    let plural = if scored.images == 1 { "" } else { "s" };
    output::line(&format!("{} image{plural}", scored.images));
    if let Some(path) = &args.json {
        output::write_json(path, &scores)?;
    }
    Ok(())
}

fn warn(num_classes: usize, extra: &[String], outside_gt: u64, outside_pred: u64) {
    if let Some(first) = extra.first() {
        let text = "predictions without ground truth, not scored:";
        output::warning(&format!("{text} {}, such as {first}", extra.len()));
    }
    let last = num_classes.saturating_sub(1);
    if outside_gt > 0 {
        let text = "ground truth pixels are neither 0 to";
        output::warning(&format!(
            "{} {text} {last} nor the ignore label: check --num-classes, --ignore-label, --reduce-zero-label",
            thousands(outside_gt)
        ));
    }
    if outside_pred > 0 {
        let text = "predicted pixels are outside 0 to";
        output::warning(&format!("{} {text} {last}: they count as misses", thousands(outside_pred)));
    }
}

/// Up to so many classes are printed one by one without being asked for.
const FEW_CLASSES: usize = 40;

/// The metrics, and every class, best first, on request or where they are few.
fn print(scores: &SemanticScores, per_class: bool) {
    if per_class || scores.classes.len() <= FEW_CLASSES {
        let mut classes: Vec<_> = scores.classes.iter().collect();
        classes.sort_by(|a, b| b.iou.unwrap_or(-1.0).total_cmp(&a.iou.unwrap_or(-1.0)));
        let mut rows = Rows::new([
            "class",
            "IoU %",
            "Acc %",
            "Dice %",
            "Fscore %",
            "Precision %",
            "Recall %",
            "gt pixels",
        ]);
        for class in classes {
            let values = [class.iou, class.acc, class.dice, class.fscore, class.precision, class.recall];
            let mut cells = vec![class.name.clone()];
            cells.extend(values.map(percent));
            cells.push(thousands(class.gt_pixels));
            rows.push(cells);
        }
        rows.print();
    }
    let mut rows = Rows::new(["metric", "%"]);
    for (name, value) in scores.metrics.named() {
        rows.push([name.to_string(), percent(value)]);
    }
    rows.print();
}
