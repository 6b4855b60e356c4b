//! `--set path=value`.

use toml::{Table, Value};

use crate::DataError;

/// An override that has been applied.
#[derive(Debug, Clone)]
pub(super) struct Override {
    /// As it was given.
    pub argument: String,
    /// The key it set.
    pub path: Vec<String>,
}

/// Sets one value in `table`, making the tables on the way to it.
pub(super) fn apply(table: &mut Table, argument: &str) -> Result<Override, DataError> {
    let fail = |reason: String| DataError::Recipe { origin: format!("--set {argument}"), line: None, reason };
    let (path, value) = split(argument).ok_or_else(|| fail("expected path=value".into()))?;
    let path = parse_path(path).ok_or_else(|| {
        fail("expected path=value with a dotted path such as data.loader.batch_size".into())
    })?;
    let value = parse_value(value.trim()).map_err(fail)?;
    set_in_table(table, &path, 0, value).map_err(fail)?;
    Ok(Override { argument: argument.to_owned(), path })
}

/// Parts at the first `=` outside quotes.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let at = argument.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        None
    })?;
    Some((&argument[..at], &argument[at + 1..]))
}

/// Keys between dots; a key with dots in it is quoted.
fn parse_path(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![];
    let mut rest = path.trim();
    loop {
        let (key, behind) = match rest.chars().next()? {
            quote @ ('"' | '\'') => rest[1..].split_once(quote)?,
            _ => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if key.trim().is_empty() {
            return None;
        }
        keys.push(key.trim().to_owned());
        match behind.strip_prefix('.') {
            Some(more) => rest = more,
            None => return behind.trim().is_empty().then_some(keys),
        }
    }
}

/// A TOML value, or else a string as it stands; what opens like a TOML array, table or string must be one.
fn parse_value(text: &str) -> Result<Value, String> {
    match text.parse::<Value>() {
        Ok(value) => Ok(value),
        Err(err) if text.starts_with(['[', '{', '"', '\'']) => {
            Err(format!("invalid TOML value: {}", err.message().trim_end()))
        }
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

fn set_in_table(table: &mut Table, path: &[String], depth: usize, value: Value) -> Result<(), String> {
    if depth + 1 == path.len() {
        table.insert(path[depth].clone(), value);
        return Ok(());
    }
    let child = table.entry(path[depth].clone()).or_insert_with(|| Value::Table(Table::new()));
    set_in_value(child, path, depth + 1, value)
}

fn set_in_value(target: &mut Value, path: &[String], depth: usize, value: Value) -> Result<(), String> {
    let here = path[..depth].join(".");
    let array = match target {
        Value::Table(table) => return set_in_table(table, path, depth, value),
        Value::Array(array) => array,
        other => return Err(format!("`{here}` is a {}, not a table", other.type_str())),
    };
    let (len, last) = (array.len(), depth + 1 == path.len());
    match path[depth].parse::<usize>() {
        Ok(index) if index < len && last => array[index] = value,
        Ok(index) if index < len => return set_in_value(&mut array[index], path, depth + 1, value),
        Ok(index) if index == len && last => array.push(value),
        _ => return Err(format!("`{here}` has {len} elements, no index `{}`", path[depth])),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let parse = |text: &str| parse_value(text).unwrap();
        assert_eq!(parse("3"), Value::Integer(3));
        assert_eq!(parse("3e-4"), Value::Float(3e-4));
        assert_eq!(parse("true"), Value::Boolean(true));
        assert_eq!(parse("camvid"), Value::String("camvid".into()));
        assert_eq!(parse("'3'"), Value::String("3".into()));
        assert_eq!(parse("a=b, c"), Value::String("a=b, c".into()));
        assert_eq!(parse("/data/x y"), Value::String("/data/x y".into()));
        assert_eq!(parse(""), Value::String(String::new()));
        assert_eq!(parse("[1, 2]").as_array().unwrap().len(), 2);
    }

    #[test]
    fn paths() {
        assert_eq!(parse_path("a.0.b").unwrap(), ["a", "0", "b"]);
        assert_eq!(parse_path("factors.\"a.b\".c").unwrap(), ["factors", "a.b", "c"]);
        for bad in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b"] {
            assert_eq!(parse_path(bad), None, "{bad:?}");
        }
        assert_eq!(split("'a=b'.c=d=e"), Some(("'a=b'.c", "d=e")));
    }
}
