//! Further sets to train on, mixed with the first: `[[data.mix]]`.
//!
//! ```toml
//! [data]
//! benchmark = "cityscapes"
//! weight = 3.0                   # 3 of 4 training samples are of this set
//! [[data.mix]]
//! root = "night"                 # beside it the keys of the task's files: images, labels, annotations, list, ...
//! images = "images"
//! labels = "labels"
//! weight = 1.0
//! ```
//!
//! Weights are shares of the samples, whatever the sizes of the sets: numbers of images as weights let every image come equally
//! often. The first set names the classes, and it alone is evaluated on. Of semantic sets the keys are those of [`OwnFiles`]
//! and [`SplitConfig`], or `benchmark` and `root`.

use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::files::FileKeys;
use super::{BenchmarkFiles, OwnFiles, SetFiles, SplitConfig};
use crate::DataError;
use crate::benchmarks::Benchmark;

/// What training draws from besides the first set.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix<F> {
    /// `data.weight`: share of the first set. Default 1.
    pub weight: f64,
    /// `[[data.mix]]`: the others; none by default.
    pub sets: Vec<Mixed<F>>,
}

/// One entry of `[[data.mix]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed<F> {
    /// Where it lies. Of its splits only the training one is given.
    pub files: F,
    /// Share of its samples: this over the sum of all weights. Default 1.
    pub weight: f64,
}

impl<F> Default for Mix<F> {
    fn default() -> Self {
        Self { weight: 1.0, sets: vec![] }
    }
}

/// Weights further apart than this are mistakes.
const WEIGHTS: std::ops::RangeInclusive<f64> = 1e-3..=1e9;

impl<F> Mix<F> {
    /// The dotted name of entry `i`.
    pub fn key(i: usize) -> String {
        format!("data.mix.{i}")
    }

    /// What a recipe says, where a weight may be absent.
    pub(crate) fn of(weight: Option<f64>, sets: Vec<Mixed<F>>) -> Self {
        Self { weight: weight.unwrap_or(1.0), sets }
    }

    /// The weight of the first set, where it means anything.
    pub(crate) fn written_weight(&self) -> Option<f64> {
        (!self.sets.is_empty()).then_some(self.weight)
    }

    /// Checks all weights; `check` does so with the files of each set, whose dotted name it gets.
    pub(crate) fn validate(
        &self,
        check: impl Fn(&F, &str) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let within = |field: String, weight: f64| {
            if WEIGHTS.contains(&weight) {
                return Ok(());
            }
            Err(DataError::invalid(field, "a number from 0.001 to 1e9", weight))
        };
        within("data.weight".into(), self.weight)?;
        if self.sets.is_empty() && self.weight.to_bits() != 1f64.to_bits() {
            let expected = "no such key, or `[[data.mix]]` with sets to mix with";
            return Err(DataError::invalid("data.weight", expected, self.weight));
        }
        for (i, set) in self.sets.iter().enumerate() {
            let key = Self::key(i);
            within(format!("{key}.weight"), set.weight)?;
            check(&set.files, &key)?;
        }
        Ok(())
    }
}

/// An entry of a semantic recipe as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MixedTable {
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
    list: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<PathBuf>,
    weight: Option<f64>,
}

impl<'de> Deserialize<'de> for Mixed<SetFiles> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let MixedTable {
            benchmark,
            root,
            classes,
            ignore_label,
            reduce_zero_label,
            list,
            images,
            labels,
            weight,
        } = MixedTable::deserialize(deserializer)?;
        if let Some(benchmark) = benchmark {
            let given = [("list", &list), ("images", &images), ("labels", &labels)];
            if let Some((key, path)) = given.iter().find_map(|(key, path)| Some((key, path.as_ref()?))) {
                let expected = format!("no such key beside `benchmark = \"{benchmark}\"`");
                let got = format!("{:?}", path.display().to_string());
                return Err(D::Error::custom(DataError::invalid(*key, expected, got)));
            }
        }
        let train = SplitConfig { list, images, labels };
        let val = SplitConfig::default();
        let keys = FileKeys { benchmark, root, classes, ignore_label, reduce_zero_label, train, val };
        Ok(Self { files: keys.files::<D::Error>()?, weight: weight.unwrap_or(1.0) })
    }
}

impl Serialize for Mixed<SetFiles> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let weight = Some(self.weight);
        let table = match self.files.clone() {
            SetFiles::Benchmark(BenchmarkFiles { benchmark, root }) => {
                MixedTable { benchmark: Some(benchmark), root, weight, ..MixedTable::default() }
            }
            SetFiles::Own(OwnFiles { root, classes, ignore_label, reduce_zero_label, train, .. }) => {
                MixedTable {
                    root: Some(root),
                    classes: Some(classes),
                    ignore_label,
                    reduce_zero_label: Some(reduce_zero_label),
                    list: train.list,
                    images: train.images,
                    labels: train.labels,
                    weight,
                    ..MixedTable::default()
                }
            }
        };
        table.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{DataConfig, Recipe};

    const FIRST: &str = "[data]\nroot = \"a\"\ntrain = { list = \"a.txt\" }\n";

    fn read(text: &str) -> Result<DataConfig, String> {
        let recipe = Recipe::from_text(text, Path::new("a.toml"), &[]).unwrap();
        let config: DataConfig = recipe.table("data").map_err(|err| err.to_string())?;
        config.validate().map_err(|err| err.to_string())?;
        Ok(config)
    }

    #[test]
    fn sets_are_printed_as_they_are_read() {
        let text = "weight = 3\n[[data.mix]]\nbenchmark = \"cityscapes\"\n\
                    [[data.mix]]\nroot = \"b\"\nimages = \"i\"\nlabels = \"l\"\nreduce_zero_label = true\nweight = 0.5\n";
        let config = read(&format!("{FIRST}{text}")).unwrap();
        assert_eq!(config.mix.weight, 3.0);
        let [first, second] = &config.mix.sets[..] else { panic!("two sets") };
        assert_eq!((first.files.to_string(), first.weight), ("cityscapes".into(), 1.0));
        let SetFiles::Own(own) = &second.files else { panic!("no benchmark") };
        assert_eq!((own.train.images.as_deref(), own.reduce_zero_label), (Some(Path::new("i")), true));
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&written).unwrap(), config, "{written}");
        let alone: Vec<_> = config.mixed().map(|(key, alone)| (key, alone.files.to_string())).collect();
        assert_eq!(alone, [("data.mix.0".into(), "cityscapes".into()), ("data.mix.1".into(), "b".into())]);
        assert!(!toml::to_string(&read(FIRST).unwrap()).unwrap().contains("weight"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |text: &str| read(&format!("{FIRST}{text}")).unwrap_err();
        assert_eq!(
            error("weight = 2.0"),
            "`data.weight`: expected no such key, or `[[data.mix]]` with sets to mix with, got 2"
        );
        assert_eq!(
            error("[[data.mix]]\nroot = \"b\"\nlist = \"x\"\nweight = 0"),
            "`data.mix.0.weight`: expected a number from 0.001 to 1e9, got 0"
        );
        assert_eq!(
            error("[[data.mix]]\nroot = \"b\""),
            "`data.mix.0`: expected `list`, or `images` and `labels`, got nothing"
        );
        assert_eq!(
            error("[[data.mix]]\nroot = \"\"\nlist = \"x\""),
            "`data.mix.0.root`: expected a folder, got an empty path"
        );
        let unknown = error("[[data.mix]]\nroot = \"b\"\nimage = \"x\"");
        assert_eq!(unknown, "a.toml:6: unknown key `data.mix.0.image`; did you mean `images`?");
        let both = error("[[data.mix]]\nbenchmark = \"ade20k\"\nlist = \"x\"");
        assert_eq!(
            both,
            "a.toml:6: `data.mix.0.list`: expected no such key beside `benchmark = \"ade20k\"`, got \"x\""
        );
        assert!(error("[[data.mix]]\nlist = \"x\"").contains("missing key `data.mix.0.root`"));
    }
}
