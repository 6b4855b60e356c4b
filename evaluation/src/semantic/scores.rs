//! From counts to metrics: all divisions happen here, once.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::areas::{Areas, mean, ratio};
use super::boundary::BoundaryScores;
use crate::EvalError;

/// Name of the mean boundary IoU.
const BOUNDARY: &str = "boundary_mIoU";

/// Scores of one class, fractions in `[0, 1]`; `None` where the denominator is 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// Name, or the id where no names were given.
    #[serde(skip)]
    pub name: String,
    /// Intersection over union, I / (P + L - I).
    #[serde(rename = "IoU")]
    pub iou: Option<f64>,
    /// Share of the labelled pixels that were found, I / L.
    #[serde(rename = "Acc")]
    pub acc: Option<f64>,
    /// 2 I / (P + L).
    #[serde(rename = "Dice")]
    pub dice: Option<f64>,
    /// Harmonic mean of precision and recall; unlike Dice not defined where one of the two is not, or both are 0.
    #[serde(rename = "Fscore")]
    pub fscore: Option<f64>,
    /// I / P.
    #[serde(rename = "Precision")]
    pub precision: Option<f64>,
    /// I / L, the same as `acc`.
    #[serde(rename = "Recall")]
    pub recall: Option<f64>,
    /// Labelled pixels L.
    pub gt_pixels: u64,
    /// Predicted pixels P, not counting those on ignored ground truth.
    pub pred_pixels: u64,
}

/// Means over classes and pixels, fractions in `[0, 1]`; `None` if nothing was there to average.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SemanticMetrics {
    /// Mean IoU over classes that occur in ground truth or prediction.
    #[serde(rename = "mIoU")]
    pub m_iou: Option<f64>,
    /// Mean accuracy over classes with ground truth.
    #[serde(rename = "mAcc")]
    pub m_acc: Option<f64>,
    /// Share of all labelled pixels that were found.
    #[serde(rename = "aAcc")]
    pub a_acc: Option<f64>,
    /// IoU weighted by labelled pixels.
    #[serde(rename = "fwIoU")]
    pub fw_iou: Option<f64>,
    /// Mean Dice over classes that occur in ground truth or prediction.
    #[serde(rename = "mDice")]
    pub m_dice: Option<f64>,
    /// Mean F-score over the classes where it is defined: a class never hit leaves the mean.
    #[serde(rename = "mFscore")]
    pub m_fscore: Option<f64>,
    /// Mean precision over predicted classes.
    #[serde(rename = "mPrecision")]
    pub m_precision: Option<f64>,
    /// Mean recall over classes with ground truth.
    #[serde(rename = "mRecall")]
    pub m_recall: Option<f64>,
    /// detectron2's mIoU: classes without ground truth leave the mean.
    #[serde(rename = "d2_mIoU")]
    pub d2_m_iou: Option<f64>,
    /// detectron2's fwIoU.
    #[serde(rename = "d2_fwIoU")]
    pub d2_fw_iou: Option<f64>,
    /// detectron2's mACC.
    #[serde(rename = "d2_mAcc")]
    pub d2_m_acc: Option<f64>,
    /// detectron2's pACC.
    #[serde(rename = "d2_pAcc")]
    pub d2_p_acc: Option<f64>,
}

impl SemanticMetrics {
    /// Names and values in their fixed order, for tables.
    pub fn named(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("mIoU", self.m_iou),
            ("mAcc", self.m_acc),
            ("aAcc", self.a_acc),
            ("fwIoU", self.fw_iou),
            ("mDice", self.m_dice),
            ("mFscore", self.m_fscore),
            ("mPrecision", self.m_precision),
            ("mRecall", self.m_recall),
            ("d2_mIoU", self.d2_m_iou),
            ("d2_fwIoU", self.d2_fw_iou),
            ("d2_mAcc", self.d2_m_acc),
            ("d2_pAcc", self.d2_p_acc),
        ]
    }
}

/// Everything a semantic evaluation says. As JSON: `{"task": "semantic", "metrics": {...}, "classes": {"<name>": {...}}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct SemanticScores {
    /// Means.
    pub metrics: SemanticMetrics,
    /// One row a class, in order of the ids.
    pub classes: Vec<ClassScores>,
    /// Boundary IoU, if it was counted: `boundary_mIoU` among the metrics, `boundary_IoU` in each class.
    pub boundary: Option<BoundaryScores>,
}

impl SemanticScores {
    /// Scores of classes with these counts.
    pub(super) fn of(areas: &[Areas]) -> Self {
        let classes: Vec<_> = areas.iter().enumerate().map(|(id, areas)| class_scores(id, areas)).collect();
        Self { metrics: mean_metrics(areas, &classes), classes, boundary: None }
    }

    /// The same scores with those of the boundaries.
    #[must_use]
    pub fn with_boundary(mut self, boundary: Option<BoundaryScores>) -> Self {
        self.boundary = boundary;
        self
    }

    /// Names and values of all means in their fixed order, for tables and resampling.
    pub fn named(&self) -> Vec<(&'static str, Option<f64>)> {
        let boundary = self.boundary.as_ref().map(|boundary| (BOUNDARY, boundary.m_iou));
        self.metrics.named().into_iter().chain(boundary).collect()
    }

    /// The same scores with names for the classes.
    ///
    /// # Errors
    /// [`EvalError::Length`] if there are not K names.
    pub fn with_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, EvalError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let expected = self.classes.len();
        if names.len() != expected {
            return Err(EvalError::Length {
                what: "names",
                expected,
                got: names.len(),
                num_classes: expected,
            });
        }
        for (class, name) in self.classes.iter_mut().zip(names) {
            class.name = name;
        }
        Ok(self)
    }
}

impl Serialize for SemanticScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("task", "semantic")?;
        map.serialize_entry("metrics", &ByName(&self.named()))?;
        let boundary = self.boundary.as_ref();
        let classes: Vec<_> = self
            .classes
            .iter()
            .enumerate()
            .map(|(id, scores)| {
                let boundary_iou = boundary.map(|b| b.classes.get(id).copied().flatten());
                (&scores.name, ClassRecord { scores, boundary_iou })
            })
            .collect();
        map.serialize_entry("classes", &ByName(&classes))?;
        map.end()
    }
}

/// Pairs as a JSON object that keeps their order.
struct ByName<'a, K, V>(&'a [(K, V)]);

impl<K: Serialize, V: Serialize> Serialize for ByName<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Serialize)]
#[expect(clippy::option_option, reason = "not asked for, not defined, and a value are three things")]
struct ClassRecord<'a> {
    #[serde(flatten)]
    scores: &'a ClassScores,
    /// Left out where boundaries were not scored, null where this class has none.
    #[serde(rename = "boundary_IoU", skip_serializing_if = "Option::is_none")]
    boundary_iou: Option<Option<f64>>,
}

fn class_scores(id: usize, areas: &Areas) -> ClassScores {
    let precision = ratio(areas.hit, areas.pred);
    let recall = ratio(areas.hit, areas.gt);
    let fscore = precision.zip(recall).filter(|(p, r)| p + r > 0.0).map(|(p, r)| 2.0 * p * r / (p + r));
    ClassScores {
        name: id.to_string(),
        iou: areas.iou(),
        acc: recall,
        dice: ratio(2 * areas.hit, areas.pred + areas.gt),
        fscore,
        precision,
        recall,
        gt_pixels: areas.gt,
        pred_pixels: areas.pred,
    }
}

fn mean_metrics(areas: &[Areas], classes: &[ClassScores]) -> SemanticMetrics {
    let hit = areas.iter().map(|a| a.hit).sum();
    let gt = areas.iter().map(|a| a.gt).sum();
    let gt_inside = areas.iter().map(|a| a.gt_inside).sum();
    SemanticMetrics {
        m_iou: mean(classes.iter().map(|c| c.iou)),
        m_acc: mean(classes.iter().map(|c| c.acc)),
        a_acc: ratio(hit, gt),
        fw_iou: weighted(areas.iter().zip(classes).map(|(a, c)| (a.gt, c.iou)), gt),
        m_dice: mean(classes.iter().map(|c| c.dice)),
        m_fscore: mean(classes.iter().map(|c| c.fscore)),
        m_precision: mean(classes.iter().map(|c| c.precision)),
        m_recall: mean(classes.iter().map(|c| c.recall)),
        d2_m_iou: mean(areas.iter().map(Areas::d2_iou)),
        d2_fw_iou: weighted(areas.iter().map(|a| (a.gt_inside, a.d2_iou())), gt_inside),
        d2_m_acc: mean(areas.iter().map(|a| ratio(a.hit, a.gt_inside))),
        d2_p_acc: ratio(hit, gt_inside),
    }
}

/// Sum of weight * value over values that are there, divided by the total weight.
fn weighted(values: impl Iterator<Item = (u64, Option<f64>)>, total: u64) -> Option<f64> {
    let sum: f64 = values.filter_map(|(weight, value)| Some(weight as f64 * value?)).sum();
    (total > 0).then(|| sum / total as f64)
}
