//! From counts to metrics: all divisions happen here, once.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::input::PanopticClass;

/// An IoU as a whole number of these is exact: see [`ClassCounts::iou_sum`].
const IOU_UNITS: f64 = (1u64 << 53) as f64;

/// What was counted for one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassCounts {
    /// Matches.
    pub tp: u64,
    /// Predictions without a match that nothing excuses.
    pub fp: u64,
    /// Ground truth segments without a match.
    pub fn_: u64,
    /// Sum of the matches' IoU in units of 2^-53.
    ///
    /// The f64 next to a quotient over 1/2 is a whole number of these, so nothing is rounded when they are added, and
    /// the sum does not depend on the order. It cannot overflow: an IoU is at most the number of pixels of an image, 2^28
    /// (over 1 only where stated areas are too small), which leaves room for 2^47 matches.
    pub iou_sum: u128,
}

impl ClassCounts {
    pub(super) fn matched(&mut self, iou: f64) {
        self.tp += 1;
        self.iou_sum += (iou * IOU_UNITS) as u128;
    }

    pub(super) fn add(&mut self, other: &Self, times: u64) {
        self.tp += other.tp * times;
        self.fp += other.fp * times;
        self.fn_ += other.fn_ * times;
        self.iou_sum += other.iou_sum * u128::from(times);
    }

    /// PQ, SQ and RQ; `None` for a class that does not occur.
    fn quality(&self) -> Option<[f64; 3]> {
        if self.tp + self.fp + self.fn_ == 0 {
            return None;
        }
        let iou = self.iou_sum as f64 / IOU_UNITS;
        let tp = self.tp as f64;
        let segments = tp + 0.5 * self.fp as f64 + 0.5 * self.fn_ as f64;
        Some([iou / segments, if self.tp == 0 { 0.0 } else { iou / tp }, tp / segments])
    }
}

/// Scores of one class, fractions in `[0, 1]`; `None` for a class that does not occur.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PanopticClassScores {
    /// The class.
    #[serde(skip)]
    pub class: PanopticClass,
    /// Panoptic quality.
    #[serde(rename = "PQ")]
    pub pq: Option<f64>,
    /// Segmentation quality: mean IoU of the matches, 0 without a match.
    #[serde(rename = "SQ")]
    pub sq: Option<f64>,
    /// Recognition quality: F1 of the matches.
    #[serde(rename = "RQ")]
    pub rq: Option<f64>,
    /// Matches.
    #[serde(rename = "TP")]
    pub tp: u64,
    /// False positives.
    #[serde(rename = "FP")]
    pub fp: u64,
    /// False negatives.
    #[serde(rename = "FN")]
    pub fn_: u64,
}

/// Means over the classes that occur, fractions in `[0, 1]`; `None` if none of the group does.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PanopticMetrics {
    /// Panoptic quality of all classes.
    #[serde(rename = "PQ")]
    pub pq: Option<f64>,
    /// Segmentation quality of all classes.
    #[serde(rename = "SQ")]
    pub sq: Option<f64>,
    /// Recognition quality of all classes.
    #[serde(rename = "RQ")]
    pub rq: Option<f64>,
    /// Panoptic quality of things.
    #[serde(rename = "PQ_th")]
    pub pq_things: Option<f64>,
    /// Segmentation quality of things.
    #[serde(rename = "SQ_th")]
    pub sq_things: Option<f64>,
    /// Recognition quality of things.
    #[serde(rename = "RQ_th")]
    pub rq_things: Option<f64>,
    /// Panoptic quality of stuff.
    #[serde(rename = "PQ_st")]
    pub pq_stuff: Option<f64>,
    /// Segmentation quality of stuff.
    #[serde(rename = "SQ_st")]
    pub sq_stuff: Option<f64>,
    /// Recognition quality of stuff.
    #[serde(rename = "RQ_st")]
    pub rq_stuff: Option<f64>,
}

impl PanopticMetrics {
    /// Means over classes and their counts, in the same order.
    pub(super) fn of(classes: &[PanopticClass], counts: &[ClassCounts]) -> Self {
        let group = |things: Option<bool>| {
            let of_group =
                classes.iter().zip(counts).filter(|(class, _)| things.is_none_or(|t| t == class.is_thing));
            let (mut sums, mut n) = ([0.0; 3], 0u32);
            for quality in of_group.filter_map(|(_, counts)| counts.quality()) {
                sums.iter_mut().zip(quality).for_each(|(sum, value)| *sum += value);
                n += 1;
            }
            sums.map(|sum| (n > 0).then(|| sum / f64::from(n)))
        };
        let [pq, sq, rq] = group(None);
        let [pq_things, sq_things, rq_things] = group(Some(true));
        let [pq_stuff, sq_stuff, rq_stuff] = group(Some(false));
        Self { pq, sq, rq, pq_things, sq_things, rq_things, pq_stuff, sq_stuff, rq_stuff }
    }

    /// Names and values in their fixed order, for tables.
    pub fn named(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("PQ", self.pq),
            ("SQ", self.sq),
            ("RQ", self.rq),
            ("PQ_th", self.pq_things),
            ("SQ_th", self.sq_things),
            ("RQ_th", self.rq_things),
            ("PQ_st", self.pq_stuff),
            ("SQ_st", self.sq_stuff),
            ("RQ_st", self.rq_stuff),
        ]
    }
}

/// Everything a panoptic evaluation says. As JSON: `{"task": "panoptic", "metrics": {...}, "classes": {"<name>": {...}}}`,
/// with ids in place of the names if names repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct PanopticScores {
    /// Means.
    pub metrics: PanopticMetrics,
    /// One row a class, in the order of the classes.
    pub classes: Vec<PanopticClassScores>,
}

impl PanopticScores {
    pub(super) fn of(classes: &[PanopticClass], counts: &[ClassCounts]) -> Self {
        let rows = classes.iter().zip(counts).map(|(class, counts)| {
            let quality = counts.quality();
            let [pq, sq, rq] = [0, 1, 2].map(|i| quality.map(|q| q[i]));
            let class = class.clone();
            PanopticClassScores { class, pq, sq, rq, tp: counts.tp, fp: counts.fp, fn_: counts.fn_ }
        });
        Self { metrics: PanopticMetrics::of(classes, counts), classes: rows.collect() }
    }

    /// What the classes are called in tables and JSON, in their order: their names, or if two have the same, their ids.
    pub fn labels(&self) -> Vec<String> {
        let mut names: Vec<&str> = self.classes.iter().map(|row| row.class.name.as_str()).collect();
        names.sort_unstable();
        let repeat = names.windows(2).any(|pair| pair[0] == pair[1]);
        let label = |class: &PanopticClass| if repeat { class.id.to_string() } else { class.name.clone() };
        self.classes.iter().map(|row| label(&row.class)).collect()
    }
}

impl Serialize for PanopticScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("task", "panoptic")?;
        map.serialize_entry("metrics", &self.metrics)?;
        map.serialize_entry("classes", &ByLabel(self))?;
        map.end()
    }
}

struct ByLabel<'a>(&'a PanopticScores);

impl Serialize for ByLabel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.labels().into_iter().zip(&self.0.classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(id: i64, name: &str, is_thing: bool) -> PanopticClass {
        PanopticClass { id, name: name.into(), is_thing }
    }

    fn counts(ious: &[f64], fp: u64, fn_: u64) -> ClassCounts {
        let mut counts = ClassCounts { fp, fn_, ..ClassCounts::default() };
        for &iou in ious {
            counts.matched(iou);
        }
        counts
    }

    #[test]
    fn means_are_over_classes_that_occur() {
        let classes = [class(1, "a", true), class(2, "b", true), class(3, "c", false), class(4, "d", false)];
        let counts = [counts(&[0.75, 1.0], 1, 1), counts(&[], 2, 0), counts(&[], 0, 0), counts(&[0.8], 0, 0)];
        let scores = PanopticScores::of(&classes, &counts);
        // a: 1.75 / 3, 1.75 / 2, 2 / 3; b: all 0; d: 0.8, 0.8, 1
        assert_eq!((scores.classes[0].pq, scores.classes[0].sq), (Some(1.75 / 3.0), Some(0.875)));
        assert_eq!((scores.classes[1].sq, scores.classes[2].pq), (Some(0.0), None));
        assert_eq!(scores.metrics.pq, Some((1.75 / 3.0 + 0.8) / 3.0));
        assert_eq!(scores.metrics.rq_things, Some(2.0 / 3.0 / 2.0));
        assert_eq!(scores.metrics.sq_stuff, Some(0.8));
        let json = serde_json::to_value(&scores).unwrap();
        assert_eq!(json["classes"]["a"]["TP"], 2);
        assert!(json["classes"]["c"]["PQ"].is_null());
    }

    #[test]
    fn a_group_that_does_not_occur_has_no_score() {
        let scores = PanopticScores::of(&[class(1, "a", true)], &[counts(&[0.6], 0, 0)]);
        assert_eq!((scores.metrics.pq_things, scores.metrics.pq_stuff), (Some(0.6), None));
        assert_eq!(PanopticScores::of(&[], &[]).metrics, PanopticMetrics::default());
    }

    #[test]
    fn repeated_names_give_way_to_ids() {
        let two = [class(7, "x", true), class(9, "x", false)];
        assert_eq!(PanopticScores::of(&two, &[ClassCounts::default(); 2]).labels(), ["7", "9"]);
    }

    #[test]
    fn the_sum_of_ious_does_not_depend_on_their_order() {
        let ious: Vec<f64> = (1..2000).map(|i| f64::from(i + 2000) / f64::from(2 * i + 2000)).collect();
        let backwards: Vec<f64> = ious.iter().rev().copied().collect();
        assert_eq!(counts(&ious, 0, 0), counts(&backwards, 0, 0));
        assert_ne!(ious.iter().sum::<f64>(), backwards.iter().sum::<f64>()); // plain addition does
        for &iou in &ious {
            assert_eq!(counts(&[iou], 0, 0).iou_sum as f64 / IOU_UNITS, iou);
        }
    }
}
