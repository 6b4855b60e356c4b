//! The text of config.toml.

use std::path::Path;

use anyhow::{Context, Result, bail};
use smalti_checkpoints::layouts::Kind;
use smalti_configs::{ClassificationRun, MaskRun, RunConfig, SemanticMaskRun, Task};
use smalti_datasets::image_folder::{ImageAugmentConfig, RandomResizedCropConfig};
use smalti_datasets::recipe::Recipe;
use smalti_datasets::{FlipConfig, ImageDataConfig, LoaderConfig};
use smalti_heads::import::Network;

use super::beside::{Beside, Inputs};
use super::classes::Classes;
use super::masks;

/// Class file of a converted model that classifies pixels.
pub const CLASSES_FILE: &str = "classes.json";

/// A network as the `[model]` table of a recipe.
pub fn table(network: &Network) -> Result<String> {
    let mut model = toml::Table::new();
    let value =
        |value: Result<toml::Value, toml::ser::Error>| value.context("a config holds only what TOML has");
    model.insert("backbone".into(), value(toml::Value::try_from(&network.model.backbone))?);
    if network.kind == Kind::Semantic {
        model.insert("decode".into(), value(toml::Value::try_from(&network.model.decode))?);
        if let Some(auxiliary) = &network.model.auxiliary {
            model.insert("auxiliary".into(), value(toml::Value::try_from(auxiliary))?);
        }
    }
    if let Some(head) = &network.mask {
        model.insert("head".into(), value(toml::Value::try_from(head))?);
    }
    let root = toml::Table::from_iter([("model".to_owned(), toml::Value::Table(model))]);
    printed(&root)
}

/// [`table`] without the backbone's sizes: a variant that the user names tells them.
pub fn family(network: &Network) -> Result<String> {
    let mut root: toml::Table =
        toml::from_str(&table(network)?).context("a table that was written just now")?;
    if let Some(toml::Value::Table(backbone)) =
        root.get_mut("model").and_then(|model| model.get_mut("backbone"))
    {
        backbone.retain(|key, _| key == "family");
    }
    printed(&root)
}

/// The text of config.toml: of classifiers and networks with heads a whole recipe that lacks only your data set's files, of backbones
/// the given one as it is. With it, what the source does to images that the recipe can not say.
pub fn text(
    recipe: &Recipe,
    network: &Network,
    classes: Option<&Classes>,
    beside: &Beside,
    path: &Path,
) -> Result<(String, Vec<String>)> {
    let read = |root: &toml::Table| Ok::<_, anyhow::Error>(Recipe::from_text(printed(root)?, path, &[])?);
    match network.kind {
        Kind::Dense | Kind::Trunk => Ok((printed(recipe.value())?, Vec::new())),
        Kind::Semantic => {
            let mut root = recipe.value().clone();
            if !root.contains_key("data") {
                let data = [("root".to_owned(), ".".into()), ("classes".to_owned(), CLASSES_FILE.into())];
                root.insert("data".into(), toml::Value::Table(toml::Table::from_iter(data)));
            }
            let run: RunConfig = read(&root)?.parse()?;
            run.validate()?;
            Ok((run.to_toml(), Vec::new()))
        }
        Kind::Mask => {
            let Some(Classes::Pixels(classes)) = classes else { bail!("a model without classes") };
            let task = masks::task(recipe, path, classes);
            let (mut root, notes) = masks::recipe(beside, classes, task)?;
            let elsewhere = recipe.value().get("data").and_then(toml::Value::as_table);
            if elsewhere.is_some_and(|data| data.contains_key("root") || data.contains_key("benchmark"))
                && let Some(toml::Value::Table(data)) = root.get_mut("data")
            {
                for key in ["root", "classes", "benchmark"] {
                    data.remove(key);
                }
            }
            lay_over(&mut root, recipe.value());
            let whole = read(&root)?;
            if task == Task::Semantic {
                let run: SemanticMaskRun = whole.parse()?;
                run.validate()?;
                return Ok((run.to_toml(), notes));
            }
            let run: MaskRun = whole.parse()?;
            run.validate()?;
            Ok((run.to_toml(), notes))
        }
        Kind::Classifier => {
            let inputs = beside.inputs(&network.model.backbone)?;
            let mut root = classification(&inputs)?;
            lay_over(&mut root, &about_classifiers(recipe.value()));
            let run: ClassificationRun = read(&root)?.parse()?;
            run.validate()?;
            Ok((run.to_toml(), inputs.notes))
        }
    }
}

/// A recipe of image classification without a model: the source's images, the least augmentation.
fn classification(inputs: &Inputs) -> Result<toml::Table> {
    let crop = RandomResizedCropConfig { size: inputs.eval.size, ..RandomResizedCropConfig::default() };
    let data = ImageDataConfig {
        root: ".".into(),
        train: "train".into(),
        val: "val".into(),
        class_names: None,
        loader: LoaderConfig::default(),
        normalize: inputs.normalize.clone(),
        augment: vec![
            ImageAugmentConfig::RandomResizedCrop(crop),
            ImageAugmentConfig::Flip(FlipConfig::default()),
        ],
        mix: None,
        eval: inputs.eval.clone(),
    };
    let data = toml::Value::try_from(&data).context("a config holds only what TOML has")?;
    let task = Task::Classification.name().into();
    Ok(toml::Table::from_iter([("task".to_owned(), task), ("data".to_owned(), data)]))
}

/// What of a recipe an image classifier can use: of another task's the backbone alone.
fn about_classifiers(given: &toml::Table) -> toml::Table {
    let task = given.get("task").and_then(toml::Value::as_str);
    let heads = given.get("model").is_some_and(|model| model.get("decode").is_some());
    let classes = given.get("data").is_some_and(|data| data.get("classes").is_some());
    let other = task.map_or(heads || classes, |task| task != Task::Classification.name());
    if !other {
        return given.clone();
    }
    let mut model = given.get("model").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    model.retain(|key, _| key == "backbone" || key == "recompute");
    toml::Table::from_iter([("model".to_owned(), toml::Value::Table(model))])
}

/// Puts the values of `over` into `base`, table by table.
fn lay_over(base: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        if let (Some(toml::Value::Table(base)), toml::Value::Table(over)) = (base.get_mut(key), value) {
            lay_over(base, over);
            continue;
        }
        base.insert(key.clone(), value.clone());
    }
}

fn printed(root: &toml::Table) -> Result<String> {
    toml::to_string_pretty(root).context("a recipe holds only what TOML has")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str) -> Vec<String> {
        let mut keys: Vec<String> =
            about_classifiers(&toml::from_str(text).unwrap()).into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn another_task_s_recipe_gives_its_backbone() {
        assert_eq!(about("[model.backbone]\n[data.eval]\nsize = 64"), ["data", "model"]);
        assert_eq!(about("task = \"classification\"\n[model]\n[train]"), ["model", "task", "train"]);
        assert_eq!(about("task = \"semantic\"\n[model.backbone]\n[train]"), ["model"]);
        assert_eq!(about("[model.backbone]\n[data]\nclasses = \"c.json\""), ["model"]);
        assert_eq!(about("[model.backbone]\n[model.decode]\n[data]"), ["model"]);
    }

    #[test]
    fn tables_are_laid_over_each_other() {
        let mut base: toml::Table = toml::from_str("a = 1\n[b]\nc = 2\nd = [3]").unwrap();
        lay_over(&mut base, &toml::from_str("e = 0\n[b]\nd = [4, 5]").unwrap());
        assert_eq!(base, toml::from_str("a = 1\ne = 0\n[b]\nc = 2\nd = [4, 5]").unwrap());
    }
}
