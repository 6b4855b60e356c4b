//! Statistics of an instance or panoptic set: how frequent the classes are, how many objects an image has, how large they are.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{SegmentSet, SegmentTask};
use crate::DataError;
use crate::each_image::AT_A_TIME;
use crate::rle::Spans;
use crate::sample::{NO_SEGMENT, SegmentMasks, SegmentedSample};
use crate::stats::{ChannelSums, SizeCount};

/// COCO's limits between small, medium and large objects, in pixels.
const LIMITS: [u32; 2] = [32 * 32, 96 * 96];

/// Statistics of one split. Counts are exact; order and threads change nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentStats {
    /// What was counted.
    pub task: SegmentTask,
    /// Images read.
    pub images: u64,
    /// Images without an object.
    pub empty_images: u64,
    /// Pixels in all.
    pub pixels: u64,
    /// Pixels that belong to no object; of instance sets, where objects overlap, not counted: 0.
    pub void_pixels: u64,
    /// Objects or segments, crowds included.
    pub objects: u64,
    /// Groups that were not told apart.
    pub crowds: u64,
    /// One entry a class, in order of the ids.
    pub classes: Vec<SegmentClassStats>,
    /// Objects an image.
    pub objects_per_image: Spread,
    /// Pixels an object.
    pub areas: Spread,
    /// Objects below 32x32 pixels, below 96x96, and others.
    pub by_size: [u64; 3],
    /// Image sizes, most frequent first.
    pub sizes: Vec<SizeCount>,
    /// Mean of red, green and blue over all pixels, 0..255.
    pub mean: [f64; 3],
    /// Standard deviation of red, green and blue over all pixels, 0..255.
    pub std: [f64; 3],
}

/// How often a class occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentClassStats {
    /// Name of the class.
    pub name: String,
    /// Whether its objects are counted one by one.
    pub is_thing: bool,
    /// Its objects.
    pub objects: u64,
    /// Images with one.
    pub images: u64,
    /// Their pixels.
    pub pixels: u64,
    /// Their share of the pixels of all objects, 0 to 1; 0 if there are none.
    pub share: f64,
}

/// How whole numbers are spread; all 0 if there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: u64,
    /// A quarter is not above this.
    pub quarter: u64,
    /// The one in the middle.
    pub median: u64,
    /// Three quarters are not above this.
    pub three_quarters: u64,
    /// The largest.
    pub max: u64,
    /// Their mean.
    pub mean: f64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        let at = |quarters: usize| values[(values.len() - 1) * quarters / 4];
        let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
        Self { min, quarter: at(1), median: at(2), three_quarters: at(3), max, mean }
    }
}

/// What one image gave.
struct Counted {
    /// Class, whether a crowd, and pixels of each object.
    objects: Vec<(u16, bool, u64)>,
    void_pixels: u64,
    size: (usize, usize),
    sums: ChannelSums,
}

/// Reads the whole set in parallel. `progress` is called after each image, from any thread.
///
/// # Errors
/// The first image, in order of the set, that cannot be read.
pub fn stats(set: &SegmentSet, progress: &(dyn Fn() + Sync)) -> Result<SegmentStats, DataError> {
    let one = |i| {
        let counted = set.load(i).and_then(|sample| count(&sample));
        progress();
        counted
    };
    let all: Vec<Result<Counted, DataError>> =
        (0..set.len()).into_par_iter().with_max_len(AT_A_TIME).map(one).collect();
    let all: Vec<Counted> = all.into_iter().collect::<Result<_, _>>()?;
    Ok(add_up(set, &all))
}

fn count(sample: &SegmentedSample) -> Result<Counted, DataError> {
    let (height, width, _) = sample.image.dim();
    let mut areas = vec![0; sample.segments.len()];
    let mut void_pixels = 0;
    match &sample.masks {
        SegmentMasks::Each(masks) => {
            let mut spans = Spans::new();
            for (area, mask) in areas.iter_mut().zip(masks) {
                spans.read_rle(&mask.to_rle([height as u32, width as u32])?);
                *area = u64::from(spans.area());
            }
        }
        SegmentMasks::Map(map) => {
            for &number in map {
                match areas.get_mut(usize::from(number)) {
                    Some(area) => *area += 1,
                    None => void_pixels += u64::from(number == NO_SEGMENT),
                }
            }
        }
    }
    let objects =
        sample.segments.iter().zip(areas).map(|(segment, area)| (segment.class, segment.crowd, area));
    let mut sums = ChannelSums::default();
    sums.add(&sample.image);
    Ok(Counted { objects: objects.collect(), void_pixels, size: (height, width), sums })
}

fn add_up(set: &SegmentSet, all: &[Counted]) -> SegmentStats {
    let class = |info: &crate::ClassInfo| SegmentClassStats {
        name: info.name.clone(),
        is_thing: info.is_thing,
        objects: 0,
        images: 0,
        pixels: 0,
        share: 0.0,
    };
    let mut classes: Vec<SegmentClassStats> = set.classes().iter().map(class).collect();
    let (mut sizes, mut sums, mut by_size, mut crowds) = (BTreeMap::new(), ChannelSums::default(), [0; 3], 0);
    for counted in all {
        *sizes.entry(counted.size).or_insert(0_u64) += 1;
        sums.merge(&counted.sums);
        let mut present = vec![false; classes.len()];
        for &(class, crowd, area) in &counted.objects {
            let at = usize::from(class);
            classes[at].objects += 1;
            classes[at].pixels += area;
            classes[at].images += u64::from(!std::mem::replace(&mut present[at], true));
            crowds += u64::from(crowd);
            by_size[LIMITS.iter().filter(|limit| area >= u64::from(**limit)).count()] += 1;
        }
    }
    let labelled = classes.iter().map(|class| class.pixels).sum::<u64>().max(1) as f64;
    for class in &mut classes {
        class.share = class.pixels as f64 / labelled;
    }
    let per_image: Vec<u64> = all.iter().map(|counted| counted.objects.len() as u64).collect();
    let areas = all.iter().flat_map(|counted| &counted.objects).map(|(_, _, area)| *area);
    let (mean, std) = sums.mean_and_std();
    SegmentStats {
        task: set.task(),
        images: all.len() as u64,
        empty_images: per_image.iter().filter(|count| **count == 0).count() as u64,
        pixels: sums.pixels(),
        void_pixels: all.iter().map(|counted| counted.void_pixels).sum(),
        objects: per_image.iter().sum(),
        crowds,
        classes,
        objects_per_image: Spread::of(per_image),
        areas: Spread::of(areas.collect()),
        by_size,
        sizes: SizeCount::by_frequency(&sizes),
        mean,
        std,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_by_hand() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        let of = Spread::of(vec![9, 1, 3, 5, 7]);
        assert_eq!((of.min, of.quarter, of.median, of.three_quarters, of.max), (1, 3, 5, 7, 9));
        assert_eq!(of.mean, 5.0);
        assert_eq!(Spread::of(vec![4]).three_quarters, 4);
    }
}
