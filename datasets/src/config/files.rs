//! Where the samples of a semantic set come from: a benchmark as it lies on disk, or files of one's own.
//!
//! In a recipe both are keys of `[data]`. They exclude each other, so the table is read as a whole and then sorted.

use std::fmt;
use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AugmentConfig, DataConfig, LoaderConfig, Mix, Mixed, NormalizeConfig, Split};
use crate::DataError;
use crate::benchmarks::Benchmark;
use crate::transform::segments::SegmentEvalConfig;

/// Where images and labels are, and how labels read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetFiles {
    /// `benchmark = "..."`: layout, classes and label values are the benchmark's.
    Benchmark(BenchmarkFiles),
    /// All that says otherwise.
    Own(OwnFiles),
}

/// A benchmark as its authors hand it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchmarkFiles {
    /// `data.benchmark`: which one.
    pub benchmark: Benchmark,
    /// `data.root`: its folder, absolute or below the data root. Default: where detectron2 and mmsegmentation have it, see
    /// [`Benchmark::folders`].
    pub root: Option<PathBuf>,
}

/// A set of image files and label maps with a class list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFiles {
    /// `data.root`: folder of the set, absolute, or below `--data-root`, else `$SMALTI_DATA`, else `./data`.
    pub root: PathBuf,
    /// `data.classes`: class file below `root`, see [`crate::ClassTable`]. Default `classes.json`.
    pub classes: PathBuf,
    /// `data.ignore_label`: raw label value that means "not labelled". Default: none (255 always does).
    pub ignore_label: Option<u8>,
    /// `data.reduce_zero_label`: raw label 0 means "not labelled" and the classes start at 1. Default false.
    pub reduce_zero_label: bool,
    /// `data.train`: files to train on.
    pub train: SplitConfig,
    /// `data.val`: files to evaluate on.
    pub val: SplitConfig,
}

/// Files of one split: `list`, or `images` and `labels`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// List file below `root`; each line is `image label`, both below `root`, separated by a tab or spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<PathBuf>,
    /// Image folder below `root`, searched with its sub-folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Label folder below `root`; a label map has its image's relative path up to the extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
}

impl SetFiles {
    /// Checks the folder; `key` is the dotted name of its table.
    fn validate_root(&self, key: &str) -> Result<(), DataError> {
        let root = match self {
            Self::Benchmark(files) => files.root.as_ref(),
            Self::Own(files) => Some(&files.root),
        };
        if root.is_some_and(|root| root.as_os_str().is_empty()) {
            return Err(DataError::invalid(format!("{key}.root"), "a folder", "an empty path"));
        }
        Ok(())
    }

    /// Checks the values of an entry of `[[data.mix]]`; touches no file.
    pub(super) fn validate_mixed(&self, key: &str) -> Result<(), DataError> {
        self.validate_root(key)?;
        match self {
            Self::Benchmark(_) => Ok(()),
            Self::Own(files) => files.train.validate(key),
        }
    }

    /// Checks all values of the first set; touches no file.
    pub(super) fn validate(&self) -> Result<(), DataError> {
        self.validate_root("data")?;
        if let Self::Own(files) = self {
            for split in [Split::Train, Split::Val] {
                let cfg = files.split(split);
                if !cfg.is_empty() {
                    cfg.validate(split.key())?;
                }
            }
        }
        Ok(())
    }
}

/// The benchmark's name, or the folder of the set.
impl fmt::Display for SetFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Benchmark(files) => files.benchmark.fmt(f),
            Self::Own(files) => files.root.display().fmt(f),
        }
    }
}

impl OwnFiles {
    /// The files of one split.
    pub fn split(&self, split: Split) -> &SplitConfig {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

impl SplitConfig {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that exactly one way of naming files is used. `key` is the table's dotted name.
    pub(crate) fn validate(&self, key: &str) -> Result<(), DataError> {
        let got = match (&self.list, &self.images, &self.labels) {
            (Some(_), None, None) => return Ok(()),
            (None, Some(images), Some(labels)) if images != labels => return Ok(()),
            (None, Some(_), Some(_)) => "one folder for both",
            (None, None, None) => "nothing",
            (None, Some(_), None) => "`images` alone",
            (None, None, Some(_)) => "`labels` alone",
            (Some(_), _, _) => "`list` together with folders",
        };
        Err(DataError::invalid(key, "`list`, or `images` and `labels`", got))
    }
}

/// The keys that say where a set is, before it is known which of them go together.
pub(super) struct FileKeys {
    pub benchmark: Option<Benchmark>,
    pub root: Option<PathBuf>,
    pub classes: Option<PathBuf>,
    pub ignore_label: Option<u8>,
    pub reduce_zero_label: Option<bool>,
    pub train: SplitConfig,
    pub val: SplitConfig,
}

/// The `[data]` table as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DataTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    benchmark: Option<Benchmark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_label: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reduce_zero_label: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(skip_serializing_if = "SplitConfig::is_empty")]
    train: SplitConfig,
    #[serde(skip_serializing_if = "SplitConfig::is_empty")]
    val: SplitConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mix: Vec<Mixed<SetFiles>>,
    loader: LoaderConfig,
    normalize: NormalizeConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval: Option<SegmentEvalConfig>,
    augment: Vec<AugmentConfig>,
}

impl FileKeys {
    /// The first key that a benchmark decides by itself, and its value.
    fn key_of_own_files(&self) -> Option<(&'static str, String)> {
        if let Some(classes) = &self.classes {
            return Some(("classes", format!("{:?}", classes.display().to_string())));
        }
        if let Some(value) = self.ignore_label {
            return Some(("ignore_label", value.to_string()));
        }
        if let Some(value) = self.reduce_zero_label {
            return Some(("reduce_zero_label", value.to_string()));
        }
        let splits = [("train", &self.train), ("val", &self.val)];
        splits.into_iter().find(|(_, split)| !split.is_empty()).map(|(key, _)| (key, "a table".to_owned()))
    }

    /// A benchmark or files of one's own.
    pub fn files<E: Error>(self) -> Result<SetFiles, E> {
        if let Some(benchmark) = self.benchmark {
            if let Some((key, got)) = self.key_of_own_files() {
                let expected = format!("no such key beside `benchmark = \"{benchmark}\"`");
                return Err(E::custom(DataError::invalid(key, expected, got)));
            }
            return Ok(SetFiles::Benchmark(BenchmarkFiles { benchmark, root: self.root }));
        }
        Ok(SetFiles::Own(OwnFiles {
            root: self.root.ok_or_else(|| E::missing_field("root"))?,
            classes: self.classes.unwrap_or_else(|| PathBuf::from("classes.json")),
            ignore_label: self.ignore_label,
            reduce_zero_label: self.reduce_zero_label.unwrap_or(false),
            train: self.train,
            val: self.val,
        }))
    }
}

impl<'de> Deserialize<'de> for DataConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = DataTable::deserialize(deserializer)?;
        let DataTable { benchmark, root, classes, ignore_label, reduce_zero_label, train, val, .. } = table;
        let keys = FileKeys { benchmark, root, classes, ignore_label, reduce_zero_label, train, val };
        let files = keys.files::<D::Error>()?;
        let DataTable { weight, mix, loader, normalize, eval, augment, .. } = table;
        Ok(Self { files, mix: Mix::of(weight, mix), loader, normalize, augment, eval })
    }
}

impl Serialize for DataConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = DataTable {
            weight: self.mix.written_weight(),
            mix: self.mix.sets.clone(),
            loader: self.loader.clone(),
            normalize: self.normalize.clone(),
            eval: self.eval.clone(),
            augment: self.augment.clone(),
            ..DataTable::default()
        };
        match self.files.clone() {
            SetFiles::Benchmark(BenchmarkFiles { benchmark, root }) => {
                (table.benchmark, table.root) = (Some(benchmark), root);
            }
            SetFiles::Own(files) => {
                table.root = Some(files.root);
                table.classes = Some(files.classes);
                table.ignore_label = files.ignore_label;
                table.reduce_zero_label = Some(files.reduce_zero_label);
                (table.train, table.val) = (files.train, files.val);
            }
        }
        table.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Recipe;

    fn read(text: &str) -> Result<DataConfig, String> {
        let recipe = Recipe::from_text(format!("[data]\n{text}"), Path::new("a.toml"), &[]).unwrap();
        let config: DataConfig = recipe.table("data").map_err(|err| err.to_string())?;
        config.validate().map_err(|err| err.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_benchmark_needs_no_other_key_and_is_printed_as_it_is_read() {
        let config = read("benchmark = \"coco_panoptic\"\nloader = { batch_size = 2 }").unwrap();
        let files = BenchmarkFiles { benchmark: Benchmark::CocoPanoptic, root: None };
        assert_eq!((config.files.to_string(), config.loader.batch_size), ("coco_panoptic".into(), 2));
        assert_eq!(config.files, SetFiles::Benchmark(files));
        let written = toml::to_string(&config).unwrap();
        assert!(written.starts_with("benchmark = \"coco_panoptic\"\n"), "{written}");
        assert!(!["root", "classes", "reduce_zero"].iter().any(|key| written.contains(key)), "{written}");
        assert_eq!(toml::from_str::<DataConfig>(&written).unwrap(), config);

        let SetFiles::Benchmark(files) = read("benchmark = \"ade20k\"\nroot = \"x\"").unwrap().files else {
            panic!("a benchmark")
        };
        assert_eq!(files.root.as_deref(), Some(Path::new("x")));
    }

    #[test]
    fn a_benchmark_excludes_what_it_decides_itself() {
        for (key, line, got) in [
            ("classes", "classes = \"names.txt\"", "\"names.txt\""),
            ("ignore_label", "ignore_label = 0", "0"),
            ("reduce_zero_label", "reduce_zero_label = true", "true"),
            ("train", "train = { list = \"a.txt\" }", "a table"),
            ("val", "val = { list = \"a.txt\" }", "a table"),
        ] {
            let error = read(&format!("benchmark = \"ade20k\"\n{line}")).unwrap_err();
            let expected = format!(
                "a.toml:3: `data.{key}`: expected no such key beside `benchmark = \"ade20k\"`, got {got}"
            );
            assert_eq!(error, expected);
        }
        let unknown = read("benchmark = \"voc\"").unwrap_err();
        let expected = "a.toml:2: `data.benchmark`: unknown value \"voc\"; \
                        expected one of \"ade20k\", \"cityscapes\", \"coco_panoptic\"";
        assert_eq!(unknown, expected);
        let empty = read("benchmark = \"ade20k\"\nroot = \"\"").unwrap_err();
        assert_eq!(empty, "`data.root`: expected a folder, got an empty path");
        assert_eq!(read("classes = \"a.txt\"").unwrap_err(), "a.toml:1: missing key `data.root`");
    }
}
