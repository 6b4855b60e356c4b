//! COCO instance files: the index of one, and the masks of an image, read from where the index says they stand.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::annotation_file::{Annotation, AnnotationFile, reason};
use super::evaluation::StatedSegment;
use super::index::{ImageEntry, Index, Instance, Tables};
use super::record::{InstanceRecord, RecordId};
use crate::coco::Segmentation;
use crate::error::DataError;
use crate::polygon;
use crate::rle::Rle;

/// What is read of an annotation before all images and categories are known.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: usize,
    pub(super) id: RecordId,
    pub(super) image: RecordId,
    pub(super) category: u32,
    pub(super) crowd: bool,
    pub(super) place: u64,
    pub(super) length: u32,
}

impl Annotation for Found {
    fn read(text: &str, number: usize, place: u64) -> serde_json::Result<Self> {
        let record: InstanceRecord<'_> = serde_json::from_str(text)?;
        record.check_form()?;
        let InstanceRecord { id, image_id: image, category_id: category, iscrowd: crowd, .. } = record;
        let length = u32::try_from(text.len()).map_err(serde::de::Error::custom)?;
        Ok(Self { number, id, image, category, crowd, place, length })
    }
}

impl Found {
    /// How messages call it.
    pub(super) fn name(&self) -> String {
        let Self { number, id, image, place, .. } = self;
        format!("annotation {number} (id {id}, image {image}, byte {place})")
    }
}

/// Indexes a file.
///
/// # Errors
/// [`DataError::Record`]: an id that stands there twice, an annotation of an image or a category that is not listed, and all
/// that [`AnnotationFile::read`] and [`Tables::new`] refuse.
pub(super) fn index(path: &Path) -> Result<Index<Instance>, DataError> {
    let AnnotationFile { images, categories, annotations } = AnnotationFile::<Found>::read(path)?;
    let tables = Tables::new(path, images, categories)?;
    check_ids(path, &annotations)?;
    let place_of = |found: &Found| -> Result<(u32, Instance), String> {
        let &Found { ref image, category, crowd, place, length, .. } = found;
        Ok((tables.image(image)?, Instance { place, length, class: tables.class(category)?, crowd }))
    };
    let mut objects = Vec::with_capacity(annotations.len());
    for found in annotations {
        objects.push(place_of(&found).map_err(|reason| DataError::record(path, found.name(), reason))?);
    }
    tables.index(objects)
}

fn check_ids(path: &Path, annotations: &[Found]) -> Result<(), DataError> {
    let mut order: Vec<u32> = (0..annotations.len() as u32).collect();
    order.sort_by_key(|&at| &annotations[at as usize].id);
    let same = |pair: &&[u32]| annotations[pair[0] as usize].id == annotations[pair[1] as usize].id;
    match order
        .windows(2)
        .filter(same)
        .map(|pair| &annotations[pair[1] as usize])
        .min_by_key(|found| found.number)
    {
        Some(second) => Err(DataError::record(path, second.name(), "expected an id once, got it twice")),
        None => Ok(()),
    }
}

/// An annotation file from which masks are read.
#[derive(Debug)]
pub(super) struct Masks {
    path: PathBuf,
    file: File,
}

impl Masks {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path, "opening"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The masks of image `i`, checked: those of run lengths have its size and cover it, polygons can be drawn.
    ///
    /// # Errors
    /// [`DataError::Record`] for a mask that is none or of another size, and where the file is not the one that was indexed.
    pub(super) fn read(&self, index: &Index<Instance>, i: usize) -> Result<Vec<Segmentation>, DataError> {
        self.each(index, i, |record, size| {
            record.mask().map_err(|error| reason(&error)).and_then(|mask| checked(mask, size))
        })
    }

    /// Ids and areas of the instances of image `i`.
    ///
    /// # Errors
    /// [`DataError::Record`] where the file is not the one that was indexed.
    pub(super) fn stated(&self, index: &Index<Instance>, i: usize) -> Result<Vec<StatedSegment>, DataError> {
        self.each(index, i, |record, _| Ok(StatedSegment { id: record.id.clone(), area: record.area }))
    }

    /// What `read` takes of each record of image `i`; it is given the image's size.
    fn each<T>(
        &self,
        index: &Index<Instance>,
        i: usize,
        read: impl Fn(&InstanceRecord<'_>, [u32; 2]) -> Result<T, String>,
    ) -> Result<Vec<T>, DataError> {
        let image = &index.images[i];
        let mut bytes = Vec::new();
        let one = |instance: &Instance| {
            bytes.resize(instance.length as usize, 0);
            self.file
                .read_exact_at(&mut bytes, instance.place)
                .map_err(DataError::io(&self.path, "reading a mask"))?;
            let category = index.categories[usize::from(instance.class)].id;
            record_of(&bytes, image, category)
                .and_then(|record| {
                    read(&record, image.size).map_err(|reason| (Some(record.id.clone()), reason))
                })
                .map_err(|(id, reason)| {
                    let id = id.map_or_else(String::new, |id| format!("id {id}, "));
                    let record = format!("annotation at byte {} ({id}image {})", instance.place, image.id);
                    DataError::record(&self.path, record, reason)
                })
        };
        index.objects(i).iter().map(one).collect()
    }
}

/// The record if it is of this image and category, else what is wrong with it and the id of it.
fn record_of<'a>(
    bytes: &'a [u8],
    image: &ImageEntry,
    category: u32,
) -> Result<InstanceRecord<'a>, (Option<RecordId>, String)> {
    let changed = |now: String| format!("the file has changed since it was opened: {now}");
    let record: InstanceRecord<'_> =
        serde_json::from_slice(bytes).map_err(|error| (None, changed(reason(&error))))?;
    if record.image_id != image.id {
        let now = format!("now of image {}", record.image_id);
        return Err((Some(record.id), changed(now)));
    }
    if record.category_id != category {
        let now = format!("now of category {}", record.category_id);
        return Err((Some(record.id), changed(now)));
    }
    Ok(record)
}

fn checked(mask: Segmentation, size: [u32; 2]) -> Result<Segmentation, String> {
    let in_words = |error: DataError| format!("`segmentation`: {error}");
    match &mask {
        Segmentation::Polygons(parts) => polygon::check_parts(parts).map_err(in_words)?,
        Segmentation::Compressed { size: got, .. } | Segmentation::Uncompressed { size: got, .. } => {
            if *got != size {
                let ([height, width], [expected_height, expected_width]) = (*got, size);
                return Err(format!(
                    "`segmentation`: expected a mask of {expected_height}x{expected_width} (HxW) as its image, got {height}x{width}"
                ));
            }
            let _: Rle = mask.to_rle(size).map_err(in_words)?;
        }
    }
    Ok(mask)
}
