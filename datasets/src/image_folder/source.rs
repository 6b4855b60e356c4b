//! What a classifier is trained and evaluated on: views of the images, and batches of them.

use std::sync::Arc;

use ndarray::{Array3, Array4, Axis};
use rand_pcg::Pcg64Mcg;

use super::{ImageDataConfig, ImageFolder, MixConfig};
use crate::loader::{EvalLoader, Source, Spare};
use crate::transform::{ImagePipeline, mix};
use crate::{DataError, Shard, stage};

/// One view of an image, normalised, with its class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifiedImage {
    /// See [`ImageFolder::name`].
    pub name: String,
    /// `[3, H, W]`, RGB, `(value - mean) / std`.
    pub image: Array3<f32>,
    /// Class id in `0..K`.
    pub class: u32,
}

/// Views of one size, stacked, perhaps mixed.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBatch {
    /// Names of the images, in batch order.
    pub names: Vec<String>,
    /// `[B, 3, H, W]`, RGB, `(value - mean) / std`.
    pub images: Array4<f32>,
    /// `[B]` class ids in `0..K`.
    pub classes: Vec<u32>,
    /// Share of an image's own class in its target, 1 if nothing was mixed; the rest is the class of the image at its place
    /// from the end.
    pub own_share: f64,
}

impl ImageBatch {
    /// Stacks views of one size.
    pub fn stack(samples: Vec<ClassifiedImage>) -> Self {
        Self::stack_into(&Spare::default(), samples)
    }

    /// [`ImageBatch::stack`] into the memory of an earlier batch.
    fn stack_into(spare: &Spare, samples: Vec<ClassifiedImage>) -> Self {
        stage::enter!(BATCH);
        let (_, height, width) = samples.first().map_or((3, 0, 0), |sample| sample.image.dim());
        let mut images = spare.images((samples.len(), 3, height, width));
        let (mut names, mut classes) = (Vec::new(), Vec::new());
        for (mut target, sample) in images.axis_iter_mut(Axis(0)).zip(samples) {
            target.assign(&sample.image);
            names.push(sample.name);
            classes.push(sample.class);
        }
        Self { names, images, classes, own_share: 1.0 }
    }
}

/// A set with the training transforms of its recipe.
#[derive(Debug)]
pub struct ImageSource {
    set: Arc<ImageFolder>,
    pipeline: ImagePipeline,
    mix: Option<MixConfig>,
    spare: Spare,
}

impl ImageSource {
    /// Takes a validated table, see [`ImageDataConfig::validate`].
    pub fn new(set: Arc<ImageFolder>, cfg: &ImageDataConfig) -> Self {
        Self { set, pipeline: ImagePipeline::new(cfg), mix: cfg.mix.clone(), spare: Spare::default() }
    }
}

impl Source for ImageSource {
    type Sample = ClassifiedImage;
    type Batch = ImageBatch;

    fn len(&self) -> usize {
        self.set.len()
    }

    fn sample(&self, index: usize, rng: &mut Pcg64Mcg) -> Result<ClassifiedImage, DataError> {
        let image = self.pipeline.train(self.set.load(index)?, rng);
        Ok(ClassifiedImage { name: self.set.name(index), image, class: self.set.class_of(index) })
    }

    fn batch(&self, samples: Vec<ClassifiedImage>, rng: &mut Pcg64Mcg) -> ImageBatch {
        let mut batch = ImageBatch::stack_into(&self.spare, samples);
        if let Some(cfg) = &self.mix {
            batch.own_share = mix::random(cfg, &mut batch.images, rng);
        }
        batch
    }

    fn recycle(&self, batch: ImageBatch) {
        self.spare.keep(batch.images);
    }
}

impl EvalLoader<ClassifiedImage> {
    /// Evaluation views of a shard's images, in order of the set. Shards are made of whole batches, so that the network sees
    /// the batches that it would see without them.
    ///
    /// # Errors
    /// No threads to be had.
    pub fn of_images(set: Arc<ImageFolder>, cfg: &ImageDataConfig, shard: Shard) -> Result<Self, DataError> {
        let pipeline = ImagePipeline::new(cfg);
        let blocks = (shard, cfg.loader.batch_size.max(1));
        Self::over(set.len(), blocks, &cfg.loader, move |i| {
            let image = pipeline.eval(&set.load(i)?);
            Ok(ClassifiedImage { name: set.name(i), image, class: set.class_of(i) })
        })
    }
}
