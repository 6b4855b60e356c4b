//! Cityscapes: the pixel-level and the instance-level scores of the official scripts.
//!
//! Reference code: cityscapesScripts at 0bcc4a7 (2.3.0 on PyPI), `evaluation/evalPixelLevelSemanticLabeling.py` and
//! `evaluation/evalInstanceLevelSemanticLabeling.py`. Differs from the reference: nothing is summed in floats over images,
//! so the order of files does not touch the last digits; input on which the scripts crash or read beyond their tables is
//! an error; a class whose predictions are all ignored has AP 0 (the script crashes). The scores by distance, which the
//! script leaves off unless told, are not here. Panoptic results are scored by the COCO panoptic rules, as officially.

pub mod files;
pub mod instance;
pub mod pixel;
mod runs;

pub use instance::{InstanceAp, InstanceImage, InstancePart, InstanceScores};
pub use pixel::{PixelCounts, PixelPart, PixelScores};
