//! From a decoded image to what a classifier sees.

use ndarray::Array3;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::normalize::Normalizer;
use super::{center_crop, color_jitter, flip, rand_augment, random_erasing, random_resized_crop};
use crate::image_folder::{EvalViewConfig, ImageAugmentConfig, ImageDataConfig};
use crate::sample::Image;

/// The transforms of a classification recipe, in order.
#[derive(Debug, Clone)]
pub struct ImagePipeline {
    ops: Vec<ImageAugmentConfig>,
    eval: EvalViewConfig,
    normalizer: Normalizer,
    /// What transforms leave empty: the mean colour, which normalises to about 0.
    fill: [u8; 3],
}

impl ImagePipeline {
    /// Takes a validated table, see [`ImageDataConfig::validate`].
    pub fn new(cfg: &ImageDataConfig) -> Self {
        Self {
            ops: cfg.augment.clone(),
            eval: cfg.eval.clone(),
            normalizer: Normalizer::new(&cfg.normalize),
            fill: cfg.normalize.mean.map(|mean| mean.round_ties_even() as u8),
        }
    }

    /// A training view; a function of the image and the state of `rng`. `[H, W, 3]` -> `[3, size, size]`, normalised.
    pub fn train(&self, mut image: Image, rng: &mut Pcg64Mcg) -> Array3<f32> {
        let mut erasing = None;
        for op in &self.ops {
            match op {
                ImageAugmentConfig::RandomResizedCrop(cfg) => {
                    image = random_resized_crop::random(cfg, &image, rng);
                }
                ImageAugmentConfig::Flip(cfg) => {
                    if rng.random_bool(cfg.prob) {
                        flip::image(cfg.direction, &mut image);
                    }
                }
                ImageAugmentConfig::ColorJitter(cfg) => color_jitter::random(cfg, &mut image, rng),
                ImageAugmentConfig::RandAugment(cfg) => rand_augment::random(cfg, self.fill, &mut image, rng),
                // The last one, see `ImageDataConfig::validate`: its noise is normalised already.
                ImageAugmentConfig::RandomErasing(cfg) => erasing = Some(cfg),
            }
        }
        let mut normalized = self.normalizer.image(&image, [1, 1]);
        if let Some(cfg) = erasing {
            random_erasing::random(cfg, &mut normalized, rng);
        }
        normalized
    }

    /// What is evaluated: `[H, W, 3]` -> `[3, size, size]`, normalised.
    pub fn eval(&self, image: &Image) -> Array3<f32> {
        self.normalizer.image(&self.eval_view(image), [1, 1])
    }

    /// The same before normalisation: `[H, W, 3]` -> `[size, size, 3]`.
    pub fn eval_view(&self, image: &Image) -> Image {
        center_crop::view(&self.eval, image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::rng;

    fn pipeline() -> ImagePipeline {
        let text = r#"
            root = "x"
            augment = [
              { op = "random_resized_crop", size = 24 },
              { op = "flip" },
              { op = "color_jitter" },
              { op = "rand_augment" },
              { op = "random_erasing", prob = 0.5 },
            ]
            eval = { size = 32 }
        "#;
        ImagePipeline::new(&toml::from_str(text).unwrap())
    }

    fn image() -> Image {
        Array3::from_shape_fn((40, 61, 3), |(y, x, c)| (y * 5 + x * 3 + c * 40) as u8)
    }

    #[test]
    fn the_same_numbers_give_the_same_view() {
        let run = |index| pipeline().train(image(), &mut rng(1, 2, index));
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        assert_eq!(run(3).dim(), (3, 24, 24));
    }

    #[test]
    fn evaluation_has_nothing_random() {
        let (pipeline, image) = (pipeline(), image());
        assert_eq!(pipeline.eval(&image).dim(), (3, 32, 32));
        assert_eq!(pipeline.eval(&image), pipeline.eval(&image));
        assert_eq!(pipeline.fill, [124, 116, 104]);
    }
}
