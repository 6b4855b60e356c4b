//! Pixel counts of one class: all that its scores, and every mean, are made of.

/// Pixel counts of one class. Sums over images are the counts of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Areas {
    /// Predicted and right.
    pub(super) hit: u64,
    /// Labelled.
    pub(super) gt: u64,
    /// Predicted, wherever the ground truth is not ignored.
    pub(super) pred: u64,
    /// Labelled and predicted as some class: detectron2 has no others.
    pub(super) gt_inside: u64,
    /// Predicted where the ground truth is a class.
    pub(super) pred_inside: u64,
}

impl Areas {
    /// Of every class of a `[K + 1, K + 1]` matrix, row = ground truth, the last of each being "no class".
    pub(super) fn of(num_classes: usize, counts: &[u64]) -> Vec<Self> {
        let mut areas = vec![Self::default(); num_classes];
        for (gt, row) in counts.chunks_exact(num_classes + 1).enumerate() {
            for (pred, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                if let Some(area) = areas.get_mut(gt) {
                    area.gt += count;
                    area.gt_inside += if pred < num_classes { count } else { 0 };
                    area.hit += if pred == gt { count } else { 0 };
                }
                if let Some(area) = areas.get_mut(pred) {
                    area.pred += count;
                    area.pred_inside += if gt < num_classes { count } else { 0 };
                }
            }
        }
        areas
    }

    /// Adds what counts `times` over.
    pub(super) fn add(&mut self, other: &Self, times: u64) {
        self.hit += other.hit * times;
        self.gt += other.gt * times;
        self.pred += other.pred * times;
        self.gt_inside += other.gt_inside * times;
        self.pred_inside += other.pred_inside * times;
    }

    /// I / (P + L - I); `None` for a class on neither side.
    pub(super) fn iou(&self) -> Option<f64> {
        ratio(self.hit, self.pred + self.gt - self.hit)
    }

    /// detectron2's IoU: only with ground truth, only pixels that are a class on both sides.
    pub(super) fn d2_iou(&self) -> Option<f64> {
        (self.gt_inside > 0).then(|| ratio(self.hit, self.gt_inside + self.pred_inside - self.hit)).flatten()
    }
}

/// `None` where there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Mean of the values that are there.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, n) = values.flatten().fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}
