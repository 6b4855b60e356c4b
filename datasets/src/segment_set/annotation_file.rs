//! Annotation files parsed on all cores: records block by block, so that the text never lies in memory as a whole.
//!
//! Lists may come in any order, as `images` before `annotations` is custom, not rule. Members of other names are passed over.

use std::path::Path;

use rayon::prelude::*;
use serde_json::value::RawValue;

use super::record::ImageRecord;
use crate::coco::Category;
use crate::error::DataError;
use crate::json_blocks::{Block, JsonBlocks};

/// One entry of `annotations` or of `images`.
pub(super) trait Annotation: Sized + Send {
    /// Takes what is needed of a record; `number` counts them from 0, `place` is its first byte in the file.
    fn read(text: &str, number: usize, place: u64) -> serde_json::Result<Self>;
}

impl Annotation for ImageRecord {
    fn read(text: &str, _: usize, _: u64) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// The records of a file, in its order: annotations `T`, images `I`.
#[derive(Debug)]
pub(super) struct AnnotationFile<T, I = ImageRecord> {
    pub(super) images: Vec<I>,
    pub(super) categories: Vec<Category>,
    pub(super) annotations: Vec<T>,
}

/// The records of one block.
enum Part<T, I> {
    Images(Vec<I>),
    Categories(Vec<Category>),
    Annotations(Vec<T>),
    Other,
}

impl<T: Annotation, I: Annotation> AnnotationFile<T, I> {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DataError::Io`]; [`DataError::Record`] with the record and its byte if it is not JSON or lacks what is needed, or if
    /// a list is missing or stands there twice.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let mut parts: Vec<_> = JsonBlocks::open(path)?
            .par_bridge()
            .map(|block| match block {
                Ok(block) => (block.offset, block.first == 0, Part::read(path, &block)),
                Err(error) => (u64::MAX, false, Err(error)),
            })
            .collect();
        // Blocks are finished in any order; the error that stands first in the file is reported.
        parts.sort_by_key(|(place, ..)| *place);
        let (mut images, mut categories, mut annotations) = (None, None, None);
        for (_, starts, part) in parts {
            match part? {
                Part::Images(list) => append(path, "images", &mut images, starts, list)?,
                Part::Categories(list) => append(path, "categories", &mut categories, starts, list)?,
                Part::Annotations(list) => append(path, "annotations", &mut annotations, starts, list)?,
                Part::Other => {}
            }
        }
        Ok(Self {
            images: found(path, "images", images)?,
            categories: found(path, "categories", categories)?,
            annotations: found(path, "annotations", annotations)?,
        })
    }
}

impl<T: Annotation, I: Annotation> Part<T, I> {
    fn read(path: &Path, block: &Block) -> Result<Self, DataError> {
        let Some(member) = block.member.as_deref() else {
            let reason = "expected an object with `images`, `annotations` and `categories`, got a list; are these results?";
            return Err(whole(path, reason));
        };
        let is_ours = ["images", "categories", "annotations"].contains(&member);
        if is_ours && !block.is_list {
            return Err(whole(path, format!("expected a list `{member}`, got another value")));
        }
        Ok(match member {
            "images" => Self::Images(records(path, "image", block, I::read)?),
            "categories" => {
                Self::Categories(records(path, "category", block, |text, _, _| serde_json::from_str(text))?)
            }
            "annotations" => Self::Annotations(records(path, "annotation", block, T::read)?),
            _ => Self::Other,
        })
    }
}

fn whole(path: &Path, reason: impl Into<String>) -> DataError {
    DataError::record(path, "the whole file", reason)
}

fn append<R>(
    path: &Path,
    name: &str,
    list: &mut Option<Vec<R>>,
    starts: bool,
    more: Vec<R>,
) -> Result<(), DataError> {
    match list {
        Some(_) if starts => return Err(whole(path, format!("`{name}` occurs twice"))),
        Some(list) => list.extend(more),
        None => *list = Some(more),
    }
    Ok(())
}

fn found<R>(path: &Path, name: &str, list: Option<Vec<R>>) -> Result<Vec<R>, DataError> {
    list.ok_or_else(|| whole(path, format!("expected a list `{name}`, got none")))
}

/// The records of a list's block; `what` is the name of one.
fn records<R>(
    path: &Path,
    what: &str,
    block: &Block,
    read: impl Fn(&str, usize, u64) -> serde_json::Result<R>,
) -> Result<Vec<R>, DataError> {
    let first = block.first;
    let texts: Vec<&RawValue> = serde_json::from_slice(&block.text).map_err(|error| {
        let place = block.offset + byte_of(&block.text, &error) as u64;
        let record = format!("{what} {first} or one behind it (byte {place})");
        DataError::record(path, record, format!("not valid JSON: {}", reason(&error)))
    })?;
    let start = block.text.as_ptr().addr();
    let record = |(index, text): (usize, &&RawValue)| {
        let (number, text) = (first + index, text.get());
        let place = block.offset + (text.as_ptr().addr() - start) as u64;
        read(text, number, place).map_err(|error| {
            let record = format!("{what} {number} (byte {place})");
            DataError::record(path, record, format!("not of the expected form: {}", reason(&error)))
        })
    };
    texts.iter().enumerate().map(record).collect()
}

/// The parser's reason without the place, which it counts from the start of what it was given.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// Byte of a text at which the parser found an error.
fn byte_of(text: &[u8], error: &serde_json::Error) -> usize {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text).nth(line - 2).map_or(0, |end| end + 1),
    };
    (line_start + error.column().saturating_sub(1)).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Place(usize, u64, String);

    impl Annotation for Place {
        fn read(text: &str, number: usize, place: u64) -> serde_json::Result<Self> {
            serde_json::from_str::<u32>(text)?;
            Ok(Self(number, place, text.to_owned()))
        }
    }

    fn read(text: &str) -> Result<AnnotationFile<Place>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        AnnotationFile::read(file.path())
            .map_err(|err| err.to_string().replace(&format!("{}: ", file.path().display()), ""))
    }

    #[test]
    fn records_come_in_the_order_of_the_file_with_their_places() {
        let numbers: Vec<String> = (0..200_000).map(|i| (i * 7).to_string()).collect();
        let text = format!(
            r#"{{"info": {{"a": 1}}, "annotations": [{}], "categories": [{{"id": 3, "name": "x"}}],
                "images": [{{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3, "license": 4}}]}}"#,
            numbers.join(", \n")
        );
        let file = read(&text).unwrap();
        assert_eq!((file.images.len(), file.categories[0].name.as_str()), (1, "x"));
        assert_eq!(file.annotations.len(), numbers.len());
        for (i, (Place(number, place, written), expected)) in
            file.annotations.iter().zip(&numbers).enumerate()
        {
            assert_eq!((*number, written), (i, expected));
            assert!(text[*place as usize..].starts_with(expected.as_str()), "{i}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        const REST: &str = r#""images": [], "categories": []"#;
        for (text, expected) in [
            (
                format!(r#"{{"annotations": [1, "a"], {REST}}}"#),
                "annotation 1 (byte 20): not of the expected form: invalid type: string \"a\", expected u32",
            ),
            (
                format!("{{\"annotations\": [1,\n nul], {REST}}}"),
                "annotation 0 or one behind it (byte 24): not valid JSON: expected ident",
            ),
            (format!("{{{REST}}}"), "the whole file: expected a list `annotations`, got none"),
            (
                format!(r#"{{"annotations": 3, {REST}}}"#),
                "the whole file: expected a list `annotations`, got another value",
            ),
            (
                format!(r#"{{"images": [], {REST}, "annotations": []}}"#),
                "the whole file: `images` occurs twice",
            ),
            (
                "[1]".into(),
                "the whole file: expected an object with `images`, `annotations` and `categories`, got a list; are these \
                 results?",
            ),
        ] {
            assert_eq!(read(&text).unwrap_err(), expected, "{text}");
        }
        let cut = read(&format!(r#"{{{REST}, "annotations": [1, 2"#)).unwrap_err();
        assert!(cut.contains("the file ends inside element 1 of `annotations`"), "{cut}");
    }
}
