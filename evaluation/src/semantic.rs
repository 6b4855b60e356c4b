//! Semantic segmentation: a confusion matrix and the metrics of mmsegmentation and detectron2 from it.
//!
//! Reference code: mmsegmentation `evaluation/metrics/iou_metric.py` at 01c9623, detectron2
//! `evaluation/sem_seg_evaluation.py` at 027099d. Differs from the references: counts are 64-bit integers (mmsegmentation
//! adds up in f32, inexact beyond 2^24 pixels a class), and nothing is rounded before it is printed.
//!
//! With intersection I, predicted pixels P and labelled pixels L of a class:
//!
//! | | mmsegmentation | detectron2 (`d2_`) |
//! | --- | --- | --- |
//! | IoU | I / (P + L - I) | the same |
//! | mean IoU over | classes seen on either side | classes with ground truth |
//! | class predicted without having ground truth | IoU 0, in the mean | leaves the mean |
//! | prediction outside `0..K` | a miss of its class | pixel left out |
//! | ground truth outside `0..K`, not ignored | its prediction is a false positive | pixel left out |
//! | ground truth of the ignore label | pixel left out, whatever is predicted | the same |
//! | class never hit (P, L > 0, I = 0) | F-score not defined, leaves its mean; Dice is 0 | |
//!
//! [`BoundaryCounts`] adds the IoU of outlines; [`ImageCounts`] keeps every image's own counts for
//! [`resample`](crate::resample).

mod areas;
mod boundary;
mod confusion;
mod histogram;
mod images;
mod scores;

pub use boundary::{BoundaryCounts, BoundaryScores};
pub use confusion::{ConfusionMatrix, Label};
pub use images::ImageCounts;
pub use scores::{ClassScores, SemanticMetrics, SemanticScores};
