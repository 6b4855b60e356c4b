//! Scores as tables.

use smalti::output::{self, Rows, percent};
use smalti_datasets::ClassTable;
use smalti_evaluation::semantic::SemanticScores;
use smalti_training::Evaluation;

/// Per-class table and headline of a finished evaluation.
pub fn print_scores(scores: &SemanticScores) {
    let classes = scores.classes.iter().map(|class| (class.name.as_str(), class.iou, class.acc));
    table(classes);
    let named = scores.metrics.named();
    let value = |name: &str| named.iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value);
    headline(value);
}

/// The same of the log's record of an evaluation.
pub fn print_evaluation(evaluation: &Evaluation, classes: &ClassTable) {
    let number = |name: &str, key: &str| evaluation.record.get("classes")?.get(name)?.get(key)?.as_f64();
    table(classes.names().map(|name| (name, number(name, "IoU"), number(name, "Acc"))));
    headline(|name| evaluation.record.get(name)?.as_f64());
}

fn table<'a>(classes: impl Iterator<Item = (&'a str, Option<f64>, Option<f64>)>) {
    let mut rows = Rows::new(["class", "IoU %", "Acc %"]);
    for (name, iou, acc) in classes {
        rows.push([name.to_string(), percent(iou), percent(acc)]);
    }
    rows.print();
}

fn headline(value: impl Fn(&str) -> Option<f64>) {
    let text: Vec<String> = ["mIoU", "mAcc", "aAcc", "fwIoU"]
        .iter()
        .map(|name| format!("{name} {} %", percent(value(name))))
        .collect();
    output::line(&text.join("   "));
}
