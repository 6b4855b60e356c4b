//! COCO panoptic format to COCO detection format: one mask an annotation.
//!
//! Result of `converters/panoptic2detection_coco_format.py` of panopticapi (commit 7bb4655): area and box are those of
//! the panoptic JSON, not counted anew; a segment without a pixel gets an empty mask; ids count from 0 in file order.

use std::path::{Path, PathBuf};

use ndarray::ArrayView2;
use serde_json::{Map, Value, json};

use super::categories::Categories;
use super::pipeline::in_order;
use super::png_out::not_the_input;
use super::records::{PanopticRecord, Parts, Source};
use super::set_writer::SetWriter;
use super::{Foreign, Prepared, Tick, png_folder};
use crate::error::DataError;
use crate::label_png::LabelPng;
use crate::rle::Rle;

/// Arguments of [`coco_panoptic_to_detection`].
#[derive(Debug, Clone)]
pub struct PanopticToDetection {
    /// The panoptic file.
    pub json: PathBuf,
    /// Folder of its PNGs; `X` for `X.json` if not given.
    pub png_dir: Option<PathBuf>,
    /// The detection file to write.
    pub out: PathBuf,
    /// Leave out stuff segments and stuff classes.
    pub things_only: bool,
    /// Id of the first annotation. The official tool starts at 0, which the official scorer takes for "not matched".
    pub first_id: u64,
}

/// Converts a panoptic set to a detection file. Fields that the tool does not know are kept.
///
/// # Errors
/// [`DataError`], naming the file and the image: JSON of another form, a PNG that is missing or damaged, a segment id
/// twice, a category that the file does not list.
pub fn coco_panoptic_to_detection(
    options: &PanopticToDetection,
    tick: Tick<'_>,
) -> Result<Prepared, DataError> {
    not_the_input(&options.out, &options.json)?;
    let source = Source::read(&options.json)?;
    let parts = source.parts()?;
    let categories = Categories::new(&parts.path, parts.field("categories")?)?;
    let png_dir = png_folder(&options.json, options.png_dir.as_deref());

    let mut writer = SetWriter::create(&options.out)?;
    for (name, value) in parts.others.iter().filter(|(name, _)| name != "categories") {
        writer.field(name, value)?;
    }
    let things_only = options.things_only;
    writer.field("categories", &categories.detection_records(|class| class.isthing || !things_only))?;

    let records: Vec<usize> = (0..parts.annotations.len()).collect();
    let convert = |decoder: &mut LabelPng, &index: &usize| {
        one_image(&parts, index, &categories, &png_dir, things_only, decoder)
    };
    let mut next_id = options.first_id;
    let mut foreign = Foreign::default();
    in_order(&records, tick, LabelPng::new, convert, |(annotations, unlisted)| {
        foreign.add(unlisted);
        for mut annotation in annotations {
            annotation.insert("id".into(), next_id.into());
            next_id += 1;
            writer.push(&annotation)?;
        }
        Ok(())
    })?;
    let annotations = writer.finish()?;
    Ok(Prepared {
        out: options.out.clone(),
        images: records.len() as u64,
        annotations,
        warnings: foreign.warnings(),
    })
}

type Annotation = Map<String, Value>;

/// The annotations of one image, without ids, and how many segments of its PNG are not in the JSON.
fn one_image(
    parts: &Parts<'_>,
    index: usize,
    categories: &Categories,
    png_dir: &Path,
    things_only: bool,
    decoder: &mut LabelPng,
) -> Result<(Vec<Annotation>, u64), DataError> {
    let record: PanopticRecord = parts.annotation(index)?;
    let ids = record.ids(&parts.path)?;
    let png = png_dir.join(Path::new(&record.file_name).with_extension("png"));
    let map = decoder.ids(&png)?;
    let damaged = |_| DataError::image(&png, "damaged: pixels do not fill the image");
    let pixels = ArrayView2::from_shape((map.height, map.width), map.pixels).map_err(damaged)?;
    let mut masks = Rle::encode_segments(&pixels)?;

    let mut annotations = Vec::new();
    for (&[id, category], segment) in ids.iter().zip(&record.segments_info) {
        let class = categories.class_of(category, &parts.path, &record.name())?;
        let mask = masks.remove(&id);
        if things_only && !class.isthing {
            continue;
        }
        let mask = match mask {
            Some(mask) => mask,
            None => Rle::new([map.height as u32, map.width as u32], vec![map.pixels.len() as u32])?,
        };
        let mut annotation = segment.clone();
        annotation.insert("image_id".into(), record.image_id.clone());
        annotation
            .insert("segmentation".into(), json!({"size": mask.size(), "counts": mask.to_compressed()}));
        annotations.push(annotation);
    }
    masks.remove(&0); // void
    Ok((annotations, masks.len() as u64))
}
