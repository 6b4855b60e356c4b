//! Boundary IoU of label maps: the IoU of the strips along the outlines of the classes.
//!
//! A pixel belongs to its class's boundary if a pixel of another class, or the edge of the image, lies within
//! [`distance`](crate::boundary::distance) of it in both directions; that is the mask of the class without its erosion.
//! Intersection and union of the strips are summed over all images, and divided once per class, as the IoU itself is.
//! Source: Cheng et al., Boundary IoU (CVPR 2021), section 4.
//!
//! The authors' code (boundary-iou-api at 37d2558) scores instances and panoptic segments, not label maps, so two things are
//! decided here. Pixels of ignored ground truth are taken out of the prediction *before* its outlines are drawn: both
//! sides then end where the ignored region begins, and a prediction that is right wherever the ground truth says
//! something scores 1. Classes seen on neither side leave the mean, as for mIoU.
//!
//! detectron2's `BoundaryIoU-<class>` (`evaluation/sem_seg_evaluation.py` at 027099d) is something else: it erodes the map of
//! class *ids* by a minimum filter and subtracts, so that the numbers depend on how classes are numbered and class 0 has
//! no boundary.

use super::areas::{Areas, mean};
use super::confusion::{ConfusionMatrix, reduce_zero};
use crate::EvalError;
use crate::boundary::distance;

/// Boundary pixels of every class, summed over images.
///
/// ```
/// use smalti_evaluation::semantic::BoundaryCounts;
/// let mut counts = BoundaryCounts::new(2);
/// let gt = [0u8; 25]; // 5x5: the boundary is the frame of 16 pixels
/// let mut pred = gt;
/// pred[0] = 1; // a corner
/// counts.add(&pred, &gt, 5, 5)?;
/// let scores = counts.finish();
/// // Class 0: the predicted strip lacks the corner and has the pixel inside of it: 15 / 17. Class 1: 0 / 1.
/// assert_eq!(scores.classes, [Some(15.0 / 17.0), Some(0.0)]);
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BoundaryCounts {
    ignore_label: u8,
    reduce_zero_label: bool,
    /// Pairs of outline maps, where "no class" is "not on a boundary". Nothing is ignored in these.
    pairs: ConfusionMatrix,
    gt: Outlines,
    pred: Outlines,
}

/// Boundary IoU, fractions in `[0, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundaryScores {
    /// Mean over classes that occur in ground truth or prediction.
    pub m_iou: Option<f64>,
    /// Of every class, in order of the ids; `None` for a class on neither side.
    pub classes: Vec<Option<f64>>,
}

impl BoundaryCounts {
    /// No counts yet, for classes `0..K`, K at most 255; 255 is the ignore label.
    pub fn new(num_classes: usize) -> Self {
        let pairs = ConfusionMatrix::new(num_classes).with_ignore_label(u16::MAX);
        Self {
            ignore_label: 255,
            reduce_zero_label: false,
            pairs,
            gt: Outlines::default(),
            pred: Outlines::default(),
        }
    }

    /// Another ignore label.
    #[must_use]
    pub fn with_ignore_label(mut self, label: u8) -> Self {
        self.ignore_label = label;
        self
    }

    /// Ground truth is shifted before it counts, see [`ConfusionMatrix::with_reduced_zero_label`].
    #[must_use]
    pub fn with_reduced_zero_label(mut self, reduce: bool) -> Self {
        self.reduce_zero_label = reduce;
        self
    }

    /// Counts one image `[H, W]`, row-major.
    ///
    /// # Errors
    /// [`EvalError::NumClasses`] if K is none that 8 bits hold; [`EvalError::PixelCount`] if a map does not have
    /// `height * width` pixels. Nothing is counted then.
    pub fn add(&mut self, pred: &[u8], gt: &[u8], height: usize, width: usize) -> Result<(), EvalError> {
        let none = u8::try_from(self.pairs.num_classes())
            .map_err(|_| EvalError::NumClasses { got: self.pairs.num_classes() })?;
        let pixels = height.saturating_mul(width);
        if let Some(map) = [pred, gt].into_iter().find(|map| map.len() != pixels) {
            return Err(EvalError::PixelCount { pred: map.len(), gt: pixels });
        }
        let classes: [u8; 256] = std::array::from_fn(|label| (label as u8).min(none));
        let shifted: [u8; 256] = std::array::from_fn(|label| self.shift(label as u8));
        let gt_classes = gt.iter().map(|&g| match shifted[usize::from(g)] {
            label if label == self.ignore_label => none,
            label => classes[usize::from(label)],
        });
        let pred_classes = pred.iter().zip(gt).map(|(&p, &g)| match shifted[usize::from(g)] {
            label if label == self.ignore_label => none,
            _ => classes[usize::from(p)],
        });
        let distance = distance(height, width);
        let gt = self.gt.of(gt_classes, width, distance, none);
        let pred = self.pred.of(pred_classes, width, distance, none);
        self.pairs.add(pred, gt)
    }

    fn shift(&self, label: u8) -> u8 {
        if self.reduce_zero_label { reduce_zero(label.into()) as u8 } else { label }
    }

    /// Adds what another has counted.
    ///
    /// # Errors
    /// [`EvalError::Merge`] if the two differ in the number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        self.pairs.merge(&other.pairs)
    }

    /// Forgets the counts and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Gives back the memory that only counting needs.
    pub(crate) fn settle(&mut self) {
        self.pairs.settle();
        (self.gt, self.pred) = Default::default();
    }

    pub(super) fn areas(&self) -> Vec<Areas> {
        Areas::of(self.pairs.num_classes(), &self.pairs.counts())
    }

    /// The scores of what was counted so far.
    pub fn finish(&self) -> BoundaryScores {
        BoundaryScores::of(&self.areas())
    }
}

impl BoundaryScores {
    pub(super) fn of(areas: &[Areas]) -> Self {
        let classes: Vec<_> = areas.iter().map(Areas::iou).collect();
        Self { m_iou: mean(classes.iter().copied()), classes }
    }
}

/// Finds the boundaries of all classes of a map in one pass; keeps its buffers from map to map.
#[derive(Debug, Clone, Default)]
struct Outlines {
    labels: Vec<u8>,
    /// Per column of the current row and the one above: the class that fills the window's width around it, if one does. `[W]`
    level: Vec<u8>,
    above: Vec<u8>,
    /// Per column: for how many rows in turn that class has been the same. `[W]`
    streak: Vec<u32>,
    result: Vec<u8>,
}

impl Outlines {
    /// The map with `none` wherever a class fills all of the window of `2 * distance + 1` around a pixel. `[H, W]`
    fn of(&mut self, labels: impl Iterator<Item = u8>, width: usize, distance: usize, none: u8) -> &[u8] {
        self.labels.clear();
        self.labels.extend(labels);
        self.result.clear();
        self.result.extend_from_slice(&self.labels);
        let window = 2 * distance + 1;
        if width < window || self.labels.len() < window * width {
            return &self.result; // the edge of the image is within reach of every pixel
        }
        for row in [&mut self.level, &mut self.above] {
            row.clear();
            row.resize(width, none);
        }
        self.streak.clear();
        self.streak.resize(width, 0);
        for (y, row) in self.labels.chunks_exact(width).enumerate() {
            std::mem::swap(&mut self.level, &mut self.above);
            self.level.fill(none);
            let mut start = 0;
            for run in row.chunk_by(|a, b| a == b) {
                if run.len() >= window {
                    self.level[start + distance..start + run.len() - distance].fill(run[0]);
                }
                start += run.len();
            }
            let levels = self.level.iter().zip(&self.above);
            for (streak, (&level, &above)) in self.streak.iter_mut().zip(levels) {
                *streak = (*streak * u32::from(level == above) + 1) * u32::from(level != none);
            }
            if y + 1 < window {
                continue;
            }
            let centre = (y - distance) * width;
            for (value, &streak) in self.result[centre..centre + width].iter_mut().zip(&self.streak) {
                *value = if streak as usize >= window { none } else { *value };
            }
        }
        &self.result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boundary::Boundary;

    /// Every class by itself, as the definition says.
    fn plain(maps: [&[u8]; 2], ignore: u8, size: (usize, usize), k: usize) -> Vec<Areas> {
        let (height, width) = size;
        let mut boundary = Boundary::new();
        let mut strip = |map: &[u8], class: usize| {
            let mask: Vec<u8> = map
                .iter()
                .zip(maps[1])
                .map(|(&v, &g)| u8::from(usize::from(v) == class && g != ignore))
                .collect();
            boundary.of(&mask, height, width, distance(height, width)).unwrap().to_vec()
        };
        let sum = |strip: &[u8]| strip.iter().map(|&v| u64::from(v)).sum::<u64>();
        let class = |class| {
            let (pred, gt) = (strip(maps[0], class), strip(maps[1], class));
            let both: Vec<u8> = pred.iter().zip(&gt).map(|(p, g)| p & g).collect();
            (sum(&both), sum(&gt), sum(&pred))
        };
        (0..k).map(class).map(|(hit, gt, pred)| Areas { hit, gt, pred, ..Areas::default() }).collect()
    }

    fn map(height: usize, width: usize) -> impl Strategy<Value = Vec<u8>> {
        // Rectangles over a ground: regions wide enough to have an inside.
        let value = prop_oneof![6 => 0u8..4, 1 => Just(255), 1 => any::<u8>()];
        let block = (0..height, 0..width, 1..=height, 1..=width, value);
        (0u8..4, prop::collection::vec(block, 0..6)).prop_map(move |(ground, blocks)| {
            let mut map = vec![ground; height * width];
            for (y, x, h, w, value) in blocks {
                for row in map.chunks_exact_mut(width).skip(y).take(h) {
                    row[x..(x + w).min(width)].fill(value);
                }
            }
            map
        })
    }

    proptest! {
        #[test]
        fn one_pass_equals_a_mask_for_every_class(
            (height, width, pred, gt) in (1usize..90, 1usize..90).prop_flat_map(|(h, w)| {
                (Just(h), Just(w), map(h, w), map(h, w))
            }),
            k in 1usize..6,
            ignore in prop_oneof![Just(255u8), 0u8..6],
        ) {
            let mut counts = BoundaryCounts::new(k).with_ignore_label(ignore);
            counts.add(&pred, &gt, height, width).unwrap();
            let three = |areas: &[Areas]| areas.iter().map(|a| (a.hit, a.gt, a.pred)).collect::<Vec<_>>();
            prop_assert_eq!(three(&counts.areas()), three(&plain([&pred, &gt], ignore, (height, width), k)));
        }
    }
}
