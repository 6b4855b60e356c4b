//! Reads a whole split and lists everything that training would trip over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::benchmarks::Benchmark;
use crate::cityscapes::{NUM_IDS, trained_labels};
use crate::config::Split;
use crate::histogram::histogram;
use crate::likeness::Fingerprint;
use crate::sample::IGNORE;
use crate::semantic_set::{LabelMapping, Problem};
use crate::{SemanticSet, decode};

/// What [`check`] found. Lists are in the order of the set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The split.
    pub split: Split,
    /// Pairs of image and label map that were read.
    pub images: usize,
    /// Pairs with nothing wrong in them.
    pub good: usize,
    /// Files that do not pair, repeated entries, malformed lines.
    pub listing: Vec<Problem>,
    /// Images and label maps that cannot be decoded.
    pub unreadable: Vec<BadFile>,
    /// Label maps whose size is not that of their image.
    pub size_mismatch: Vec<SizeMismatch>,
    /// Raw label values that are no class, by value.
    pub outside: Vec<OutsideValue>,
    /// Label maps without a single pixel that counts.
    pub all_ignored: Vec<PathBuf>,
    /// All raw label values that occur, by value.
    pub raw_values: Vec<ValueCount>,
    /// Settings that look wrong, with what to try; a benchmark has none.
    pub hints: Vec<Hint>,
}

/// A file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadFile {
    /// The file.
    pub file: PathBuf,
    /// The error, which names the file too.
    pub error: String,
}

/// A label map whose size is not that of its image; sizes are height and width.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeMismatch {
    /// The label file.
    pub labels: PathBuf,
    /// Its size.
    pub labels_size: (usize, usize),
    /// Size of the image.
    pub image_size: (usize, usize),
}

/// A raw label value that is no class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideValue {
    /// The raw value.
    pub value: u8,
    /// Pixels with it.
    pub pixels: u64,
    /// Label maps with it.
    pub images: u64,
    /// The first of them.
    pub first: PathBuf,
}

/// How often a raw label value occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The raw value.
    pub value: u8,
    /// Pixels with it.
    pub pixels: u64,
    /// Label maps with it.
    pub images: u64,
}

/// A setting that looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// What to try, as `key = value` of the recipe.
    pub setting: String,
    /// What speaks for it.
    pub reason: String,
}

impl CheckReport {
    /// Whether training can start: something to read, and nothing wrong but labels without an image.
    pub fn trainable(&self) -> bool {
        self.images > 0
            && self.unreadable.is_empty()
            && self.size_mismatch.is_empty()
            && self.outside.is_empty()
            && self.all_ignored.len() < self.images
            && !self.listing.iter().any(Problem::is_fatal)
    }
}

/// What one pair gave.
#[derive(Default)]
struct Pair {
    unreadable: Vec<BadFile>,
    size_mismatch: Option<SizeMismatch>,
    /// Pixels by raw value; none if the label map cannot be read.
    counts: Option<Vec<u64>>,
    print: Option<Fingerprint>,
}

/// Reads every file of the set in parallel; `set` should come from [`SemanticSet::scan`]. `progress` is called after each
/// pair, from any thread.
pub fn check(set: &SemanticSet, progress: &(dyn Fn() + Sync)) -> CheckReport {
    check_with_prints(set, progress).0
}

/// Like [`check`], with the fingerprints of the images in the order of the set, `None` for those that cannot be read.
pub fn check_with_prints(
    set: &SemanticSet,
    progress: &(dyn Fn() + Sync),
) -> (CheckReport, Vec<Option<Fingerprint>>) {
    let mut pairs: Vec<Pair> = (0..set.len())
        .into_par_iter()
        .map(|i| {
            let pair = look_at(set, i);
            progress();
            pair
        })
        .collect();
    let prints = pairs.iter_mut().map(|pair| pair.print.take()).collect();
    (report(set, pairs), prints)
}

fn report(set: &SemanticSet, pairs: Vec<Pair>) -> CheckReport {
    let mapping = set.mapping();
    let mut report = CheckReport {
        split: set.split(),
        images: set.len(),
        good: 0,
        listing: set.problems().to_vec(),
        unreadable: vec![],
        size_mismatch: vec![],
        outside: vec![],
        all_ignored: vec![],
        raw_values: vec![],
        hints: vec![],
    };
    let mut values: BTreeMap<u8, OutsideValue> = BTreeMap::new();
    for (i, pair) in pairs.into_iter().enumerate() {
        let labels = set.paths(i).1;
        let counts = pair.counts.unwrap_or_default();
        let present = || (0..=IGNORE).zip(&counts).filter(|(_, count)| **count > 0);
        for (value, &pixels) in present() {
            let entry = values.entry(value).or_insert_with(|| OutsideValue {
                value,
                pixels: 0,
                images: 0,
                first: labels.to_owned(),
            });
            entry.pixels += pixels;
            entry.images += 1;
        }
        let is_all_ignored =
            !counts.is_empty() && present().all(|(v, _)| mapping.class_of(v) == Some(IGNORE));
        let has_outside = present().any(|(v, _)| mapping.class_of(v).is_none());
        if pair.unreadable.is_empty() && pair.size_mismatch.is_none() && !has_outside && !is_all_ignored {
            report.good += 1;
        }
        report.unreadable.extend(pair.unreadable);
        report.size_mismatch.extend(pair.size_mismatch);
        if is_all_ignored {
            report.all_ignored.push(labels.to_owned());
        }
    }
    let count = |v: &OutsideValue| ValueCount { value: v.value, pixels: v.pixels, images: v.images };
    report.raw_values = values.values().map(count).collect();
    report.outside = values.into_values().filter(|v| mapping.class_of(v.value).is_none()).collect();
    report.hints = match set.benchmark() {
        None => hints(mapping, &report.raw_values, set.classes().ignore_hint()),
        Some(benchmark) => train_ids(benchmark, &report.raw_values).into_iter().collect(),
    };
    report
}

/// Whether the files of a benchmark hold ids of another kind than the official ones.
fn train_ids(benchmark: Benchmark, values: &[ValueCount]) -> Option<Hint> {
    let occurs = |value: u8| values.iter().any(|count| count.value == value);
    let is_train_id = |value: u8| value <= 18 || value == IGNORE;
    let all = benchmark == Benchmark::Cityscapes && values.iter().all(|count| is_train_id(count.value));
    (all && occurs(IGNORE)).then(|| Hint {
        setting: "the `labelIds` of gtFine_trainvaltest.zip".to_owned(),
        reason: "the files hold 0 to 18 and 255 alone, which are train ids: they were converted already"
            .to_owned(),
    })
}

fn look_at(set: &SemanticSet, i: usize) -> Pair {
    let (image_path, labels_path) = set.paths(i);
    let mut pair = Pair::default();
    let mut bad = |file: &std::path::Path, err: crate::DataError| {
        pair.unreadable.push(BadFile { file: file.to_owned(), error: err.full_message() });
    };
    let mut bytes = Vec::new();
    let image = decode::read_into(image_path, &mut bytes).and_then(|()| decode::image_of(image_path, &bytes));
    let image_size = match image {
        Ok(image) => {
            pair.print = Some(Fingerprint::new(&bytes, &image));
            Some((image.dim().0, image.dim().1))
        }
        Err(err) => {
            bad(image_path, err);
            None
        }
    };
    match set.raw_labels(i) {
        Ok(labels) => {
            if let Some(image_size) = image_size.filter(|size| *size != labels.dim()) {
                let (labels_path, labels_size) = (labels_path.to_owned(), labels.dim());
                pair.size_mismatch = Some(SizeMismatch { labels: labels_path, labels_size, image_size });
            }
            pair.counts = Some(histogram(&labels).to_vec());
        }
        Err(err) => bad(labels_path, err),
    }
    pair
}

/// Below this share of the pixels a value counts as rare.
const RARE: f64 = 0.001;

/// Looks for a shifted or missing "not labelled" value in the raw values of a whole split.
fn hints(mapping: &LabelMapping, values: &[ValueCount], file_says: Option<u8>) -> Vec<Hint> {
    let k = mapping.num_classes();
    let pixels_of =
        |value: usize| values.iter().find(|v| usize::from(v.value) == value).map_or(0, |v| v.pixels);
    let total: u64 = values.iter().map(|v| v.pixels).sum();
    let share = |value: usize| pixels_of(value) as f64 / total.max(1) as f64;
    let percent = |value: usize| format!("{:.1} % of the pixels", 100.0 * share(value));
    let hint = |setting: &str, reason: String| Hint { setting: setting.to_owned(), reason };
    let is_class_or_shifted = |v: &ValueCount| usize::from(v.value) <= k || v.value == IGNORE;
    let mut found = vec![];

    if mapping.reduce_zero_label() {
        if k < usize::from(IGNORE) && pixels_of(0) > 0 && pixels_of(k) == 0 {
            let reason = format!(
                "raw label 0 ({}) is ignored, but raw label {k}, the last class, never occurs",
                percent(0)
            );
            found.push(hint("data.reduce_zero_label = false", reason));
        }
        return found;
    }
    let ignored = mapping.ignore_label();
    if let Some(value) =
        file_says.filter(|v| ignored.is_none() && *v != IGNORE && pixels_of(usize::from(*v)) > 0)
    {
        let reason =
            format!("the class file calls {value} \"ignore\", it covers {}", percent(usize::from(value)));
        found.push(hint(&format!("data.ignore_label = {value}"), reason));
        return found;
    }
    let shifted = k < usize::from(IGNORE)
        && pixels_of(k) > 0
        && ignored.map(usize::from) != Some(k)
        && values.iter().all(is_class_or_shifted);
    if shifted && share(0) < RARE {
        let zero =
            if pixels_of(0) == 0 { "0 never occurs".to_owned() } else { format!("0 is {}", percent(0)) };
        let reason =
            format!("raw labels run from 1 to {k} with {k} classes, and {zero}: the classes start at 1");
        found.push(hint("data.reduce_zero_label = true", reason));
    } else if shifted {
        let reason =
            format!("{k} ({}) is one above the last class: it may mean \"not labelled\"", percent(k));
        found.push(hint(&format!("data.ignore_label = {k}"), reason));
        let reason =
            format!("otherwise 0 ({}) may mean \"not labelled\", with classes from 1 to {k}", percent(0));
        found.push(hint("data.reduce_zero_label = true", reason));
    } else {
        let outside: Vec<&ValueCount> =
            values.iter().filter(|v| mapping.class_of(v.value).is_none()).collect();
        let is_label_id = |value: &&ValueCount| usize::from(value.value) < NUM_IDS;
        if k == trained_labels().count() && !outside.is_empty() && outside.iter().all(is_label_id) {
            let reason = format!("values up to {} with {k} classes: label ids of Cityscapes?", NUM_IDS - 1);
            found.push(hint("data.benchmark = \"cityscapes\"", reason));
        } else if let ([only], None) = (&outside[..], ignored) {
            let value = only.value;
            let reason =
                format!("{value} ({}) is the only value outside the classes", percent(usize::from(value)));
            found.push(hint(&format!("data.ignore_label = {value}"), reason));
        } else if outside.is_empty() && total > 0 && pixels_of(0) == 0 && ignored != Some(0) && k > 1 {
            let reason = "raw label 0, the first class, never occurs: do the classes start at 1?".to_owned();
            found.push(hint("data.reduce_zero_label = true", reason));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings proposed for 4 classes and pixels by raw value.
    fn proposed(
        ignore: Option<u8>,
        reduce: bool,
        file_says: Option<u8>,
        counts: &[(u8, u64)],
    ) -> Vec<String> {
        let values: Vec<_> =
            counts.iter().map(|&(value, pixels)| ValueCount { value, pixels, images: 1 }).collect();
        let found = hints(&LabelMapping::new(4, ignore, reduce), &values, file_says);
        found.into_iter().map(|hint| hint.setting).collect()
    }

    #[test]
    fn label_ids_and_train_ids_of_cityscapes_are_told_apart() {
        let count = |value| ValueCount { value, pixels: 9, images: 1 };
        let values: Vec<_> = [0, 7, 11, 26, 33].into_iter().map(count).collect();
        let found = hints(&LabelMapping::new(19, None, false), &values, None);
        assert_eq!(found[0].setting, "data.benchmark = \"cityscapes\"");
        let ids = |values: &[u8]| {
            let values: Vec<_> = values.iter().map(|&value| count(value)).collect();
            train_ids(Benchmark::Cityscapes, &values).is_some()
        };
        assert!(ids(&[0, 18, 255]));
        assert!(!ids(&[0, 18]) && !ids(&[0, 26, 255]));
        assert!(train_ids(Benchmark::Ade20k, &[count(255)]).is_none());
    }

    #[test]
    fn shifts_and_ignore_values_are_noticed() {
        let nothing: [&str; 0] = [];
        assert_eq!(proposed(None, false, None, &[(0, 50), (1, 50), (3, 9)]), nothing);
        assert_eq!(
            proposed(None, false, None, &[(1, 50), (2, 50), (4, 9), (255, 7)]),
            ["data.reduce_zero_label = true"]
        );
        assert_eq!(
            proposed(None, false, None, &[(0, 1), (1, 5000), (4, 9)]),
            ["data.reduce_zero_label = true"]
        );
        assert_eq!(
            proposed(None, false, None, &[(0, 60), (1, 50), (4, 9)]),
            ["data.ignore_label = 4", "data.reduce_zero_label = true"]
        );
        assert_eq!(proposed(None, false, Some(4), &[(0, 60), (1, 50), (4, 9)]), ["data.ignore_label = 4"]);
        assert_eq!(proposed(Some(4), false, Some(4), &[(0, 60), (1, 50), (4, 9)]), nothing);
        assert_eq!(proposed(None, false, None, &[(0, 60), (1, 50), (200, 9)]), ["data.ignore_label = 200"]);
        assert_eq!(
            proposed(None, false, None, &[(0, 60), (17, 50), (200, 9)]),
            nothing,
            "colours or another class list"
        );
        assert_eq!(proposed(None, false, None, &[(1, 50), (2, 50)]), ["data.reduce_zero_label = true"]);
        assert_eq!(proposed(Some(0), false, None, &[(1, 50), (2, 50)]), nothing);
        assert_eq!(proposed(None, true, None, &[(0, 50), (1, 50), (4, 50)]), nothing);
        assert_eq!(
            proposed(None, true, None, &[(0, 50), (1, 50), (3, 50)]),
            ["data.reduce_zero_label = false"]
        );
        assert_eq!(proposed(None, false, None, &[]), nothing);
    }
}
