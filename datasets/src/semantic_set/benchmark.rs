//! The files of benchmarks as their authors hand them out, and what their label values mean.

use std::collections::BTreeSet;
use std::path::Path;

use super::labels::LabelMapping;
use super::listing::{self, Problem};
use super::{Entry, LabelKind, coco_panoptic};
use crate::DataError;
use crate::benchmarks::{Benchmark, ade20k, coco};
use crate::cityscapes::{self, NUM_IDS};
use crate::config::Split;
use crate::prepare::label_files::{self, Found};
use crate::sample::IGNORE;

/// Pairs of a split, and what did not pair.
pub(super) fn find(
    benchmark: Benchmark,
    root: &Path,
    split: Split,
) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    match benchmark {
        Benchmark::Ade20k => ade20k_files(root, split),
        Benchmark::Cityscapes => cityscapes_files(root, split),
        Benchmark::CocoPanoptic => coco_panoptic::find(root, split),
    }
}

/// What the raw values of a benchmark's label files mean; of panoptic ones, the category ids.
pub(super) fn mapping(benchmark: Benchmark) -> LabelMapping {
    match benchmark {
        Benchmark::Ade20k => LabelMapping::new(ade20k::CLASSES.len(), None, true),
        Benchmark::Cityscapes => {
            let expected = format!("label ids 0..={}", NUM_IDS - 1);
            LabelMapping::by_value(cityscapes::trained_labels().count(), expected, cityscapes::train_id_of)
        }
        Benchmark::CocoPanoptic => {
            let expected = format!("the ids of {} categories or 0", coco::CLASSES.len());
            LabelMapping::by_value(coco::CLASSES.len(), expected, |raw| match raw {
                0 => Some(IGNORE), // void
                _ => coco::CLASSES.iter().position(|row| row.id == u32::from(raw)).map(|class| class as u8),
            })
        }
    }
}

/// `images/{training,validation}/*.jpg` with `annotations/{training,validation}/*.png`.
fn ade20k_files(root: &Path, split: Split) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    let folder = match split {
        Split::Train => "training",
        Split::Val => "validation",
    };
    let [images, labels] = ["images", "annotations"].map(|kind| root.join(kind).join(folder));
    listing::from_folders(root, &images, &labels, ["images of ade20k", "annotations of ade20k"])
}

/// `leftImg8bit/{train,val}/CITY/*_leftImg8bit.png` with `gtFine/{train,val}/CITY/*_gtFine_labelIds.png`. Train ids come from
/// the label ids: `labelTrainIds` are made by a script and not everywhere.
fn cityscapes_files(root: &Path, split: Split) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    const IMAGE: &str = "_leftImg8bit.png";
    const LABELS: &str = "_gtFine_labelIds.png";
    let [images, labels] = ["leftImg8bit", "gtFine"].map(|kind| root.join(kind).join(split.to_string()));
    let image_files = label_files::find(&images, IMAGE, 1)?;
    let mut found: BTreeSet<Found> = label_files::find(&labels, LABELS, 1)?.into_iter().collect();
    let (mut entries, mut problems) = (vec![], vec![]);
    for frame in image_files {
        let image = images.join(&frame.folder).join(format!("{}{IMAGE}", frame.stem));
        let file = labels.join(&frame.folder).join(format!("{}{LABELS}", frame.stem));
        if found.remove(&frame) {
            entries.push(Entry::new(root, image, file, LabelKind::Values));
        } else {
            problems.push(Problem::ImageWithoutLabels { image, expected: file });
        }
    }
    problems.extend(found.into_iter().map(|frame| Problem::LabelsWithoutImage {
        labels: labels.join(&frame.folder).join(format!("{}{LABELS}", frame.stem)),
    }));
    Ok((entries, problems))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(benchmark: Benchmark, raw: &[u8]) -> Vec<Option<u8>> {
        let mapping = mapping(benchmark);
        assert_eq!(mapping.num_classes(), benchmark.classes().len());
        raw.iter().map(|&raw| mapping.class_of(raw)).collect()
    }

    #[test]
    fn label_values_by_the_benchmarks_tables() {
        let ade = classes(Benchmark::Ade20k, &[0, 1, 150, 151, 255]);
        assert_eq!(ade, [Some(255), Some(0), Some(149), None, Some(255)]);
        let cityscapes = classes(Benchmark::Cityscapes, &[0, 6, 7, 9, 33, 34, 255]);
        assert_eq!(cityscapes, [Some(255), Some(255), Some(0), Some(255), Some(18), None, None]);
        // Ids have gaps: 12 is none, 13 the 12th class; 92 is the first stuff, 200 the last.
        let coco = classes(Benchmark::CocoPanoptic, &[0, 1, 12, 13, 90, 92, 200, 201, 255]);
        let expected = [Some(255), Some(0), None, Some(11), Some(79), Some(80), Some(132), None, None];
        assert_eq!(coco, expected);
    }
}
