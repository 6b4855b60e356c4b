//! Names and colours of classes, where a checkpoint has them.

use anyhow::{Context, Result};
use serde_json::{Map, Value as Json, json};
use smalti::output::InputError;
use smalti_checkpoints::{Checkpoint, Dict, Value};
use smalti_datasets::ClassTable;

/// The table of `count` classes: from mmsegmentation's `meta`, Hugging Face's `id2label`, or numbered.
pub fn table(
    checkpoint: &Checkpoint,
    config_json: Option<&Map<String, Json>>,
    count: usize,
) -> Result<ClassTable> {
    let meta = checkpoint.tree().as_dict().and_then(|root| root.get("meta")).and_then(Value::as_dict);
    let (names, colors) = match meta.and_then(mmseg) {
        Some(found) => found,
        None => (config_json.and_then(hf).unwrap_or_default(), Vec::new()),
    };
    let mut names: Vec<String> =
        (0..count).map(|id| names.get(id).cloned().unwrap_or(format!("class {id}"))).collect();
    for id in 1..count {
        // ADE20K has two kinds of door; a table has each name once.
        if names[id].trim().is_empty() || names[..id].contains(&names[id]) {
            let numbered = format!("{} ({id})", names[id]);
            numbered.trim().clone_into(&mut names[id]);
        }
    }
    let table = ClassTable::from_names(names)?;
    if colors.len() < count {
        return Ok(table);
    }
    let classes: Vec<_> = table
        .names()
        .zip(&colors)
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
