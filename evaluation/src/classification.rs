//! Image classification: top-1 and top-5 accuracy, over images and as means over classes.
//!
//! An image counts for top-k if fewer than k classes have a higher score than its own; of equal scores the lower class id
//! counts as the higher, so that the result depends on nothing but the scores. A score that is not a number is lower than all
//! others.
//!
//! ```
//! use smalti_evaluation::classification::ClassificationCounts;
//! let mut counts = ClassificationCounts::new(3);
//! counts.add(&[0.1, 0.7, 0.2], 1)?;
//! counts.add(&[0.1, 0.7, 0.2], 0)?;
//! let scores = counts.finish();
//! assert_eq!((scores.metrics.top1, scores.metrics.top5), (Some(0.5), Some(1.0)));
//! # Ok::<(), smalti_evaluation::EvalError>(())
//! ```

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::EvalError;

/// Counts of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassCounts {
    images: u64,
    top1: u64,
    top5: u64,
}

/// How many images of each class there were, and for how many of them it was among the highest scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationCounts {
    classes: Vec<ClassCounts>,
}

impl ClassificationCounts {
    /// Empty counts of `num_classes` = K classes.
    pub fn new(num_classes: usize) -> Self {
        Self { classes: vec![ClassCounts::default(); num_classes] }
    }

    /// Counts an image of class `class`: K scores such as logits, higher = more likely.
    ///
    /// # Errors
    /// [`EvalError::Length`] if there are not K scores, [`EvalError::Class`] if there is no such class; nothing is counted.
    pub fn add(&mut self, scores: &[f32], class: usize) -> Result<(), EvalError> {
        let num_classes = self.classes.len();
        if scores.len() != num_classes {
            let got = scores.len();
            return Err(EvalError::Length { what: "scores", expected: num_classes, got, num_classes });
        }
        let rank = rank(scores, class).ok_or(EvalError::Class { got: class, num_classes })?;
        let counts = &mut self.classes[class];
        counts.images += 1;
        counts.top1 += u64::from(rank < 1);
        counts.top5 += u64::from(rank < 5);
        Ok(())
    }

    /// Adds what was counted elsewhere.
    ///
    /// # Errors
    /// [`EvalError::Merge`] if the numbers of classes differ; nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), EvalError> {
        let (expected, got) = (self.classes.len() as u64, other.classes.len() as u64);
        if expected != got {
            return Err(EvalError::Merge { field: "the number of classes", expected, got });
        }
        for (sum, part) in self.classes.iter_mut().zip(&other.classes) {
            sum.images += part.images;
            sum.top1 += part.top1;
            sum.top5 += part.top5;
        }
        Ok(())
    }

    /// Shares of what was counted.
    pub fn finish(&self) -> ClassificationScores {
        let images = self.classes.iter().map(|class| class.images).sum();
        let share = |of: fn(&ClassCounts) -> u64| ratio(self.classes.iter().map(of).sum(), images);
        let classes: Vec<_> = self
            .classes
            .iter()
            .enumerate()
            .map(|(id, class)| ClassificationClass {
                name: id.to_string(),
                top1: ratio(class.top1, class.images),
                top5: ratio(class.top5, class.images),
                images: class.images,
            })
            .collect();
        let seen: Vec<f64> = classes.iter().filter_map(|class| class.top1).collect();
        let m_acc = (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / seen.len() as f64);
        let metrics =
            ClassificationMetrics { top1: share(|class| class.top1), top5: share(|class| class.top5), m_acc };
        ClassificationScores { metrics, classes, images }
    }
}

/// Number of classes that come before `class`; none if it is out of range.
fn rank(scores: &[f32], class: usize) -> Option<usize> {
    let number = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
    let own = number(*scores.get(class)?);
    let before = scores.iter().enumerate().filter(|&(other, &score)| {
        let score = number(score);
        score > own || (score == own && other < class)
    });
    Some(before.count())
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Accuracies over all images, fractions in `[0, 1]`; `None` without images.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ClassificationMetrics {
    /// Share of the images whose class has the highest score.
    pub top1: Option<f64>,
    /// Share of the images whose class is among the five highest.
    pub top5: Option<f64>,
    /// Mean over classes with images of their top-1 accuracy.
    #[serde(rename = "mAcc")]
    pub m_acc: Option<f64>,
}

impl ClassificationMetrics {
    /// Names and values in their fixed order, for tables.
    pub fn named(&self) -> [(&'static str, Option<f64>); 3] {
        [("top1", self.top1), ("top5", self.top5), ("mAcc", self.m_acc)]
    }
}

/// Accuracies of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassificationClass {
    /// Name, or the id where no names were given.
    #[serde(skip)]
    pub name: String,
    /// Share of its images for which it has the highest score.
    pub top1: Option<f64>,
    /// Share of its images for which it is among the five highest.
    pub top5: Option<f64>,
    /// Its images.
    pub images: u64,
}

/// Everything an evaluation says. As JSON:
/// `{"task": "classification", "images": n, "metrics": {...}, "classes": {"<name>": {...}}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationScores {
    /// Accuracies over all images.
    pub metrics: ClassificationMetrics,
    /// One row a class, in order of the ids.
    pub classes: Vec<ClassificationClass>,
    /// Images counted.
    pub images: u64,
}

impl ClassificationScores {
    /// The same scores with names for the classes.
    ///
    /// # Errors
    /// [`EvalError::Length`] if there are not K names.
    pub fn with_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, EvalError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let (expected, got) = (self.classes.len(), names.len());
        if expected != got {
            return Err(EvalError::Length { what: "names", expected, got, num_classes: expected });
        }
        for (class, name) in self.classes.iter_mut().zip(names) {
            class.name = name;
        }
        Ok(self)
    }
}

impl Serialize for ClassificationScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("task", "classification")?;
        map.serialize_entry("images", &self.images)?;
        map.serialize_entry("metrics", &self.metrics)?;
        map.serialize_entry("classes", &ByName(&self.classes))?;
        map.end()
    }
}

/// Classes as a JSON object that keeps their order.
struct ByName<'a>(&'a [ClassificationClass]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|class| (&class.name, class)))
    }
}
