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

use super::folder::{Folder, JsonList};
use crate::mask::saved::{InstanceEntry, PanopticEntry, ids_as_rgb};

/// A submission under way.
pub struct MaskFiles {
    folder: Folder,
    form: Form,
    /// Ids of the classes.
    categories: Vec<u32>,
}

enum Form {
    /// The JSON, and the name of the folder of PNGs.
    Panoptic(JsonList, String),
    Results(JsonList),
    Cityscapes,
}

impl MaskFiles {
    /// Starts a submission for a benchmark's set.
    pub fn new(folder: Folder, set: &SegmentSet) -> Result<Self, TrainError> {
        let name = match (set.benchmark(), set.task()) {
            (Some(SegmentBenchmark::Ade20k), task) => format!("ade20k_{task}_val"),
            (Some(SegmentBenchmark::Cityscapes), task) => format!("cityscapes_{task}_val"),
            (_, SegmentTask::Panoptic) => "panoptic_val2017".to_owned(),
            (_, SegmentTask::Instance) => "detections_val2017".to_owned(),
        } + "_smalti_results";
        let json = format!("{name}.json");
        let form = match (set.benchmark(), set.task()) {
            (_, SegmentTask::Panoptic) => {
                Form::Panoptic(folder.list(&json, "{\"annotations\": [", "\n]}\n")?, name)
            }
            (Some(SegmentBenchmark::Cityscapes), SegmentTask::Instance) => Form::Cityscapes,
            (_, SegmentTask::Instance) => Form::Results(folder.list(&json, "[", "\n]\n")?),
        };
        Ok(Self { folder, form, categories: set.category_ids() })
    }

    /// Writes what was predicted of image `i`.
    pub fn add(&mut self, set: &SegmentSet, i: usize, results: &MaskResults) -> Result<(), TrainError> {
        let stem = set.file_stem(i);
        let found = results.instances.as_deref().unwrap_or_default();
        match (&mut self.form, &results.panoptic) {
            (Form::Panoptic(list, folder), Some(panoptic)) => {
                let file_name = format!("{stem}.png");
                let png = draw::png_bytes(&ids_as_rgb(&panoptic.ids));
                self.folder.write(&format!("{folder}/{file_name}"), png)?;
                list.push(&PanopticEntry::new(set.image_id(i), file_name, panoptic, &self.categories))
            }
            (Form::Panoptic(..), None) => Ok(()),
            (Form::Results(list), _) => {
                let entry = |of| InstanceEntry::new(set.image_id(i), of, &self.categories);
                found.iter().map(entry).try_for_each(|entry| list.push(&entry))
            }
            (Form::Cityscapes, _) => self.objects(&stem, found),
        }
    }

    /// The text file of a frame and its masks. An empty mask is no prediction.
    fn objects(&self, stem: &str, found: &[Instance]) -> Result<(), TrainError> {
        let mut lines = String::new();
        for (number, Instance { class, score, mask, .. }) in found.iter().enumerate() {
            if mask.area() == 0 {
                continue;
            }
            let name = format!("pred_mask/{stem}_{number}.png");
            let _ = writeln!(lines, "{name} {} {score}", self.categories[*class]); // text takes all
            let mask: Array2<u8> = mask.decode() * 255;
            self.folder.write(&name, draw::grey_png_bytes(&mask))?;
        }
        self.folder.write(&format!("{stem}_pred.txt"), Ok(lines.into_bytes()))
    }

    /// Completes the files and gives the folder its name.
    pub fn finish(self) -> Result<(), TrainError> {
        match self.form {
            Form::Panoptic(list, _) | Form::Results(list) => list.finish()?,
            Form::Cityscapes => {}
        }
        self.folder.finish()
    }
}
