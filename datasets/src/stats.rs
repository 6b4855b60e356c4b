//! Statistics of a set: how frequent the classes are, how large the images, which mean and spread the pixels have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::histogram;
use crate::sample::{IGNORE, Image, Sample};
use crate::{DataError, SemanticSet, each_image};

/// Statistics of one split, over labels as mapped to classes. Counts are exact; order and threads change nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetStats {
    /// Images read.
    pub images: u64,
    /// Pixels in all.
    pub pixels: u64,
    /// Pixels that count neither in the loss nor in a score.
    pub ignored_pixels: u64,
    /// One entry a class, in order of the ids.
    pub classes: Vec<ClassStats>,
    /// Image sizes, most frequent first.
    pub sizes: Vec<SizeCount>,
    /// Mean of red, green and blue over all pixels, 0..255.
    pub mean: [f64; 3],
    /// Standard deviation of red, green and blue over all pixels, 0..255.
    pub std: [f64; 3],
}

/// How often a class occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassStats {
    /// Name of the class.
    pub name: String,
    /// Its pixels.
    pub pixels: u64,
    /// Images in which it occurs.
    pub images: u64,
    /// Its share of the labelled pixels, 0 to 1; 0 if there are none.
    pub share: f64,
}

/// How many images have a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeCount {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Images of this size.
    pub images: u64,
}

impl SizeCount {
    /// Sizes (height, width) with their images, most frequent first; of equal ones the smaller.
    pub(crate) fn by_frequency(sizes: &BTreeMap<(usize, usize), u64>) -> Vec<Self> {
        let mut list: Vec<Self> =
            sizes.iter().map(|(&(height, width), &images)| Self { height, width, images }).collect();
        list.sort_by_key(|size| std::cmp::Reverse(size.images)); // stable
        list
    }
}

/// Sums over some images.
#[derive(Clone)]
struct Sums {
    images: u64,
    class_pixels: [u64; 256],
    class_images: [u64; 256],
    sizes: BTreeMap<(usize, usize), u64>,
    channels: ChannelSums,
}

/// Sums over the pixels of images.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChannelSums {
    pixels: u64,
    /// Sums of values and of squares by channel; 2^48 pixels fit.
    values: [u64; 3],
    squares: [u64; 3],
}

impl ChannelSums {
    pub(crate) fn add(&mut self, image: &Image) {
        let (values, squares) = channel_sums(image);
        let pixels = (image.dim().0 * image.dim().1) as u64;
        self.merge(&Self { pixels, values, squares });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for c in 0..3 {
            self.values[c] += other.values[c];
            self.squares[c] += other.squares[c];
        }
    }

    pub(crate) fn pixels(&self) -> u64 {
        self.pixels
    }

    /// Mean and standard deviation of red, green and blue; 0 if there is no pixel.
    pub(crate) fn mean_and_std(&self) -> ([f64; 3], [f64; 3]) {
        let n = self.pixels.max(1);
        let mean = self.values.map(|sum| sum as f64 / n as f64);
        // n * sum(v^2) - sum(v)^2 is exact in 128 bits; the usual difference of floats is not.
        let std = std::array::from_fn(|c| {
            let (sum, squares, n) = (u128::from(self.values[c]), u128::from(self.squares[c]), u128::from(n));
            ((n * squares - sum * sum) as f64).sqrt() / n as f64
        });
        (mean, std)
    }
}

/// Reads the whole set in parallel. `progress` is called after each image, from any thread.
///
/// # Errors
/// The first image, in order of the set, that cannot be read.
pub fn stats(set: &SemanticSet, progress: &(dyn Fn() + Sync)) -> Result<SetStats, DataError> {
    type Read = (Sums, Option<DataError>);
    let add = |(sums, failed): &mut Read, i: usize| {
        match set.load(i) {
            Ok(sample) => sums.add(&sample),
            Err(error) => _ = failed.get_or_insert(error),
        }
        progress();
    };
    let merge = |(sums, failed): &mut Read, behind: Read| {
        sums.merge(&behind.0);
        *failed = failed.take().or(behind.1);
    };
    let (sums, failed) = each_image::add_up(set.len(), || (Sums::new(), None), add, merge);
    failed.map_or_else(|| Ok(sums.finish(set)), Err)
}

impl Sums {
    fn new() -> Self {
        Self {
            images: 0,
            class_pixels: [0; 256],
            class_images: [0; 256],
            sizes: BTreeMap::new(),
            channels: ChannelSums::default(),
        }
    }

    fn add(&mut self, sample: &Sample) {
        self.images += 1;
        *self.sizes.entry(sample.labels.dim()).or_insert(0) += 1;
        for (class, count) in histogram(&sample.labels).into_iter().enumerate() {
            self.class_pixels[class] += count;
            self.class_images[class] += u64::from(count > 0);
        }
        self.channels.add(&sample.image);
    }

    fn merge(&mut self, other: &Self) {
        self.images += other.images;
        for i in 0..256 {
            self.class_pixels[i] += other.class_pixels[i];
            self.class_images[i] += other.class_images[i];
        }
        for (size, count) in &other.sizes {
            *self.sizes.entry(*size).or_insert(0) += count;
        }
        self.channels.merge(&other.channels);
    }

    fn finish(self, set: &SemanticSet) -> SetStats {
        let pixels: u64 = self.class_pixels.iter().sum();
        let ignored_pixels = self.class_pixels[usize::from(IGNORE)];
        let labelled = (pixels - ignored_pixels).max(1) as f64;
        let class = |(id, name): (usize, &str)| ClassStats {
            name: name.to_owned(),
            pixels: self.class_pixels[id],
            images: self.class_images[id],
            share: self.class_pixels[id] as f64 / labelled,
        };
        let (mean, std) = self.channels.mean_and_std();
        SetStats {
            images: self.images,
            pixels,
            ignored_pixels,
            classes: set.classes().names().enumerate().map(class).collect(),
            sizes: SizeCount::by_frequency(&self.sizes),
            mean,
            std,
        }
    }
}

fn channel_sums(image: &Image) -> ([u64; 3], [u64; 3]) {
    let (mut values, mut squares) = ([0u64; 3], [0u64; 3]);
    for row in image.outer_iter() {
        let row = row.as_standard_layout();
        // A row's sums fit 32 bits up to 66,000 pixels; chunks keep wider rows safe too.
        for chunk in row.as_slice().unwrap_or_default().as_chunks::<3>().0.chunks(1 << 15) {
            let (mut v, mut s) = ([0u32; 3], [0u32; 3]);
            for pixel in chunk {
                for c in 0..3 {
                    let value = u32::from(pixel[c]);
                    v[c] += value;
                    s[c] += value * value;
                }
            }
            for c in 0..3 {
                values[c] += u64::from(v[c]);
                squares[c] += u64::from(s[c]);
            }
        }
    }
    (values, squares)
}
