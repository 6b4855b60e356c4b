//! Submissions of panoptic and instance segmentation.
//!
//! | | files |
//! | --- | --- |
//! | panoptic | `NAME_smalti_results.json` in COCO's form, and its PNGs in the folder of that name |
//! | instances of COCO, ADE20K | `NAME_smalti_results.json`, a list of compressed run lengths with scores |
//! | instances of Cityscapes | `FRAME_pred.txt` with lines `mask label confidence`, and the masks in `pred_mask` |

use std::fmt::Write;

use ndarray::Array2;
use smalti::draw;
use smalti_datasets::segment_set::SegmentBenchmark;
use smalti_datasets::{SegmentSet, SegmentTask};
use smalti_heads::mask::post::Instance;
use smalti_training::TrainError;
use smalti_training::mask::MaskResults;

use super::json_files::Listing;
use super::submission::OfImage;
use crate::mask::saved::{InstanceEntry, PanopticEntry, ids_as_rgb};

/// What the files of a benchmark's submission look like.
pub struct MaskFiles {
    form: Form,
    /// Ids of the classes.
    categories: Vec<u32>,
}

enum Form {
    /// The name of the folder of PNGs and, with its ending, of the JSON.
    Panoptic(String),
    /// The name of the JSON without its ending.
    Results(String),
    Cityscapes,
}

impl MaskFiles {
    /// Those of a benchmark's set.
    pub fn new(set: &SegmentSet) -> Self {
        let name = match (set.benchmark(), set.task()) {
            (Some(SegmentBenchmark::Ade20k), task) => format!("ade20k_{task}_val"),
            (Some(SegmentBenchmark::Cityscapes), task) => format!("cityscapes_{task}_val"),
            (_, SegmentTask::Panoptic) => "panoptic_val2017".to_owned(),
            (_, SegmentTask::Instance) => "detections_val2017".to_owned(),
        } + "_smalti_results";
        let form = match (set.benchmark(), set.task()) {
            (_, SegmentTask::Panoptic) => Form::Panoptic(name),
            (Some(SegmentBenchmark::Cityscapes), SegmentTask::Instance) => Form::Cityscapes,
            (_, SegmentTask::Instance) => Form::Results(name),
        };
        Self { form, categories: set.category_ids() }
    }

    /// The JSON file, where there is one.
    pub fn listing(&self) -> Option<Listing> {
        let listing = |name: &str, head, tail| Some(Listing { file: format!("{name}.json"), head, tail });
        match &self.form {
            Form::Panoptic(name) => listing(name, "{\"annotations\": [", "\n]}\n"),
            Form::Results(name) => listing(name, "[", "\n]\n"),
            Form::Cityscapes => None,
        }
    }

    /// What was predicted of image `i`.
    pub fn of_image(&self, set: &SegmentSet, i: usize, results: &MaskResults) -> Result<OfImage, TrainError> {
        let mut of_image = OfImage::default();
        let stem = set.file_stem(i);
        let found = results.instances.as_deref().unwrap_or_default();
        match (&self.form, &results.panoptic) {
            (Form::Panoptic(folder), Some(panoptic)) => {
                let file_name = format!("{stem}.png");
                of_image.file(format!("{folder}/{file_name}"), draw::png_bytes(&ids_as_rgb(&panoptic.ids)));
                let entry = PanopticEntry::new(set.image_id(i), file_name, panoptic, &self.categories);
                of_image.entry(&entry)?;
            }
            (Form::Panoptic(_), None) => {}
            (Form::Results(_), _) => {
                for found in found {
                    of_image.entry(&InstanceEntry::new(set.image_id(i), found, &self.categories))?;
                }
            }
            (Form::Cityscapes, _) => self.frame(&stem, found, &mut of_image),
        }
        Ok(of_image)
    }

    /// The text file of a frame and its masks. An empty mask is no prediction.
    fn frame(&self, stem: &str, found: &[Instance], of_image: &mut OfImage) {
        let mut lines = String::new();
        for (number, Instance { class, score, mask, .. }) in found.iter().enumerate() {
            if mask.area() == 0 {
                continue;
            }
            let name = format!("pred_mask/{stem}_{number}.png");
            let _ = writeln!(lines, "{name} {} {score}", self.categories[*class]); // text takes all
            let mask: Array2<u8> = mask.decode() * 255;
            of_image.file(name, draw::grey_png_bytes(&mask));
        }
        of_image.file(format!("{stem}_pred.txt"), Ok(lines.into_bytes()));
    }
}
