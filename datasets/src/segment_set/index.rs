//! What of an annotation file stays in memory: names, sizes, classes, and where each mask stands.
//!
//! Objects lie in one list, those of an image side by side. Polygons and run lengths stay in the annotation file, of which
//! the operating system keeps one copy for all processes of a machine.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::record::{ImageRecord, RecordId};
use crate::coco::Category;
use crate::error::DataError;

/// The images of an annotation file with their objects of kind `T`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Index<T> {
    /// In ascending order of their ids, none twice.
    pub(super) categories: Vec<Category>,
    /// In the order of the file.
    pub(super) images: Vec<ImageEntry>,
    /// Of the first image, then of the second, and so on.
    pub(super) objects: Vec<T>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageEntry {
    pub(super) id: RecordId,
    /// Name below the image folder.
    pub(super) file_name: Box<str>,
    /// Height and width as listed.
    pub(super) size: [u32; 2],
    /// Name of the panoptic PNG below its folder; empty in instance sets.
    pub(super) png: Box<str>,
    /// End of the image's objects in [`Index::objects`]; they start where those of the image before end.
    pub(super) end: u32,
}

/// An object of an image.
pub(super) trait Object {
    /// Position in [`Index::categories`].
    fn class(&self) -> u16;
}

/// An instance, and where its record stands in the annotation file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instance {
    /// First byte of the record.
    pub(super) place: u64,
    /// Bytes of it.
    pub(super) length: u32,
    pub(super) class: u16,
    pub(super) crowd: bool,
}

/// A segment of a panoptic PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Value in the PNG, not 0.
    pub(super) id: u32,
    /// Pixels as the annotations state them, or [`NO_AREA`].
    pub(super) area: u64,
    pub(super) class: u16,
    pub(super) crowd: bool,
}

/// The area of a segment whose annotation states none, or none that is a number of pixels.
pub(super) const NO_AREA: u64 = u64::MAX;

impl Object for Instance {
    fn class(&self) -> u16 {
        self.class
    }
}

impl Object for Segment {
    fn class(&self) -> u16 {
        self.class
    }
}

impl<T> Index<T> {
    /// The objects of image `i`.
    pub(super) fn objects(&self, i: usize) -> &[T] {
        &self.objects[self.range(i)]
    }

    fn range(&self, i: usize) -> Range<usize> {
        let start = i.checked_sub(1).map_or(0, |before| self.images[before].end);
        start as usize..self.images[i].end as usize
    }
}

/// Images and categories of a file that is being read, to look up what annotations refer to.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    path: &'a Path,
    categories: Vec<Category>,
    /// Annotations may have something to fill in.
    pub(super) images: Vec<ImageEntry>,
    places: HashMap<RecordId, u32>,
}

impl<'a> Tables<'a> {
    /// Takes the lists as they were read from `path`.
    ///
    /// # Errors
    /// [`DataError::Record`] if an id stands there twice, or an image has no pixels.
    pub(super) fn new(
        path: &'a Path,
        images: Vec<ImageRecord>,
        mut categories: Vec<Category>,
    ) -> Result<Self, DataError> {
        categories.sort_by_key(|category| category.id);
        if let Some(pair) = categories.windows(2).find(|pair| pair[0].id == pair[1].id) {
            let record = format!("category {} {:?}", pair[1].id, pair[1].name);
            return Err(DataError::record(path, record, "expected an id once, got it twice"));
        }
        let mut tables = Self { path, categories, images: Vec::new(), places: HashMap::new() };
        tables.images.reserve_exact(images.len());
        tables.places.reserve(images.len());
        for (position, ImageRecord { id, file_name, height, width }) in (0u32..).zip(images) {
            let wrong = |reason: String| DataError::record(path, format!("image {id}"), reason);
            if height == 0 || width == 0 {
                return Err(wrong(format!("expected at least one pixel, got {height}x{width} (HxW)")));
            }
            if tables.places.insert(id.clone(), position).is_some() {
                return Err(wrong("expected an id once in `images`, got it twice".into()));
            }
            let size = [height, width];
            tables.images.push(ImageEntry { id, file_name, size, png: "".into(), end: 0 });
        }
        Ok(tables)
    }

    /// Position of an image.
    pub(super) fn image(&self, id: &RecordId) -> Result<u32, String> {
        self.places.get(id).copied().ok_or_else(|| {
            format!("expected an `image_id` of the {} in `images`, got {id}", self.images.len())
        })
    }

    /// Position of a category.
    pub(super) fn class(&self, id: u32) -> Result<u16, String> {
        let found = self.categories.binary_search_by_key(&id, |category| category.id).ok();
        found.and_then(|position| u16::try_from(position).ok()).ok_or_else(|| {
            format!("expected a `category_id` of the {} in `categories`, got {id}", self.categories.len())
        })
    }

    /// The category of a class.
    pub(super) fn category(&self, class: u16) -> Option<&Category> {
        self.categories.get(usize::from(class))
    }

    /// The index of objects that are given with the positions of their images; those of one image keep their order.
    ///
    /// # Errors
    /// [`DataError::Record`] if there are 2^32 objects or more.
    pub(super) fn index<T>(self, mut objects: Vec<(u32, T)>) -> Result<Index<T>, DataError> {
        let Self { path, categories, mut images, .. } = self;
        if u32::try_from(objects.len()).is_err() {
            let got = objects.len();
            let reason = format!("expected fewer than 2^32 objects, got {got}");
            return Err(DataError::record(path, "the whole file", reason));
        }
        objects.sort_by_key(|(image, _)| *image);
        let mut end = 0;
        for (position, image) in (0u32..).zip(&mut images) {
            end += objects[end..].partition_point(|(of, _)| *of <= position);
            image.end = end as u32;
        }
        Ok(Index { categories, images, objects: objects.into_iter().map(|(_, object)| object).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: i64) -> ImageRecord {
        ImageRecord { id: RecordId::Number(id), file_name: format!("{id}.jpg").into(), height: 2, width: 3 }
    }

    fn category(id: u32) -> Category {
        Category { id, name: format!("c{id}"), supercategory: String::new(), isthing: None, color: None }
    }

    #[test]
    fn objects_are_grouped_by_image_in_their_order() {
        let path = Path::new("a.json");
        let tables =
            Tables::new(path, vec![image(9), image(4), image(7)], vec![category(5), category(2)]).unwrap();
        assert_eq!((tables.class(2), tables.class(5)), (Ok(0), Ok(1)));
        assert_eq!(tables.class(3).unwrap_err(), "expected a `category_id` of the 2 in `categories`, got 3");
        assert_eq!(tables.image(&RecordId::Number(7)), Ok(2));
        let text = tables.image(&RecordId::Text("7".into())).unwrap_err();
        assert_eq!(text, "expected an `image_id` of the 3 in `images`, got \"7\"");
        let index = tables.index(vec![(2, 'a'), (0, 'b'), (2, 'c'), (0, 'd'), (2, 'e')]).unwrap();
        assert_eq!(index.objects(0), ['b', 'd']);
        assert_eq!((index.objects(1), index.objects(2)), (&[][..], &['a', 'c', 'e'][..]));
    }

    #[test]
    fn ids_stand_there_once() {
        let error = |images, categories| {
            Tables::new(Path::new("a.json"), images, categories).unwrap_err().to_string()
        };
        let twice = error(vec![image(9), image(4), image(9)], vec![]);
        assert_eq!(twice, "a.json: image 9: expected an id once in `images`, got it twice");
        let twice = error(vec![], vec![category(5), category(2), category(5)]);
        assert_eq!(twice, "a.json: category 5 \"c5\": expected an id once, got it twice");
        let empty = error(vec![ImageRecord { height: 0, ..image(1) }], vec![]);
        assert_eq!(empty, "a.json: image 1: expected at least one pixel, got 0x3 (HxW)");
    }
}
