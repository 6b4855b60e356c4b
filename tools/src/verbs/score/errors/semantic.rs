//! `smalti score errors semantic`.

use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use smalti_evaluation::semantic::ConfusionMatrix;

use crate::cli::ScoreErrorsSemanticArgs;
use crate::draw;
use crate::output::table::Rows;
use crate::output::{self, percent, thousands};
use crate::verbs::score::Outcome;
use crate::verbs::score::semantic::Maps;

/// Name of what is predicted but no class.
const NO_CLASS: &str = "no class";

/// Runs the verb.
pub fn run(args: &ScoreErrorsSemanticArgs) -> Result<()> {
    let maps = Maps::of(&args.maps)?;
    let scored = maps.score(&args.maps.pred_dir, maps.options)?;
    scored.warnings().iter().for_each(|text| output::warning(text));
    let names: Vec<String> = scored.scores.classes.iter().map(|class| class.name.clone()).collect();
    let worst = confusions(&names, &scored.counted.confusion);
    print(&worst, args.top);
    if let Some(path) = &args.out {
        draw::write_png(path, &draw::confusion_matrix(&names, &scored.counted.confusion.counts()))?;
        output::line(&format!("confusion matrix in {}", path.display()));
    }
    if let Some(path) = &args.json {
        let counts = scored.counted.confusion.counts();
        let matrix: Vec<&[u64]> = counts.chunks_exact(names.len() + 1).collect();
        let columns: Vec<&str> = names.iter().map(String::as_str).chain([NO_CLASS]).collect();
        output::write_json(
            path,
            &json!({ "task": "semantic", "names": columns, "confusion": matrix, "confusions": worst }),
        )?;
    }
    Ok(())
}

/// Pixels of one class that were predicted as another.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Confusion {
    class: String,
    mistaken_for: String,
    /// Of the class's labelled pixels, 0 to 1.
    share: f64,
    pixels: u64,
}

/// All confusions, greatest share first.
fn confusions(names: &[String], confusion: &ConfusionMatrix) -> Vec<Confusion> {
    let counts = confusion.counts();
    let mut found = Vec::new();
    for (gt, (name, row)) in names.iter().zip(counts.chunks_exact(names.len() + 1)).enumerate() {
        let labelled: u64 = row.iter().sum();
        for (pred, &pixels) in row.iter().enumerate().filter(|&(pred, &pixels)| pred != gt && pixels > 0) {
            found.push(Confusion {
                class: name.clone(),
                mistaken_for: names.get(pred).map_or(NO_CLASS, String::as_str).to_owned(),
                share: pixels as f64 / labelled as f64,
                pixels,
            });
        }
    }
    found.sort_by(|a, b| b.share.total_cmp(&a.share).then(b.pixels.cmp(&a.pixels)));
    found
}

fn print(worst: &[Confusion], top: usize) {
    if worst.is_empty() {
        return output::line("no pixel of one class was predicted as another");
    }
    let mut rows = Rows::new(["class", "mistaken for", "% of its pixels", "pixels"]).text_column(1);
    for confusion in worst.iter().take(top) {
        rows.push([
            confusion.class.clone(),
            confusion.mistaken_for.clone(),
            percent(Some(confusion.share)),
            thousands(confusion.pixels),
        ]);
    }
    rows.print();
    if worst.len() > top {
        output::line(&format!("and {} more", thousands((worst.len() - top) as u64)));
    }
}
