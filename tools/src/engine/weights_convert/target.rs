//! Which model a checkpoint becomes: told by the user, by the source's own recipe or settings, or by its sizes.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json, json};
use smalti::cli::ConvertArgs;
use smalti::output::InputError;
use smalti_backbones::recognize::{self, Question};
use smalti_checkpoints::layouts::{Kind, Reading};
use smalti_checkpoints::{Checkpoint, StateDict, Value};
use smalti_configs::RunConfig;
use smalti_datasets::ClassTable;
use smalti_datasets::recipe::Recipe;
use smalti_heads::SemanticConfig;
use smalti_heads::import::{self, Network};

use super::classes;
use crate::session::{CLASSES_KEY, CONFIG_KEY};

/// Class file of a converted model.
pub const CLASSES_FILE: &str = "classes.json";

/// The model and what is written about it.
pub struct Target {
    pub network: Network,
    /// Text of config.toml.
    pub recipe: String,
    /// Classes of a model that tells them pixel by pixel.
    pub classes: Option<ClassTable>,
    /// Who told the model.
    pub told_by: &'static str,
}

impl Target {
    /// `names_alone`: the names of the tensors are all that is wanted, so that nothing has to be asked.
    pub fn new(
        args: &ConvertArgs,
        checkpoint: &Checkpoint,
        weights: &StateDict<'_>,
        reading: &Reading,
        config_json: Option<&Map<String, Json>>,
        names_alone: bool,
    ) -> Result<Self> {
        let path = checkpoint.path();
        let own = |key: &str| match weights
            .attributes
            .and_then(Value::as_dict)
            .and_then(|strings| strings.get(key))
        {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let (recipe, told_by) = if let Some(config) = &args.config {
            (Recipe::load(config, &args.set)?, "--config")
        } else if let Some(text) = own(CONFIG_KEY) {
            (Recipe::from_text(text, path, &args.set)?, "the recipe stored with the weights")
        } else if let Some(settings) = config_json {
            let wrong = || InputError::new(path.with_file_name("config.json").display().to_string());
            let network = import::from_config_json(reading, settings).with_context(wrong)?;
            (Recipe::from_text(table(&network)?, path, &args.set)?, "config.json")
        } else {
            let proposal =
                import::recognize(reading).with_context(|| InputError::new(path.display().to_string()))?;
            if let Some(question) =
                proposal.question.filter(|question| !names_alone && !answered(question, &args.set))
            {
                bail!(InputError::new(format!("{}: {}", path.display(), asked(&question))));
            }
            let text = if sets(&args.set, "variant") {
                family(&proposal.network)?
            } else {
                table(&proposal.network)?
            };
            (Recipe::from_text(text, path, &args.set)?, "the sizes of the tensors")
        };
        let model: SemanticConfig = recipe.table("model")?;
        let sized =
            import::recognize(reading).with_context(|| InputError::new(path.display().to_string()))?.network;
        let network = Network { model, ..sized };
        let classes = match (network.kind, own(CLASSES_KEY)) {
            (Kind::Semantic, Some(text)) => Some(
                serde_json::from_str(&text).with_context(|| InputError::new(path.display().to_string()))?,
            ),
            (Kind::Semantic, None) => {
                Some(classes::table(checkpoint, config_json, network.num_classes as usize)?)
            }
            _ => None,
        };
        let recipe = text(&recipe, &network, path)?;
        Ok(Self { network, recipe, classes, told_by })
    }

    /// Hugging Face's settings of the model, if transformers has it.
    pub fn config_json(&self) -> Result<Option<Json>> {
        let Some(backbone) = recognize::to_config_json(&self.network.model.backbone)? else {
            return Ok(None);
        };
        let kind = backbone.get("model_type").and_then(Json::as_str).unwrap_or_default().to_owned();
        let prefix = match kind.as_str() {
            "dinat" => "Dinat",
            "swin" => "Swin",
            "convnext" => "ConvNext",
            _ => "ResNet",
        };
        let labels = |names: Vec<String>| {
            let by_id: Map<String, Json> =
                names.iter().enumerate().map(|(id, name)| (id.to_string(), name.as_str().into())).collect();
            let by_name: Map<String, Json> =
                names.iter().enumerate().map(|(id, name)| (name.clone(), id.into())).collect();
            (Json::Object(by_id), Json::Object(by_name))
        };
        let mut settings = match self.network.kind {
            Kind::Semantic => {
                let model = &self.network.model;
                let auxiliary = model.auxiliary.as_ref();
                json!({
                    "model_type": "upernet", "architectures": ["UperNetForSemanticSegmentation"],
                    "backbone_config": backbone, "hidden_size": model.decode.channels,
                    "pool_scales": model.decode.pool_scales, "use_auxiliary_head": auxiliary.is_some(),
                    "auxiliary_channels": auxiliary.map_or(256, |head| head.channels), "auxiliary_num_convs": 1,
                    "auxiliary_concat_input": false,
                })
            }
            kind => {
                let class = match kind {
                    Kind::Classifier => format!("{prefix}ForImageClassification"),
                    Kind::Dense => format!("{prefix}Backbone"),
                    _ => format!("{prefix}Model"),
                };
                let mut settings = backbone;
                settings.insert("architectures".into(), json!([class]));
                Json::Object(settings)
            }
        };
        let names: Option<Vec<String>> = match (&self.classes, self.network.num_classes) {
            (Some(classes), _) => Some(classes.names().map(str::to_owned).collect()),
            (None, count) if count > 0 => Some((0..count).map(|id| format!("LABEL_{id}")).collect()),
            _ => None,
        };
        if let Some((by_id, by_name)) = names.map(labels) {
            settings["id2label"] = by_id;
            settings["label2id"] = by_name;
        }
        Ok(Some(settings))
    }
}

fn answered(question: &Question, overrides: &[String]) -> bool {
    question.fields.iter().any(|field| sets(overrides, field))
}

/// Whether an override is about a field of the backbone.
fn sets(overrides: &[String], field: &str) -> bool {
    let path = format!("model.backbone.{field}");
    overrides.iter().any(|set| set.strip_prefix(&path).is_some_and(|rest| rest.starts_with(['=', '.'])))
}

/// [`table`] without the backbone's sizes: a variant that the user names tells them.
fn family(network: &Network) -> Result<String> {
    let mut root: toml::Table =
        toml::from_str(&table(network)?).context("a table that was written just now")?;
    if let Some(toml::Value::Table(backbone)) =
        root.get_mut("model").and_then(|model| model.get_mut("backbone"))
    {
        backbone.retain(|key, _| key == "family");
    }
    toml::to_string_pretty(&root).context("a config holds only what TOML has")
}

fn asked(question: &Question) -> String {
    format!("{}, with --set PATH=VALUE or a recipe as --config", question.text)
}

/// A network as the `[model]` table of a recipe.
fn table(network: &Network) -> Result<String> {
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
    let root = toml::Table::from_iter([("model".to_owned(), toml::Value::Table(model))]);
    toml::to_string_pretty(&root).context("a config holds only what TOML has")
}

/// The text of config.toml: the given recipe if it is a whole one; of UperNet one that lacks only its data set's files.
fn text(recipe: &Recipe, network: &Network, path: &Path) -> Result<String> {
    let mut root = recipe.value().clone();
    if network.kind != Kind::Semantic {
        return toml::to_string_pretty(&root).context("a recipe holds only what TOML has");
    }
    if !root.contains_key("data") {
        let data = [("root".to_owned(), ".".into()), ("classes".to_owned(), CLASSES_FILE.into())];
        root.insert("data".into(), toml::Value::Table(toml::Table::from_iter(data)));
    }
    let text = toml::to_string_pretty(&root).context("a recipe holds only what TOML has")?;
    let config: RunConfig = Recipe::from_text(text, path, &[])?.parse()?;
    config.validate()?;
    Ok(config.to_toml())
}
