//! Means over overlaps and classes.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{CLASSES, OVERLAPS, classes};

/// Instance-level scores, fractions in `[0, 1]`. As JSON:
/// `{"task": "cityscapes-instance", "metrics": {"AP", "AP50"}, "classes": {"<name>": {...}}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceScores {
    /// AP: mean over classes with ground truth and ten overlaps; `None` if no class has any.
    pub ap: Option<f64>,
    /// Mean over classes at overlap 0.5.
    pub ap50: Option<f64>,
    /// One row a class, in order of the label ids.
    pub classes: Vec<InstanceClassScores>,
}

/// Scores of one class; `None` if there is no ground truth object of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceClassScores {
    /// Name of the label.
    #[serde(skip)]
    pub name: &'static str,
    /// Mean over ten overlaps.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// At overlap 0.5.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
    /// Ground truth objects that are asked for: not groups, at least 100 pixels.
    pub gt_instances: u64,
}

impl InstanceScores {
    pub(super) fn new(ap: &[[Option<f64>; OVERLAPS]; CLASSES], objects: [u64; CLASSES]) -> Self {
        let rows = classes().zip(ap).zip(objects);
        let classes = rows.map(|((label, ap), gt_instances)| InstanceClassScores {
            name: label.name,
            ap: mean(ap),
            ap50: ap[0],
            gt_instances,
        });
        Self { ap: mean(ap.as_flattened()), ap50: mean(&ap.map(|ap| ap[0])), classes: classes.collect() }
    }
}

/// Mean of the defined values.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let defined = || values.iter().flatten();
    let count = defined().count();
    (count > 0).then(|| defined().sum::<f64>() / count as f64)
}

impl Serialize for InstanceScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("task", "cityscapes-instance")?;
        map.serialize_entry("metrics", &Metrics { ap: self.ap, ap50: self.ap50 })?;
        map.serialize_entry("classes", &ByName(&self.classes))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Metrics {
    #[serde(rename = "AP")]
    ap: Option<f64>,
    #[serde(rename = "AP50")]
    ap50: Option<f64>,
}

struct ByName<'a>(&'a [InstanceClassScores]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|class| (class.name, class)))
    }
}
