//! Reads a COCO annotation file into [`GroundTruth`]: twice from the disk, as polygons need the size of their image and
//! `annotations` may come before `images`, and a third time if ids are repeated, but never the whole of it into memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use smalti_datasets::DataError;
use smalti_datasets::json_blocks::{Block, JsonBlocks};
use smalti_datasets::rle::Spans;

use super::matching::TruthFlags;
use super::oddities::Oddities;
use super::overlap::{Comparer, Shape};
use super::packed::pack;
use super::params::{ImageId, IouType, outside};
use super::record::{Bbox, Key, Record, Wrong, check_value, each_record};
use super::results::is_odd;
use super::sorter::{Batch, Sorter};
use super::truth::{GroundTruth, Head, Tally};
use super::truth_store::{TruthStore, key};
use crate::EvalError;

/// Bytes of objects that may stay in memory: a set of the size of COCO's validation set needs 10 MiB.
pub(super) const ROOM: usize = 12 << 20;

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
        Self::read(path, kind, SameId::Last, ROOM)
    }

    /// Reads an annotation file whose annotations may share ids. Holds no more than `room` bytes of objects.
    pub(super) fn read(path: &Path, kind: IouType, same_id: SameId, room: usize) -> Result<Self, EvalError> {
        let head = read_head(path)?;
        let mut pass = Pass::new(path, kind, &head, room);
        let mut found = pass.run()?;
        if same_id == SameId::Last {
            let repeated = repeated(std::mem::take(&mut found.ids));
            if !repeated.is_empty() {
                pass = Pass { repeated, ..Pass::new(path, kind, &head, room) };
                found = pass.run()?;
                found.last_of_each_id(&pass)?;
            }
        }
        let sorter = pass.sorter.into_inner().unwrap_or_else(PoisonError::into_inner);
        let store = TruthStore::new(sorter.finish()?, head.images.len())?;
        let mut oddities = found.oddities;
        oddities.add(&head.oddities);
        Ok(Self::new(kind, Head { oddities, ..head }, store, found.tally))
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

/// The ids that occur more than once, ascending.
fn repeated(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    let again = ids.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
    again.map(|same| same[0]).collect()
}

/// One reading of the annotations.
struct Pass<'a> {
    path: &'a Path,
    kind: IouType,
    head: &'a Head,
    /// Ids whose annotations are held back, see [`Found::last_of_each_id`].
    repeated: Vec<i64>,
    sorter: Mutex<Sorter>,
}

/// What is known of annotations besides their records.
#[derive(Default)]
struct Found {
    ids: Vec<i64>,
    tally: Tally,
    oddities: Oddities,
    held_back: Vec<Annotation>,
    /// The error that stands first in the file, and where its block begins.
    failed: Option<(u64, DataError)>,
}

/// One annotation.
struct Annotation {
    id: i64,
    /// Byte of the file at which it starts.
    place: u64,
    /// Nothing if its image or category is not listed.
    object: Option<Object>,
}

struct Object {
    image: u32,
    category: u32,
    flags: TruthFlags,
    shape: Shape,
    /// Its `area` puts it into other ranges than its mask would.
    elsewhere: bool,
}

impl<'a> Pass<'a> {
    fn new(path: &'a Path, kind: IouType, head: &'a Head, room: usize) -> Self {
        Self { path, kind, head, repeated: Vec::new(), sorter: Mutex::new(Sorter::new(room)) }
    }

    fn run(&self) -> Result<Found, DataError> {
        let found = JsonBlocks::open(self.path)?
            .filter(|block| block.as_ref().map_or(true, |b| b.member.as_deref() == Some("annotations")))
            .par_bridge()
            .fold(
                || (Reader::new(self), Found::default()),
                |(mut reader, mut found), block| {
                    match block {
                        Ok(block) => reader.block(&block, &mut found),
                        Err(err) => found.fail(u64::MAX, err),
                    }
                    (reader, found)
                },
            )
            .map(|(_, found)| found)
            .reduce(Found::default, Found::merge);
        match found.failed {
            Some((_, err)) => Err(err),
            None => Ok(found),
        }
    }

    fn take(&self, batch: &mut Batch) -> Result<(), DataError> {
        self.sorter.lock().unwrap_or_else(PoisonError::into_inner).add(batch)
    }
}

impl Found {
    /// Blocks are finished in any order, but all before a wrong one are.
    fn fail(&mut self, place: u64, err: DataError) {
        if self.failed.as_ref().is_none_or(|(first, _)| place < *first) {
            self.failed = Some((place, err));
        }
    }

    fn merge(mut self, mut other: Self) -> Self {
        self.ids.append(&mut other.ids);
        self.held_back.append(&mut other.held_back);
        self.tally.merge(&other.tally);
        self.oddities.add(&other.oddities);
        if let Some((place, err)) = other.failed {
            self.fail(place, err);
        }
        self
    }

    /// Takes an annotation, unless its id is one of those that are held back.
    fn annotation(&mut self, annotation: Annotation, held_back: &[i64], batch: &mut Batch) {
        self.ids.push(annotation.id);
        if held_back.binary_search(&annotation.id).is_ok() {
            self.held_back.push(annotation);
        } else if let Some(object) = &annotation.object {
            self.oddities.areas_elsewhere += u64::from(object.elsewhere);
            self.object(object, object.image, annotation.place, batch);
        }
    }

    /// Takes an object that the file lists under an image, which is mostly its own.
    fn object(&mut self, object: &Object, listed_under: u32, place: u64, batch: &mut Batch) {
        let &Object { image, category, flags, ref shape, .. } = object;
        self.tally.add(category, flags);
        self.oddities.zero_ids += u64::from(flags.zero_id);
        batch.push(key(image, category, listed_under, place), |out| pack(flags, shape, out));
    }

    /// The reference looks annotations up by id, and so finds the last of those with the same id for each of them.
    fn last_of_each_id(&mut self, pass: &Pass<'_>) -> Result<(), DataError> {
        let mut held_back = std::mem::take(&mut self.held_back);
        held_back.sort_unstable_by_key(|annotation| (annotation.id, annotation.place));
        let mut batch = Batch::default();
        for same in held_back.chunk_by(|a, b| a.id == b.id) {
            self.oddities.repeated_ids += same.len() as u64 - 1;
            let Some(Annotation { object: Some(last), .. }) = same.last() else { continue };
            self.oddities.areas_elsewhere += u64::from(last.elsewhere);
            for annotation in same {
                let Some(Object { image, .. }) = annotation.object else { continue };
                self.object(last, image, annotation.place, &mut batch);
                if batch.is_full() {
                    pass.take(&mut batch)?;
                }
            }
        }
        pass.take(&mut batch)
    }
}

/// Reads blocks; keeps its buffers.
struct Reader<'p, 'a> {
    pass: &'p Pass<'a>,
    record: Record,
    spans: Spans,
    comparer: Comparer,
    batch: Batch,
}

impl<'p, 'a> Reader<'p, 'a> {
    fn new(pass: &'p Pass<'a>) -> Self {
        let (record, spans, batch) = (Record::default(), Spans::new(), Batch::default());
        Self { pass, record, spans, comparer: Comparer::new(pass.kind), batch }
    }

    fn block(&mut self, block: &Block, found: &mut Found) {
        let pass = self.pass;
        let shape = if pass.kind.uses_masks() { Key::Segmentation } else { Key::Bbox };
        let keys = [Key::Id, Key::ImageId, Key::CategoryId, Key::Area, Key::IsCrowd, shape];
        let mut record = std::mem::take(&mut self.record);
        let mut batch = std::mem::take(&mut self.batch);
        let mut stored = Ok(());
        let mut name = String::new();
        let read = each_record(&block.text, &keys, &mut record, |_, record| {
            let annotation = self.annotation(record, block.offset, &mut found.oddities);
            if annotation.is_err() {
                let id = record.id.as_ref().map(|id| format!("id {id}, ")).unwrap_or_default();
                let image = record.image.as_ref().map(|id| format!("image {id}")).unwrap_or_default();
                name = format!("{id}{image}");
            }
            found.annotation(annotation?, &pass.repeated, &mut batch);
            if batch.is_full() && stored.is_ok() {
                stored = pass.take(&mut batch);
            }
            Ok(())
        });
        self.record = record;
        let read = read.map_err(|(index, mut wrong)| {
            if !name.is_empty() {
                wrong.reason = format!("{name}: {}", wrong.reason);
            }
            wrong_record(pass.path, "annotation", block, index, &wrong)
        });
        if let Err(err) = read.and(stored).and_then(|()| pass.take(&mut batch)) {
            found.fail(block.offset, err);
        }
        self.batch = batch;
    }

    fn annotation(
        &mut self,
        record: &mut Record,
        offset: u64,
        oddities: &mut Oddities,
    ) -> Result<Annotation, Wrong> {
        let Pass { kind, head, .. } = *self.pass;
        let id = number_id(record)?;
        let place = offset + record.at as u64;
        let category = record.category.ok_or_else(|| missing(record, "category_id"))?;
        let category = head.categories.binary_search_by_key(&category, |(id, _)| *id).ok();
        let image = record.image.as_ref().ok_or_else(|| missing(record, "image_id"))?;
        let image = head.places.get(image).copied();
        let (Some(image), Some(category)) = (image, category) else {
            oddities.stray_truths += 1;
            return Ok(Annotation { id, place, object: None });
        };
        let area = record.area.ok_or_else(|| missing(record, "area"))?;
        let mut by_mask = area;
        let shape = if kind.uses_masks() {
            let size = head.sizes.get(image as usize).copied().flatten();
            record.draw(size, &mut self.spans)?;
            by_mask = f64::from(self.spans.area());
            Shape::Mask(self.comparer.truth(&self.spans))
        } else {
            match record.bbox {
                Bbox::Box(bbox) => Shape::Box(bbox),
                Bbox::Absent | Bbox::Empty => return Err(missing(record, "bbox")),
            }
        };
        oddities.odd_boxes += u64::from(matches!(shape, Shape::Box(bbox) if is_odd(bbox)));
        let flags = TruthFlags::new(id, record.crowd, area);
        let elsewhere = !record.crowd && outside(by_mask) != outside(area);
        let category = category as u32;
        Ok(Annotation { id, place, object: Some(Object { image, category, flags, shape, elsewhere }) })
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
