//! Records of annotation files, each with the fields that are read of it.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::coco::Segmentation;

/// Id of an image or of an annotation: COCO numbers them, ADE20K and Cityscapes go by names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or a text as id")]
pub enum RecordId {
    /// As `42`.
    Number(i64),
    /// As `"ADE_val_00000001"`.
    Text(Box<str>),
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => id.fmt(f),
            Self::Text(id) => write!(f, "{id:?}"),
        }
    }
}

/// One entry of `images`.
#[derive(Debug, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) id: RecordId,
    pub(super) file_name: Box<str>,
    pub(super) height: u32,
    pub(super) width: u32,
}

/// One entry of `annotations` of an instance file. The mask is left as text.
#[derive(Debug, Deserialize)]
pub(super) struct InstanceRecord<'a> {
    pub(super) id: RecordId,
    pub(super) image_id: RecordId,
    pub(super) category_id: u32,
    #[serde(default, deserialize_with = "flag")]
    pub(super) iscrowd: bool,
    #[serde(default)]
    pub(super) area: Option<f64>,
    #[serde(borrow)]
    segmentation: &'a RawValue,
}

impl InstanceRecord<'_> {
    /// Refuses what is a mask in none of its forms at first sight.
    pub(super) fn check_form(&self) -> serde_json::Result<()> {
        match self.segmentation.get() {
            "[]" => Err(no_mask("an empty list")),
            text if text.starts_with(['[', '{']) => Ok(()),
            "null" => Err(no_mask("null")),
            _ => Err(no_mask("another value")),
        }
    }

    /// The mask, as it is written.
    pub(super) fn mask(&self) -> serde_json::Result<Segmentation> {
        self.check_form()?;
        let text = self.segmentation.get();
        if text.starts_with('[') {
            serde_json::from_str(text).map(Segmentation::Polygons)
        } else {
            serde_json::from_str(text).map_err(|_| no_mask("an object without `size` and `counts`"))
        }
    }
}

fn no_mask(got: &str) -> serde_json::Error {
    serde_json::Error::custom(format!("`segmentation`: expected polygons or run lengths, got {got}"))
}

/// One entry of `annotations` of a panoptic file: the segments of an image.
#[derive(Debug, Deserialize)]
pub(super) struct PanopticRecord {
    pub(super) image_id: RecordId,
    pub(super) file_name: Box<str>,
    pub(super) segments_info: Vec<SegmentRecord>,
}

/// One segment of a [`PanopticRecord`].
#[derive(Debug, Deserialize)]
pub(super) struct SegmentRecord {
    pub(super) id: u32,
    pub(super) category_id: u32,
    #[serde(default)]
    pub(super) area: Option<f64>,
    #[serde(default, deserialize_with = "flag")]
    pub(super) iscrowd: bool,
}

/// COCO writes 0 and 1, people write booleans.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`iscrowd`: expected 0, 1, true or false")]
    enum Flag {
        Bool(bool),
        Number(u8),
    }
    match Flag::deserialize(deserializer)? {
        Flag::Bool(value) => Ok(value),
        Flag::Number(value @ (0 | 1)) => Ok(value == 1),
        Flag::Number(value) => Err(D::Error::custom(format!("`iscrowd`: expected 0 or 1, got {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(fields: &str) -> Result<Segmentation, String> {
        let text = format!(r#"{{"id": 1, "image_id": "a", "category_id": 3, {fields}}}"#);
        let record: InstanceRecord<'_> = serde_json::from_str(&text).map_err(|err| err.to_string())?;
        record.mask().map_err(|err| err.to_string())
    }

    #[test]
    fn ids_are_numbers_or_text() {
        let id = |text: &str| serde_json::from_str::<RecordId>(text).map(|id| id.to_string());
        assert_eq!((id("-7").unwrap(), id("\"a\\n\"").unwrap()), ("-7".into(), r#""a\n""#.into()));
        assert!(id("1.5").unwrap_err().to_string().contains("expected a whole number or a text as id"));
        assert_eq!(
            serde_json::to_string(&[RecordId::Number(3), RecordId::Text("b".into())]).unwrap(),
            r#"[3,"b"]"#
        );
    }

    #[test]
    fn masks_come_in_three_forms() {
        let polygon = instance(r#""segmentation": [[0, 0, 2.5, 0, 2, 1]], "iscrowd": 0"#).unwrap();
        assert_eq!(polygon, Segmentation::Polygons(vec![vec![0.0, 0.0, 2.5, 0.0, 2.0, 1.0]]));
        let runs =
            instance(r#""iscrowd": true, "segmentation": {"counts": [1, 3], "size": [2, 2]}"#).unwrap();
        assert_eq!(runs, Segmentation::Uncompressed { size: [2, 2], counts: vec![1, 3] });
        let text = instance(r#""segmentation": {"counts": "13", "size": [2, 2]}"#).unwrap();
        assert_eq!(text, Segmentation::Compressed { size: [2, 2], counts: "13".into() });
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        for (fields, part) in [
            (r#""segmentation": null"#, "expected polygons or run lengths, got null"),
            (r#""segmentation": []"#, "got an empty list"),
            (r#""segmentation": 3"#, "got another value"),
            (r#""segmentation": {"counts": "13"}"#, "got an object without `size` and `counts`"),
            (r#""segmentation": [["a"]]"#, "invalid type"),
            (r#""segmentation": [], "iscrowd": 2"#, "`iscrowd`: expected 0 or 1, got 2"),
            (r#""iscrowd": 0"#, "missing field `segmentation`"),
        ] {
            let message = instance(fields).unwrap_err();
            assert!(message.contains(part), "{fields}: {message}");
        }
    }
}
