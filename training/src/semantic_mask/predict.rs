//! The class of every pixel by a mask classifier: of the whole image or by windows, of one view of it or averaged over several.
//!
//! Reference code: facebookresearch/Mask2Former 9b0651c, `test_time_augmentation.py` (MIT): scores of every view are resized to
//! the image and averaged. The reference has no windows; here they are those of [`SlideConfig`], which mmsegmentation has.
//! Shapes: image `[H, W, 3]` -> class ids `[H, W]`; of several views or windows scores `[K, H, W]` in between, of which there is
//! one sum and strips of one view at a time.
//! Checked by: `predict/tests.rs` (a whole network, by hand).

use ndarray::Array2;
use smalti_datasets::Image;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::transform::segments::{EvalView, Look, SegmentEvalConfig};
use smalti_heads::MaskModel;
use smalti_heads::inference::views::ViewSum;
use smalti_heads::inference::{SlideConfig, Window};
use smalti_heads::mask::post::{SemanticMaskInferenceConfig, SemanticScores};
use tch::{Device, Tensor};

use crate::TrainError;
use crate::batch::one_image;
use crate::mask::{MaskLogits, logits};
use crate::precision::Precision;

/// A network with all that decides its predictions.
#[derive(Debug)]
pub struct SemanticMaskPredictor<'a> {
    /// The network.
    pub model: &'a MaskModel,
    /// Views and windows.
    pub inference: &'a SemanticMaskInferenceConfig,
    /// Arithmetic of the network; scores are made in f32.
    pub precision: Precision,
    /// Where the network lives.
    pub device: Device,
    /// Sizes at which images enter the network.
    pub eval: SegmentEvalConfig,
    /// Pixel statistics.
    pub normalizer: Normalizer,
}

/// What is known of an image when the network is done with it.
#[derive(Debug)]
pub enum SemanticMaskOutput {
    /// The logits of one forward pass, from which another thread can make classes.
    Logits(MaskLogits),
    /// Class ids `[H, W]`: of windows or several views more is not kept.
    Labels(Array2<u16>),
}

impl SemanticMaskOutput {
    /// Class of every pixel, `height * width` ids, row-major.
    ///
    /// # Errors
    /// [`TrainError::Mask`] naming what does not fit.
    pub fn classes(&self) -> Result<Vec<u8>, TrainError> {
        // Tables hold at most 255 classes.
        let ids = |labels: &Array2<u16>| -> Vec<u8> { labels.iter().map(|&class| class as u8).collect() };
        match self {
            Self::Logits(logits) => Ok(ids(&logits.labels()?)),
            Self::Labels(labels) => Ok(ids(labels)),
        }
    }
}

impl SemanticMaskPredictor<'_> {
    /// Class of every pixel of an image `[H, W, 3]`: `height * width` ids, row-major.
    ///
    /// # Errors
    /// [`TrainError::Model`] for images that the network does not take.
    pub fn predict(&self, image: &Image) -> Result<Vec<u8>, TrainError> {
        let view = self.eval.view(image, &self.normalizer);
        self.forward(image, &view, &self.input(&view)?)?.classes()
    }

    /// The network's part of [`SemanticMaskPredictor::predict`]; `plain` is the image's [`SegmentEvalConfig::view`], whose image on the
    /// device is `input` `[1, 3, H', W']`.
    ///
    /// # Errors
    /// As for [`SemanticMaskPredictor::predict`].
    pub fn forward(
        &self,
        image: &Image,
        plain: &EvalView,
        input: &Tensor,
    ) -> Result<SemanticMaskOutput, TrainError> {
        let (height, width, _) = image.dim();
        let size = [height, width];
        let looks = self.inference.looks();
        if looks == [Look { scale: 1.0, flipped: false }] {
            return self.of_one(plain, input, size);
        }
        let resized = self.eval.resize(image);
        if let [look] = looks[..] {
            let view = self.eval.look(&resized, look, &self.normalizer);
            return self.of_one(&view, &self.input(&view)?, size);
        }
        let mut sum = ViewSum::new(self.model.num_classes(), pair(size), self.device);
        for look in looks {
            let view = self.eval.look(&resized, look, &self.normalizer);
            sum.add(self.scores(&view, size)?.strips(), look.flipped);
        }
        Ok(SemanticMaskOutput::Labels(SemanticScores::of_map(&sum.mean(), pair(size))?.labels()?))
    }

    /// What one view, whose image is `input` `[1, 3, H', W']`, says alone.
    fn of_one(
        &self,
        view: &EvalView,
        input: &Tensor,
        size: [usize; 2],
    ) -> Result<SemanticMaskOutput, TrainError> {
        match self.inference.slide {
            None => {
                Ok(SemanticMaskOutput::Logits(logits(self.model, self.precision, input, view.valid, size)?))
            }
            Some(_) => Ok(SemanticMaskOutput::Labels(self.scores(view, size)?.labels()?)),
        }
    }

    /// Scores of a view for an image of `size` (height, width).
    fn scores(&self, view: &EvalView, size: [usize; 2]) -> Result<SemanticScores, TrainError> {
        match self.inference.slide {
            None => self.logits(view, size)?.scores(),
            Some(slide) => Ok(SemanticScores::of_map(&self.slide(view, slide)?, pair(size))?),
        }
    }

    /// Scores of a view by windows, at its size without its padding: `[K, h, w]`.
    fn slide(&self, view: &EvalView, slide: SlideConfig) -> Result<Tensor, TrainError> {
        let add = |window: Window, sum: &mut Tensor| {
            let part = self.eval.window(view, unsigned(window.start), unsigned(window.size));
            for (first, strip) in self.logits(&part, part.valid)?.scores()?.strips() {
                let _ = sum.narrow(1, first, strip.size()[1]).g_add_(&strip);
            }
            Ok::<(), TrainError>(())
        };
        slide.average(self.model.num_classes(), pair(view.valid), self.device, add)
    }

    fn logits(&self, view: &EvalView, size: [usize; 2]) -> Result<MaskLogits, TrainError> {
        logits(self.model, self.precision, &self.input(view)?, view.valid, size)
    }

    /// A view's image on the device, `[1, 3, H', W']`.
    fn input(&self, view: &EvalView) -> Result<Tensor, TrainError> {
        Ok(one_image(&view.image).tensor()?.to_device(self.device))
    }
}

fn pair([height, width]: [usize; 2]) -> (i64, i64) {
    (height as i64, width as i64)
}

fn unsigned((y, x): (i64, i64)) -> [usize; 2] {
    [y as usize, x as usize]
}

#[cfg(test)]
mod tests;
