//! A Mask2Former: backbone, pixel decoder, transformer decoder.
//!
//! Parameters have the names of the authors' checkpoints: `backbone.`, `sem_seg_head.pixel_decoder.`, `sem_seg_head.predictor.`;
//! those below `backbone.` are our backbones' own. `criterion.empty_weight`, which such checkpoints hold too, is the loss' and no
//! parameter.

use smalti_backbones::{Anatomy, Backbone, Level, ModelError, Purpose};
use tch::Tensor;
use tch::nn;

use super::{MaskConfig, MaskDecoder, MaskHeadConfig, MaskOutput, PixelDecoder, PixelFeatures};

/// Pixel decoder and transformer decoder.
#[derive(Debug)]
pub struct MaskHead {
    pixel_decoder: PixelDecoder,
    predictor: MaskDecoder,
}

impl MaskHead {
    /// Builds the head under `p` for a backbone with these levels (finest first, three or more) and `num_classes` classes without "no
    /// object".
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn new(
        p: &nn::Path<'_>,
        config: &MaskHeadConfig,
        levels: &[Level],
        num_classes: i64,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            pixel_decoder: PixelDecoder::new(&(p / "pixel_decoder"), config, levels)?,
            predictor: MaskDecoder::new(&(p / "predictor"), config, num_classes),
        })
    }

    /// Predictions from levels `[B, C_l, H_l, W_l]`, finest first, and what they are made of; `every_layer` asks for those before the
    /// last layer's too.
    ///
    /// # Errors
    /// As [`PixelDecoder::forward`].
    pub fn forward(
        &self,
        levels: &[Tensor],
        every_layer: bool,
    ) -> Result<(PixelFeatures, MaskOutput), ModelError> {
        let features = self.pixel_decoder.forward(levels)?;
        let output = self.predictor.forward(&features, every_layer);
        Ok((features, output))
    }
}

/// All that a pass in evaluation computes on its way.
#[derive(Debug)]
pub struct MaskTrace {
    /// The backbone's levels `[B, C_l, H_l, W_l]`, finest first.
    pub levels: Vec<Tensor>,
    /// What the pixel decoder makes of them.
    pub features: PixelFeatures,
    /// Predictions of all layers.
    pub output: MaskOutput,
}

/// The network.
#[derive(Debug)]
pub struct MaskModel {
    backbone: Box<dyn Backbone>,
    head: MaskHead,
    num_classes: i64,
}

impl MaskModel {
    /// Builds the network under `p`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field that no network can be built from.
    pub fn new(p: &nn::Path<'_>, config: &MaskConfig, num_classes: i64) -> Result<Self, ModelError> {
        let mut backbone = config.backbone.build(&(p / "backbone"), Purpose::Dense)?;
        backbone.recompute(config.recompute)?;
        let head = MaskHead::new(&(p / "sem_seg_head"), &config.head, backbone.levels(), num_classes)?;
        Ok(Self { backbone, head, num_classes })
    }

    /// Number of classes K, without "no object".
    pub fn num_classes(&self) -> i64 {
        self.num_classes
    }

    /// What of the network is not its backbone.
    pub fn anatomy(&self) -> Anatomy {
        let class_layers = vec!["sem_seg_head.predictor.class_embed"];
        Anatomy {
            other_rows: 1, // "no object"
            query_layers: vec!["sem_seg_head.predictor.query_feat", "sem_seg_head.predictor.query_embed"],
            ..Anatomy::new(self.backbone.classifier_end(), class_layers)
        }
    }

    /// Predictions for `images` `[B, 3, H, W]` (normalised, B of 1 or more, H and W of 32 or more); in training those of all layers.
    ///
    /// # Errors
    /// [`ModelError::Config`] if `images` has another shape or holds no image; as [`PixelDecoder::forward`].
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Result<MaskOutput, ModelError> {
        check(images)?;
        let levels = self.backbone.forward_t(images, train);
        Ok(self.head.forward(&levels, train)?.1)
    }

    /// One pass in evaluation over `images` `[B, 3, H, W]`, with its intermediate results and the predictions of all layers.
    ///
    /// # Errors
    /// As [`forward_t`](Self::forward_t).
    pub fn trace(&self, images: &Tensor) -> Result<MaskTrace, ModelError> {
        check(images)?;
        let levels = self.backbone.forward_t(images, false);
        let (features, output) = self.head.forward(&levels, true)?;
        Ok(MaskTrace { levels, features, output })
    }
}

fn check(images: &Tensor) -> Result<(), ModelError> {
    match images.size().as_slice() {
        &[batch, 3, height, width] if batch.min(height).min(width) > 0 => Ok(()),
        size => Err(ModelError::config("images", "[B, 3, H, W] with one image or more", format!("{size:?}"))),
    }
}
