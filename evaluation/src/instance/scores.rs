//! The twelve numbers, of all categories and of each.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::curve::mean;
use super::params::MaxDets;

/// COCO's twelve numbers, fractions in `[0, 1]`; `None` where there is no ground truth to find (-1 in the reference).
///
/// The names of the average recalls are those for the usual limits of 1, 10 and 100 detections an image and category; with
/// other limits they stand for the first, second and third.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct InstanceMetrics {
    /// Average precision over the IoU thresholds 0.5 to 0.95. Of at most 100 detections, if that is one of the limits.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// At IoU 0.5.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
    /// At IoU 0.75.
    #[serde(rename = "AP75")]
    pub ap75: Option<f64>,
    /// Of objects of at most 32^2 pixels.
    #[serde(rename = "APs")]
    pub ap_small: Option<f64>,
    /// Of objects of 32^2 to 96^2 pixels.
    #[serde(rename = "APm")]
    pub ap_medium: Option<f64>,
    /// Of objects of at least 96^2 pixels.
    #[serde(rename = "APl")]
    pub ap_large: Option<f64>,
    /// Average recall with the first limit.
    #[serde(rename = "AR1")]
    pub ar_first: Option<f64>,
    /// Average recall with the second limit.
    #[serde(rename = "AR10")]
    pub ar_second: Option<f64>,
    /// Average recall with the third limit.
    #[serde(rename = "AR100")]
    pub ar_third: Option<f64>,
    /// Average recall of objects of at most 32^2 pixels.
    #[serde(rename = "ARs")]
    pub ar_small: Option<f64>,
    /// Average recall of objects of 32^2 to 96^2 pixels.
    #[serde(rename = "ARm")]
    pub ar_medium: Option<f64>,
    /// Average recall of objects of at least 96^2 pixels.
    #[serde(rename = "ARl")]
    pub ar_large: Option<f64>,
}

impl InstanceMetrics {
    /// Names and values in their fixed order, for tables.
    pub fn named(&self) -> [(&'static str, Option<f64>); 12] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("APs", self.ap_small),
            ("APm", self.ap_medium),
            ("APl", self.ap_large),
            ("AR1", self.ar_first),
            ("AR10", self.ar_second),
            ("AR100", self.ar_third),
            ("ARs", self.ar_small),
            ("ARm", self.ar_medium),
            ("ARl", self.ar_large),
        ]
    }
}

/// Each metric's mean over the categories where it is defined.
pub(super) fn mean_of_classes(classes: impl Iterator<Item = InstanceMetrics>) -> InstanceMetrics {
    let classes: Vec<InstanceMetrics> = classes.collect();
    let over = |pick: fn(&InstanceMetrics) -> Option<f64>| mean(classes.iter().map(pick));
    InstanceMetrics {
        ap: over(|m| m.ap),
        ap50: over(|m| m.ap50),
        ap75: over(|m| m.ap75),
        ap_small: over(|m| m.ap_small),
        ap_medium: over(|m| m.ap_medium),
        ap_large: over(|m| m.ap_large),
        ar_first: over(|m| m.ar_first),
        ar_second: over(|m| m.ar_second),
        ar_third: over(|m| m.ar_third),
        ar_small: over(|m| m.ar_small),
        ar_medium: over(|m| m.ar_medium),
        ar_large: over(|m| m.ar_large),
    }
}

/// One category.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceClass {
    /// Id of the category.
    pub id: i64,
    /// Name, or the id where no name is known.
    pub name: String,
    /// Its numbers.
    pub metrics: InstanceMetrics,
}

/// Everything an instance evaluation says. As JSON: `{"task": "instance", "max_dets": [...], "metrics": {...},
/// "classes": {"<name>": {...}}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceScores {
    /// Limits on the detections of an image and category.
    pub max_dets: MaxDets,
    /// Means over categories.
    pub metrics: InstanceMetrics,
    /// Every category, in order of the ids.
    pub classes: Vec<InstanceClass>,
}

impl InstanceScores {
    pub(super) fn new(max_dets: MaxDets, classes: Vec<(i64, InstanceMetrics)>) -> Self {
        let metrics = mean_of_classes(classes.iter().map(|(_, metrics)| *metrics));
        let named =
            |(id, metrics): (i64, InstanceMetrics)| InstanceClass { id, name: id.to_string(), metrics };
        Self { max_dets, metrics, classes: classes.into_iter().map(named).collect() }
    }

    /// The same scores with names for the categories, by id. Where several have the same name, the id is added to it.
    #[must_use]
    pub fn with_names<'a>(mut self, name_of: impl Fn(i64) -> Option<&'a str>) -> Self {
        for class in &mut self.classes {
            if let Some(name) = name_of(class.id) {
                name.clone_into(&mut class.name);
            }
        }
        let mut names: Vec<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        names.sort_unstable();
        let repeated: Vec<String> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned()).collect();
        for class in &mut self.classes {
            if repeated.contains(&class.name) {
                class.name = format!("{} ({})", class.name, class.id);
            }
        }
        self
    }
}

impl Serialize for InstanceScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("task", "instance")?;
        map.serialize_entry("max_dets", &self.max_dets.limits())?;
        map.serialize_entry("metrics", &self.metrics)?;
        map.serialize_entry("classes", &ByName(&self.classes))?;
        map.end()
    }
}

struct ByName<'a>(&'a [InstanceClass]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|class| (&class.name, &class.metrics)))
    }
}
