//! Serde's messages, reworded for people: the full dotted key, expected and got, the nearest valid name.
//!
//! Serde forgets the path inside internally tagged enums (`op = "flip"`). What its message says about the culprit (its
//! name, or its value) is then searched for below the last known key; a single match is taken for it.

use serde::de::Unexpected;
use toml::Value;

use super::locate::child;

/// Where, and what to say about it.
pub(super) struct Explained {
    /// Keys from the top of the recipe.
    pub key: Vec<String>,
    pub reason: String,
}

/// Rewords `message`, which serde gave at `path` below `root`; `root` itself lies at `prefix` in the recipe.
pub(super) fn explain(root: &Value, path: Vec<String>, message: &str, prefix: &[String]) -> Explained {
    let mut key = path;
    let dotted = |key: &[String]| [prefix, key].concat().join(".");
    let reason = match Message::parse(message) {
        Message::UnknownField { name, valid } => {
            if key.last().is_none_or(|last| *last != name) {
                narrow(root, &mut key, |value| value.get(&name).is_some());
                key.push(name.clone());
            }
            format!("unknown key `{}`{}", dotted(&key), suggestion(&name, &valid, "`", "valid keys:"))
        }
        Message::UnknownVariant { name, valid } => {
            narrow(root, &mut key, |value| value.as_str() == Some(&name));
            let hint = suggestion(&name, &valid, "\"", "expected one of");
            format!("`{}`: unknown value {name:?}{hint}", dotted(&key))
        }
        Message::MissingField { name } => {
            let missing = [&key[..], &[name]].concat();
            format!("missing key `{}`", dotted(&missing))
        }
        Message::Wrong { got, expected } => {
            narrow(root, &mut key, |value| describes(&got, value));
            format!("`{}`: expected {}, got {}", dotted(&key), plain_expected(&expected), plain_got(&got))
        }
        Message::Below { name, reason } => {
            key.push(name);
            format!("`{}`: {reason}", dotted(&key))
        }
        Message::Other if key.is_empty() && prefix.is_empty() => message.to_owned(),
        Message::Other => format!("`{}`: {message}", dotted(&key)),
    };
    Explained { key: [prefix, &key].concat(), reason }
}

/// What serde said.
enum Message {
    UnknownField {
        name: String,
        valid: Vec<String>,
    },
    UnknownVariant {
        name: String,
        valid: Vec<String>,
    },
    MissingField {
        name: String,
    },
    Wrong {
        got: String,
        expected: String,
    },
    /// "`key`: reason" of a struct that checks its keys against each other.
    Below {
        name: String,
        reason: String,
    },
    Other,
}

impl Message {
    fn parse(message: &str) -> Self {
        let message = message.trim();
        if let Some((name, valid)) = named(message, "unknown field `") {
            Self::UnknownField { name, valid }
        } else if let Some((name, valid)) = named(message, "unknown variant `") {
            Self::UnknownVariant { name, valid }
        } else if let Some(name) = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`')) {
            Self::MissingField { name: name.to_owned() }
        } else if let Some((name, reason)) = message.strip_prefix('`').and_then(|m| m.split_once("`: ")) {
            Self::Below { name: name.to_owned(), reason: reason.to_owned() }
        } else {
            let rest = ["invalid type: ", "invalid value: ", "invalid "]
                .iter()
                .find_map(|p| message.strip_prefix(p));
            match rest.and_then(|rest| rest.rsplit_once(", expected ")) {
                Some((got, expected)) => Self::Wrong { got: got.to_owned(), expected: expected.to_owned() },
                None => Self::Other,
            }
        }
    }
}

/// Name and valid names of "unknown field `a`, expected one of `b`, `c`".
fn named(message: &str, start: &str) -> Option<(String, Vec<String>)> {
    let (name, rest) = message.strip_prefix(start)?.split_once('`')?;
    let valid = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), valid))
}

/// Extends `key` to the only value at or below it for which `wanted` holds; leaves it alone if there are none or several.
fn narrow(root: &Value, key: &mut Vec<String>, wanted: impl Fn(&Value) -> bool) {
    let Some(start) = key.iter().try_fold(root, |value, key| child(value, key)) else { return };
    if wanted(start) {
        return;
    }
    let mut found = vec![];
    collect(start, &mut vec![], &wanted, &mut found);
    if let [only] = &mut found[..] {
        key.append(only);
    }
}

fn collect(
    value: &Value,
    at: &mut Vec<String>,
    wanted: &impl Fn(&Value) -> bool,
    found: &mut Vec<Vec<String>>,
) {
    let children: Vec<(String, &Value)> = match value {
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(array) => array.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in children {
        at.push(key);
        if wanted(value) {
            found.push(at.clone());
        }
        collect(value, at, wanted, found);
        at.pop();
    }
}

/// Whether serde's words for an unexpected value fit this one.
fn describes(got: &str, value: &Value) -> bool {
    let unexpected = match value {
        Value::String(text) => Unexpected::Str(text),
        Value::Integer(number) => Unexpected::Signed(*number),
        Value::Float(number) => Unexpected::Float(*number),
        Value::Boolean(flag) => Unexpected::Bool(*flag),
        Value::Array(array) => return got == "sequence" || got == format!("length {}", array.len()),
        Value::Table(_) => Unexpected::Map,
        Value::Datetime(_) => return false,
    };
    got == unexpected.to_string()
}

/// Rust's type names in the reader's words.
fn plain_expected(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" | "u32" | "u64" | "usize" => "a whole number not below 0".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "an array".into(),
        "a map" => "a table".into(),
        "path string" => "a path in quotes".into(),
        _ if expected.ends_with(" elements in sequence") => {
            format!("an array of length {}", expected.split(' ').next().unwrap_or_default())
        }
        _ if expected.starts_with("struct ") || expected.contains("enum ") => "a table".into(),
        _ => expected.to_owned(),
    }
}

fn plain_got(got: &str) -> String {
    match got {
        "sequence" => "an array".into(),
        "map" => "a table".into(),
        _ => match got.split_once(' ') {
            Some(("integer" | "floating" | "boolean", value)) => {
                value.trim_start_matches("point ").trim_matches('`').to_owned()
            }
            _ => got.to_owned(),
        },
    }
}

/// "; did you mean `list`?", or the valid names introduced by `else_list`, or nothing where there are none.
pub(super) fn suggestion(name: &str, valid: &[impl AsRef<str>], quote: &str, else_list: &str) -> String {
    let lower = name.to_lowercase();
    let near = |valid: &str| {
        let edits = strsim::damerau_levenshtein(&lower, valid);
        // A third of the letters wrong, or a common start.
        edits <= (lower.len() / 3).max(1) || strsim::jaro_winkler(&lower, valid) >= 0.88
    };
    let candidates = valid.iter().map(AsRef::as_ref).filter(|v| near(v));
    if let Some(best) = candidates.min_by_key(|v| strsim::damerau_levenshtein(&lower, v)) {
        return format!("; did you mean {quote}{best}{quote}?");
    }
    let names: Vec<String> = valid.iter().map(|v| format!("{quote}{}{quote}", v.as_ref())).collect();
    if names.is_empty() { String::new() } else { format!("; {else_list} {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let valid = ["list", "images", "labels", "cat_max_ratio"];
        let hint = |name: &str| suggestion(name, &valid, "`", "valid keys:");
        assert_eq!(hint("image"), "; did you mean `images`?");
        assert_eq!(hint("Labels"), "; did you mean `labels`?");
        assert_eq!(hint("cat_max"), "; did you mean `cat_max_ratio`?");
        assert_eq!(hint("xyz"), "; valid keys: `list`, `images`, `labels`, `cat_max_ratio`");
        assert_eq!(suggestion("x", &[""; 0], "`", "valid keys:"), "");
    }

    #[test]
    fn ambiguous_culprits_stay_at_the_table() {
        let root: Value = Value::Table(toml::from_str("[a]\nx = 'q'\ny = 'q'").unwrap());
        let found = explain(&root, vec!["a".into()], "invalid type: string \"q\", expected f64", &[]);
        assert_eq!(found.reason, "`a`: expected a number, got string \"q\"");
        assert_eq!(found.key, ["a"]);
    }
}
