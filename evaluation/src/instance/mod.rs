//! Instance segmentation and detection: average precision as COCO defines it, over masks, boxes or boundaries.
//!
//! Reference code: pycocotools 2.0.11 (`cocoeval.py`, `coco.py`, `maskApi.c`); for boundaries boundary-iou-api at 37d2558
//! (Cheng et al., Boundary IoU, CVPR 2021). The steps, each in its own file:
//!
//! 1. IoU of a detection with the ground truth of its image and category (`overlap`),
//! 2. matching in one image and category, for 10 IoU thresholds and 4 ranges of area (`matching`),
//! 3. precision over recall of a category, over all images (`curve`),
//! 4. the twelve numbers (`scores`).
//!
//! [`InstanceAp`] does this for objects in memory, [`files`] for COCO JSON files of any length. What of these has to wait,
//! ground truth for its detections as compressed runs (`truth_store`, `packed`) and verdicts on detections for those of all
//! images (`gather`, `verdicts`), is in memory as long as it is little and in temporary files (`scratch`) beyond.
//!
//! What the reference does that one would not expect, and is done here as well:
//!
//! - of equal IoUs the later ground truth wins; detections of equal score rank by image id, then by their order in the file;
//! - the limits on the number of detections hold for an image *and category*;
//! - area ranges look at the annotation's `area`, not at its mask;
//! - a detection that is matched to a ground truth with the id 0 counts as unmatched;
//! - if the first result of a file has a box, the areas of all results are those of their boxes;
//! - masks whose sizes differ have nothing in common;
//! - of annotations with the same id the last stands for all of them;
//! - two masks are compared only up to a run of length 0 that both have at the same place.
//!
//! [`tide`] says what average precision is lost to.
//!
//! What changes numbers without being visible is counted in [`Oddities`].

mod ap;
mod curve;
pub mod files;
mod gather;
mod image_truth;
mod matching;
mod merge;
mod oddities;
mod overlap;
mod packed;
mod params;
mod part;
mod ranked;
mod record;
mod results;
mod scores;
mod scratch;
mod seams;
mod sorter;
#[cfg(test)]
mod spill_tests;
#[cfg(test)]
mod tests;
pub mod tide;
mod truth;
mod truth_file;
mod truth_store;
mod unsorted;
mod verdict;
mod verdicts;

pub use ap::{Detection, InstanceAp, Truth};
pub use oddities::Oddities;
pub use overlap::Region;
pub use params::{ImageId, IouType, MaxDets};
pub use part::InstancePart;
pub use ranked::Ranked;
pub use scores::{InstanceClass, InstanceMetrics, InstanceScores};
pub use truth::GroundTruth;
pub use verdicts::Matched;
