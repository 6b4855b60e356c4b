//! `smalti models`: every variant with its parameters beside what its authors report.

use anyhow::Result;
use serde::Serialize;
use smalti::cli::ModelsArgs;
use smalti::output::{self, Rows};
use smalti_backbones::{ModelError, NatConfig, NatVariant, Published};

#[derive(Serialize)]
struct Model {
    family: &'static str,
    variant: &'static str,
    embed_dim: i64,
    depths: Vec<i64>,
    heads: Vec<i64>,
    /// Of the dense backbone, per-level norms included.
    backbone_parameters: i64,
    /// Of the ImageNet classifier: what papers count.
    classifier_parameters: i64,
    published: Option<Published>,
}

fn nat(variant: NatVariant) -> Result<Model, ModelError> {
    let arch = NatConfig { variant: Some(variant), ..NatConfig::default() }.arch()?;
    Ok(Model {
        family: "nat",
        variant: variant.name(),
        embed_dim: arch.embed_dim,
        depths: arch.depths.to_vec(),
        heads: arch.heads.to_vec(),
        backbone_parameters: arch.backbone_parameters(),
        classifier_parameters: arch.classifier_parameters(1000),
        published: variant.published(),
    })
}

/// Runs the verb.
pub fn run(args: &ModelsArgs) -> Result<()> {
    let models = NatVariant::ALL.into_iter().map(nat).collect::<Result<Vec<_>, _>>()?;
    let header = [
        "model",
        "width",
        "blocks",
        "heads",
        "backbone M",
        "classifier M",
        "published M",
        "top-1 %",
        "UperNet ADE20K mIoU %",
    ];
    let mut rows = Rows::new(header).text_column(2).text_column(3);
    let millions = |count: i64| format!("{:.2}", count as f64 / 1e6);
    let list = |values: &[i64]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    for model in &models {
        let published = |pick: fn(&Published) -> Option<f64>| {
            let value = model.published.as_ref().and_then(pick);
            value.map_or_else(|| "-".to_string(), |value| format!("{value:.1}"))
        };
        rows.push([
            format!("{}-{}", model.family, model.variant),
            model.embed_dim.to_string(),
            list(&model.depths),
            list(&model.heads),
            millions(model.backbone_parameters),
            millions(model.classifier_parameters),
            published(|p| Some(p.parameters_m)),
            published(|p| p.top1),
            published(|p| p.upernet_ade20k),
        ]);
    }
    rows.print();
    output::line(
        "top-1: ImageNet-1k at 224; UperNet: 160k steps at 512 (large: 640), single scale; both as the papers report them",
    );
    if let Some(path) = &args.json {
        output::write_json(path, &models)?;
    }
    Ok(())
}
