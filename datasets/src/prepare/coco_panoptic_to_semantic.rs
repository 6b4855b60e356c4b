//! COCO panoptic format to semantic labels: the segments of a class become one.
//!
//! Results of `converters/panoptic2semantic_segmentation.py` of panopticapi (commit 7bb4655), of
//! `prepare_coco_semantic_annos_from_panoptic_annos.py` of Mask2Former (9b0651c) and of `prepare_panoptic_fpn.py` of
//! detectron2 (02b5c4e), which differ in the values they give to classes and to void.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::ArrayView2;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::categories::Categories;
use super::pipeline::in_order;
use super::png_out::{named_files, not_the_input, write_labels};
use super::records::{PanopticRecord, Parts, Source};
use super::set_writer::SetWriter;
use super::{Foreign, Prepared, Tick, png_folder};
use crate::error::DataError;
use crate::label_png::LabelPng;
use crate::rle::Rle;
use crate::sample::IGNORE;

/// The class that takes all things with `things_other`.
const OTHER: u32 = 183;

/// Which values the pixels of a class get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SemanticIds {
    /// Positions 0.. in the order of category ids; void is 255 (Mask2Former).
    Contiguous,
    /// The category ids themselves; void is 0 (panopticapi).
    Category,
    /// All things are 0, stuff counts from 1 in the order of category ids; void is 255 (detectron2, Panoptic FPN).
    Stuff,
}

/// What is written.
#[derive(Debug, Clone)]
pub enum SemanticOutput {
    /// A folder of PNGs, named as the panoptic ones.
    Pngs {
        /// The folder.
        folder: PathBuf,
        /// The values in them.
        ids: SemanticIds,
    },
    /// A file in COCO detection format (as COCO stuff): one mask a class and image, with category ids.
    Json(PathBuf),
}

/// Arguments of [`coco_panoptic_to_semantic`].
#[derive(Debug, Clone)]
pub struct PanopticToSemantic {
    /// The panoptic file.
    pub json: PathBuf,
    /// Folder of its PNGs; `X` for `X.json` if not given.
    pub png_dir: Option<PathBuf>,
    /// What to write.
    pub output: SemanticOutput,
    /// Merge all things into the class "other" (183). Not with [`SemanticIds::Contiguous`] or [`SemanticIds::Stuff`].
    pub things_other: bool,
}

/// Converts a panoptic set to semantic labels.
///
/// # Errors
/// [`DataError`], naming the file and the image: JSON of another form, a PNG that is missing or damaged, a segment id
/// twice, a category that the file does not list, class values that do not fit 8 bits.
pub fn coco_panoptic_to_semantic(
    options: &PanopticToSemantic,
    tick: Tick<'_>,
) -> Result<Prepared, DataError> {
    let source = Source::read(&options.json)?;
    let parts = source.parts()?;
    let categories = Categories::new(&parts.path, parts.field("categories")?)?;
    let set = Set {
        parts: &parts,
        categories: &categories,
        png_dir: &png_folder(&options.json, options.png_dir.as_deref()),
    };
    match &options.output {
        SemanticOutput::Pngs { folder, ids } => {
            not_the_input(folder, set.png_dir)?;
            to_pngs(&set, folder, &Values::new(*ids, options.things_other, &set)?, tick)
        }
        SemanticOutput::Json(out) => {
            not_the_input(out, &options.json)?;
            to_json(&set, out, options.things_other, tick)
        }
    }
}

struct Set<'a> {
    parts: &'a Parts<'a>,
    categories: &'a Categories,
    png_dir: &'a Path,
}

/// Pixel values of the classes.
struct Values {
    by_category: BTreeMap<u32, u8>,
    void: u8,
}

impl Values {
    fn new(ids: SemanticIds, things_other: bool, set: &Set<'_>) -> Result<Self, DataError> {
        if things_other && ids != SemanticIds::Category {
            return Err(DataError::invalid("things_other", "category ids as values", "other values"));
        }
        let mut stuff = 0;
        let mut by_category = BTreeMap::new();
        for (position, (id, class)) in (0u32..).zip(set.categories.iter()) {
            stuff += u32::from(!class.isthing);
            // 255 is void, and both scripts stop at 254 classes.
            let (value, most) = match ids {
                SemanticIds::Contiguous => (position, 253),
                SemanticIds::Stuff => (if class.isthing { 0 } else { stuff }, 254),
                SemanticIds::Category if things_other && class.isthing => (OTHER, 255),
                SemanticIds::Category => (id, 255),
            };
            let value = u8::try_from(value).ok().filter(|&value| value <= most).ok_or_else(|| {
                let reason = format!("expected label values up to {most}, got {value}");
                DataError::record(&set.parts.path, format!("category {id}"), reason)
            })?;
            by_category.insert(id, value);
        }
        Ok(Self { by_category, void: if ids == SemanticIds::Category { 0 } else { IGNORE } })
    }
}

fn to_pngs(set: &Set<'_>, folder: &Path, values: &Values, tick: Tick<'_>) -> Result<Prepared, DataError> {
    /// The name alone; the segments of all images at once would fill the memory.
    #[derive(Deserialize)]
    struct Named {
        file_name: String,
    }
    let path = &set.parts.path;
    let mut names = Vec::with_capacity(set.parts.annotations.len());
    for index in 0..set.parts.annotations.len() {
        let Named { file_name } = set.parts.annotation(index)?;
        names.push((format!("annotations[{index}]"), file_name));
    }
    let names = names.iter().map(|(record, name)| (record.clone(), name.as_str()));
    let jobs: Vec<_> = named_files(folder, path, names)?.into_iter().enumerate().collect();

    let convert = |decoder: &mut LabelPng, (index, out): &(usize, PathBuf)| {
        let record: PanopticRecord = set.parts.annotation(*index)?;
        let mut labels = BTreeMap::from([(0, values.void)]);
        for [id, category] in record.ids(path)? {
            set.categories.class_of(category, path, &record.name())?;
            labels.insert(id, values.by_category.get(&category).copied().unwrap_or(values.void));
        }
        let map = decoder.ids(&set.png_dir.join(&record.file_name))?;
        let (pixels, unlisted) = map.relabel(values.void, |id| labels.get(&id).copied());
        write_labels(out, [map.height, map.width], &pixels)?;
        Ok(unlisted.len() as u64)
    };
    let mut foreign = Foreign::default();
    in_order(&jobs, tick, LabelPng::new, convert, |unlisted| {
        foreign.add(unlisted);
        Ok(())
    })?;
    Ok(Prepared {
        out: folder.to_owned(),
        images: jobs.len() as u64,
        annotations: 0,
        warnings: foreign.warnings(),
    })
}

fn to_json(set: &Set<'_>, out: &Path, things_other: bool, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let mut writer = SetWriter::create(out)?;
    for (name, value) in set.parts.others.iter().filter(|(name, _)| name != "categories") {
        writer.field(name, value)?;
    }
    let mut kept = set.categories.detection_records(|class| !(things_other && class.isthing));
    if things_other {
        let other = json!({"id": OTHER, "name": "other", "supercategory": "other"});
        kept.extend(other.as_object().cloned());
    }
    writer.field("categories", &kept)?;

    let records: Vec<usize> = (0..set.parts.annotations.len()).collect();
    let convert = |decoder: &mut LabelPng, &index: &usize| one_image(set, index, things_other, decoder);
    let mut next_id = 0u64;
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
        out: out.to_owned(),
        images: records.len() as u64,
        annotations,
        warnings: foreign.warnings(),
    })
}

/// One annotation a class, in the order in which the segments name the classes first.
fn one_image(
    set: &Set<'_>,
    index: usize,
    things_other: bool,
    decoder: &mut LabelPng,
) -> Result<(Vec<Map<String, Value>>, u64), DataError> {
    let path = &set.parts.path;
    let record: PanopticRecord = set.parts.annotation(index)?;
    let mut classes: Vec<u32> = Vec::new();
    let mut places = BTreeMap::from([(0, 0)]); // segment id -> place of its class in `classes`, from 1; void is 0
    for [id, category] in record.ids(path)? {
        let class = set.categories.class_of(category, path, &record.name())?;
        let category = if things_other && class.isthing { OTHER } else { category };
        let place = classes.iter().position(|&known| known == category).unwrap_or_else(|| {
            classes.push(category);
            classes.len() - 1
        });
        places.insert(id, place as u32 + 1);
    }
    let png = set.png_dir.join(&record.file_name);
    let map = decoder.ids(&png)?;
    let (merged, unlisted) = map.relabel(0, |id| places.get(&id).copied());
    let damaged = |_| DataError::image(&png, "damaged: pixels do not fill the image");
    let mut masks =
        Rle::encode_segments(&ArrayView2::from_shape((map.height, map.width), &merged).map_err(damaged)?)?;

    let mut annotations = Vec::new();
    for (place, category) in (1u32..).zip(classes) {
        let mask = match masks.remove(&place) {
            Some(mask) => mask,
            None => Rle::new([map.height as u32, map.width as u32], vec![map.pixels.len() as u32])?,
        };
        let annotation = json!({
            "image_id": record.image_id,
            "category_id": category,
            "segmentation": {"size": mask.size(), "counts": mask.to_compressed()},
            "area": mask.area(),
            "bbox": mask.bbox().map(f64::from),
            "iscrowd": 0,
        });
        annotations.extend(annotation.as_object().cloned());
    }
    Ok((annotations, unlisted.len() as u64))
}
