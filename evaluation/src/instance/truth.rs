//! Ground truth, indexed by image and category.

use std::collections::HashMap;

use super::matching::TruthFlags;
use super::oddities::Oddities;
use super::packed::PackedMask;
use super::params::{AREAS, ImageId, IouType};

/// The ground truth of a set, in memory: masks as compressed runs, nothing decoded.
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
    /// By image, then category, then the order that decides between equal IoUs.
    objects: Vec<Object>,
    /// Category of each object, side by side: looked up for every detection.
    labels: Vec<u32>,
    /// For each image: its first object; and the end of the last.
    starts: Vec<usize>,
    pub(super) oddities: Oddities,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Place in [`GroundTruth::images`].
    pub(super) image: u32,
    /// Place in [`GroundTruth::categories`].
    pub(super) category: u32,
    pub(super) flags: TruthFlags,
    pub(super) region: StoredRegion,
    /// Place in the order in which objects were given; set by [`GroundTruth::new`].
    pub(super) order: u32,
}

/// Where an object is.
#[derive(Debug, Clone)]
pub(super) enum StoredRegion {
    /// `[x, y, width, height]` in pixels.
    Box([f64; 4]),
    Mask(PackedMask),
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

impl GroundTruth {
    /// `objects` in the order that decides between equal IoUs.
    pub(super) fn new(kind: IouType, head: Head, mut objects: Vec<Object>) -> Self {
        objects.iter_mut().zip(0..).for_each(|(object, order)| object.order = order);
        objects.sort_unstable_by_key(|object| (object.image, object.category, object.order));
        let starts = (0..=head.images.len() as u32)
            .map(|image| objects.partition_point(|object| object.image < image))
            .collect();
        let labels = objects.iter().map(|object| object.category).collect();
        let Head { images, places, listed, sizes, categories, oddities } = head;
        Self { kind, images, places, listed, sizes, categories, objects, labels, starts, oddities }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Number of objects.
    pub fn objects(&self) -> usize {
        self.objects.len()
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

    /// The objects of an image, by category.
    pub(super) fn of_image(&self, image: u32) -> &[Object] {
        let image = image as usize;
        match (self.starts.get(image), self.starts.get(image + 1)) {
            (Some(&first), Some(&end)) => &self.objects[first..end],
            _ => &[],
        }
    }

    /// The objects of an image and category.
    pub(super) fn group(&self, image: u32, category: u32) -> &[Object] {
        let image = image as usize;
        let (Some(&first), Some(&end)) = (self.starts.get(image), self.starts.get(image + 1)) else {
            return &[];
        };
        let labels = &self.labels[first..end];
        let start = labels.partition_point(|&label| label < category);
        let len = labels[start..].iter().take_while(|&&label| label == category).count();
        &self.objects[first + start..first + start + len]
    }

    /// For each category: how many objects of each image count in each area range.
    pub(super) fn counts(&self) -> Vec<Vec<(u32, [u32; AREAS])>> {
        let mut counts = vec![Vec::new(); self.categories.len()];
        for group in self.objects.chunk_by(|a, b| (a.image, a.category) == (b.image, b.category)) {
            let of_image = counted(group.iter().map(|object| object.flags));
            counts[group[0].category as usize].push((group[0].image, of_image));
        }
        counts
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
