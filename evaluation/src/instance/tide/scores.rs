//! Kinds of errors, options, and the numbers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::EvalError;
use crate::instance::IouType;

/// What is wrong with a detection, or that there is none. In the reference's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// Right place, wrong class.
    Classification,
    /// Right class, badly placed.
    Localisation,
    /// Wrong class and badly placed.
    Both,
    /// Right class and place, but a better detection has the object.
    Duplicate,
    /// Where nothing is.
    Background,
    /// An object that no detection found and no other error explains.
    Missed,
}

impl ErrorKind {
    /// All kinds, in the reference's order.
    pub const ALL: [Self; 6] = [
        Self::Classification,
        Self::Localisation,
        Self::Both,
        Self::Duplicate,
        Self::Background,
        Self::Missed,
    ];

    /// The reference's short name: `Cls`, `Loc`, `Both`, `Dupe`, `Bkg`, `Miss`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "Cls",
            Self::Localisation => "Loc",
            Self::Both => "Both",
            Self::Duplicate => "Dupe",
            Self::Background => "Bkg",
            Self::Missed => "Miss",
        }
    }
}

/// The two thresholds on IoU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TideOptions {
    threshold: f64,
    background: f64,
}

impl Default for TideOptions {
    /// 0.5 and 0.1, as the paper has them.
    fn default() -> Self {
        Self { threshold: 0.5, background: 0.1 }
    }
}

impl TideOptions {
    /// A match has at least the IoU `threshold`; what has at most `background` with everything lies where nothing is.
    ///
    /// # Errors
    /// [`EvalError::TideThresholds`] unless `0 < background <= threshold <= 1`.
    pub fn new(threshold: f64, background: f64) -> Result<Self, EvalError> {
        if 0.0 < background && background <= threshold && threshold <= 1.0 {
            Ok(Self { threshold, background })
        } else {
            Err(EvalError::TideThresholds { threshold, background })
        }
    }

    /// Least IoU of a match.
    pub fn threshold(self) -> f64 {
        self.threshold
    }

    /// Greatest IoU of a detection that lies where nothing is.
    pub fn background(self) -> f64 {
        self.background
    }
}

/// What errors of one sort cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TideError {
    /// AP that is gained without them, a fraction. `None` if nothing to average remains without them, on which the
    /// reference fails.
    #[serde(rename = "dAP")]
    pub delta: Option<f64>,
    /// Number of them.
    pub count: u64,
}

/// Everything the breakdown says. As JSON: `{"task": "instance", "iou_type": "segm", "threshold": 0.5, "background": 0.1,
/// "metrics": {"AP": ...}, "errors": {"Cls": {"dAP": ..., "count": ...}, ...}, "special": {"FalsePos": ..., "FalseNeg":
/// ...}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct TideScores {
    /// What was compared.
    pub iou_type: IouType,
    /// The thresholds.
    pub options: TideOptions,
    /// The reference's AP at the threshold, a fraction; `None` without objects and detections.
    pub ap: Option<f64>,
    /// Cost of each kind of error. The number counts detections in crowds too. Costs do not add up to what AP lacks.
    pub errors: BTreeMap<ErrorKind, TideError>,
    /// Cost of all wrong detections together: the AP with these ranked last. Crowds aside.
    pub false_positives: TideError,
    /// Cost of all unmatched objects together: the AP with these left out.
    pub false_negatives: TideError,
}

impl TideScores {
    /// The six kinds under their short names, then `FalsePos` and `FalseNeg`.
    pub fn named(&self) -> Vec<(&'static str, TideError)> {
        let kinds = self.errors.iter().map(|(kind, error)| (kind.name(), *error));
        kinds.chain(self.special()).collect()
    }

    fn special(&self) -> [(&'static str, TideError); 2] {
        [("FalsePos", self.false_positives), ("FalseNeg", self.false_negatives)]
    }
}

impl Serialize for TideScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("task", "instance")?;
        map.serialize_entry("iou_type", name(self.iou_type))?;
        map.serialize_entry("threshold", &self.options.threshold)?;
        map.serialize_entry("background", &self.options.background)?;
        map.serialize_entry("metrics", &BTreeMap::from([("AP", self.ap)]))?;
        let kinds = self.errors.iter().map(|(kind, error)| (kind.name(), *error));
        map.serialize_entry("errors", &ByName(&kinds.collect::<Vec<_>>()))?;
        map.serialize_entry("special", &ByName(&self.special()))?;
        map.end()
    }
}

struct ByName<'a>(&'a [(&'static str, TideError)]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn name(kind: IouType) -> &'static str {
    match kind {
        IouType::Segm => "segm",
        IouType::Bbox => "bbox",
        IouType::Boundary => "boundary",
    }
}
