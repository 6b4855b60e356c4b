//! What travels through the crate: one image with its labels or segments, and a batch of them.

use ndarray::{Array2, Array3, Array4};

use crate::coco::Segmentation;
use crate::transform::segments::EvalView;

/// Class id of pixels that count neither in the loss nor in a score.
pub const IGNORE: u8 = 255;

/// `[H, W, 3]`, RGB, 0..=255, standard (row-major) layout.
pub type Image = Array3<u8>;

/// `[H, W]` contiguous class ids `0..K`, or [`IGNORE`]; standard (row-major) layout.
pub type LabelMap = Array2<u8>;

/// One image with its labels; both have the same height and width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Name of the image: its path below the data root, with forward slashes and without the extension.
    pub name: String,
    /// `[H, W, 3]`.
    pub image: Image,
    /// `[H, W]`.
    pub labels: LabelMap,
}

/// One image with its labels, and as it enters a network in evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalSample {
    /// Image and labels at their own size.
    pub sample: Sample,
    /// The image as the network sees it.
    pub view: EvalView,
}

/// One image, normalised, with its labels. Both have the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalizedSample {
    /// As in [`Sample`].
    pub name: String,
    /// `[3, H, W]`, RGB, `(value - mean) / std`; padding is exactly 0.
    pub image: Array3<f32>,
    /// `[H, W]` class ids; padding is [`IGNORE`].
    pub labels: LabelMap,
}

/// Samples of one size, normalised and stacked.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Names of the samples, in batch order.
    pub names: Vec<String>,
    /// `[B, 3, H, W]`, RGB, `(value - mean) / std`; padding is exactly 0.
    pub images: Array4<f32>,
    /// `[B, H, W]` class ids; padding is [`IGNORE`].
    pub labels: Array3<u8>,
}

/// What is known of a segment apart from its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Contiguous class id `0..K`.
    pub class: u16,
    /// Countable: two of the same class stay apart. Stuff has at most one segment an image and class.
    pub thing: bool,
    /// A group of objects that were not told apart; training leaves it out, scores treat it as ignored.
    pub crowd: bool,
}

/// Which pixels the segments of an image have. Nothing is drawn before a crop needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentMasks {
    /// One mask a segment, in their order. They may overlap: instances.
    Each(Vec<Segmentation>),
    /// `[H, W]`: the number of the segment that a pixel belongs to, or [`NO_SEGMENT`]: panoptic.
    Map(Array2<u16>),
}

/// Value of pixels without a segment in [`SegmentMasks::Map`].
pub const NO_SEGMENT: u16 = u16::MAX;

/// One image with its segments, as it lies on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentedSample {
    /// Name of the image: its path below the data root, with forward slashes and without the extension.
    pub name: String,
    /// `[H, W, 3]`.
    pub image: Image,
    /// All segments.
    pub segments: Vec<Segment>,
    /// Their pixels.
    pub masks: SegmentMasks,
}
