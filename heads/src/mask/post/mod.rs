//! Results from mask logits: semantic maps, instances, panoptic maps. Each is one pure function of one image's logits.
//!
//! Reference code: facebookresearch/Mask2Former 9b0651c, `maskformer_model.py`, licence MIT, with detectron2's
//! `sem_seg_postprocess`, licence Apache-2.0: mask logits are resized bilinearly to the padded input, cropped to the image,
//! resized to the output, and only then turned into probabilities.
//! Differs from the reference: masks at full size exist only a few at a time ([`CHUNK_VALUES`]), so results need a fraction of its
//! memory; transformers' `post_process_*` is another algorithm (logits at 384x384, masks cut at 0.5 before they are resized).
//! Shapes: class logits `[Q, K + 1]`, mask logits `[Q, h, w]` of one image -> arrays `[H, W]` and masks of the output size.
//! Checked by: `tests/parity_mask_post.rs`, `tests/contract/mask_post.rs`.

mod instance;
mod panoptic;
mod rows;
mod semantic;

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use smalti_datasets::transform::segments::Look;
use tch::{Kind, Tensor};

pub use instance::{Instance, instances};
pub use panoptic::{Panoptic, PanopticSegment, panoptic};
pub use semantic::{SemanticScores, semantic};

use super::criterion::at_least_f32;
use super::error::MaskError;
use crate::inference::SlideConfig;
use crate::inference::views::{each_view, validate_scales};
use crate::resize;

/// Values of one map that a step may hold at full size, 64 MiB of f32; a step holds about four such maps.
pub const CHUNK_VALUES: i64 = 1 << 24;

/// When semantic scores are summed over queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SemanticOrder {
    /// Masks are resized to the output first: what the reference does with models for panoptic or instance segmentation.
    #[default]
    ResizeMasks,
    /// Scores are summed at the size of the padded input, then resized: what it does with models for semantic segmentation only.
    ResizeScores,
}

/// The `[inference]` table of a Mask2Former recipe; the defaults are the published values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskInferenceConfig {
    /// Class probability that a query needs to enter a panoptic map (more than this). Default 0.8.
    pub object_mask_threshold: f64,
    /// Share of its own mask that a panoptic segment has to keep against the others (at least this). Default 0.8.
    pub overlap_threshold: f64,
    /// Most instances an image. Default 100.
    pub max_instances: i64,
    /// When semantic scores are summed. Default `resize_masks`.
    pub semantic_order: SemanticOrder,
}

impl Default for MaskInferenceConfig {
    fn default() -> Self {
        Self {
            object_mask_threshold: 0.8,
            overlap_threshold: 0.8,
            max_instances: 100,
            semantic_order: SemanticOrder::default(),
        }
    }
}

impl MaskInferenceConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn validate(&self) -> Result<(), ModelError> {
        for (name, share) in [
            ("object_mask_threshold", self.object_mask_threshold),
            ("overlap_threshold", self.overlap_threshold),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(ModelError::config(format!("inference.{name}"), "0 to 1", share));
            }
        }
        if self.max_instances < 1 {
            return Err(ModelError::config("inference.max_instances", "1 or more", self.max_instances));
        }
        Ok(())
    }
}

/// The `[inference]` table of a semantic recipe with Mask2Former; without it an image is seen whole and once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SemanticMaskInferenceConfig {
    /// Sizes at which the image is seen, as factors of the one that `data.eval` gives; the scores of all views are averaged.
    /// Default: 1 alone. The authors' multi-scale test is 0.5, 0.75, 1, 1.25, 1.5, 1.75 with `flip`.
    pub scales: Vec<f64>,
    /// Whether the image is also seen mirrored at every scale. Default: no.
    pub flip: bool,
    /// Predict by overlapping windows instead of the whole image at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slide: Option<SlideConfig>,
}

impl Default for SemanticMaskInferenceConfig {
    fn default() -> Self {
        Self { scales: vec![1.0], flip: false, slide: None }
    }
}

impl SemanticMaskInferenceConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn validate(&self) -> Result<(), ModelError> {
        validate_scales(&self.scales)?;
        self.slide.iter().try_for_each(SlideConfig::validate)
    }

    /// How an image is looked at: at every scale, plain and, with `flip`, mirrored behind it.
    pub fn looks(&self) -> Vec<Look> {
        each_view(&self.scales, self.flip).map(|(scale, flipped)| Look { scale, flipped }).collect()
    }
}

/// The sizes that masks pass through, all (height, width) in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The network's input, padding included.
    pub padded: (i64, i64),
    /// The image in it, from the top left corner on.
    pub image: (i64, i64),
    /// The result.
    pub output: (i64, i64),
}

impl Frame {
    /// An image that was neither padded nor resized.
    pub fn of_size(size: (i64, i64)) -> Self {
        Self { padded: size, image: size, output: size }
    }
}

/// Bytes that the results of one image take at their peak beside its logits, whichever are made: masks at full size, as many as a
/// step holds, while they are resized, and what is kept of every pixel.
pub(crate) fn peak_bytes(frame: Frame, queries: i64) -> u64 {
    const MAPS_A_STEP: i64 = 3;
    const BYTES_A_PIXEL: i64 = 32;
    let Frame { padded, output, .. } = frame;
    let pixels = output.0 * output.1;
    let largest = pixels.max(padded.0 * padded.1);
    let masks = masks_a_chunk(frame).min(queries);
    (4 * MAPS_A_STEP * masks * largest + BYTES_A_PIXEL * pixels).unsigned_abs()
}

/// Bytes that strips of class scores take while they are resized from the image to the output, and the class of every pixel.
pub(crate) fn strip_bytes(frame: Frame, classes: i64) -> u64 {
    const STRIPS: i64 = 3;
    const BYTES_A_PIXEL: i64 = 6; // i32 and u16
    let pixels = |(height, width): (i64, i64)| height * width;
    let values = classes * pixels(frame.image).max(pixels(frame.output));
    (4 * STRIPS * values.min(CHUNK_VALUES) + BYTES_A_PIXEL * pixels(frame.output)).unsigned_abs()
}

/// How many masks are resized at a time.
fn masks_a_chunk(Frame { padded, output, .. }: Frame) -> i64 {
    let largest = (padded.0 * padded.1).max(output.0 * output.1);
    (CHUNK_VALUES / largest).max(1)
}

/// One image's predictions, as the last layer of the decoder gives them.
#[derive(Debug, Clone, Copy)]
pub struct ImageLogits<'a> {
    /// `[Q, K + 1]`, "no object" last.
    pub classes: &'a Tensor,
    /// `[Q, h, w]`
    pub masks: &'a Tensor,
    /// Where the masks belong.
    pub frame: Frame,
}

impl ImageLogits<'_> {
    /// Number of classes K.
    fn check(&self) -> Result<i64, MaskError> {
        let [queries, outputs] = self.classes.size()[..] else {
            return Err(MaskError::argument(
                "class logits",
                "[Q, K + 1]",
                format!("{:?}", self.classes.size()),
            ));
        };
        if outputs < 2 {
            return Err(MaskError::argument("class logits", "two outputs or more", outputs));
        }
        let masks = self.masks.size();
        if masks.len() != 3 || masks[0] != queries || masks[1..].contains(&0) {
            return Err(MaskError::argument(
                "mask logits",
                format!("[{queries}, h, w]"),
                format!("{masks:?}"),
            ));
        }
        let Frame { padded, image, output } = self.frame;
        for (what, size) in [("size of the image", image), ("size of the output", output)] {
            if size.0 < 1 || size.1 < 1 {
                return Err(MaskError::argument(what, "1x1 or more", format!("{}x{}", size.0, size.1)));
            }
        }
        if image.0 > padded.0 || image.1 > padded.1 {
            let expected = format!("at most the padded {}x{} (HxW)", padded.0, padded.1);
            return Err(MaskError::argument(
                "size of the image",
                expected,
                format!("{}x{}", image.0, image.1),
            ));
        }
        Ok(outputs - 1)
    }

    /// Class probabilities `[Q, K + 1]`.
    fn probabilities(&self) -> Tensor {
        at_least_f32(self.classes).softmax(-1, None::<Kind>)
    }

    /// Mask logits of some queries at the output's size: `[M]` -> `[M, H, W]`.
    fn resized(&self, queries: &[i64]) -> Tensor {
        let index = Tensor::from_slice(queries).to_device(self.masks.device());
        let masks = at_least_f32(&self.masks.index_select(0, &index)).unsqueeze(0); // [1, M, h, w]
        let Frame { padded, image, output } = self.frame;
        let cropped = resize(&masks, padded).narrow(2, 0, image.0).narrow(3, 0, image.1);
        resize(&cropped, output).squeeze_dim(0)
    }

    /// How many masks are resized at a time.
    fn masks_a_chunk(&self) -> usize {
        masks_a_chunk(self.frame) as usize
    }
}
