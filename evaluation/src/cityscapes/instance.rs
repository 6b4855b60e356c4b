//! Instance-level score: AP over ten mask overlaps, AP50, per class.
//!
//! Reference code: cityscapesScripts `evaluation/evalInstanceLevelSemanticLabeling.py` at 0bcc4a7. What sets it apart from
//! COCO's AP: an overlap must be **above** its threshold; a prediction may cover pixels of another; ground truth that
//! is a group (an id without object number) or has fewer than 100 pixels, and void, excuse a prediction that covers them;
//! the curve has no monotone envelope.
//!
//! ```
//! use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage};
//!
//! let mut ids = vec![7u16; 400]; // road
//! ids[..200].fill(26_000); // the first car
//! let mut mask = vec![0u8; 400];
//! mask[..150].fill(255); // overlap 150 / 200
//! let mut image = InstanceImage::new("ulm_000000_000019", &ids)?;
//! image.predict(26, 0.9, &mask)?;
//!
//! let mut ap = InstanceAp::new();
//! ap.add(image);
//! let scores = ap.finish();
//! // 0.75 is above 0.5, 0.55, 0.6, 0.65 and 0.7; the sixth threshold is a hair more than 0.75
//! assert_eq!((scores.ap, scores.ap50), (Some(0.5), Some(1.0)));
//! # Ok::<(), smalti_evaluation::EvalError>(())
//! ```

mod counts;
mod curve;
mod image;
mod part;
mod scores;

pub use counts::{InstanceAp, InstanceResampler};
pub use image::InstanceImage;
pub use part::InstancePart;
pub use scores::{InstanceClassScores, InstanceScores};

use smalti_datasets::cityscapes::{LABELS, Label};

/// Number of overlap thresholds.
pub const OVERLAPS: usize = 10;

/// Ground truth objects of fewer pixels are neither asked for nor counted against a prediction.
pub const MIN_PIXELS: u64 = 100;

/// Number of classes that are scored as instances.
pub const CLASSES: usize = {
    let (mut count, mut i) = (0, 0);
    while i < LABELS.len() {
        count += LABELS[i].is_instance_class() as usize;
        i += 1;
    }
    count
};

/// The classes that are scored, in order of their ids.
pub fn classes() -> impl Iterator<Item = &'static Label> {
    LABELS.iter().filter(|label| label.is_instance_class())
}

/// Threshold `i` as numpy's `arange(0.5, 1, 0.05)` computes it: the step is the difference of the first two in floats,
/// so some lie a little above the decimal number.
pub fn overlap(i: usize) -> f64 {
    0.5 + i as f64 * (0.55 - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_numpy() {
        let expected = [
            0.5,
            0.55,
            0.600_000_000_000_000_1,
            0.650_000_000_000_000_1,
            0.700_000_000_000_000_2,
            0.750_000_000_000_000_2,
            0.800_000_000_000_000_3,
            0.850_000_000_000_000_3,
            0.900_000_000_000_000_4,
            0.950_000_000_000_000_4,
        ];
        assert_eq!(std::array::from_fn::<_, OVERLAPS, _>(overlap), expected);
    }
}
