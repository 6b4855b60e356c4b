//! Reads a COCO annotation file into [`GroundTruth`]: twice from the disk, as polygons need the size of their image and
//! `annotations` may come before `images`, but never the whole of it into memory.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};
use smalti_datasets::rle::Spans;

use super::matching::TruthFlags;
use super::oddities::Oddities;
use super::overlap::Comparer;
use super::packed::PackedMask;
use super::params::{ImageId, IouType, outside};
use super::record::{Bbox, Key, Record, Wrong, check_value, each_record};
use super::results::is_odd;
use super::truth::{GroundTruth, Head, Object, StoredRegion};
use crate::EvalError;

const LISTS: [&str; 3] = ["images", "annotations", "categories"];

/// What annotations with the same id are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SameId {
    /// The last one, each time, as pycocotools has it.
    Last,
    /// Objects of their own.
    Each,
}

impl GroundTruth {
    /// Reads an annotation file (`instances_*.json`).
    ///
    /// # Errors
    /// [`EvalError::Data`] with the file, the record and its place: a file that cannot be read or is not of this form,
    /// a record without what `kind` needs, a mask that is none.
    pub fn load(path: &Path, kind: IouType) -> Result<Self, EvalError> {
        Self::read(path, kind, SameId::Last)
    }

    /// Reads an annotation file whose annotations may share ids.
    pub(super) fn read(path: &Path, kind: IouType, same_id: SameId) -> Result<Self, EvalError> {
        let head = read_head(path)?;
        let parts = JsonBlocks::open(path)?
            .filter(|block| block.as_ref().map_or(true, |b| b.member.as_deref() == Some("annotations")))
            .par_bridge()
            .map_init(|| Reader::new(path, kind, &head), Reader::block)
            .collect();
        let mut raw = Vec::new();
        for objects in in_file_order(parts)? {
            raw.extend(objects);
        }
        let mut oddities = head.oddities.clone();
        if same_id == SameId::Last {
            oddities.repeated_ids = last_of_each_id(&mut raw);
        }
        oddities.stray_truths = raw.iter().filter(|raw| raw.image.is_none()).count() as u64;
        oddities.odd_boxes = raw.iter().filter(|raw| raw.odd_box).count() as u64;
        oddities.areas_elsewhere = raw.iter().filter(|raw| raw.elsewhere).count() as u64;
        // The reference goes through its images in order of their ids, and in each through the file.
        raw.sort_by_key(|raw| raw.image);
        let objects: Vec<Object> =
            raw.into_iter().filter(|raw| raw.image.is_some()).filter_map(|raw| raw.object).collect();
        oddities.zero_ids = objects.iter().filter(|object| object.flags.zero_id).count() as u64;
        Ok(Self::new(kind, Head { oddities, ..head }, objects))
    }
}

/// The results of blocks in the order of the file, or the error that stands first in it.
///
/// Each comes with the place of its block; blocks are finished in any order, but all before a wrong one are.
pub(super) fn in_file_order<T>(mut parts: Vec<(u64, Result<T, DataError>)>) -> Result<Vec<T>, DataError> {
    parts.sort_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What is wrong in a file, as a message.
pub(super) fn wrong_record(path: &Path, what: &str, block: &Block, index: usize, wrong: &Wrong) -> DataError {
    let place = block.offset + wrong.at as u64;
    DataError::record(path, format!("{what} {} (byte {place})", block.first + index), wrong.reason.clone())
}

/// Images and categories, and whether the file has all of its parts.
fn read_head(path: &Path) -> Result<Head, DataError> {
    let whole = |reason: &str| DataError::record(path, "the whole file", reason);
    let mut images: Vec<(ImageId, Option<[u32; 2]>)> = Vec::new();
    let mut categories: Vec<(i64, String)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut record = Record::default();
    for block in JsonBlocks::open(path)? {
        let block = block?;
        let Some(member) = block.member.as_deref() else {
            return Err(whole(
                "expected an object with `images`, `annotations` and `categories`, got a list; are these results?",
            ));
        };
        let list = LISTS.contains(&member);
        if list && !block.is_list {
            return Err(whole(&format!("expected a list `{member}`, got another value")));
        }
        if list && block.first == 0 {
            if seen.iter().any(|name| name == member) {
                return Err(whole(&format!("`{member}` occurs twice")));
            }
            seen.push(member.to_owned());
        }
        match member {
            "images" => {
                let keys = [Key::Id, Key::Height, Key::Width];
                let image = |_: usize, record: &mut Record| {
                    let id = record.id.take().ok_or_else(|| missing(record, "id"))?;
                    images.push((id, record.height.zip(record.width).map(<[u32; 2]>::from)));
                    Ok(())
                };
                each_record(&block.text, &keys, &mut record, image)
                    .map_err(|(i, wrong)| wrong_record(path, "image", &block, i, &wrong))?;
            }
            "categories" => {
                let category = |_: usize, record: &mut Record| {
                    let id = number_id(record)?;
                    categories.push((id, record.name.take().unwrap_or_else(|| id.to_string())));
                    Ok(())
                };
                each_record(&block.text, &[Key::Id, Key::Name], &mut record, category)
                    .map_err(|(i, wrong)| wrong_record(path, "category", &block, i, &wrong))?;
            }
            "annotations" => {}
            other => check_value(&block.text)
                .map_err(|wrong| wrong_record(path, &format!("`{other}`, element"), &block, 0, &wrong))?,
        }
    }
    for name in LISTS {
        if !seen.iter().any(|found| found == name) {
            return Err(whole(&format!("expected a list `{name}`, got none")));
        }
    }
    let mut oddities = Oddities::default();
    let (images, listed_at, sizes, places) = index_images(images, &mut oddities)
        .ok_or_else(|| whole("expected image ids that are all numbers or all text, got both"))?;
    let listed = categories.len();
    categories.reverse(); // so that of equal ids the last stays
    categories.sort_by_key(|(id, _)| *id);
    categories.dedup_by_key(|(id, _)| *id);
    oddities.repeated_categories = (listed - categories.len()) as u64;
    Ok(Head { images, places, listed: listed_at, sizes, categories, oddities })
}

/// Id, height and width.
type Listed = (ImageId, Option<[u32; 2]>);

type Images = (Vec<ImageId>, Vec<u32>, Vec<Option<[u32; 2]>>, HashMap<ImageId, u32>);

/// Images by id, and where they are listed first; of those listed twice the last. `None` if numbers and text are mixed.
fn index_images(images: Vec<Listed>, oddities: &mut Oddities) -> Option<Images> {
    let listed = images.len();
    let mut images: Vec<(u32, Listed)> = (0..).zip(images).collect();
    images.reverse();
    images.sort_by(|(_, a), (_, b)| a.0.cmp(&b.0));
    images.dedup_by(|(earlier, a), (place, b)| {
        let same = a.0 == b.0;
        if same {
            *place = *earlier;
        }
        same
    });
    oddities.repeated_images = (listed - images.len()) as u64;
    let is_text = |(_, (id, _)): &(u32, Listed)| matches!(id, ImageId::Text(_));
    if images.first().map(is_text) != images.last().map(is_text) {
        return None;
    }
    let (places, images): (Vec<u32>, Vec<_>) = images.into_iter().unzip();
    let (ids, sizes): (Vec<_>, Vec<_>) = images.into_iter().unzip();
    let by_id = ids.iter().cloned().zip(0..).collect();
    Some((ids, places, sizes, by_id))
}

/// One annotation.
struct Raw {
    id: i64,
    /// Its image, if that and its category are listed.
    image: Option<u32>,
    object: Option<Object>,
    /// Its `area` puts it into other ranges than its mask would.
    elsewhere: bool,
    /// Its box is none.
    odd_box: bool,
}

/// The reference looks annotations up by id, and so finds the last of those with the same id for each of them. Returns
/// how many were replaced.
fn last_of_each_id(raw: &mut [Raw]) -> u64 {
    let mut by_id: Vec<(i64, usize)> = raw.iter().zip(0..).map(|(raw, i)| (raw.id, i)).collect();
    by_id.sort_unstable();
    let mut replaced = 0;
    for group in by_id.chunk_by(|a, b| a.0 == b.0) {
        let Some((&(_, last), others)) = group.split_last() else { continue };
        for &(_, other) in others {
            let object = raw[last].object.clone();
            raw[other].object = object;
            raw[other].elsewhere = false;
            replaced += 1;
        }
    }
    replaced
}

struct Reader<'a> {
    path: &'a Path,
    kind: IouType,
    head: &'a Head,
    record: Record,
    spans: Spans,
    comparer: Comparer,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, kind: IouType, head: &'a Head) -> Self {
        let (record, spans, comparer) = (Record::default(), Spans::new(), Comparer::new(kind));
        Self { path, kind, head, record, spans, comparer }
    }

    fn block(&mut self, block: Result<Block, DataError>) -> (u64, Result<Vec<Raw>, DataError>) {
        let block = match block {
            Ok(block) => block,
            Err(err) => return (u64::MAX, Err(err)),
        };
        let shape = if self.kind.uses_masks() { Key::Segmentation } else { Key::Bbox };
        let keys = [Key::Id, Key::ImageId, Key::CategoryId, Key::Area, Key::IsCrowd, shape];
        let mut record = std::mem::take(&mut self.record);
        let mut objects = Vec::new();
        let mut name = String::new();
        let read = each_record(&block.text, &keys, &mut record, |_, record| {
            let object = self.annotation(record);
            if object.is_err() {
                let id = record.id.as_ref().map(|id| format!("id {id}, ")).unwrap_or_default();
                let image = record.image.as_ref().map(|id| format!("image {id}")).unwrap_or_default();
                name = format!("{id}{image}");
            }
            objects.push(object?);
            Ok(())
        });
        self.record = record;
        let read = read.map_err(|(index, mut wrong)| {
            if !name.is_empty() {
                wrong.reason = format!("{name}: {}", wrong.reason);
            }
            wrong_record(self.path, "annotation", &block, index, &wrong)
        });
        (block.offset, read.map(|()| objects))
    }

    fn annotation(&mut self, record: &mut Record) -> Result<Raw, Wrong> {
        let id = number_id(record)?;
        let category = record.category.ok_or_else(|| missing(record, "category_id"))?;
        let category = self.head.categories.binary_search_by_key(&category, |(id, _)| *id).ok();
        let image = record.image.as_ref().ok_or_else(|| missing(record, "image_id"))?;
        let image = self.head.places.get(image).copied();
        let (Some(image), Some(category)) = (image, category) else {
            return Ok(Raw { id, image: None, object: None, elsewhere: false, odd_box: false });
        };
        let area = record.area.ok_or_else(|| missing(record, "area"))?;
        let mut by_mask = area;
        let region = if self.kind.uses_masks() {
            let size = self.head.sizes.get(image as usize).copied().flatten();
            record.draw(size, &mut self.spans)?;
            by_mask = f64::from(self.spans.area());
            StoredRegion::Mask(PackedMask::new(&self.comparer.truth(&self.spans)))
        } else {
            match record.bbox {
                Bbox::Box(bbox) => StoredRegion::Box(bbox),
                Bbox::Absent | Bbox::Empty => return Err(missing(record, "bbox")),
            }
        };
        let flags = TruthFlags::new(id, record.crowd, area);
        let elsewhere = !record.crowd && outside(by_mask) != outside(area);
        let odd_box = matches!(region, StoredRegion::Box(bbox) if is_odd(bbox));
        let object = Some(Object { image, category: category as u32, flags, region, order: 0 });
        Ok(Raw { id, image: Some(image), object, elsewhere, odd_box })
    }
}

fn missing(record: &Record, key: &str) -> Wrong {
    Wrong::new(record.at, format!("expected a `{key}`, got none"))
}

fn number_id(record: &Record) -> Result<i64, Wrong> {
    match &record.id {
        Some(ImageId::Number(id)) => Ok(*id),
        Some(ImageId::Text(_)) => Err(Wrong::new(record.at, "`id`: expected a whole number, got text")),
        None => Err(missing(record, "id")),
    }
}
