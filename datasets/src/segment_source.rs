//! What a mask classifier's training draws from: any set of images with segments, and the transforms of its recipe.

use std::sync::Arc;

use rand_pcg::Pcg64Mcg;

use crate::config::NormalizeConfig;
use crate::loader::{Source, Spare};
use crate::sample::SegmentedSample;
use crate::transform::normalize::Normalizer;
use crate::transform::segments::{SegmentAugmentConfig, SegmentBatch, SegmentPipeline, SegmentView};
use crate::{DataError, Mixture};

/// A set of images with segments, read one by one.
pub trait Segmented: Send + Sync + 'static {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads image `index` with its segments.
    ///
    /// # Errors
    /// Files that can not be read or do not fit together.
    fn load(&self, index: usize) -> Result<SegmentedSample, DataError>;
}

/// A set with segments, or several mixed, and the training transforms of the recipe.
#[derive(Debug)]
pub struct SegmentSource<S> {
    images: Mixture<S>,
    pipeline: SegmentPipeline,
    normalizer: Normalizer,
    spare: Spare,
}

impl<S: Segmented> SegmentSource<S> {
    /// Takes validated tables, see [`validate`](crate::transform::segments::validate).
    pub fn new(set: Arc<S>, augment: &[SegmentAugmentConfig], normalize: &NormalizeConfig) -> Self {
        let images = set.len();
        Self::mixed(Mixture::one(set, images), augment, normalize)
    }

    /// The same over the sets of a recipe, see [`SegmentSet::mix`](crate::SegmentSet::mix).
    pub fn mixed(images: Mixture<S>, augment: &[SegmentAugmentConfig], normalize: &NormalizeConfig) -> Self {
        let (pipeline, normalizer) = (SegmentPipeline::new(augment), Normalizer::new(normalize));
        Self { images, pipeline, normalizer, spare: Spare::default() }
    }

    /// Draws every image that many times an epoch in the mean, see [`repeat_factors`](crate::sampler::repeat_factors). Where
    /// sets are mixed, images come so often relative to others of their set, whose share stays.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if there is not one factor an image, finite and at least 1; if an epoch of mixed sets gets too
    /// long.
    pub fn with_repeat_factors(self, factors: &[f64]) -> Result<Self, DataError> {
        let expected = "a number from 1 to 1000 for each image";
        if factors.len() != self.images.len() {
            let got = format!("{} numbers for {} images", factors.len(), self.images.len());
            return Err(DataError::invalid("repeat factors", expected, got));
        }
        if let Some(factor) = factors.iter().find(|factor| !(1.0..=1000.0).contains(*factor)) {
            return Err(DataError::invalid("repeat factors", expected, factor));
        }
        Ok(Self { images: self.images.repeating(factors)?, ..self })
    }
}

impl<S: Segmented> Source for SegmentSource<S> {
    type Sample = SegmentView;
    type Batch = SegmentBatch;

    fn len(&self) -> usize {
        self.images.len()
    }

    fn repeat_factors(&self) -> Option<&[f64]> {
        self.images.repeat_factors()
    }

    fn sample(&self, index: usize, rng: &mut Pcg64Mcg) -> Result<SegmentView, DataError> {
        let (set, index) = self.images.at(index);
        self.pipeline.apply(set.load(index)?, rng)
    }

    fn batch(&self, samples: Vec<SegmentView>, _: &mut Pcg64Mcg) -> SegmentBatch {
        SegmentBatch::collate_into(&self.spare, samples, &self.normalizer)
    }

    fn recycle(&self, batch: SegmentBatch) {
        self.spare.keep(batch.images);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::config::LoaderConfig;
    use crate::loader::Loader;
    use crate::sample::{Image, Segment, SegmentMasks};
    use crate::sampler::repeat_factors;

    /// Images of one colour with one segment, the class of which is their number.
    #[derive(Debug)]
    struct Colours(usize);

    impl Segmented for Colours {
        fn len(&self) -> usize {
            self.0
        }

        fn load(&self, index: usize) -> Result<SegmentedSample, DataError> {
            let size = (30 + index, 40);
            let mut map = Array2::zeros(size);
            map[[0, 0]] = crate::sample::NO_SEGMENT;
            Ok(SegmentedSample {
                name: index.to_string(),
                image: Image::from_elem((size.0, size.1, 3), 100 + index as u8),
                segments: vec![Segment { class: index as u16, thing: true, crowd: false }],
                masks: SegmentMasks::Map(map),
            })
        }
    }

    fn source(n: usize) -> SegmentSource<Colours> {
        #[derive(serde::Deserialize)]
        struct Data {
            augment: Vec<SegmentAugmentConfig>,
        }
        let text = r#"augment = [
            { op = "flip" }, { op = "large_scale_jitter", size = [48, 32], scale = [0.5, 2.0] }
        ]"#;
        let data: Data = toml::from_str(text).unwrap();
        SegmentSource::new(Arc::new(Colours(n)), &data.augment, &NormalizeConfig::default())
    }

    fn loader(source: SegmentSource<Colours>, workers: usize, start: u64) -> Loader<SegmentSource<Colours>> {
        let cfg = LoaderConfig { batch_size: 3, workers, ..LoaderConfig::default() };
        Loader::over(Arc::new(source), &cfg, 7, start).unwrap()
    }

    #[test]
    fn batches_hold_images_with_their_targets() {
        let mut loader = loader(source(5), 2, 0);
        for _ in 0..10 {
            let batch = loader.next().unwrap();
            assert_eq!(batch.images.dim(), (3, 3, 48, 32));
            for ((name, targets), valid) in batch.names.iter().zip(&batch.targets).zip(&batch.valid) {
                assert_eq!(targets.classes, [name.parse::<u16>().unwrap()]);
                assert_eq!(targets.masks.dim(), (1, 48, 32));
                assert!(valid[0] <= 48 && valid[1] <= 32);
            }
        }
    }

    #[test]
    fn batches_depend_on_their_number_alone() {
        let factors = || repeat_factors(&[vec![0], vec![0], vec![0], vec![1], vec![0, 2]], 0.5);
        for repeat in [false, true] {
            let make = |workers, start| {
                let source = source(5);
                let source = if repeat { source.with_repeat_factors(&factors()).unwrap() } else { source };
                loader(source, workers, start)
            };
            let mut one = make(1, 0);
            let stream: Vec<_> = (0..9).map(|_| one.next().unwrap()).collect();
            for (workers, start) in [(3, 0), (2, 4), (1, 7)] {
                let mut entered = make(workers, start);
                for expected in &stream[start as usize..] {
                    assert_eq!(&entered.next().unwrap(), expected, "{workers} threads from {start}");
                }
            }
        }
    }

    #[test]
    fn recycled_memory_leaves_nothing_behind() {
        let (mut fresh, mut reusing) = (loader(source(5), 1, 0), loader(source(5), 2, 0));
        for number in 0..12 {
            let (expected, batch) = (fresh.next().unwrap(), reusing.next().unwrap());
            assert_eq!(batch, expected, "batch {number}");
            reusing.recycle(batch);
        }
    }

    #[test]
    fn factors_are_checked() {
        let message = |factors: &[f64]| source(2).with_repeat_factors(factors).unwrap_err().to_string();
        assert!(message(&[1.0]).contains("1 numbers for 2 images"));
        assert!(message(&[1.0, 0.5]).contains("got 0.5"));
        assert!(message(&[1.0, f64::NAN]).contains("got NaN"));
    }
}
