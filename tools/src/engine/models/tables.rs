//! The tables of `smalti models`, for terminals of 120 columns.

use smalti::output::{self, Rows};
use smalti_backbones::published::{Dense, ImageNet};

use super::Model;

/// Parameters, arithmetic and accuracy, ours beside the reported; with `all` every reported image size and pre-training, else the
/// first of a variant.
pub(super) fn classifiers(models: &[Model], all: bool) {
    let header =
        ["family", "variant", "params M", "reported", "image", "GMAC", "reported", "top-1 %", "pre-training"];
    let mut rows = Rows::new(header).text_column(1).text_column(8);
    for model in models {
        let reports = if all { &model.imagenet[..] } else { &model.imagenet[..model.imagenet.len().min(1)] };
        if reports.is_empty() {
            rows.push(classifier(model, None));
        }
        for report in reports {
            rows.push(classifier(model, Some(report)));
        }
    }
    rows.print();
    output::line(
        "params: of the ImageNet classifier. GMAC: giga multiply-adds of matrix products and convolutions for one image, counted\n\
         from the ops that run; papers say FLOPs. Beside both, what the authors report.",
    );
    if models.iter().any(|model| model.family == "davit" && model.variant == "huge") {
        output::line(
            "davit: the paper's large has windows of 12 at 384 (`window = 12`). Its huge and giant are larger networks than timm's\n\
             of these names, which ours are: their downsampling overlaps.",
        );
    }
    if !all {
        output::line(
            "`smalti models FAMILY` has all reported image sizes, and ADE20K, COCO and Cityscapes with head and schedule.",
        );
    }
}

fn classifier(model: &Model, report: Option<&ImageNet>) -> [String; 9] {
    let size = report.map_or_else(|| model.complexity[0].size, |report| report.size);
    [
        model.family.to_owned(),
        model.variant.to_owned(),
        format!("{:.2}", model.classifier_parameters as f64 / 1e6),
        number(report.and_then(|report| report.parameters_m)),
        size.to_string(),
        model.gmac(size).map_or_else(dash, |gmac| format!("{gmac:.2}")),
        number(report.and_then(|report| report.gmac)),
        number(report.and_then(|report| report.top1)),
        report.map_or_else(dash, |report| report.pretraining.name().to_owned()),
    ]
}

/// Reported results of dense prediction.
pub(super) fn dense(models: &[Model]) {
    let families: Vec<&str> = models.iter().map(|model| model.family).collect();
    let several = families.iter().any(|family| *family != families[0]);
    let mut rows = Rows::new(["variant", "task", "head", "schedule", "pre", "scores", "M", "GMAC"]);
    for column in [1, 2, 3, 4, 5] {
        rows = rows.text_column(column);
    }
    let mut sources: Vec<&str> = Vec::new();
    for model in models {
        let name =
            if several { format!("{} {}", model.family, model.variant) } else { model.variant.to_owned() };
        for report in &model.dense {
            rows.push(dense_row(&name, report));
            sources.push(report.source);
        }
    }
    if sources.is_empty() {
        return;
    }
    output::line("");
    rows.print();
    output::line(
        "All as reported, validation sets. Schedule: steps or epochs, side of the crops. pre: pre-training on ImageNet. ms: at\n\
         several scales, with flips. M: parameters of the whole network. GMAC: UperNet at 512x2048, with crops of 640 at\n\
         640x2560; Mask R-CNN at 800x1280.",
    );
    sources.sort_unstable();
    sources.dedup();
    output::line(&format!("Sources: {}.", sources.join(", ")));
}

fn dense_row(name: &str, report: &Dense) -> [String; 8] {
    let scores: Vec<String> =
        report.scores.reported().map(|(metric, value)| format!("{metric} {value}")).collect();
    let crop = report.crop.map_or_else(String::new, |crop| format!(" {crop}"));
    [
        name.to_owned(),
        format!("{} {}", report.data, report.task),
        report.head.to_owned(),
        format!("{}{crop}", report.schedule),
        report.pretraining.name().to_owned(),
        scores.join(" "),
        number(report.parameters_m),
        number(report.gmac),
    ]
}

/// With the digits that it is reported with.
fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn dash() -> String {
    "-".to_owned()
}
