//! What evaluation wants of a set besides its samples: ids that results are handed in under, and of instances what their
//! annotations state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RecordId, SegmentDataConfig, SegmentSet, Source, benchmark};
use crate::error::DataError;
use crate::loader::EvalLoader;
use crate::sample::SegmentedSample;
use crate::transform::normalize::Normalizer;
use crate::transform::segments::EvalView;

/// What an annotation says of an instance apart from its mask.
#[derive(Debug, Clone, PartialEq)]
pub struct StatedInstance {
    /// Id of the annotation.
    pub id: RecordId,
    /// Its area in pixels, if it states one: not always that of the mask, and scores go by it.
    pub area: Option<f64>,
}

/// An image with its annotations, and as it enters a network.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentEvalSample {
    /// Position in the set.
    pub index: usize,
    /// Image and segments at their own size.
    pub sample: SegmentedSample,
    /// What instance files state of each segment, in their order; of other sets nothing.
    pub stated: Vec<StatedInstance>,
    /// The image as the network sees it.
    pub view: EvalView,
}

impl SegmentSet {
    /// The id of each class in annotation files and results, in order of the classes.
    pub fn category_ids(&self) -> Vec<u32> {
        let of_file = |categories: &[crate::coco::Category]| categories.iter().map(|of| of.id).collect();
        match (self.benchmark, &self.source) {
            (Some(benchmark), _) => benchmark::category_ids(benchmark, self.task),
            (None, Source::Instances { set, .. }) => of_file(&set.index.categories),
            (None, Source::Panoptic { set, .. }) => of_file(&set.index.categories),
            (None, Source::Cityscapes(_)) => {
                benchmark::category_ids(super::SegmentBenchmark::Cityscapes, self.task)
            }
        }
    }

    /// What results of image `i` are called: its path below the image folder without the extension, of Cityscapes its id.
    pub fn file_stem(&self, i: usize) -> String {
        let name = match &self.source {
            Source::Instances { set, .. } => &*set.index.images[i].file_name,
            Source::Panoptic { set, .. } => &*set.index.images[i].file_name,
            Source::Cityscapes(frames) => return frames.id(i).to_owned(),
        };
        Path::new(name).with_extension("").to_string_lossy().into_owned()
    }

    /// The `instanceIds` file of image `i`; only Cityscapes has them.
    pub fn instance_ids_file(&self, i: usize) -> Option<PathBuf> {
        match &self.source {
            Source::Cityscapes(frames) => Some(frames.label_file(i)),
            Source::Instances { .. } | Source::Panoptic { .. } => None,
        }
    }

    /// What the annotations of image `i` state of its instances, in the order of [`SegmentSet::load`]; empty unless they are
    /// an instance file's.
    ///
    /// # Errors
    /// An annotation file that has changed since it was opened.
    pub fn stated(&self, i: usize) -> Result<Vec<StatedInstance>, DataError> {
        match &self.source {
            Source::Instances { set, masks } => masks.stated(&set.index, i),
            Source::Panoptic { .. } | Source::Cityscapes(_) => Ok(Vec::new()),
        }
    }
}

impl EvalLoader<SegmentEvalSample> {
    /// All images of a set with their annotations, in its order.
    ///
    /// # Errors
    /// No threads to be had.
    pub fn of_segments(set: Arc<SegmentSet>, cfg: &SegmentDataConfig) -> Result<Self, DataError> {
        let (normalizer, eval) = (Normalizer::new(&cfg.normalize), cfg.eval.clone());
        Self::over(set.len(), &cfg.loader, move |index| {
            let sample = set.load(index)?;
            let view = eval.view(&sample.image, &normalizer);
            Ok(SegmentEvalSample { index, stated: set.stated(index)?, view, sample })
        })
    }
}
