//! Cityscapes' own scores, which look at the label files as they are: with labels that are not trained on, groups and void.

use std::path::Path;

use smalti_datasets::cityscapes::trained_labels;
use smalti_datasets::label_png::LabelPng;
use smalti_datasets::{DataError, SegmentSet};
use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage, PixelCounts};
use smalti_heads::mask::post::Instance;
use smalti_training::TrainError;

/// How names of label files end.
const LABEL_IDS: &str = "_gtFine_labelIds.png";
const INSTANCE_IDS: &str = "_gtFine_instanceIds.png";

/// Label ids of the classes 0 to 18.
pub fn label_ids() -> Vec<u8> {
    trained_labels().map(|label| label.id.unsigned_abs()).collect()
}

/// Counts an image at pixel level: predicted label ids, `[H, W]` in row order, and its `labelIds` file, which has `instanceIds`
/// beside it.
pub fn add_pixels(counts: &mut PixelCounts, predicted: &[u8], labels: &Path) -> Result<(), TrainError> {
    let name = labels.file_name().unwrap_or_default().to_string_lossy();
    let frame = name.strip_suffix(LABEL_IDS).unwrap_or(&name);
    let instance_ids = labels.with_file_name(format!("{frame}{INSTANCE_IDS}"));
    let (mut of_labels, mut of_instances) = (LabelPng::new(), LabelPng::new());
    let truth = of_labels.labels(labels)?;
    let instance_ids = of_instances.labels16(&instance_ids)?;
    Ok(counts.add(frame, predicted, truth.pixels, instance_ids.pixels)?)
}

/// Counts the instances of image `i` of a set of Cityscapes.
pub fn add_instances(
    ap: &mut InstanceAp,
    set: &SegmentSet,
    i: usize,
    found: &[Instance],
) -> Result<(), TrainError> {
    let path = set.instance_ids_file(i).ok_or_else(|| {
        DataError::invalid("data.benchmark", "cityscapes", set.root().display().to_string())
    })?;
    let mut decoder = LabelPng::new();
    let (label_ids, ids) = (set.category_ids(), decoder.labels16(&path)?);
    let mut image = InstanceImage::new(set.file_stem(i), ids.pixels)?;
    for Instance { class, score, mask, .. } in found {
        let mask = mask.decode();
        image.predict(label_ids[*class].into(), *score, mask.as_slice().unwrap_or_default())?;
    }
    ap.add(image);
    Ok(())
}
