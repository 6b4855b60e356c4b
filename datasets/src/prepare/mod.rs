//! Conversions between annotation formats, with the results of the official tools: panopticapi for COCO,
//! cityscapesscripts for Cityscapes, Mask2Former's and detectron2's preparation scripts for ADE20K and semantic labels.
//!
//! Work is spread over the threads of rayon's pool and written in order, so results do not depend on their number.
//! Memory holds the JSON that is read and a bounded number of images. A file appears under its name when it is
//! complete; annotation files come last, so one that is there describes label files that are there too.
//!
//! Where an official tool draws random colours as segment ids, the conversions here take the same first
//! choice, the colour of the class, and then shades of it in a fixed order.
//!
//! ```no_run
//! use smalti_datasets::prepare::{CityscapesPanoptic, cityscapes_panoptic};
//!
//! let options =
//!     CityscapesPanoptic { gt_dir: "gtFine".into(), split: "val".into(), out: None, train_ids: false };
//! let done = cityscapes_panoptic(&options, &|_| ())?;
//! assert_eq!(done.out, std::path::Path::new("gtFine/cityscapes_panoptic_val.json"));
//! # Ok::<(), smalti_datasets::DataError>(())
//! ```

mod ade20k;
mod ade20k_instances;
mod ade20k_panoptic;
mod ade20k_semantic;
mod categories;
mod cityscapes_panoptic;
mod cityscapes_train_ids;
mod coco_detection_to_panoptic;
mod coco_panoptic_to_detection;
mod coco_panoptic_to_semantic;
pub(crate) mod label_files;
mod pipeline;
mod png_out;
pub(crate) mod records;
mod regions;
mod segment_ids;
mod set_writer;

pub use ade20k::Ade20kOptions;
pub use ade20k_instances::ade20k_instances;
pub use ade20k_panoptic::ade20k_panoptic;
pub use ade20k_semantic::ade20k_semantic;
pub use categories::Categories;
pub use cityscapes_panoptic::{CityscapesPanoptic, cityscapes_panoptic};
pub use cityscapes_train_ids::{CityscapesTrainIds, cityscapes_train_ids};
pub use coco_detection_to_panoptic::{DetectionToPanoptic, coco_detection_to_panoptic};
pub use coco_panoptic_to_detection::{PanopticToDetection, coco_panoptic_to_detection};
pub use coco_panoptic_to_semantic::{
    PanopticToSemantic, SemanticIds, SemanticOutput, coco_panoptic_to_semantic,
};

use std::path::{Path, PathBuf};

use crate::coco::Segment;

/// Called after each image with the number of images in all; from several threads at once.
pub type Tick<'a> = &'a (dyn Fn(u64) + Sync);

/// What a conversion did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The annotation file, or the folder of label maps, that was written.
    pub out: PathBuf,
    /// Images, or label maps, that were converted.
    pub images: u64,
    /// Annotations or segments that were written; 0 where the result is label maps only.
    pub annotations: u64,
    /// What the official tool passes over in silence, one sentence a kind, with its count.
    pub warnings: Vec<String>,
}

/// Segments of PNGs that the JSON does not list. The official tools leave them out without a word.
#[derive(Default)]
struct Foreign {
    segments: u64,
    images: u64,
}

impl Foreign {
    fn add(&mut self, segments: u64) {
        self.segments += segments;
        self.images += u64::from(segments > 0);
    }

    fn warnings(&self) -> Vec<String> {
        let Self { segments, images } = self;
        let text =
            || format!("{segments} segments of {images} PNGs are not in the JSON and were taken for void");
        if *segments > 0 { vec![text()] } else { vec![] }
    }
}

/// Folder of the PNGs of a panoptic file: as given, else `X` for `X.json`.
fn png_folder(json: &Path, given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| json.with_extension(""), Path::to_owned)
}

/// The entry of an image in a panoptic file whose images go by name.
#[derive(Debug, serde::Serialize)]
struct NamedImage {
    image_id: String,
    file_name: String,
    segments_info: Vec<Segment>,
}
