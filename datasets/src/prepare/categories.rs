//! The classes of an annotation file, with all their fields.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::benchmarks::{ClassRow, coco};
use crate::error::DataError;

/// What the conversions need of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) isthing: bool,
    pub(super) color: Option<[u8; 3]>,
}

/// Classes by id, and their records as they were read.
#[derive(Debug, Clone)]
pub struct Categories {
    records: Vec<Map<String, Value>>,
    classes: BTreeMap<u32, Class>,
}

impl Categories {
    /// The 133 classes of COCO panoptic.
    pub fn coco() -> Self {
        Self::of(&coco::CLASSES)
    }

    pub(super) fn of(rows: &[ClassRow]) -> Self {
        let class = |row: &ClassRow| (row.id, Class { isthing: row.isthing, color: Some(row.color) });
        let record = |row: &ClassRow| match serde_json::to_value(row.to_category()) {
            Ok(Value::Object(record)) => record,
            _ => Map::new(), // a struct always becomes an object
        };
        Self { records: rows.iter().map(record).collect(), classes: rows.iter().map(class).collect() }
    }

    /// Reads a list of classes: a file such as `panoptic_coco_categories.json`.
    ///
    /// # Errors
    /// [`DataError`], naming the file and the class, if it is no such list, an id stands there twice, or `isthing` is
    /// missing.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::new(path, crate::coco::read_json(path)?)
    }

    /// The field `categories` of a panoptic file.
    pub(super) fn new(path: &Path, records: Vec<Map<String, Value>>) -> Result<Self, DataError> {
        let mut classes = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            let wrong = |key: &str, expected: &str| {
                let got = record.get(key).map_or("none".into(), ToString::to_string);
                let reason = format!("`{key}`: expected {expected}, got {got}");
                DataError::record(path, format!("categories[{index}]"), reason)
            };
            let id = record.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| wrong("id", "a whole number"))?;
            let isthing = match record.get("isthing").and_then(Value::as_u64) {
                Some(value @ (0 | 1)) => value == 1,
                _ => return Err(wrong("isthing", "1 for things or 0 for stuff")),
            };
            let color = match record.get("color") {
                None => None,
                Some(color) => {
                    let rgb = serde_json::from_value(color.clone());
                    Some(rgb.map_err(|_| wrong("color", "three numbers 0 to 255"))?)
                }
            };
            if classes.insert(id, Class { isthing, color }).is_some() {
                return Err(wrong("id", "ids that differ"));
            }
        }
        Ok(Self { records, classes })
    }

    /// The classes in ascending order of ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Class)> {
        self.classes.iter().map(|(&id, &class)| (id, class))
    }

    /// The class with this id.
    pub(super) fn get(&self, id: u32) -> Option<Class> {
        self.classes.get(&id).copied()
    }

    /// The class of a segment or annotation.
    ///
    /// # Errors
    /// [`DataError::Record`] for an id that is no class.
    pub(super) fn class_of(&self, id: u32, path: &Path, record: &str) -> Result<Class, DataError> {
        self.get(id).ok_or_else(|| {
            let reason = format!("expected a category_id of the {} categories, got {id}", self.classes.len());
            DataError::record(path, record, reason)
        })
    }

    /// The records as read.
    pub(super) fn records(&self) -> &[Map<String, Value>] {
        &self.records
    }

    /// The records of a detection file: without `isthing` and `color`, and only those that `keep` wants.
    pub(super) fn detection_records(&self, keep: impl Fn(Class) -> bool) -> Vec<Map<String, Value>> {
        let id = |record: &Map<String, Value>| record.get("id").and_then(Value::as_u64);
        let kept = |record: &&Map<String, Value>| {
            id(record).is_some_and(|id| self.get(id as u32).is_some_and(&keep)) // checked to fit when read
        };
        let mut records: Vec<_> = self.records.iter().filter(kept).cloned().collect();
        for record in &mut records {
            record.shift_remove("isthing");
            record.shift_remove("color");
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_classes_are_named() {
        let read = |text: &str| {
            Categories::new(Path::new("c.json"), serde_json::from_str(text).unwrap())
                .map_err(|err| err.to_string())
        };
        assert!(read(r#"[{"id": 1, "isthing": 1, "name": "a", "more": 3}]"#).is_ok());
        for (text, part) in [
            (r#"[{"isthing": 1}]"#, "categories[0]: `id`"),
            (r#"[{"id": 1}]"#, "categories[0]: `isthing`: expected 1 for things or 0 for stuff, got none"),
            (r#"[{"id": 1, "isthing": 2}]"#, "got 2"),
            (r#"[{"id": 1, "isthing": 1, "color": [1, 2]}]"#, "`color`"),
            (
                r#"[{"id": 1, "isthing": 1}, {"id": 1, "isthing": 0}]"#,
                "categories[1]: `id`: expected ids that differ",
            ),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn detection_records_lose_the_panoptic_fields() {
        let things = Categories::coco().detection_records(|class| class.isthing);
        assert_eq!(things.len(), 80);
        let expected = serde_json::json!({"id": 1, "name": "person", "supercategory": "person"});
        assert_eq!(Value::Object(things[0].clone()), expected);
    }
}
