//! `smalti models`: every variant with its parameters and its arithmetic, beside what its authors report.

mod tables;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::ModelsArgs;
use smalti::output::{self, InputError};
use smalti_backbones::catalog::{count_classifier, variants};
use smalti_backbones::published::{Dense, ImageNet};
use smalti_backbones::{ModelError, Variant};

/// Classes of ImageNet-1k.
const CLASSES: i64 = 1000;

/// A variant and all that is known of it.
#[derive(Serialize)]
struct Model {
    family: &'static str,
    variant: &'static str,
    /// Of the dense backbone, per-level norms included.
    backbone_parameters: i64,
    /// Of the ImageNet classifier: what papers count.
    classifier_parameters: i64,
    /// Arithmetic of the classifier, for the image sizes that are reported.
    complexity: Vec<Complexity>,
    imagenet: Vec<&'static ImageNet>,
    dense: Vec<&'static Dense>,
}

/// Multiply-adds of one image's way through the classifier.
#[derive(Serialize)]
struct Complexity {
    size: i64,
    multiply_adds: u64,
    /// The same by op.
    by_op: BTreeMap<String, u64>,
}

impl Model {
    fn new(variant: &Variant) -> Result<Self, ModelError> {
        let parameters = variant.config.parameters(CLASSES)?;
        let imagenet: Vec<_> = variant.imagenet().collect();
        let mut sizes = vec![variant.image_size()];
        sizes.extend(imagenet.iter().map(|row| row.size));
        sizes.sort_unstable();
        sizes.dedup();
        let complexity = sizes.into_iter().map(|size| Complexity::of(variant, size));
        Ok(Self {
            family: variant.family,
            variant: variant.name,
            backbone_parameters: parameters.backbone,
            classifier_parameters: parameters.classifier,
            complexity: complexity.collect::<Result<_, _>>()?,
            imagenet,
            dense: variant.dense().collect(),
        })
    }

    /// Giga multiply-adds at one of the sizes.
    fn gmac(&self, size: i64) -> Option<f64> {
        let found = self.complexity.iter().find(|complexity| complexity.size == size);
        found.map(|complexity| complexity.multiply_adds as f64 / 1e9)
    }
}

impl Complexity {
    fn of(variant: &Variant, size: i64) -> Result<Self, ModelError> {
        let count = count_classifier(&variant.config, CLASSES, [size, size])?;
        let multiply_adds = count.multiply_adds();
        let by_op = count.ops.into_iter().map(|op| (op.op, op.multiply_adds)).collect();
        Ok(Self { size, multiply_adds, by_op })
    }
}

/// Runs the verb.
pub fn run(args: &ModelsArgs) -> Result<()> {
    let chosen = args.filter.as_deref().map_or_else(|| Ok(variants()), named)?;
    let models = chosen.iter().map(Model::new).collect::<Result<Vec<_>, _>>()?;
    let results = args.results || args.filter.is_some();
    tables::classifiers(&models, results);
    if results {
        tables::dense(&models);
    }
    if let Some(path) = &args.json {
        output::write_json(path, &models)?;
    }
    Ok(())
}

/// The variants of the family of this name, or else those whose name contains it.
///
/// # Errors
/// An [`InputError`] with the families if there are none.
pub fn named(filter: &str) -> Result<Vec<Variant>> {
    let all = variants();
    let is_family = all.iter().any(|variant| variant.family == filter);
    let wanted = |variant: &&Variant| {
        if is_family {
            variant.family == filter
        } else {
            format!("{} {}", variant.family, variant.name).contains(filter)
        }
    };
    let found: Vec<Variant> = all.iter().filter(wanted).cloned().collect();
    if found.is_empty() {
        let mut families: Vec<&str> = all.iter().map(|variant| variant.family).collect();
        families.dedup();
        bail!(InputError::new(format!(
            "no family and no variant is named \"{filter}\"; the families are {}",
            families.join(", ")
        )));
    }
    Ok(found)
}
