//! Sets with segments mixed for training: the further ones take over the first one's class ids. And how `[[data.mix]]` writes
//! them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::{AnnotatedFiles, AnnotatedSplit, SegmentBenchmark, SegmentDataConfig, SegmentFiles};
use super::{IndexCache, SegmentSet, SegmentTask, Source};
use crate::config::{Mix, Mixed, Split};
use crate::mixture::{Part, class_ids};
use crate::{DataError, Mixture};

impl SegmentSet {
    /// This training set and behind it those of `[[data.mix]]`, whose classes are matched with its own by name.
    ///
    /// # Errors
    /// As for [`SegmentSet::open`]; a class that this set lacks, or that is a thing in one set and stuff in the other; shares
    /// so far from the sizes that an epoch gets too long.
    pub fn mix(self, cfg: &SegmentDataConfig, data_root: Option<&Path>) -> Result<Mixture<Self>, DataError> {
        if cfg.mix.sets.is_empty() {
            let images = self.len();
            return Ok(Mixture::one(Arc::new(self), images));
        }
        let part = |set: Self, files: &SegmentFiles, weight| {
            let images = set.len();
            Part { name: files.to_string(), set: Arc::new(set), images, weight }
        };
        let cache = IndexCache::from_env();
        let mut parts = Vec::with_capacity(1 + cfg.mix.sets.len());
        for (i, mixed) in cfg.mix.sets.iter().enumerate() {
            let key = Mix::<SegmentFiles>::key(i);
            let mut set = Self::open_files(&mixed.files, &key, self.task, Split::Train, data_root, &cache)?;
            set.take_classes_of(&self, &key)?;
            parts.push(part(set, &mixed.files, mixed.weight));
        }
        parts.insert(0, part(self, &cfg.files, cfg.mix.weight));
        Mixture::new(parts)
    }

    fn take_classes_of(&mut self, first: &Self, key: &str) -> Result<(), DataError> {
        let (first_name, own_name) = (first.annotations(), self.annotations());
        let kinds = self.task == SegmentTask::Panoptic;
        let ids = class_ids(key, (&first.classes, &first_name), (&self.classes, &own_name), kinds)?;
        let class_ids = match &mut self.source {
            Source::Instances { set, .. } => &mut set.class_ids,
            Source::Panoptic { set, .. } => &mut set.class_ids,
            Source::Cityscapes(frames) => &mut frames.class_ids,
        };
        for class in class_ids {
            *class = ids[usize::from(*class)];
        }
        self.classes.rename(&first.classes);
        Ok(())
    }
}

/// An entry of `[[data.mix]]` as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MixedTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    benchmark: Option<SegmentBenchmark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<PathBuf>,
    weight: Option<f64>,
}

impl<'de> Deserialize<'de> for Mixed<SegmentFiles> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let MixedTable { benchmark, root, images, annotations, labels, weight } =
            MixedTable::deserialize(deserializer)?;
        let files = if let Some(benchmark) = benchmark {
            let given = [("images", &images), ("annotations", &annotations), ("labels", &labels)];
            if let Some((key, path)) = given.iter().find_map(|(key, path)| Some((key, path.as_ref()?))) {
                let expected = format!("no such key beside `benchmark = \"{benchmark}\"`");
                let got = format!("{:?}", path.display().to_string());
                return Err(D::Error::custom(DataError::invalid(*key, expected, got)));
            }
            SegmentFiles::Benchmark { benchmark, root }
        } else {
            let root = root.ok_or_else(|| D::Error::missing_field("root"))?;
            let train = AnnotatedSplit { images, annotations, labels, first: None };
            SegmentFiles::Own(AnnotatedFiles { root, train, val: AnnotatedSplit::default() })
        };
        Ok(Self { files, weight: weight.unwrap_or(1.0) })
    }
}

impl Serialize for Mixed<SegmentFiles> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let weight = Some(self.weight);
        let table = match self.files.clone() {
            SegmentFiles::Benchmark { benchmark, root } => {
                MixedTable { benchmark: Some(benchmark), root, weight, ..MixedTable::default() }
            }
            SegmentFiles::Own(AnnotatedFiles { root, train, .. }) => MixedTable {
                root: Some(root),
                images: train.images,
                annotations: train.annotations,
                labels: train.labels,
                weight,
                ..MixedTable::default()
            },
        };
        table.serialize(serializer)
    }
}
