//! Ground truth, indexed by image.

use std::collections::HashMap;

use smalti_datasets::DataError;

use super::image_truth::ImageTruth;
use super::matching::TruthFlags;
use super::oddities::Oddities;
use super::params::{AREAS, ImageId, IouType};
use super::truth_store::TruthStore;

/// The ground truth of a set. Of an image some 100 bytes are in memory; its objects, masks as compressed runs, are as long
/// as those of all images come to less than 24 MiB, and else in a temporary file.
#[derive(Debug)]
pub struct GroundTruth {
    pub(super) kind: IouType,
    /// Ids, ascending.
    pub(super) images: Vec<ImageId>,
    pub(super) places: HashMap<ImageId, u32>,
    /// For each image: how many are listed before it.
    pub(super) listed: Vec<u32>,
    /// Height and width of each image, where they are known.
    pub(super) sizes: Vec<Option<[u32; 2]>>,
    /// Ids and names, by ascending id.
    pub(super) categories: Vec<(i64, String)>,
    pub(super) store: TruthStore,
    pub(super) tally: Tally,
    pub(super) oddities: Oddities,
}

/// What a set consists of, before there are objects.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) images: Vec<ImageId>,
    pub(super) places: HashMap<ImageId, u32>,
    pub(super) listed: Vec<u32>,
    pub(super) sizes: Vec<Option<[u32; 2]>>,
    pub(super) categories: Vec<(i64, String)>,
    pub(super) oddities: Oddities,
}

/// How many objects there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) objects: usize,
    /// For each category: how many count in each area range.
    pub(super) counting: Vec<[u64; AREAS]>,
}

/// For each category and image with objects of it: how many count in each area range.
pub(super) type Counts = Vec<Vec<(u32, [u32; AREAS])>>;

impl GroundTruth {
    pub(super) fn new(kind: IouType, head: Head, store: TruthStore, tally: Tally) -> Self {
        let Head { images, places, listed, sizes, categories, oddities } = head;
        Self { kind, images, places, listed, sizes, categories, store, tally, oddities }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Number of objects.
    pub fn objects(&self) -> usize {
        self.tally.objects
    }

    /// What is compared.
    pub fn iou_type(&self) -> IouType {
        self.kind
    }

    /// Name of a category.
    pub fn name(&self, id: i64) -> Option<&str> {
        let place = self.categories.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.categories[place].1)
    }

    /// Place of a category.
    pub(super) fn category(&self, id: i64) -> Option<u32> {
        self.categories.binary_search_by_key(&id, |(id, _)| *id).ok().map(|place| place as u32)
    }

    /// What counts in each image.
    ///
    /// # Errors
    /// [`DataError::Io`] of a temporary file.
    pub(super) fn counts(&self) -> Result<Counts, DataError> {
        let mut counts = vec![Vec::new(); self.categories.len()];
        let mut near = ImageTruth::default();
        for image in 0..self.images.len() as u32 {
            near.load(self, image)?;
            for group in near.objects().chunk_by(|a, b| a.category == b.category) {
                let of_image = counted(group.iter().map(|object| object.flags));
                counts[group[0].category as usize].push((image, of_image));
            }
        }
        Ok(counts)
    }
}

impl Tally {
    pub(super) fn add(&mut self, category: u32, flags: TruthFlags) {
        let category = category as usize;
        if self.counting.len() <= category {
            self.counting.resize(category + 1, [0; AREAS]);
        }
        self.objects += 1;
        let one = counted(std::iter::once(flags));
        self.counting[category].iter_mut().zip(one).for_each(|(sum, n)| *sum += u64::from(n));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let categories = self.counting.len().max(other.counting.len());
        self.counting.resize(categories, [0; AREAS]);
        self.objects += other.objects;
        for (sums, counts) in self.counting.iter_mut().zip(&other.counting) {
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        }
    }
}

/// How many objects count in each area range.
pub(super) fn counted(flags: impl Iterator<Item = TruthFlags>) -> [u32; AREAS] {
    let mut counts = [0; AREAS];
    for flags in flags {
        for (area, count) in counts.iter_mut().enumerate() {
            *count += u32::from(flags.ignored >> area & 1 == 0);
        }
    }
    counts
}
