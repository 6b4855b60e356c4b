//! `smalti weights inspect`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use smalti_checkpoints::{Checkpoint, Dict, StateDict, Value, family};

use crate::cli::InspectArgs;
use crate::output::table::Rows;
use crate::output::{self, megabytes, thousands};

use super::weights_source;

/// Tensors listed without `--all`.
const SHOWN: usize = 24;
/// Settings listed; the JSON has all.
const SETTINGS: usize = 16;
/// Characters of a setting's value.
const LONGEST: usize = 100;

#[derive(Serialize)]
struct Inspected<'a> {
    file: String,
    format: &'static str,
    files: usize,
    file_bytes: u64,
    /// Where the weights stand in the file; empty for the file itself.
    wrapper: &'a str,
    /// Taken off the front of all names.
    prefix: &'a str,
    /// Sets of weights that `--wrapper` can name, with their number of tensors.
    wrappers: BTreeMap<String, usize>,
    guess: Option<String>,
    parameters: u64,
    bytes: u64,
    dtypes: BTreeMap<&'static str, usize>,
    tensors: Vec<Row<'a>>,
    /// What else stands in the file outside the weights.
    settings: serde_json::Value,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    dtype: &'static str,
    shape: &'a [usize],
}

/// Runs `smalti weights inspect`.
pub fn run(args: &InspectArgs) -> Result<()> {
    let checkpoint = Checkpoint::open(&weights_source(&args.source)?)?;
    let weights = checkpoint.state_dict(args.wrapper.as_deref())?;
    let inspected = inspect(&checkpoint, &weights);
    print(&inspected, &checkpoint, args.all);
    if let Some(path) = &args.json {
        output::write_json(path, &inspected)?;
    }
    Ok(())
}

fn inspect<'a>(checkpoint: &Checkpoint, weights: &'a StateDict<'_>) -> Inspected<'a> {
    let mut dtypes = BTreeMap::new();
    for (_, tensor) in &weights.tensors {
        *dtypes.entry(tensor.dtype().name()).or_default() += 1;
    }
    let row = |(name, tensor): &'a (String, _)| -> Row<'a> {
        let tensor: &'a &smalti_checkpoints::LazyTensor = tensor;
        Row { name, dtype: tensor.dtype().name(), shape: tensor.shape() }
    };
    let names = weights.tensors.iter().map(|(name, _)| name.as_str());
    Inspected {
        file: checkpoint.path().display().to_string(),
        format: checkpoint.format().name(),
        files: checkpoint.files().len(),
        file_bytes: checkpoint.file_bytes(),
        wrapper: &weights.wrapper,
        prefix: &weights.prefix,
        wrappers: checkpoint.wrappers().into_iter().map(|wrapper| (wrapper.name, wrapper.tensors)).collect(),
        guess: family::guess(names).map(|guess| format!("{}, names of {}", guess.family, guess.names)),
        parameters: weights.tensors.iter().map(|(_, tensor)| tensor.numel() as u64).sum(),
        bytes: weights.tensors.iter().map(|(_, tensor)| tensor.byte_len() as u64).sum(),
        dtypes,
        tensors: weights.tensors.iter().map(row).collect(),
        settings: settings(checkpoint),
    }
}

/// The file without its tensors; the attributes of the root with it.
fn settings(checkpoint: &Checkpoint) -> serde_json::Value {
    let mut all = json(checkpoint.tree());
    if let (Some(all), Some(Dict { attributes: Some(attributes), .. })) =
        (all.as_object_mut(), checkpoint.tree().as_dict())
    {
        all.insert("(attributes)".into(), json(attributes));
    }
    all
}

/// Plain values as they are, tensors left out of dicts, everything else in words.
fn json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    let entries = |entries: &[(Value, Value)]| -> Json {
        let plain = entries.iter().filter(|(_, value)| !is_tensor(value));
        let pairs = plain.map(|(key, value)| (words(key), json(value)));
        Json::Object(
            pairs.filter(|(_, value)| !value.as_object().is_some_and(serde_json::Map::is_empty)).collect(),
        )
    };
    match value {
        Value::None => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) if value.is_finite() => (*value).into(),
        Value::Float(value) => value.to_string().into(),
        Value::Text(text) => (**text).into(),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.iter().map(json).collect(),
        Value::Dict(dict) => entries(&dict.entries),
        Value::Object(object) if matches!(object.state, Value::Dict(_)) => json(&object.state),
        Value::Object(object) if !object.entries.is_empty() => entries(&object.entries),
        Value::Object(object) => match json(&object.args) {
            Json::Array(args) if !args.is_empty() => {
                let args: Vec<_> = args.iter().map(ToString::to_string).collect();
                format!("{}({})", object.name, args.join(", ")).into()
            }
            _ => (*object.name).into(),
        },
        other => other.kind().into(),
    }
}

fn is_tensor(value: &Value) -> bool {
    matches!(value, Value::Tensor(_) | Value::Foreign { .. })
}

fn words(key: &Value) -> String {
    match json(key) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Text of a file as one line: what could steer a terminal is escaped, what is long is cut.
fn line_of(text: &str) -> String {
    let mut line: String = text.chars().take(LONGEST).flat_map(escaped).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

fn print(inspected: &Inspected<'_>, checkpoint: &Checkpoint, all: bool) {
    let size = megabytes(inspected.file_bytes);
    let files = if inspected.files == 1 { String::new() } else { format!(" in {} files", inspected.files) };
    output::line(&format!("{}: {}, {size}{files}", inspected.file, inspected.format));
    let place = if inspected.wrapper.is_empty() {
        "the file itself".into()
    } else {
        format!("`{}`", line_of(inspected.wrapper))
    };
    let prefix = match inspected.prefix {
        "" => String::new(),
        prefix => format!(", each name without its `{prefix}`"),
    };
    output::line(&format!("weights: {place}{prefix}"));
    let others: Vec<_> = inspected.wrappers.iter().filter(|(name, _)| *name != inspected.wrapper).collect();
    if !others.is_empty() {
        let names = others.iter().take(SETTINGS).map(|(name, tensors)| {
            let name = if name.is_empty() { "(root)".into() } else { line_of(name) };
            format!("{name} ({tensors})")
        });
        let more = others.len().saturating_sub(SETTINGS);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        output::line(&format!("other tensors: {}{more}", names.collect::<Vec<_>>().join(", ")));
    }
    let dtypes: Vec<_> = inspected.dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    output::line(&format!(
        "{} tensors ({}), {} elements, {}",
        inspected.tensors.len(),
        dtypes.join(", "),
        thousands(inspected.parameters),
        megabytes(inspected.bytes),
    ));
    if let Some(guess) = &inspected.guess {
        output::line(&format!("looks like {guess}"));
    }
    print_settings(&inspected.settings);
    let shown = if all { inspected.tensors.len() } else { SHOWN };
    let mut rows = Rows::new(["tensor", "dtype", "shape"]).text_column(1).text_column(2);
    for row in inspected.tensors.iter().take(shown) {
        let shape: Vec<_> = row.shape.iter().map(ToString::to_string).collect();
        rows.push([line_of(row.name), row.dtype.to_owned(), shape.join(" x ")]);
    }
    rows.print();
    if inspected.tensors.len() > shown {
        output::line(&format!("and {} more; --all lists them", inspected.tensors.len() - shown));
    }
    let bad = checkpoint.tensors().iter().find_map(|named| Some((named.name(), named.tensor().bad_bool()?)));
    if let Some((name, byte)) = bad {
        output::warning(&format!("`{}`: expected bools stored as 0 or 1, got {byte}", line_of(&name)));
    }
}

fn print_settings(settings: &serde_json::Value) {
    let Some(settings) = settings.as_object().filter(|settings| !settings.is_empty()) else { return };
    for (name, value) in settings.iter().take(SETTINGS) {
        output::line(&format!("  {}: {}", line_of(name), line_of(&value.to_string())));
    }
    if settings.len() > SETTINGS {
        output::line(&format!("  and {} more; --json has them", settings.len() - SETTINGS));
    }
}
