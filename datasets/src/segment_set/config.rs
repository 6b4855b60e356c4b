//! The `[data]` table of an instance or panoptic recipe: a benchmark as it lies on disk, or annotation files of one's own.
//!
//! ```toml
//! [data]
//! benchmark = "coco"             # or "ade20k", "cityscapes"; root = "folder" names another place
//! ```
//!
//! ```toml
//! [data]
//! root = "mine"                  # below --data-root, else $SMALTI_DATA, else ./data
//! [data.train]
//! images = "train"
//! annotations = "annotations/panoptic_train.json"
//! labels = "annotations/panoptic_train"            # panoptic PNGs; this folder is the default
//! [data.val]
//! images = "val"
//! annotations = "annotations/panoptic_val.json"
//! ```
//!
//! Whether instances or panoptic segments are wanted is the recipe's task, not a key of this table.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SegmentTask;
use crate::benchmarks::Benchmark;
use crate::config::{LoaderConfig, Mix, Mixed, NormalizeConfig, Split};
use crate::transform::segments::{self, SegmentAugmentConfig, SegmentEvalConfig};
use crate::{ClassTable, DataError};

/// The `[data]` table of an instance or panoptic recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentDataConfig {
    /// Where images and annotations are.
    pub files: SegmentFiles,
    /// `data.weight` and `[[data.mix]]`: further sets to train on.
    pub mix: Mix<SegmentFiles>,
    /// `data.loader`: batches and threads.
    pub loader: LoaderConfig,
    /// `data.normalize`: pixel statistics.
    pub normalize: NormalizeConfig,
    /// `data.augment`: training transforms, in order.
    pub augment: Vec<SegmentAugmentConfig>,
    /// `data.eval`: sizes of images in evaluation and prediction.
    pub eval: SegmentEvalConfig,
}

/// Where images and annotations are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentFiles {
    /// `benchmark = "..."`: layout and classes are the benchmark's.
    Benchmark {
        /// `data.benchmark`: which one.
        benchmark: SegmentBenchmark,
        /// `data.root`: its folder, absolute or below the data root. Default: where detectron2 and mmsegmentation have it.
        root: Option<PathBuf>,
    },
    /// All that says otherwise.
    Own(AnnotatedFiles),
}

/// A benchmark with instances and panoptic segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentBenchmark {
    /// `ade20k`: the SceneParse150 selection with the files that `smalti data prepare ade20k-panoptic` and `ade20k-instances`
    /// write; 150 classes, of instances 100.
    Ade20k,
    /// `cityscapes`: `leftImg8bit` and the `instanceIds` of `gtFine`; 19 classes, of instances 8.
    Cityscapes,
    /// `coco`: COCO 2017; 133 classes, of instances 80.
    Coco,
}

/// A set of images with annotation files in COCO's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotatedFiles {
    /// `data.root`: folder of the set, absolute, or below `--data-root`, else `$SMALTI_DATA`, else `./data`.
    pub root: PathBuf,
    /// `data.train`: files to train on.
    pub train: AnnotatedSplit,
    /// `data.val`: files to evaluate on.
    pub val: AnnotatedSplit,
}

/// Files of one split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotatedSplit {
    /// Image folder below `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Annotation file below `root`: COCO instances or COCO panoptic, as the task wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// Folder of the panoptic PNGs below `root`. Default: `annotations` without its extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Only the first images of the annotation file: for seeing whether a network can learn a handful by heart, or for a quick
    /// look. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
}

impl SegmentBenchmark {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ade20k, Self::Cityscapes, Self::Coco];

    /// The name in recipes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ade20k => "ade20k",
            Self::Cityscapes => "cityscapes",
            Self::Coco => "coco",
        }
    }

    /// The classes of its models for a task, in order of their ids.
    pub fn classes(self, task: SegmentTask) -> ClassTable {
        super::benchmark::classes(self, task)
    }

    /// Where it is looked for below a folder of data sets.
    pub const fn folders(self) -> &'static [&'static str] {
        self.label_maps().folders()
    }

    /// Folder of the images of a split, below the benchmark's own.
    pub fn image_folder(self, split: Split) -> PathBuf {
        self.label_maps().image_folder(split)
    }

    /// The semantic benchmark that lies in the same folders, with the classes of panoptic models.
    pub const fn label_maps(self) -> Benchmark {
        match self {
            Self::Ade20k => Benchmark::Ade20k,
            Self::Cityscapes => Benchmark::Cityscapes,
            Self::Coco => Benchmark::CocoPanoptic,
        }
    }
}

impl fmt::Display for SegmentBenchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SegmentDataConfig {
    /// Checks all values for a task; touches no file.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the full dotted name of the first field that is out of range.
    pub fn validate(&self, task: SegmentTask) -> Result<(), DataError> {
        self.files.validate_root("data")?;
        if let SegmentFiles::Own(files) = &self.files {
            for split in [Split::Train, Split::Val] {
                if *files.split(split) != AnnotatedSplit::default() {
                    files.split(split).paths(task, split.key())?;
                }
            }
        }
        self.mix.validate(|files, key| {
            files.validate_root(key)?;
            match files {
                SegmentFiles::Benchmark { .. } => Ok(()),
                SegmentFiles::Own(files) => files.train.paths(task, key).map(|_| ()),
            }
        })?;
        self.loader.validate()?;
        self.normalize.validate()?;
        segments::validate(&self.augment)?;
        self.eval.validate()
    }

    /// The further training sets, each as a table of its own under its dotted name.
    pub fn mixed(&self) -> impl Iterator<Item = (String, Self)> {
        self.mix.sets.iter().enumerate().map(|(i, set)| {
            let alone = Self { files: set.files.clone(), mix: Mix::default(), ..self.clone() };
            (Mix::<SegmentFiles>::key(i), alone)
        })
    }
}

impl SegmentFiles {
    /// Checks the folder; `key` is the dotted name of its table.
    fn validate_root(&self, key: &str) -> Result<(), DataError> {
        let root = match self {
            Self::Benchmark { root, .. } => root.as_deref(),
            Self::Own(files) => Some(files.root.as_path()),
        };
        if root.is_some_and(|root| root.as_os_str().is_empty()) {
            return Err(DataError::invalid(format!("{key}.root"), "a folder", "an empty path"));
        }
        Ok(())
    }
}

/// The benchmark's name, or the folder of the set.
impl fmt::Display for SegmentFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Benchmark { benchmark, .. } => benchmark.fmt(f),
            Self::Own(files) => files.root.display().fmt(f),
        }
    }
}

impl AnnotatedFiles {
    /// The files of one split.
    pub fn split(&self, split: Split) -> &AnnotatedSplit {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

/// Image folder, annotation file and folder of PNGs, checked.
pub(super) struct SplitPaths<'a> {
    pub(super) images: &'a Path,
    pub(super) annotations: &'a Path,
    pub(super) labels: Option<&'a Path>,
}

impl AnnotatedSplit {
    /// The paths, if all that the task needs is there and nothing else; `key` is the table's dotted name.
    pub(super) fn paths(&self, task: SegmentTask, key: &str) -> Result<SplitPaths<'_>, DataError> {
        let given = [("images", &self.images), ("annotations", &self.annotations), ("labels", &self.labels)];
        if let Some((name, _)) =
            given.iter().find(|(_, path)| path.as_ref().is_some_and(|path| path.as_os_str().is_empty()))
        {
            return Err(DataError::invalid(format!("{key}.{name}"), "a path", "an empty one"));
        }
        let (images, annotations) = match (self.images.as_deref(), self.annotations.as_deref()) {
            (Some(images), Some(annotations)) => (images, annotations),
            (images, annotations) => {
                let got = match (images, annotations) {
                    (Some(_), _) => "`images` alone",
                    (_, Some(_)) => "`annotations` alone",
                    _ => "nothing",
                };
                return Err(DataError::invalid(key, "`images` and `annotations`", got));
            }
        };
        if self.first == Some(0) {
            return Err(DataError::invalid(format!("{key}.first"), "1 or more", "0"));
        }
        let labels = self.labels.as_deref();
        if let (SegmentTask::Instance, Some(labels)) = (task, labels) {
            let got = format!("{:?}", labels.display().to_string());
            let expected = "no such key in an instance set, whose masks are in `annotations`";
            return Err(DataError::invalid(format!("{key}.labels"), expected, got));
        }
        Ok(SplitPaths { images, annotations, labels })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The `[data]` table as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DataTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    benchmark: Option<SegmentBenchmark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(skip_serializing_if = "AnnotatedSplit::is_empty")]
    train: AnnotatedSplit,
    #[serde(skip_serializing_if = "AnnotatedSplit::is_empty")]
    val: AnnotatedSplit,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mix: Vec<Mixed<SegmentFiles>>,
    loader: LoaderConfig,
    normalize: NormalizeConfig,
    eval: SegmentEvalConfig,
    augment: Vec<SegmentAugmentConfig>,
}

impl<'de> Deserialize<'de> for SegmentDataConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DataTable { benchmark, root, train, val, weight, mix, loader, normalize, eval, augment } =
            DataTable::deserialize(deserializer)?;
        let files = if let Some(benchmark) = benchmark {
            for (key, split) in [("train", &train), ("val", &val)] {
                if !split.is_empty() {
                    let expected = format!("no such key beside `benchmark = \"{benchmark}\"`");
                    return Err(D::Error::custom(DataError::invalid(key, expected, "a table")));
                }
            }
            SegmentFiles::Benchmark { benchmark, root }
        } else {
            let root = root.ok_or_else(|| D::Error::missing_field("root"))?;
            SegmentFiles::Own(AnnotatedFiles { root, train, val })
        };
        Ok(Self { files, mix: Mix::of(weight, mix), loader, normalize, augment, eval })
    }
}

impl Serialize for SegmentDataConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (loader, normalize) = (self.loader.clone(), self.normalize.clone());
        let (augment, eval) = (self.augment.clone(), self.eval.clone());
        let (weight, mix) = (self.mix.written_weight(), self.mix.sets.clone());
        let table = DataTable { weight, mix, loader, normalize, eval, augment, ..DataTable::default() };
        let table = match self.files.clone() {
            SegmentFiles::Benchmark { benchmark, root } => {
                DataTable { benchmark: Some(benchmark), root, ..table }
            }
            SegmentFiles::Own(AnnotatedFiles { root, train, val }) => {
                DataTable { root: Some(root), train, val, ..table }
            }
        };
        table.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;

    const OWN: &str = "root = \"mine\"\n[data.train]\nimages = \"train\"\nannotations = \"a/train.json\"\n";

    fn read(text: &str, task: SegmentTask) -> Result<SegmentDataConfig, String> {
        let recipe = Recipe::from_text(format!("[data]\n{text}"), Path::new("a.toml"), &[]).unwrap();
        let config: SegmentDataConfig = recipe.table("data").map_err(|err| err.to_string())?;
        config.validate(task).map_err(|err| err.to_string())?;
        Ok(config)
    }

    #[test]
    fn both_forms_are_printed_as_they_are_read() {
        for text in [
            "benchmark = \"coco\"\nloader = { batch_size = 2 }\n",
            "benchmark = \"ade20k\"\nroot = \"x\"\neval = { short_edge = 640, max_long_edge = 2560 }\n",
            "benchmark = \"coco\"\naugment = [{ op = \"flip\" }, { op = \"large_scale_jitter\", size = [64, 64] }]\n",
            OWN,
            "benchmark = \"coco\"\nweight = 2\nmix = [{ benchmark = \"coco\", root = \"x\" }, { root = \"mine\", images = \"i\", \
             annotations = \"a.json\", weight = 0.5 }]\n",
        ] {
            let config = read(text, SegmentTask::Instance).unwrap();
            let written = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<SegmentDataConfig>(&written).unwrap(), config, "{written}");
        }
        let config = read(&format!("{OWN}labels = \"b\"\n"), SegmentTask::Panoptic).unwrap();
        let SegmentFiles::Own(files) = &config.files else { panic!("no benchmark") };
        assert_eq!(files.split(Split::Train).labels.as_deref(), Some(Path::new("b")));
        assert!(files.split(Split::Val).is_empty());
        assert_eq!(config.files.to_string(), "mine");
        for benchmark in SegmentBenchmark::ALL {
            assert_eq!(serde_json::to_value(benchmark).unwrap(), benchmark.name());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |text: &str| read(text, SegmentTask::Instance).unwrap_err();
        let near = error("root = \"mine\"\n[data.train]\nannotation = \"a.json\"");
        assert_eq!(near, "a.toml:4: unknown key `data.train.annotation`; did you mean `annotations`?");
        assert_eq!(
            error("benchmark = \"coco_panoptic\""),
            "a.toml:2: `data.benchmark`: unknown value \"coco_panoptic\"; expected one of \"ade20k\", \"cityscapes\", \"coco\""
        );
        assert_eq!(
            error("benchmark = \"coco\"\n[data.val]\nimages = \"x\""),
            "a.toml:3: `data.val`: expected no such key beside `benchmark = \"coco\"`, got a table"
        );
        assert_eq!(
            error(&format!("{OWN}[[data.mix]]\nroot = \"b\"\nimages = \"i\"")),
            "`data.mix.0`: expected `images` and `annotations`, got `images` alone"
        );
        assert_eq!(
            error("benchmark = \"coco\"\nmix = [{ benchmark = \"coco\", labels = \"x\" }]"),
            "a.toml:3: `data.mix.0.labels`: expected no such key beside `benchmark = \"coco\"`, got \"x\""
        );
        assert_eq!(error("[data.val]\nimages = \"x\""), "a.toml:1: missing key `data.root`");
        assert_eq!(
            error(&format!("{OWN}labels = \"b\"")),
            "`data.train.labels`: expected no such key in an instance set, whose masks are in `annotations`, got \"b\""
        );
        assert_eq!(
            error("root = \"mine\"\nval = { images = \"x\" }"),
            "`data.val`: expected `images` and `annotations`, got `images` alone"
        );
        assert_eq!(
            error("root = \"mine\"\nval = { images = \"\", annotations = \"a\" }"),
            "`data.val.images`: expected a path, got an empty one"
        );
        assert_eq!(
            error("root = \"mine\"\nval = { images = \"i\", annotations = \"a\", first = 0 }"),
            "`data.val.first`: expected 1 or more, got 0"
        );
        assert_eq!(error("root = \"\""), "`data.root`: expected a folder, got an empty path");
        assert_eq!(
            error("benchmark = \"coco\"\naugment = [{ op = \"flip\", prob = 2.0 }]"),
            "`data.augment.0.prob`: expected a number from 0 to 1, got 2"
        );
        assert!(
            error("benchmark = \"coco\"\neval = { size_divisor = 1 }")
                .starts_with("`data.eval.size_divisor`")
        );
        assert_eq!(
            error("benchmark = \"coco\"\nloader = { batch_size = 0 }"),
            "`data.loader.batch_size`: expected 1 to 4096, got 0"
        );
    }
}
