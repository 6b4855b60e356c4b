//! Pixel-level score: IoU of classes and categories, and the same with every object weighted alike (iIoU).
//!
//! Reference code: cityscapesScripts `evaluation/evalPixelLevelSemanticLabeling.py` at 0bcc4a7. Label ids are compared, not
//! train ids. With the confusion matrix over all 34 ids:
//!
//! - Ground truth of a label that is ignored counts nowhere; predicting such a label elsewhere is a miss.
//! - A class that is predicted but has no ground truth has IoU 0; one that occurs on neither side is left out.
//! - A category counts a pixel as right if ground truth and prediction are any two of its scored labels.
//! - iIoU weights hits and misses of each object (a value above 1000 of `instanceIds`) by the average size of its class
//!   over its own size. False positives stay plain pixels. For the categories human and vehicle every label of the
//!   category is right, those that are ignored elsewhere too.
//!
//! ```
//! use smalti_evaluation::cityscapes::PixelCounts;
//!
//! let gt = [7u8, 7, 7, 26, 26, 0]; // road, car, unlabeled
//! let instance_ids = [7u16, 7, 7, 26_000, 26_000, 0];
//! let pred = [7u8, 7, 8, 26, 27, 7]; // sidewalk for road, truck for car
//! let mut counts = PixelCounts::new();
//! counts.add("ulm_000000_000019", &pred, &gt, &instance_ids)?;
//! let scores = counts.finish();
//! // road 2/3, car 1/2, sidewalk and truck 0
//! assert_eq!(scores.iou_class, Some((2.0 / 3.0 + 0.5) / 4.0));
//! assert_eq!(scores.iou_category, Some(1.0));
//! # Ok::<(), smalti_evaluation::EvalError>(())
//! ```

mod counts;
mod objects;
mod part;
mod scores;

pub use counts::{PixelCounts, PixelResampler};
pub use part::PixelPart;
pub use scores::{PixelRow, PixelScores};
