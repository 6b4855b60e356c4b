//! `smalti score errors panoptic`.

use anyhow::Result;
use smalti_evaluation::panoptic::{
    PanopticClassScores, PanopticDirs, PanopticOptions, PanopticScores, score_files,
};

use crate::cli::ScoreErrorsPanopticArgs;
use crate::draw::{self, QualityPoint};
use crate::output::table::Rows;
use crate::output::{self, percent, thousands};
use crate::verbs::score::with_progress;

/// Runs the verb.
pub fn run(args: &ScoreErrorsPanopticArgs) -> Result<()> {
    let beside = PanopticDirs::beside;
    let dirs = PanopticDirs {
        gt_json: args.gt.clone(),
        gt_dir: args.gt_dir.clone().unwrap_or_else(|| beside(&args.gt)),
        pred_json: args.pred.clone(),
        pred_dir: args.pred_dir.clone().unwrap_or_else(|| beside(&args.pred)),
    };
    let options = PanopticOptions { boundary: false, keep_images: false };
    let counted = with_progress(|progress| Ok(score_files(&dirs, options, progress)?))?;
    counted.warnings.iter().for_each(|text| output::warning(text));
    let scores = counted.quality.finish();
    print(&scores, args.top);
    if let Some(path) = &args.out {
        draw::write_png(path, &draw::quality_scatter(&points(&scores)))?;
        output::line(&format!("SQ against RQ of every class in {}", path.display()));
    }
    if let Some(path) = &args.json {
        output::write_json(path, &scores)?;
    }
    Ok(())
}

/// The classes that occur on either side.
fn points(scores: &PanopticScores) -> Vec<QualityPoint> {
    let point = |(class, name): (&PanopticClassScores, String)| {
        Some(QualityPoint {
            name,
            isthing: class.class.is_thing,
            pq: class.pq?,
            sq: class.sq.unwrap_or(0.0), // nothing matched
            rq: class.rq.unwrap_or(0.0),
            n: class.tp + class.fn_,
        })
    };
    scores.classes.iter().zip(scores.labels()).filter_map(point).collect()
}

/// The classes of least PQ, with what each loses most to.
fn print(scores: &PanopticScores, top: usize) {
    let mut order: Vec<_> = scores.classes.iter().zip(scores.labels()).collect();
    order.retain(|(class, _)| class.pq.is_some());
    order.sort_by(|(a, _), (b, _)| a.pq.unwrap_or(0.0).total_cmp(&b.pq.unwrap_or(0.0)));
    let mut rows =
        Rows::new(["class", "kind", "PQ %", "SQ %", "RQ %", "found", "missed", "invented"]).text_column(1);
    for (class, name) in order.iter().take(top) {
        let kind = if class.class.is_thing { "thing" } else { "stuff" };
        let qualities = [class.pq, class.sq, class.rq].map(percent);
        let counts = [class.tp, class.fn_, class.fp].map(thousands);
        rows.push([name.clone(), kind.into()].into_iter().chain(qualities).chain(counts));
    }
    rows.print();
    if order.len() > top {
        output::line(&format!("and {} better classes", order.len() - top));
    }
}
