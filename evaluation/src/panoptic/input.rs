//! What is scored: classes, segments and their maps, as they stand in panoptic JSON files.

use std::fmt::{self, Display, Formatter};

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use smalti_datasets::label_png::PixelMap;

/// A class. Ids may have gaps, and 0 is a class like others (ADE20K's wall).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanopticClass {
    /// What segments refer to.
    pub id: i64,
    /// Readable name.
    pub name: String,
    /// Countable (thing), or not (stuff).
    pub is_thing: bool,
}

/// A segment of the ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct GtSegment {
    /// Value in the map.
    pub id: i64,
    /// [`PanopticClass::id`].
    pub category_id: i64,
    /// Pixels. The score uses this and not the number of pixels in the map, as the reference code does.
    #[serde(deserialize_with = "whole")]
    pub area: u64,
    /// A group that was not told apart: never matched, excuses predictions of its class.
    #[serde(rename = "iscrowd", deserialize_with = "flag")]
    pub is_crowd: bool,
}

/// A predicted segment. Its area is counted from the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct PredSegment {
    /// Value in the map.
    pub id: i64,
    /// [`PanopticClass::id`].
    pub category_id: i64,
}

/// One image's segment ids and the list of its segments.
#[derive(Debug, Clone, Copy)]
pub struct SegmentMap<'a, S> {
    /// Ids below 2^24; 0 is void.
    pub map: PixelMap<'a, u32>,
    /// What the ids stand for.
    pub segments: &'a [S],
}

/// What joins a prediction to its ground truth: a number (COCO) or a name (Cityscapes, ADE20K). 7 and "7" are two images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageId {
    /// As in COCO.
    Number(i64),
    /// As in Cityscapes and ADE20K.
    Name(String),
}

impl From<i64> for ImageId {
    fn from(id: i64) -> Self {
        Self::Number(id)
    }
}

impl From<&str> for ImageId {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl Display for ImageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = ImageId;
            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an image id: a whole number or a text")
            }
            fn visit_i64<E: Error>(self, id: i64) -> Result<ImageId, E> {
                Ok(ImageId::Number(id))
            }
            fn visit_u64<E: Error>(self, id: u64) -> Result<ImageId, E> {
                let number =
                    i64::try_from(id).map_err(|_| E::invalid_value(Unexpected::Unsigned(id), &self))?;
                Ok(ImageId::Number(number))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<ImageId, E> {
                Ok(ImageId::Name(name.into()))
            }
        }
        deserializer.deserialize_any(Id)
    }
}

/// A number of pixels; some writers put `12.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Whole;
    impl Visitor<'_> for Whole {
        type Value = u64;
        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("an area: a whole number of pixels from 0 to 2^53")
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
            let fits = value <= 1 << 53;
            fits.then_some(value).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
            let unsigned = u64::try_from(value);
            unsigned.map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
            let is_whole = value.fract() == 0.0 && (0.0..=(1u64 << 53) as f64).contains(&value);
            is_whole.then_some(value as u64).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
        }
    }
    deserializer.deserialize_any(Whole)
}

/// Whether a value equals 1, as the reference code compares it; `true` does.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;
    impl Visitor<'_> for Flag {
        type Value = bool;
        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("0 or 1")
        }
        fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
            Ok(value == 1)
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
            Ok(false) // negative
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
            Ok(value == 1.0)
        }
    }
    deserializer.deserialize_any(Flag)
}
