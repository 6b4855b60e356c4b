//! Annotation files read lazily: the list of annotations is found, each is parsed when its turn comes, and everything
//! else is handed on as it stands.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::DataError;

/// The text of an annotation file.
pub(crate) struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Source {
    /// Reads a file whole.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(DataError::io(path, "reading"))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Finds the parts of it.
    pub(crate) fn parts(&self) -> Result<Parts<'_>, DataError> {
        let mut parts: Parts<'_> = serde_json::from_slice(&self.bytes)
            .map_err(|source| DataError::Json { path: self.path.clone(), source })?;
        parts.path.clone_from(&self.path);
        Ok(parts)
    }
}

/// The fields of an annotation file, unparsed.
pub(crate) struct Parts<'a> {
    /// The file.
    pub(crate) path: PathBuf,
    /// The list `annotations`.
    pub(crate) annotations: Vec<&'a RawValue>,
    /// All other fields in their order.
    pub(crate) others: Vec<(String, &'a RawValue)>,
}

impl<'a> Parts<'a> {
    /// A field other than the annotations, parsed.
    ///
    /// # Errors
    /// [`DataError::Record`] if it is missing or of another form.
    pub(crate) fn field<T: DeserializeOwned>(&self, name: &str) -> Result<T, DataError> {
        let wrong = |reason: String| DataError::record(&self.path, format!("`{name}`"), reason);
        let raw = self.others.iter().find(|(key, _)| key == name);
        let (_, raw) = raw.ok_or_else(|| wrong("expected this field, got a file without it".into()))?;
        serde_json::from_str(raw.get()).map_err(|err| wrong(format!("not of the expected form: {err}")))
    }

    /// One annotation, parsed; `index` counts from 0.
    pub(crate) fn annotation<T: Deserialize<'a>>(&self, index: usize) -> Result<T, DataError> {
        let wrong = |reason: String| DataError::record(&self.path, format!("annotations[{index}]"), reason);
        let raw = self.annotations.get(index).ok_or_else(|| wrong("no such annotation".into()))?;
        serde_json::from_str(raw.get()).map_err(|err| wrong(format!("not of the expected form: {err}")))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an annotation file: an object with a list `annotations`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut annotations, mut others) = (None, Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    let again = if name == "annotations" {
                        annotations.replace(map.next_value()?).is_some()
                    } else {
                        let again = others.iter().any(|(key, _)| *key == name);
                        others.push((name.clone(), map.next_value()?));
                        again
                    };
                    if again {
                        return Err(A::Error::custom(format!("field `{name}` stands there twice")));
                    }
                }
                let annotations = annotations.ok_or_else(|| A::Error::missing_field("annotations"))?;
                Ok(Parts { path: PathBuf::new(), annotations, others })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The entry of one image in a panoptic file. Segments keep fields that are not known here.
#[derive(Deserialize)]
pub(crate) struct PanopticRecord {
    /// A number or a string.
    pub(crate) image_id: Value,
    /// Name of the PNG.
    pub(crate) file_name: String,
    /// The segments with all their fields.
    pub(crate) segments_info: Vec<Map<String, Value>>,
}

impl PanopticRecord {
    /// How messages call it.
    pub(crate) fn name(&self) -> String {
        format!("image {}", self.image_id)
    }

    /// Segment id and category id of each segment.
    ///
    /// # Errors
    /// [`DataError::Record`] if one is missing, no such number, or if a segment id stands there twice.
    pub(crate) fn ids(&self, path: &Path) -> Result<Vec<[u32; 2]>, DataError> {
        let wrong = |reason: String| DataError::record(path, self.name(), reason);
        if !(self.image_id.is_number() || self.image_id.is_string()) {
            return Err(wrong("`image_id`: expected a number or a string".into()));
        }
        let mut pairs = Vec::with_capacity(self.segments_info.len());
        for (index, segment) in self.segments_info.iter().enumerate() {
            let number = |key: &str| {
                let got = segment.get(key);
                let number = got.and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
                number.ok_or_else(|| {
                    let got = got.map_or("none".into(), ToString::to_string);
                    wrong(format!("segments_info[{index}].{key}: expected a whole number, got {got}"))
                })
            };
            pairs.push([number("id")?, number("category_id")?]);
        }
        if let Some(twice) = repeated(pairs.iter().map(|pair| pair[0]).collect()) {
            return Err(wrong(format!("expected a segment id once, got {twice} twice")));
        }
        Ok(pairs)
    }
}

/// A value that occurs more than once, the lowest one.
pub(crate) fn repeated<T: Copy + Ord>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.iter().zip(values.iter().skip(1)).find_map(|(a, b)| (a == b).then_some(*a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<usize, String> {
        let source = Source { path: "a.json".into(), bytes: text.as_bytes().to_vec() };
        source.parts().map(|parts| parts.annotations.len()).map_err(|err| err.full_message())
    }

    #[test]
    fn the_file_is_taken_apart() {
        assert_eq!(parts(r#"{"info": {"a": [1]}, "annotations": [{}, {}], "images": []}"#), Ok(2));
        for (text, part) in [
            (r#"{"images": []}"#, "missing field `annotations`"),
            (r#"{"annotations": [], "annotations": []}"#, "twice"),
            (r#"{"info": 1, "info": 2, "annotations": []}"#, "twice"),
            (r#"{"annotations": [}"#, "a.json"),
            ("[]", "an annotation file"),
        ] {
            let message = parts(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn segments_need_ids_that_differ() {
        let ids = |segments: &str| {
            let text = format!(r#"{{"image_id": "a", "file_name": "a.png", "segments_info": {segments}}}"#);
            let record: PanopticRecord = serde_json::from_str(&text).unwrap();
            record.ids(Path::new("a.json")).map_err(|err| err.to_string())
        };
        assert_eq!(ids(r#"[{"id": 7, "category_id": 1}]"#), Ok(vec![[7, 1]]));
        for (segments, part) in [
            (r#"[{"id": 7, "category_id": 1}, {"id": 7, "category_id": 2}]"#, "got 7 twice"),
            (r#"[{"category_id": 1}]"#, "segments_info[0].id: expected a whole number, got none"),
            (r#"[{"id": -3, "category_id": 1}]"#, "got -3"),
            (r#"[{"id": 1, "category_id": "car"}]"#, "segments_info[0].category_id"),
        ] {
            let message = ids(segments).unwrap_err();
            assert!(message.contains(part) && message.contains("image \"a\""), "{message}");
        }
    }
}
