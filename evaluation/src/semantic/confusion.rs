//! The confusion matrix: counts of (ground truth, prediction) pairs, the only state a semantic metric has.

use super::areas::Areas;
use super::histogram::PairHistogram;
use super::scores::SemanticScores;
use crate::EvalError;

/// Class ids as they lie in label maps.
pub trait Label: Copy + Into<u16> {
    /// The slice as bytes, if that is what it holds: the fast path.
    fn bytes(labels: &[Self]) -> Option<&[u8]>;
}

impl Label for u8 {
    fn bytes(labels: &[Self]) -> Option<&[u8]> {
        Some(labels)
    }
}

impl Label for u16 {
    fn bytes(_: &[Self]) -> Option<&[u8]> {
        None
    }
}

/// Pixel counts of every (ground truth, prediction) pair of classes `0..K`, and of everything outside as a class K.
///
/// Pixels whose ground truth is the ignore label (255 unless set) are not counted at all. Adding images is a sum of
/// integers: any order and any split over threads, processes and machines gives the same matrix.
///
/// ```
/// use smalti_evaluation::semantic::ConfusionMatrix;
/// let mut counts = ConfusionMatrix::new(2);
/// counts.add(&[0u8, 1, 1, 1], &[0u8, 0, 1, 255])?;
/// // class 0: 1 of 2 hit; class 1: 1 hit and 1 false positive; the last pixel is ignored
/// assert_eq!(counts.finish().metrics.m_iou, Some(0.5));
/// # Ok::<(), smalti_evaluation::EvalError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConfusionMatrix {
    num_classes: usize,
    ignore_label: u16,
    reduce_zero_label: bool,
    /// `[K + 1, K + 1]`, row = ground truth, column = prediction; the last of each is "outside 0..K".
    counts: Vec<u64>,
    /// Counts of 8-bit maps that are not in `counts` yet; made when the first such map comes.
    pending: Option<Box<PairHistogram>>,
}

impl ConfusionMatrix {
    /// An empty matrix of `num_classes` = K classes; 255 is the ignore label.
    pub fn new(num_classes: usize) -> Self {
        let side = num_classes + 1;
        let counts = vec![0; side * side];
        Self { num_classes, ignore_label: 255, reduce_zero_label: false, counts, pending: None }
    }

    /// Another ignore label. Set it before anything is counted.
    #[must_use]
    pub fn with_ignore_label(mut self, label: u16) -> Self {
        self.ignore_label = label;
        self
    }

    /// Whether ground truth is shifted before anything else: 0 becomes 255 and every other value one less, but 255 stays
    /// 255 (mmsegmentation's `reduce_zero_label`, for ADE20K). Predictions stay as they are. Set it before anything is
    /// counted.
    #[must_use]
    pub fn with_reduced_zero_label(mut self, reduce: bool) -> Self {
        self.reduce_zero_label = reduce;
        self
    }

    /// Number of classes K.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Counts one image, or any part of one: flat lists of class ids, pixel by pixel.
    ///
    /// # Errors
    /// [`EvalError::PixelCount`] if the lists differ in length; nothing is counted then.
    pub fn add<P: Label, G: Label>(&mut self, pred: &[P], gt: &[G]) -> Result<(), EvalError> {
        if pred.len() != gt.len() {
            return Err(EvalError::PixelCount { pred: pred.len(), gt: gt.len() });
        }
        match (P::bytes(pred), G::bytes(gt)) {
            (Some(pred), Some(gt)) => self.add_bytes(pred, gt),
            _ => self.add_wide(pred, gt),
        }
        Ok(())
    }

    fn add_bytes(&mut self, pred: &[u8], gt: &[u8]) {
        const PART: usize = 1 << 30; // far below what the histogram can hold, far above any image
        for (pred, gt) in pred.chunks(PART).zip(gt.chunks(PART)) {
            if self.pending.as_ref().is_some_and(|pending| !pending.has_room(gt.len())) {
                self.drain();
            }
            self.pending.get_or_insert_with(|| Box::new(PairHistogram::new())).add(pred, gt);
        }
    }

    /// Brings all that was counted into `counts`, which later calls then find there.
    pub(crate) fn drain(&mut self) {
        self.counts = self.counts();
        if let Some(pending) = &mut self.pending {
            pending.clear();
        }
    }

    /// Forgets the counts and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        if let Some(pending) = &mut self.pending {
            pending.clear();
        }
    }

    /// Gives back the memory that only counting needs.
    pub(crate) fn settle(&mut self) {
        self.drain();
        self.pending = None;
    }

    /// Wide ids are rare: one loop that counts runs of equal pairs.
    fn add_wide<P: Label, G: Label>(&mut self, pred: &[P], gt: &[G]) {
        let (mut last, mut run) = (None, 0);
        for (&p, &g) in pred.iter().zip(gt) {
            let cell = self.cell(p.into(), g.into());
            if cell != last {
                if let Some(cell) = last {
                    self.counts[cell] += run;
                }
                (last, run) = (cell, 0);
            }
            run += 1;
        }
        if let Some(cell) = last {
            self.counts[cell] += run;
        }
    }

    /// Where a pair counts; `None` for an ignored pixel.
    fn cell(&self, pred: u16, gt: u16) -> Option<usize> {
        let class = |label: u16| usize::from(label).min(self.num_classes);
        let gt = if self.reduce_zero_label { reduce_zero(gt) } else { gt };
        (gt != self.ignore_label).then(|| class(gt) * (self.num_classes + 1) + class(pred))
    }

    /// The counts, `[K + 1, K + 1]` row by row: row = ground truth, column = prediction, the last of each holding what
    /// lies outside `0..K`. This is what ranks add up; [`ConfusionMatrix::from_counts`] takes it back.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = self.counts.clone();
        if let Some(pending) = &self.pending {
            pending.for_each(|pred, gt, n| {
                if let Some(cell) = self.cell(pred.into(), gt.into()) {
                    counts[cell] += n;
                }
            });
        }
        counts
    }

    /// A matrix from what [`ConfusionMatrix::counts`] gave, with 255 as the ignore label.
    ///
    /// # Errors
    /// [`EvalError::Length`] if there are not (K + 1)^2 counts.
    pub fn from_counts(num_classes: usize, counts: Vec<u64>) -> Result<Self, EvalError> {
        let expected = (num_classes + 1) * (num_classes + 1);
        if counts.len() != expected {
            return Err(EvalError::Length { what: "counts", expected, got: counts.len(), num_classes });
        }
        Ok(Self { counts, ..Self::new(num_classes) })
    }

    /// Adds what another matrix counted.
    ///
    /// # Errors
    /// [`EvalError::Merge`] if the two differ in the number of classes or the ignore label.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        let differs = |field, expected, got| Err(EvalError::Merge { field, expected, got });
        if other.num_classes != self.num_classes {
            return differs("the number of classes", self.num_classes as u64, other.num_classes as u64);
        }
        if other.ignore_label != self.ignore_label {
            return differs("the ignore label", self.ignore_label.into(), other.ignore_label.into());
        }
        for (sum, n) in self.counts.iter_mut().zip(other.counts()) {
            *sum += n;
        }
        Ok(())
    }

    /// Pixels that count although their ground truth is no class: a sign of a wrong ignore label or class list.
    pub fn outside_gt(&self) -> u64 {
        let counts = self.counts();
        counts[self.num_classes * (self.num_classes + 1)..].iter().sum()
    }

    /// Pixels of a class whose prediction is no class.
    pub fn outside_pred(&self) -> u64 {
        let side = self.num_classes + 1;
        let counts = self.counts();
        (0..self.num_classes).map(|gt| counts[gt * side + self.num_classes]).sum()
    }

    /// All metrics of what was counted so far; classes are called by their ids.
    pub fn finish(&self) -> SemanticScores {
        SemanticScores::of(&Areas::of(self.num_classes, &self.counts()))
    }
}

/// 0 and 255 become 255, the others one less.
pub(super) fn reduce_zero(label: u16) -> u16 {
    if label == 0 || label == 255 { 255 } else { label - 1 }
}
