//! Reads a whole split and lists everything that training would trip over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::benchmarks::Benchmark;
use crate::cityscapes::{NUM_IDS, trained_labels};
use crate::config::Split;
use crate::histogram::histogram;
use crate::likeness::{Copies, Fingerprint};
use crate::sample::IGNORE;
use crate::semantic_set::{LabelMapping, Problem};
use crate::{SemanticSet, each_image};

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
    /// Images that are there more than once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Copies>,
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
    counts: Option<[u64; 256]>,
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
    let add = |totals: &mut Totals, i: usize| {
        totals.add(set, i, look_at(set, i));
        progress();
    };
    let totals = each_image::add_up(set.len(), Totals::default, add, Totals::merge);
    report(set, totals)
}

/// What some pairs that stand side by side in the set gave.
#[derive(Default)]
struct Totals {
    good: usize,
    unreadable: Vec<BadFile>,
    size_mismatch: Vec<SizeMismatch>,
    all_ignored: Vec<PathBuf>,
    /// Every raw value that occurs, classes too.
    values: BTreeMap<u8, OutsideValue>,
    prints: Vec<Option<Fingerprint>>,
}

impl Totals {
    /// Adds pair `i`.
    fn add(&mut self, set: &SemanticSet, i: usize, pair: Pair) {
        let (mapping, labels) = (set.mapping(), set.paths(i).1);
        let present: Vec<(u8, u64)> =
            pair.counts.iter().flat_map(|counts| (0..=IGNORE).zip(*counts)).filter(|(_, n)| *n > 0).collect();
        for &(value, pixels) in &present {
            self.count(value, pixels, 1, labels);
        }
        let is_all_ignored =
            pair.counts.is_some() && present.iter().all(|(v, _)| mapping.class_of(*v) == Some(IGNORE));
        let has_outside = present.iter().any(|(v, _)| mapping.class_of(*v).is_none());
        let is_good =
            pair.unreadable.is_empty() && pair.size_mismatch.is_none() && !has_outside && !is_all_ignored;
        self.good += usize::from(is_good);
        self.unreadable.extend(pair.unreadable);
        self.size_mismatch.extend(pair.size_mismatch);
        if is_all_ignored {
            self.all_ignored.push(labels.to_owned());
        }
        self.prints.push(pair.print);
    }

    fn count(&mut self, value: u8, pixels: u64, images: u64, first: &Path) {
        let of_none = || OutsideValue { value, pixels: 0, images: 0, first: first.to_owned() };
        let sum = self.values.entry(value).or_insert_with(of_none);
        sum.pixels += pixels;
        sum.images += images;
    }

    /// Adds the sums over the pairs behind these.
    fn merge(&mut self, behind: Self) {
        self.good += behind.good;
        self.unreadable.extend(behind.unreadable);
        self.size_mismatch.extend(behind.size_mismatch);
        self.all_ignored.extend(behind.all_ignored);
        for OutsideValue { value, pixels, images, first } in behind.values.into_values() {
            self.count(value, pixels, images, &first);
        }
        self.prints.extend(behind.prints);
    }
}

fn report(set: &SemanticSet, totals: Totals) -> (CheckReport, Vec<Option<Fingerprint>>) {
    let mapping = set.mapping();
    let Totals { good, unreadable, size_mismatch, all_ignored, values, prints } = totals;
    let count = |v: &OutsideValue| ValueCount { value: v.value, pixels: v.pixels, images: v.images };
    let raw_values: Vec<ValueCount> = values.values().map(count).collect();
    let hints = match set.benchmark() {
        None => hints(mapping, &raw_values, set.classes().ignore_hint()),
        Some(benchmark) => train_ids(benchmark, &raw_values).into_iter().collect(),
    };
    let report = CheckReport {
        split: set.split(),
        images: set.len(),
        good,
        listing: set.problems().to_vec(),
        unreadable,
        size_mismatch,
        outside: values.into_values().filter(|v| mapping.class_of(v.value).is_none()).collect(),
        all_ignored,
        copies: Copies::among(&prints, |i| set.paths(i).0.to_owned()),
        raw_values,
        hints,
    };
    (report, prints)
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
    let mut bad = |file: &Path, err: crate::DataError| {
        pair.unreadable.push(BadFile { file: file.to_owned(), error: err.full_message() });
    };
    let image_size = match Fingerprint::of_file(image_path) {
        Ok((size, print)) => {
            pair.print = Some(print);
            Some(size)
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
            pair.counts = Some(histogram(&labels));
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
