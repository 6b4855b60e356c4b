//! Where a key is: from serde's path to keys, from keys to a line of the file.

use serde_path_to_error::{Path, Segment};
use toml::Value;
use toml::de::{DeTable, DeValue};

/// serde's path as keys and indices that exist in `root`; ends where they stop existing.
pub(super) fn segments(root: &Value, path: &Path) -> Vec<String> {
    let mut keys = vec![];
    let mut here = Some(root);
    for segment in path {
        let key = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.clone(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => break,
        };
        here = here.and_then(|value| child(value, &key));
        if here.is_none() {
            break;
        }
        keys.push(key);
    }
    keys
}

/// The element of a table or array.
pub(super) fn child<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Table(table) => table.get(key),
        Value::Array(array) => array.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Line of the deepest part of `key` that is in the file, counted from 1; none if not even its first part is.
pub(super) fn line_of(text: &str, key: &[String]) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (first, rest) = key.split_first()?;
    let (name, value) = entry(table.get_ref(), first)?;
    let mut at = name;
    let mut here = value;
    for key in rest {
        let next = match here {
            DeValue::Table(table) => entry(table, key),
            DeValue::Array(array) => {
                key.parse::<usize>().ok().and_then(|i| array.get(i)).map(|v| (v.span().start, v.get_ref()))
            }
            _ => None,
        };
        let Some((start, value)) = next else { break };
        (at, here) = (start, value);
    }
    Some(line_at(text, at))
}

fn entry<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
    Some((name.span().start, value.get_ref()))
}

/// Line of a byte position, counted from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1
}
