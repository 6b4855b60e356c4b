//! COCO detection format to COCO panoptic format: masks become segments of one PNG an image.
//!
//! Result of `converters/detection2panoptic_coco_format.py` of panopticapi (commit 7bb4655): masks must not overlap,
//! every annotation becomes a segment with its other fields kept (area and box too), images without annotations get a
//! PNG that is void. Segment ids that are random there are fixed here (see the module above).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::categories::Categories;
use super::pipeline::in_order;
use super::png_out::{named_files, not_the_input, write_ids};
use super::records::{Parts, Source};
use super::segment_ids::Palette;
use super::set_writer::SetWriter;
use super::{Prepared, Tick, png_folder};
use crate::coco::Segmentation;
use crate::error::DataError;

/// Largest image, in pixels: the size is only declared, and a map of that size is made.
const MAX_PIXELS: u64 = 1 << 28;

/// Arguments of [`coco_detection_to_panoptic`].
#[derive(Debug, Clone)]
pub struct DetectionToPanoptic {
    /// The detection file.
    pub json: PathBuf,
    /// The panoptic file to write.
    pub out: PathBuf,
    /// Folder of the PNGs to write; `X` for `X.json` if not given.
    pub png_dir: Option<PathBuf>,
    /// The classes of the panoptic set, with things, stuff and colours.
    pub categories: Categories,
    /// The file of the classes, for messages.
    pub categories_from: PathBuf,
}

/// Converts a detection file to a panoptic set.
///
/// # Errors
/// [`DataError`], naming the file, the image and the annotation: JSON of another form, masks that overlap, are broken or
/// have another size than their image, a category that is not in the table, a stuff class twice in an image (its
/// segments would have the same id; the official tool writes such a file), an image or annotation id twice.
pub fn coco_detection_to_panoptic(options: &DetectionToPanoptic, tick: Tick<'_>) -> Result<Prepared, DataError> {
    not_the_input(&options.out, &options.json)?;
    let source = Source::read(&options.json)?;
    let parts = source.parts()?;
    let palette = Palette::new(&options.categories, &options.categories_from)?;
    let images: Vec<Image> = parts.field("images")?;
    let (by_image, homeless) = group(&parts, &images)?;

    let names: Vec<String> = images.iter().map(Image::png_name).collect();
    let records = images.iter().zip(&names).map(|(image, name)| (image.record(), name.as_str()));
    let paths = named_files(&png_folder(&options.out, options.png_dir.as_deref()), &parts.path, records)?;
    let mut writer = SetWriter::create(&options.out)?;
    for (name, value) in parts.others.iter().filter(|(name, _)| name != "categories") {
        writer.field(name, value)?;
    }
    writer.field("categories", &options.categories.records())?;

    let jobs: Vec<_> = images.iter().zip(by_image).zip(paths).collect();
    let convert = |(): &mut (), ((image, annotations), path): &((&Image, Vec<usize>), PathBuf)| {
        one_image(&parts, image, annotations, &palette, path)
    };
    let mut segments = 0;
    in_order(&jobs, tick, || (), convert, |segments_info| {
        segments += segments_info.len() as u64;
        Ok(segments_info)
    })?;
    Ok(Prepared { images: images.len() as u64, annotations: segments, warnings: homeless })
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
    height: u32,
    width: u32,
}

impl Image {
    fn record(&self) -> String {
        format!("image {}", self.id)
    }

    fn png_name(&self) -> String {
        Path::new(&self.file_name).with_extension("png").display().to_string()
    }
}
