//! Names and colours of classes, where a checkpoint has them.

use anyhow::{Context, Result};
use serde_json::{Map, Value as Json, json};
use smalti::output::InputError;
use smalti_checkpoints::layouts::Kind;
use smalti_checkpoints::{Checkpoint, Dict, Value};
use smalti_datasets::ClassTable;
use smalti_datasets::image_folder::ClassFolders;

use super::masks;

/// Classes in the order of a model's logits.
pub enum Classes {
    /// Of pixels or segments.
    Pixels(ClassTable),
    /// Of images.
    Images(ClassFolders),
}

impl Classes {
    /// Those that smalti stored with the weights of a model of this kind, as JSON; none of one without logits.
    pub fn stored(kind: Kind, text: &str) -> serde_json::Result<Option<Self>> {
        match kind {
            Kind::Semantic | Kind::Mask => Ok(Some(Self::Pixels(serde_json::from_str(text)?))),
            Kind::Classifier => Ok(Some(Self::Images(serde_json::from_str(text)?))),
            Kind::Dense | Kind::Trunk => Ok(None),
        }
    }

    /// `count` classes with the names of mmsegmentation's `meta` or Hugging Face's `id2label`, else numbered; none of a model
    /// without logits.
    pub fn told(
        kind: Kind,
        checkpoint: &Checkpoint,
        config_json: Option<&Map<String, Json>>,
        count: usize,
    ) -> Result<Option<Self>> {
        let meta = checkpoint.tree().as_dict().and_then(|root| root.get("meta")).and_then(Value::as_dict);
        let (names, colors) = match meta.and_then(mmseg) {
            Some(found) => found,
            None => (config_json.and_then(hf).unwrap_or_default(), Vec::new()),
        };
        let names = if kind == Kind::Mask { masks::telling(names) } else { names };
        let named = !names.is_empty();
        let name = |id: usize| match names.get(id) {
            Some(name) => name.chars().filter(|c| !c.is_control()).collect::<String>(), // terminals will show it
            None => format!("class {id}"),
        };
        let names: Vec<String> = (0..count).map(name).collect();
        match kind {
            Kind::Semantic => Ok(Some(Self::Pixels(table(names, &colors)?))),
            Kind::Classifier => Ok(Some(Self::Images(ClassFolders::named(names)))),
            Kind::Mask => Ok(Some(Self::Pixels(masks::with_things(&table(names, &[])?, named)?))),
            Kind::Dense | Kind::Trunk => Ok(None),
        }
    }

    /// Display names.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Pixels(table) => table.names().map(str::to_owned).collect(),
            Self::Images(classes) => classes.iter().map(|class| class.name.clone()).collect(),
        }
    }

    /// As weights files hold them in their metadata.
    pub fn to_json(&self) -> serde_json::Result<String> {
        match self {
            Self::Pixels(table) => serde_json::to_string(table),
            Self::Images(classes) => serde_json::to_string(classes),
        }
    }
}

/// A table, in which each name stands once: ADE20K has two kinds of door.
fn table(mut names: Vec<String>, colors: &[[u8; 3]]) -> Result<ClassTable> {
    for id in 1..names.len() {
        if names[id].trim().is_empty() || names[..id].contains(&names[id]) {
            let numbered = format!("{} ({id})", names[id]);
            numbered.trim().clone_into(&mut names[id]);
        }
    }
    let count = names.len();
    let table = ClassTable::from_names(names)?;
    if colors.len() < count {
        return Ok(table);
    }
    let classes: Vec<_> = table
        .names()
        .zip(colors)
        .map(|(name, color)| json!({"name": name, "color": color, "is_thing": false}))
        .collect();
    serde_json::from_value(json!({"classes": classes}))
        .context(InputError::new("`meta.PALETTE`: expected colours"))
}

/// The class file of a table, as recipes name it.
pub fn file(table: &ClassTable) -> Json {
    let classes: Vec<_> = table
        .iter()
        .enumerate()
        .map(|(id, class)| json!({"id": id, "name": class.name, "color": class.color, "isthing": u8::from(class.is_thing)}))
        .collect();
    json!({"classes": classes})
}

/// `CLASSES` and `PALETTE` of mmsegmentation 0.x, or those of `dataset_meta` of 1.x.
fn mmseg(meta: &Dict) -> Option<(Vec<String>, Vec<[u8; 3]>)> {
    let either = |old: &str, new: &str| {
        let newer = meta.get("dataset_meta").and_then(Value::as_dict).and_then(|newer| newer.get(new));
        meta.get(old).or(newer).and_then(items)
    };
    let names = either("CLASSES", "classes")?.iter().map(text).collect::<Option<_>>()?;
    let colors = either("PALETTE", "palette").and_then(|colors| colors.iter().map(color).collect());
    Some((names, colors.unwrap_or_default()))
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) | Value::Tuple(items) => Some(items),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

fn color(value: &Value) -> Option<[u8; 3]> {
    let channel = |value: &Value| match value {
        Value::Int(value) => u8::try_from(*value).ok(),
        _ => None,
    };
    items(value)?.iter().map(channel).collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// `id2label`: `{"0": "wall", ...}`.
fn hf(config: &Map<String, Json>) -> Option<Vec<String>> {
    let labels = config.get("id2label")?.as_object()?;
    (0..labels.len()).map(|id| labels.get(&id.to_string())?.as_str().map(str::to_owned)).collect()
}
