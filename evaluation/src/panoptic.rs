//! Panoptic quality (PQ): how many segments are found, and how well they are outlined.
//!
//! Source: Kirillov et al., Panoptic Segmentation (CVPR 2019). Reference code: panopticapi `evaluation.py` at 7bb4655,
//! which Cityscapes' evaluator repeats; boundary PQ: boundary-iou-api `coco_panoptic_api/evaluation.py` at 37d2558.
//!
//! A prediction and a ground truth segment of the same class match where their IoU is over 1/2. Then, per class,
//!
//! | | |
//! | --- | --- |
//! | PQ | sum of the matches' IoU / (TP + FP / 2 + FN / 2) |
//! | SQ | sum of the matches' IoU / TP |
//! | RQ | TP / (TP + FP / 2 + FN / 2) |
//!
//! and the means over the classes that occur. What the reference code does beyond the paper, and this does too:
//!
//! - A ground truth segment's area is the one its JSON states, not the number of its pixels.
//! - Predicted pixels on void ground truth leave the union; a prediction more than half on void or on a crowd of its class
//!   is no false positive, where only the last crowd of the class in the list counts.
//! - A ground truth pixel whose id is in no list belongs to nothing, and is not void either.
//! - Of a segment listed twice the last entry counts. A segment with id 0 is a segment.
//!
//! Where such a habit has changed numbers, [`Quirks`] says how often. Differs from the reference: errors where it would
//! stop with a `KeyError` or divide by zero, `None` instead of a division by zero for a group of classes that never
//! occurs, and of boundary PQ's marking of inner pixels by a segment id that may be in use, only what was meant.
//!
//! The sum of IoUs is exact, so order, threads and sharding do not change a bit: see [`ClassCounts::iou_sum`].

mod files;
mod input;
mod matching;
mod outline;
mod pairs;
mod quality;
mod quirks;
mod scores;
mod segments;

pub use files::{PanopticDirs, PanopticOptions, PanopticResult, score_files};
pub use input::{GtSegment, ImageId, PanopticClass, PredSegment, SegmentMap};
pub use quality::{PanopticImages, PanopticQuality};
pub use quirks::{Note, Quirks};
pub use scores::{ClassCounts, PanopticClassScores, PanopticMetrics, PanopticScores};
