//! From counts to IoU and iIoU.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use smalti_datasets::cityscapes::{Category, LABELS, Label, NUM_IDS};

use super::objects::{Object, Weighted, ids_with_instances, weighted};

/// Pixel-level scores, fractions in `[0, 1]`; `None` where nothing was there to score. As JSON: `{"task":
/// "cityscapes-semantic", "metrics": {...}, "classes": {"<name>": {"IoU", "iIoU"}}, "categories": {...}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelScores {
    /// Mean IoU of classes.
    pub iou_class: Option<f64>,
    /// Mean IoU of categories.
    pub iou_category: Option<f64>,
    /// Mean iIoU of the classes that have one.
    pub iiou_class: Option<f64>,
    /// Mean iIoU of the categories that have one: human and vehicle.
    pub iiou_category: Option<f64>,
    /// The 19 scored classes, in order of their ids.
    pub classes: Vec<PixelRow>,
    /// The 7 categories but void, in order of their ids.
    pub categories: Vec<PixelRow>,
}

/// Scores of one class or category.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PixelRow {
    /// Name of the label or category.
    #[serde(skip)]
    pub name: &'static str,
    /// Intersection over union; `None` if it occurs on neither side.
    #[serde(rename = "IoU")]
    pub iou: Option<f64>,
    /// The same with every object weighted alike; `None` also where single objects are not told apart.
    #[serde(rename = "iIoU")]
    pub iiou: Option<f64>,
}

impl PixelScores {
    /// `objects` are sorted; image `i` counts `weight(i)` times, in `matrix` already.
    pub(super) fn new(matrix: &[u64], objects: &[Object], weight: impl Fn(u32) -> u64) -> Self {
        let matrix = Confusion(matrix);
        let class = |label: &Label| {
            let id = label.id as u8;
            let area = matrix.area(&[id], |other| other.id != label.id);
            let objects = weighted(objects, &(id..=id), |object| object.hits, &weight);
            let iiou = label.is_instance_class().then(|| iiou(objects, area.wrong)).flatten();
            PixelRow { name: label.name, iou: area.iou(), iiou }
        };
        let category = |category: Category| {
            let elsewhere = |other: &Label| other.category != category;
            let members = scored().filter(|label| label.category == category).map(|label| label.id as u8);
            let area = matrix.area(&members.collect::<Vec<_>>(), elsewhere);
            let iiou = ids_with_instances(category).and_then(|ids| {
                let wrong = matrix.area(&ids.clone().collect::<Vec<_>>(), elsewhere).wrong;
                iiou(weighted(objects, &ids, |object| object.category_hits, &weight), wrong)
            });
            PixelRow { name: category.name(), iou: area.iou(), iiou }
        };
        let classes: Vec<_> = scored().map(class).collect();
        let categories: Vec<_> =
            Category::ALL.into_iter().filter(|&c| c != Category::Void).map(category).collect();
        Self {
            iou_class: mean(classes.iter().map(|row| row.iou)),
            iou_category: mean(categories.iter().map(|row| row.iou)),
            iiou_class: mean(classes.iter().map(|row| row.iiou)),
            iiou_category: mean(categories.iter().map(|row| row.iiou)),
            classes,
            categories,
        }
    }

    /// Names and values of the means in their fixed order.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("IoU_class", self.iou_class),
            ("IoU_category", self.iou_category),
            ("iIoU_class", self.iiou_class),
            ("iIoU_category", self.iiou_category),
        ]
    }
}

fn scored() -> impl Iterator<Item = &'static Label> {
    LABELS.iter().filter(|label| !label.ignore_in_eval)
}

/// A matrix `[34, 34]`, row = ground truth.
struct Confusion<'a>(&'a [u64]);

/// Pixels of a set of ids.
#[derive(Debug, Clone, Copy)]
struct Area {
    hits: u64,
    /// Ground truth pixels of the ids predicted as anything else.
    missed: u64,
    /// Predicted pixels on ground truth of other scored labels.
    wrong: u64,
}

impl Confusion<'_> {
    fn at(&self, gt: u8, pred: u8) -> u64 {
        self.0[usize::from(gt) * NUM_IDS + usize::from(pred)]
    }

    /// Wrong predictions are those on scored labels that are `elsewhere`.
    fn area(&self, ids: &[u8], elsewhere: impl Fn(&Label) -> bool) -> Area {
        let on = |gt: u8| ids.iter().map(|&pred| self.at(gt, pred)).sum::<u64>();
        let all = |gt: u8| (0..NUM_IDS as u8).map(|pred| self.at(gt, pred)).sum::<u64>();
        let hits = ids.iter().map(|&gt| on(gt)).sum();
        let labelled: u64 = ids.iter().map(|&gt| all(gt)).sum();
        let wrong = scored().filter(|label| elsewhere(label)).map(|label| on(label.id as u8)).sum();
        Area { hits, missed: labelled - hits, wrong }
    }
}

impl Area {
    fn iou(self) -> Option<f64> {
        let union = self.hits + self.missed + self.wrong;
        (union > 0).then(|| self.hits as f64 / union as f64)
    }
}

fn iiou(objects: Weighted, wrong: u64) -> Option<f64> {
    let union = objects.hits + wrong as f64 + objects.misses;
    (union > 0.0).then(|| objects.hits / union)
}

/// Mean of the defined values.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

impl Serialize for PixelScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("task", "cityscapes-semantic")?;
        map.serialize_entry("metrics", &Means(self))?;
        map.serialize_entry("classes", &ByName(&self.classes))?;
        map.serialize_entry("categories", &ByName(&self.categories))?;
        map.end()
    }
}

struct Means<'a>(&'a PixelScores);

impl Serialize for Means<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.named())
    }
}

struct ByName<'a>(&'a [PixelRow]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|row| (row.name, row)))
    }
}
