//! `smalti score errors instance`.

use anyhow::Result;
use smalti_evaluation::instance::tide::{ErrorKind, TideError, TideOptions, TideScores, score_files};

use crate::cli::ScoreErrorsInstanceArgs;
use crate::draw::{self, ErrorBar};
use crate::output::table::Rows;
use crate::output::{self, percent, thousands};
use crate::verbs::score::instance::iou_type;
use crate::verbs::score::with_progress;

/// Runs the verb.
pub fn run(args: &ScoreErrorsInstanceArgs) -> Result<()> {
    let options = TideOptions::new(args.threshold, args.background)?;
    let kind = iou_type(args.iou_type);
    let found = with_progress(|progress| Ok(score_files(&args.gt, &args.pred, kind, options, progress)?))?;
    found.warnings.iter().for_each(|text| output::warning(text));
    let scores = &found.scores;
    print(scores);
    let plural = if found.images == 1 { "" } else { "s" };
    let counts = [found.detections, found.images].map(|n| thousands(n as u64));
    output::line(&format!("{} detections in {} image{plural}", counts[0], counts[1]));
    if let Some(path) = &args.out {
        draw::write_png(path, &draw::error_bars(&title(scores), &bars(scores)))?;
        output::line(&format!("bar chart in {}", path.display()));
    }
    if let Some(path) = &args.json {
        output::write_json(path, scores)?;
    }
    Ok(())
}

/// What each number stands for, in the order of [`TideScores::named`].
fn meanings() -> impl Iterator<Item = &'static str> {
    let kind = |kind| match kind {
        ErrorKind::Classification => "right place, wrong class",
        ErrorKind::Localisation => "right class, badly placed",
        ErrorKind::Both => "wrong class, badly placed",
        ErrorKind::Duplicate => "found by a better one already",
        ErrorKind::Background => "nothing is there",
        ErrorKind::Missed => "object not found",
    };
    ErrorKind::ALL.into_iter().map(kind).chain(["all wrong detections", "all objects not matched"])
}

fn print(scores: &TideScores) {
    let mut rows = Rows::new(["error", "what it is", "dAP %", "errors"]).text_column(1);
    for ((name, TideError { delta, count }), meaning) in scores.named().into_iter().zip(meanings()) {
        rows.push([name.to_owned(), meaning.to_owned(), percent(delta), thousands(count)]);
    }
    rows.print();
    output::line(&format!("AP at IoU {}: {} %", scores.options.threshold(), percent(scores.ap)));
}

fn title(scores: &TideScores) -> String {
    let threshold = scores.options.threshold();
    format!("AP at IoU {threshold}: {} %, and what it gains without each kind of error", percent(scores.ap))
}

fn bars(scores: &TideScores) -> Vec<ErrorBar> {
    let bar = |((name, error), meaning): ((&str, TideError), &str)| ErrorBar {
        name: name.to_owned(),
        meaning: meaning.to_owned(),
        gain: error.delta,
        count: error.count,
        is_sum: name.starts_with("False"),
    };
    scores.named().into_iter().zip(meanings()).map(bar).collect()
}
