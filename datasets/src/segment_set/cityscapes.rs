//! Cityscapes' instances and panoptic segments from the `instanceIds` of `gtFine`, without a file in between.
//!
//! Segments are those of `createPanopticImgs.py` of cityscapesscripts (commit 0bcc4a7): one of every value whose label is
//! scored, groups of things are crowds. Instances are the things among them, as detectron2's `load_cityscapes_instances`
//! takes them from the same files; its default are the polygons, which the pixels were drawn from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::SegmentTask;
use super::benchmark::cityscapes_labels;
use crate::cityscapes::{INSTANCE_FACTOR, Label};
use crate::config::Split;
use crate::error::DataError;
use crate::label_png::LabelPng;
use crate::prepare::label_files::{self, Found};
use crate::sample::{NO_SEGMENT, Segment};

const IMAGE: &str = "_leftImg8bit.png";
const LABELS: &str = "_gtFine_instanceIds.png";

/// The images of a split with their instance ids.
#[derive(Debug)]
pub(super) struct Frames {
    images: PathBuf,
    labels: PathBuf,
    found: Vec<Found>,
    task: SegmentTask,
    /// Class id of each of the labels that are classes.
    pub(super) class_ids: Vec<u16>,
}

impl Frames {
    /// `leftImg8bit/{train,val}/CITY/*_leftImg8bit.png` with `gtFine/{train,val}/CITY/*_gtFine_instanceIds.png`.
    ///
    /// # Errors
    /// [`DataError::Missing`] for a folder, or for the first image without labels.
    pub(super) fn find(root: &Path, task: SegmentTask, split: Split) -> Result<Self, DataError> {
        let [images, labels] = ["leftImg8bit", "gtFine"].map(|kind| root.join(kind).join(split.to_string()));
        let found = label_files::find(&images, IMAGE, 1)?;
        let labelled: BTreeSet<Found> = label_files::find(&labels, LABELS, 1)?.into_iter().collect();
        let class_ids = (0..cityscapes_labels(task).count() as u16).collect();
        let frames = Self { images, labels, found, task, class_ids };
        let mut without = frames.found.iter().enumerate().filter(|(_, frame)| !labelled.contains(frame));
        if let Some((first, _)) = without.next() {
            let more = match without.count() {
                0 => String::new(),
                others => format!(" (and {others} more such files)"),
            };
            let wanted_by = format!("instance ids of {}{more}", frames.image(first).display());
            return Err(DataError::Missing { path: frames.label_file(first), wanted_by });
        }
        Ok(frames)
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// `<city>_<sequence>_<frame>`.
    pub(super) fn id(&self, i: usize) -> &str {
        &self.found[i].stem
    }

    pub(super) fn image(&self, i: usize) -> PathBuf {
        let Found { folder, stem } = &self.found[i];
        self.images.join(folder).join(format!("{stem}{IMAGE}"))
    }

    pub(super) fn label_file(&self, i: usize) -> PathBuf {
        let Found { folder, stem } = &self.found[i];
        self.labels.join(folder).join(format!("{stem}{LABELS}"))
    }

    /// The segments of image `i` in ascending order of their ids, and `[H, W]` which of them each pixel belongs to.
    ///
    /// # Errors
    /// A file that cannot be decoded, or a value that is no label's.
    pub(super) fn read(&self, i: usize) -> Result<(Vec<Segment>, Array2<u16>), DataError> {
        let path = self.label_file(i);
        let mut decoder = LabelPng::new();
        let map = decoder.labels16(&path)?;
        let values: BTreeSet<u16> = map.pixels.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
        let mut numbers = vec![NO_SEGMENT; usize::from(u16::MAX) + 1];
        let mut segments = Vec::new();
        for value in values {
            let segment = self.segment(value).map_err(|reason| DataError::image(&path, reason))?;
            if let Some(segment) = segment {
                numbers[usize::from(value)] = segments.len() as u16; // of at most 34 * 1000 values
                segments.push(segment);
            }
        }
        let pixels = map.pixels.iter().map(|&value| numbers[usize::from(value)]).collect();
        let map = Array2::from_shape_vec((map.height, map.width), pixels)
            .map_err(|_| DataError::image(&path, "damaged: its pixels do not fill the image"))?;
        Ok((segments, map))
    }

    /// The segment of a value, if its label is a class.
    fn segment(&self, value: u16) -> Result<Option<Segment>, String> {
        let label = Label::of_instance(value)
            .ok_or_else(|| format!("expected a label id or label id * 1000 + number, got {value}"))?;
        let is_group = value < INSTANCE_FACTOR;
        if !label.has_instances && !is_group {
            return Err(format!("expected the label id {} of {}, got {value}", label.id, label.name));
        }
        let class = cityscapes_labels(self.task).position(|class| class == label);
        let (thing, crowd) = (label.has_instances, label.has_instances && is_group);
        Ok(class.map(|class| Segment { class: self.class_ids[class], thing, crowd }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_classes_crowds_or_nothing() {
        let of = |task, value| {
            let class_ids = (0..cityscapes_labels(task).count() as u16).collect();
            let frames = Frames { images: "".into(), labels: "".into(), found: vec![], task, class_ids };
            frames
                .segment(value)
                .map(|found| found.map(|segment| (segment.class, segment.thing, segment.crowd)))
        };
        let panoptic =
            [7, 26, 26_003, 33_000, 9, 29_001, 0].map(|value| of(SegmentTask::Panoptic, value).unwrap());
        let car = Some((13, true, false));
        let expected =
            [Some((0, false, false)), Some((13, true, true)), car, Some((18, true, false)), None, None, None];
        assert_eq!(panoptic, expected);
        let instance = [7, 24, 26_003, 33_000, 29_001].map(|value| of(SegmentTask::Instance, value).unwrap());
        assert_eq!(
            instance,
            [None, Some((0, true, true)), Some((2, true, false)), Some((7, true, false)), None]
        );
        assert_eq!(of(SegmentTask::Panoptic, 7001).unwrap_err(), "expected the label id 7 of road, got 7001");
        assert!(of(SegmentTask::Panoptic, 34).unwrap_err().contains("got 34"));
    }
}
