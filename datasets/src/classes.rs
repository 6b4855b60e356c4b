//! The class list of a set: names, display colours, thing or stuff. The position in the table is the class id.
//!
//! Two file forms: `{"classes": [{"id": 0, "name": "Sky", "color": [128, 128, 128], "isthing": 0}, ...]}` (other keys are
//! left alone) and a `.txt` file with one name a line.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::coco::Category;
use crate::sample::IGNORE;

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassInfo {
    /// Unique display name.
    pub name: String,
    /// RGB display colour.
    pub color: [u8; 3],
    /// Countable objects (car) rather than material (sky).
    pub is_thing: bool,
}

/// The classes of a set, ordered by id; never empty, at most 255 (255 itself means "ignore").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTable {
    classes: Vec<ClassInfo>,
    /// `ignore_index` or `ignore_label` of the class file; only used to word hints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_hint: Option<u8>,
}

/// A class as the file has it.
#[derive(Deserialize)]
struct ClassRecord {
    id: u64,
    name: String,
    color: Option<[u8; 3]>,
    #[serde(default)]
    isthing: Flag,
}

/// COCO writes 0 and 1, people write booleans.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`isthing` must be 0, 1, true or false")]
enum Flag {
    Bool(bool),
    Number(u8),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Bool(false)
    }
}

#[derive(Deserialize)]
struct ClassFile {
    classes: Vec<serde_json::Value>,
    #[serde(alias = "ignore_label")]
    ignore_index: Option<u8>,
}

impl ClassTable {
    /// Reads a class file; `.txt` means one name a line, everything else is JSON.
    ///
    /// # Errors
    /// A file that cannot be read or parsed; ids that are not `0..K`; empty or repeated names; no class, or more than 255.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(path, "reading the class list"))?;
        let is_txt = path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("txt"));
        let (records, ignore_hint) = if is_txt { (parse_txt(&text), None) } else { parse_json(path, &text)? };
        Self::from_records(path, records, ignore_hint)
    }

    /// A table of the given names, all stuff, with generated colours.
    ///
    /// # Errors
    /// As for [`ClassTable::load`], naming "class list" instead of a file.
    pub fn from_names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, DataError> {
        let records = (0..).zip(names).map(|(id, name)| plain_record(id, name.into()));
        Self::from_records(Path::new("class list"), records.collect(), None)
    }

    /// The classes of an annotation file in the order of its categories; of instance files, `all_things`.
    ///
    /// # Errors
    /// As for [`ClassTable::load`], naming the file and the class.
    pub(crate) fn of_categories(
        path: &Path,
        categories: &[Category],
        all_things: bool,
    ) -> Result<Self, DataError> {
        let record = |(id, category): (u64, &Category)| ClassRecord {
            id,
            name: category.name.clone(),
            color: category.color,
            isthing: Flag::Bool(all_things || category.isthing == Some(1)),
        };
        Self::from_records(path, (0..).zip(categories).map(record).collect(), None)
    }

    /// The table of a benchmark, whose names are known to differ.
    pub(crate) fn official(classes: Vec<ClassInfo>) -> Self {
        Self { classes, ignore_hint: None }
    }

    fn from_records(path: &Path, mut records: Vec<ClassRecord>, hint: Option<u8>) -> Result<Self, DataError> {
        if records.is_empty() || records.len() > usize::from(IGNORE) {
            let got = records.len();
            return Err(DataError::record(path, "classes", format!("expected 1 to 255 classes, got {got}")));
        }
        records.sort_by_key(|r| r.id); // stable: of two with one id the later in the file comes second
        let mut by_name = HashMap::new();
        for (position, record) in records.iter().enumerate() {
            let at = || format!("class {} {:?}", record.id, record.name);
            if record.id != position as u64 {
                let duplicate = position > 0 && records[position - 1].id == record.id;
                let what = if duplicate { "its id is used twice" } else { "an id before it is missing" };
                let k = records.len() - 1;
                return Err(DataError::record(
                    path,
                    at(),
                    format!("{what}; expected the ids 0..={k}, each once"),
                ));
            }
            if record.name.trim().is_empty() {
                return Err(DataError::record(path, at(), "expected a name, got an empty one"));
            }
            if let Some(first) = by_name.insert(record.name.as_str(), record.id) {
                return Err(DataError::record(path, at(), format!("class {first} has the same name")));
            }
            if matches!(record.isthing, Flag::Number(n) if n > 1) {
                return Err(DataError::record(path, at(), "`isthing` must be 0, 1, true or false"));
            }
        }
        let mut used: Vec<[u8; 3]> = records.iter().filter_map(|r| r.color).collect();
        let classes = records
            .into_iter()
            .map(|r| ClassInfo {
                color: r.color.unwrap_or_else(|| generate_color(&mut used)),
                is_thing: matches!(r.isthing, Flag::Bool(true) | Flag::Number(1)),
                name: r.name,
            })
            .collect();
        Ok(Self { classes, ignore_hint: hint })
    }

    /// Number of classes K, 1..=255.
    #[expect(clippy::len_without_is_empty, reason = "a table is never empty")]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// The class with this id.
    pub fn get(&self, id: usize) -> Option<&ClassInfo> {
        self.classes.get(id)
    }

    /// All classes in order of their ids.
    pub fn iter(&self) -> std::slice::Iter<'_, ClassInfo> {
        self.classes.iter()
    }

    /// All names in order of their ids.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|c| c.name.as_str())
    }

    /// Takes over the classes of another table, but not what its file says of labels.
    pub(crate) fn rename(&mut self, other: &Self) {
        self.classes.clone_from(&other.classes);
    }

    /// The raw label value that the class file itself calls "ignore", if it says so.
    pub fn ignore_hint(&self) -> Option<u8> {
        self.ignore_hint
    }
}

impl<'a> IntoIterator for &'a ClassTable {
    type Item = &'a ClassInfo;
    type IntoIter = std::slice::Iter<'a, ClassInfo>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn plain_record(id: u64, name: String) -> ClassRecord {
    ClassRecord { id, name, color: None, isthing: Flag::default() }
}

fn parse_txt(text: &str) -> Vec<ClassRecord> {
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
    (0..).zip(names).map(|(id, name)| plain_record(id, name.to_owned())).collect()
}

fn parse_json(path: &Path, text: &str) -> Result<(Vec<ClassRecord>, Option<u8>), DataError> {
    let file: ClassFile =
        serde_json::from_str(text).map_err(|source| DataError::Json { path: path.to_owned(), source })?;
    // Record by record, so that an error can say which one it is.
    let records = file.classes.into_iter().enumerate().map(|(position, value)| {
        serde_json::from_value(value)
            .map_err(|err| DataError::record(path, format!("classes[{position}]"), err.to_string()))
    });
    Ok((records.collect::<Result<_, _>>()?, file.ignore_index))
}

/// A colour not used yet, added to `used`. Golden-ratio steps keep neighbours in the list far apart in hue.
fn generate_color(used: &mut Vec<[u8; 3]>) -> [u8; 3] {
    for step in used.len().. {
        let hue = (step as f32 * 0.618_034).fract();
        let saturation = [0.65, 0.9, 0.45][step % 3];
        let value = [0.95, 0.7, 0.85, 0.5][step / 3 % 4];
        let color = hsv(hue, saturation, value);
        if !used.contains(&color) {
            used.push(color);
            return color;
        }
    }
    unreachable!("the range has no end")
}

/// Hue, saturation and value in `[0, 1]` to RGB.
fn hsv(hue: f32, saturation: f32, value: f32) -> [u8; 3] {
    [5.0, 3.0, 1.0].map(|offset: f32| {
        let k = (offset + hue * 6.0) % 6.0;
        let v = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (v * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> Result<ClassTable, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        ClassTable::load(&path)
    }

    fn error(text: &str) -> String {
        load("classes.json", text).unwrap_err().full_message()
    }

    #[test]
    fn reads_json_in_any_order() {
        let text = r#"{"classes": [{"id": 1, "name": "car", "isthing": 1, "supercategory": "x"},
            {"id": 0, "name": "sky", "color": [1, 2, 3]}, {"id": 2, "name": "cat", "isthing": true}], "ignore_index": 11}"#;
        let table = load("classes.json", text).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["sky", "car", "cat"]);
        assert_eq!(table.get(0).unwrap().color, [1, 2, 3]);
        assert_eq!(table.iter().map(|c| c.is_thing).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(table.ignore_hint(), Some(11));
    }

    #[test]
    fn reads_txt() {
        let table = load("names.txt", "sky\nroad surface\n\n").unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["sky", "road surface"]);
    }

    #[test]
    fn generated_colors_are_distinct() {
        let table = ClassTable::from_names((0..255).map(|i| format!("c{i}"))).unwrap();
        let mut colors: Vec<_> = table.iter().map(|c| c.color).collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), 255);
    }

    #[test]
    fn errors_name_file_and_record() {
        let missing = error(r#"{"classes": [{"id": 0, "name": "a"}, {"id": 2, "name": "b"}]}"#);
        assert!(
            missing
                .contains("classes.json: class 2 \"b\": an id before it is missing; expected the ids 0..=1"),
            "{missing}"
        );
        let twice = error(r#"{"classes": [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]}"#);
        assert!(twice.contains("class 0 \"b\": its id is used twice"), "{twice}");
        let name = error(r#"{"classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "a"}]}"#);
        assert!(name.contains("class 1 \"a\": class 0 has the same name"), "{name}");
        let color = error(r#"{"classes": [{"id": 0, "name": "a", "color": [1, 2, 300]}]}"#);
        assert!(color.contains("classes[0]: invalid value: integer `300`, expected u8"), "{color}");
        let thing = error(r#"{"classes": [{"id": 0, "name": "a", "isthing": 7}]}"#);
        assert!(thing.contains("`isthing` must be 0, 1"), "{thing}");
        let empty = error(r#"{"classes": []}"#);
        assert!(empty.contains("expected 1 to 255 classes, got 0"), "{empty}");
        let json = error(r#"{"classes": [}"#);
        assert!(
            json.contains("classes.json: not the expected JSON: ") && json.contains("line 1 column"),
            "{json}"
        );
    }
}
