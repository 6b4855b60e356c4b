//! Which model a checkpoint becomes: told by the user, by the source's own recipe or settings, or by its sizes.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json, json};
use smalti::cli::ConvertArgs;
use smalti::output::InputError;
use smalti_backbones::recognize::{self, Question};
use smalti_checkpoints::layouts::{Kind, Reading};
use smalti_checkpoints::{Checkpoint, StateDict, Value};
use smalti_configs::Task;
use smalti_datasets::recipe::Recipe;
use smalti_heads::import::{self, Network};
use smalti_heads::{MaskConfig, SemanticConfig};

use super::beside::Beside;
use super::classes::Classes;
use super::{masks, recipe};
use crate::session::{CLASSES_KEY, CONFIG_KEY};

/// The model and what is written about it.
pub struct Target {
    pub network: Network,
    /// Text of config.toml.
    pub recipe: String,
    /// Classes of a model with logits.
    pub classes: Option<Classes>,
    /// Whether the recipe is one of label maps, whose classes are in a file.
    pub label_maps: bool,
    /// Who told the model.
    pub told_by: &'static str,
    /// What the source does to images that the recipe can not say.
    pub notes: Vec<String>,
}

impl Target {
    /// `names_alone`: the names of the tensors are all that is wanted, so that nothing has to be asked.
    pub fn new(
        args: &ConvertArgs,
        checkpoint: &Checkpoint,
        weights: &StateDict<'_>,
        reading: &Reading,
        beside: &Beside,
        names_alone: bool,
    ) -> Result<Self> {
        let (path, config_json) = (checkpoint.path(), beside.config_json());
        let own = |key: &str| match weights
            .attributes
            .and_then(Value::as_dict)
            .and_then(|strings| strings.get(key))
        {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let (told, told_by) = if let Some(config) = &args.config {
            (Recipe::load(config, &args.set)?, "--config")
        } else if let Some(text) = own(CONFIG_KEY) {
            (Recipe::from_text(text, path, &args.set)?, "the recipe stored with the weights")
        } else if let Some(settings) = config_json {
            let wrong = || InputError::new(path.with_file_name("config.json").display().to_string());
            let network = import::from_config_json(reading, settings).with_context(wrong)?;
            (Recipe::from_text(recipe::table(&network)?, path, &args.set)?, "config.json")
        } else {
            let proposal =
                import::recognize(reading).with_context(|| InputError::new(path.display().to_string()))?;
            if let Some(question) =
                proposal.question.filter(|question| !names_alone && !answered(question, &args.set))
            {
                bail!(InputError::new(format!("{}: {}", path.display(), asked(&question))));
            }
            let text = if sets(&args.set, "variant") {
                recipe::family(&proposal.network)?
            } else {
                recipe::table(&proposal.network)?
            };
            (Recipe::from_text(text, path, &args.set)?, "the sizes of the tensors")
        };
        let sized =
            import::recognize(reading).with_context(|| InputError::new(path.display().to_string()))?.network;
        let network = match sized.kind {
            Kind::Mask => {
                let MaskConfig { backbone, head, recompute } = told.table("model")?;
                let model = SemanticConfig { backbone, recompute, ..sized.model };
                Network { model, mask: Some(head), ..sized }
            }
            _ => Network { model: told.table("model")?, ..sized },
        };
        let classes = match own(CLASSES_KEY) {
            Some(text) => Classes::stored(network.kind, &text)
                .with_context(|| InputError::new(format!("{}: stored classes", path.display())))?,
            None => Classes::told(network.kind, checkpoint, config_json, network.num_classes as usize)?,
        };
        let (recipe, mut notes) = recipe::text(&told, &network, classes.as_ref(), beside, path)?;
        let mut label_maps = network.kind == Kind::Semantic;
        if let (Kind::Mask, Some(Classes::Pixels(table))) = (network.kind, &classes) {
            let task = masks::task(&told, path, table);
            label_maps = task == Task::Semantic;
            if own(CLASSES_KEY).is_none() {
                notes.push(masks::about_classes(table, task));
            }
        }
        Ok(Self { network, recipe, classes, label_maps, told_by, notes })
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
            Kind::Mask => {
                let mut settings =
                    masks::config_json(self.network.mask.as_ref().context("a head")?, &self.recipe)?;
                settings.insert("backbone_config".into(), Json::Object(backbone));
                Json::Object(settings)
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
        if let Some((by_id, by_name)) = self.classes.as_ref().map(|classes| labels(classes.names())) {
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

fn asked(question: &Question) -> String {
    format!("{}, with --set PATH=VALUE or a recipe as --config", question.text)
}
