//! Annotation files read with a blind eye: what is wrong with a record is written down, the rest goes on.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::annotation_file::{Annotation, reason};
use super::super::listing::Folders;
use super::super::record::{ImageRecord, RecordId};
use super::report::{Findings, Kind};
use crate::coco::Category;

/// A record, or why it is none.
pub(super) enum Loose<T> {
    Good(T),
    Bad { number: usize, place: u64, reason: String },
}

impl<T: Annotation> Annotation for Loose<T> {
    fn read(text: &str, number: usize, place: u64) -> serde_json::Result<Self> {
        Ok(match T::read(text, number, place) {
            Ok(record) => Self::Good(record),
            Err(error) => Self::Bad { number, place, reason: reason(&error) },
        })
    }
}

impl<T> Loose<T> {
    /// The record; a bad one is written down under the name of its kind.
    pub(super) fn or_tell(self, what: &str, findings: &mut Findings) -> Option<T> {
        match self {
            Self::Good(record) => Some(record),
            Self::Bad { number, place, reason } => {
                findings.add(Kind::MalformedRecord, format!("{what} {number} (byte {place}): {reason}"));
                None
            }
        }
    }
}

/// An image of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: RecordId,
    pub(super) path: PathBuf,
    /// Height and width as listed.
    pub(super) size: [u32; 2],
    /// Whether the file is there.
    pub(super) exists: bool,
    /// Whether the list alone has an error about it.
    pub(super) is_bad: bool,
}

/// Images and categories of a file.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) images: Vec<Listed>,
    /// In ascending order of their ids, none twice.
    pub(super) categories: Vec<Category>,
    places: HashMap<RecordId, u32>,
}

impl Tables {
    /// Takes the lists as they were read; images lie below `folder`.
    pub(super) fn new(
        folder: &Path,
        images: Vec<Loose<ImageRecord>>,
        mut categories: Vec<Category>,
        findings: &mut Findings,
    ) -> Self {
        categories.sort_by_key(|category| category.id);
        categories.dedup_by(|second, first| {
            let twice = second.id == first.id;
            if twice {
                let text = format!(
                    "category {}: both {:?} and {:?} have this id",
                    first.id, first.name, second.name
                );
                findings.add(Kind::DuplicateId, text);
            }
            twice
        });
        let mut tables = Self { images: Vec::new(), categories, places: HashMap::new() };
        let (mut folders, mut names) = (Folders::default(), HashSet::new());
        for image in images {
            let Some(ImageRecord { id, file_name, height, width }) = image.or_tell("image", findings) else {
                continue;
            };
            if tables.places.contains_key(&id) {
                findings.add(Kind::DuplicateId, format!("image {id}: expected an id once, got it twice"));
                continue;
            }
            if !names.insert(file_name.clone()) {
                let text = format!("image {id}: {file_name:?} is the file of an earlier image too");
                findings.add(Kind::RepeatedImage, text);
            }
            let is_bad = height == 0 || width == 0;
            if is_bad {
                let text = format!("image {id}: expected at least one pixel, got {height}x{width} (HxW)");
                findings.add(Kind::SizeDiffers, text);
            }
            let exists = folders.contain(folder, &file_name);
            let path = folder.join(&*file_name);
            if !exists {
                findings.add(Kind::MissingFile, format!("{} (image {id})", path.display()));
            }
            tables.places.insert(id.clone(), tables.images.len() as u32);
            tables.images.push(Listed { id, path, size: [height, width], exists, is_bad });
        }
        tables
    }

    /// Position of an image.
    pub(super) fn image(&self, id: &RecordId) -> Option<usize> {
        self.places.get(id).map(|&at| at as usize)
    }

    /// Position of a category.
    pub(super) fn class(&self, id: u32) -> Option<u16> {
        let at = self.categories.binary_search_by_key(&id, |category| category.id).ok()?;
        u16::try_from(at).ok()
    }
}

/// Things that belong to images, those of an image side by side.
#[derive(Debug)]
pub(super) struct Grouped<T> {
    things: Vec<T>,
    /// Where those of each image end.
    ends: Vec<usize>,
}

impl<T> Grouped<T> {
    /// Takes things with the position of their image, in any order; those of an image keep theirs.
    pub(super) fn new(mut things: Vec<(usize, T)>, images: usize) -> Self {
        things.sort_by_key(|(image, _)| *image);
        let ends = (0..images).map(|image| things.partition_point(|(of, _)| *of <= image)).collect();
        Self { things: things.into_iter().map(|(_, thing)| thing).collect(), ends }
    }

    /// Those of image `i`.
    pub(super) fn of(&self, i: usize) -> &[T] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.things[start..self.ends[i]]
    }
}
