//! What evaluation wants of a set besides its samples: ids that results are handed in under, and what the annotations state of
//! segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::{self, NO_AREA};
use super::panoptic::Unseen;
use super::{RecordId, SegmentDataConfig, SegmentSet, Source, benchmark};
use crate::Shard;
use crate::error::DataError;
use crate::loader::EvalLoader;
use crate::sample::SegmentedSample;
use crate::transform::normalize::Normalizer;
use crate::transform::segments::EvalView;

/// What an annotation says of a segment apart from its mask.
#[derive(Debug, Clone, PartialEq)]
pub struct StatedSegment {
    /// Id of the instance's annotation, or of the segment in the panoptic PNG.
    pub id: RecordId,
    /// Its area in pixels, if it states one (of panoptic segments, a whole number): not always that of the mask, and scores
    /// go by it.
    pub area: Option<f64>,
}

/// An image with its annotations, and as it enters a network.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentEvalSample {
    /// Position in the set.
    pub index: usize,
    /// Image and segments at their own size, as [`SegmentSet::load`] has them, but with those that panoptic annotations of
    /// ADE20K list without a pixel: scores count them.
    pub sample: SegmentedSample,
    /// What annotation files state of each segment, in their order; of Cityscapes nothing.
    pub stated: Vec<StatedSegment>,
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

    /// What the annotations of image `i` state of its segments, in the order of [`SegmentSet::segments`]; empty for Cityscapes,
    /// which has none.
    ///
    /// # Errors
    /// An annotation file that has changed since it was opened.
    pub fn stated(&self, i: usize) -> Result<Vec<StatedSegment>, DataError> {
        match &self.source {
            Source::Instances { set, masks } => masks.stated(&set.index, i),
            Source::Panoptic { set, .. } => {
                let stated = |segment: &index::Segment| StatedSegment {
                    id: RecordId::Number(segment.id.into()),
                    area: (segment.area != NO_AREA).then_some(segment.area as f64), // exact up to 2^53
                };
                Ok(set.index.objects(i).iter().map(stated).collect())
            }
            Source::Cityscapes(_) => Ok(Vec::new()),
        }
    }
}

impl EvalLoader<SegmentEvalSample> {
    /// A shard's images with their annotations, in the order of the set.
    ///
    /// # Errors
    /// No threads to be had.
    pub fn of_segments(
        set: Arc<SegmentSet>,
        cfg: &SegmentDataConfig,
        shard: Shard,
    ) -> Result<Self, DataError> {
        let (normalizer, eval) = (Normalizer::new(&cfg.normalize), cfg.eval.clone());
        Self::over(set.len(), (shard, 1), &cfg.loader, move |index| {
            let sample = set.read(index, Unseen::in_scores)?;
            let view = eval.view(&sample.image, &normalizer);
            Ok(SegmentEvalSample { index, stated: set.stated(index)?, view, sample })
        })
    }
}
