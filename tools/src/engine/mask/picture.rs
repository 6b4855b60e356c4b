//! Segments as regions to paint: the class of every pixel, and which pixels belong together.

use anyhow::Result;
use ndarray::Array2;
use smalti::draw;
use smalti_datasets::rle::Rle;
use smalti_datasets::sample::{SegmentMasks, SegmentedSample};
use smalti_datasets::{ClassTable, IGNORE, Image, LabelMap};
use smalti_heads::mask::post::{Instance, Panoptic};

/// Instances that are less sure are not drawn.
const LEAST_SCORE: f64 = 0.5;

/// What is painted over an image.
pub struct Regions {
    /// `[H, W]` class ids, or [`IGNORE`] where nothing is.
    pub labels: LabelMap,
    /// `[H, W]`: equal where pixels belong to one segment.
    pub segments: Array2<u32>,
}

impl Regions {
    fn none(size: (usize, usize)) -> Self {
        Self { labels: LabelMap::from_elem(size, IGNORE), segments: Array2::zeros(size) }
    }

    /// A panoptic map.
    pub fn of_panoptic(panoptic: &Panoptic) -> Self {
        let class = |&id: &u32| {
            let place = (id as usize).wrapping_sub(1); // ids count from 1
            panoptic.segments.get(place).map_or(IGNORE, |segment| segment.class as u8)
        };
        Self { labels: panoptic.ids.map(class), segments: panoptic.ids.clone() }
    }

    /// Instances that are sure enough, the surest on top.
    pub fn of_instances(size: (usize, usize), instances: &[Instance]) -> Self {
        let mut drawn: Vec<&Instance> = instances.iter().filter(|found| found.score >= LEAST_SCORE).collect();
        drawn.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mut regions = Self::none(size);
        for (id, found) in (1..).zip(drawn) {
            regions.paint(&found.mask, found.class as u8, id);
        }
        regions
    }

    /// The classes of pixels, without segments.
    pub fn of_semantic(semantic: &Array2<u16>) -> Self {
        Self { labels: semantic.map(|&class| class as u8), segments: semantic.map(|&class| class.into()) }
    }

    /// The annotations of an image.
    pub fn of_sample(sample: &SegmentedSample) -> Result<Self> {
        let (height, width, _) = sample.image.dim();
        match &sample.masks {
            SegmentMasks::Map(map) => {
                let class = |&number: &u16| {
                    sample.segments.get(usize::from(number)).map_or(IGNORE, |segment| segment.class as u8)
                };
                Ok(Self { labels: map.map(class), segments: map.map(|&number| number.into()) })
            }
            SegmentMasks::Each(masks) => {
                let mut regions = Self::none((height, width));
                for ((id, mask), segment) in (1..).zip(masks).zip(&sample.segments) {
                    regions.paint(&mask.to_rle([height as u32, width as u32])?, segment.class as u8, id);
                }
                Ok(regions)
            }
        }
    }

    fn paint(&mut self, mask: &Rle, class: u8, id: u32) {
        let mask = mask.decode();
        for ((&inside, label), segment) in mask.iter().zip(&mut self.labels).zip(&mut self.segments) {
            if inside != 0 {
                (*label, *segment) = (class, id);
            }
        }
    }

    /// The regions in their classes' colours over the image.
    pub fn over(&self, image: &Image, classes: &ClassTable, opacity: f32) -> Image {
        draw::overlay_segments(image, &self.labels, &self.segments, classes, opacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_instance_lies_on_top_and_unsure_ones_are_left_out() {
        let instance = |class, score, pixels: &[u8]| Instance {
            class,
            score,
            query: 0,
            mask: Rle::encode(&Array2::from_shape_vec((1, 4), pixels.to_vec()).unwrap()).unwrap(),
        };
        let found = [
            instance(2, 0.9, &[0, 1, 1, 0]),
            instance(1, 0.6, &[1, 1, 0, 0]),
            instance(3, 0.4, &[1, 1, 1, 1]),
        ];
        let regions = Regions::of_instances((1, 4), &found);
        assert_eq!(regions.labels.as_slice().unwrap(), [1, 2, 2, IGNORE]);
        assert_eq!(regions.segments.as_slice().unwrap(), [1, 2, 2, 0]);
    }
}
