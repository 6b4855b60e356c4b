//! Cityscapes instance ids as a panoptic set.
//!
//! Result of `createPanopticImgs.py` of cityscapesscripts (commit 0bcc4a7): a segment id is the value in `instanceIds`,
//! labels that are not scored become void, groups of things are crowds, image ids are `<city>_<sequence>_<frame>`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::ade20k::ImageEntry;
use super::label_files::{self, Found};
use super::pipeline::in_order;
use super::png_out::{create_dir, write_ids};
use super::regions::regions;
use super::set_writer::SetWriter;
use super::{NamedImage, Prepared, Tick};
use crate::cityscapes::{INSTANCE_FACTOR, LABELS, Label};
use crate::coco::Segment;
use crate::error::DataError;
use crate::label_png::LabelPng;

/// Arguments of [`cityscapes_panoptic`].
#[derive(Debug, Clone)]
pub struct CityscapesPanoptic {
    /// The folder `gtFine`.
    pub gt_dir: PathBuf,
    /// The folder in it that is converted: `train`, `val` or `test`.
    pub split: String,
    /// Folder of the results; `gt_dir` if not given.
    pub out: Option<PathBuf>,
    /// Category ids 0 to 18 instead of label ids.
    pub train_ids: bool,
}

/// Writes `cityscapes_panoptic_<split>.json` and the folder of PNGs beside it, with `_trainId` behind the split if train
/// ids are wanted.
///
/// # Errors
/// [`DataError`] if there is no `*_gtFine_instanceIds.png`, one cannot be read or written, or has a value whose label
/// does not exist.
pub fn cityscapes_panoptic(options: &CityscapesPanoptic, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let from = options.gt_dir.join(&options.split);
    let files = label_files::find(&from, "_gtFine_instanceIds.png", 1)?;
    let suffix = if options.train_ids { "_trainId" } else { "" };
    let base = format!("cityscapes_panoptic_{}{suffix}", options.split);
    let out = options.out.as_ref().unwrap_or(&options.gt_dir);
    let folder = out.join(&base);
    create_dir(&folder)?;

    let json = out.join(format!("{base}.json"));
    let mut writer = SetWriter::create(&json)?;
    let scored = LABELS.iter().filter(|label| !label.ignore_in_eval);
    let categories: Vec<_> = scored.map(|label| category(label, options.train_ids)).collect();
    writer.field("categories", &categories)?;
    let convert = |work: &mut (LabelPng, Vec<u32>), file: &Found| {
        one_image(&from, file, options.train_ids, &folder, work)
    };
    let mut images = Vec::with_capacity(files.len());
    let mut segments = 0;
    in_order(&files, tick, Default::default, convert, |(image, annotation)| {
        images.push(image);
        segments += annotation.segments_info.len() as u64;
        writer.push(&annotation)
    })?;
    writer.field("images", &images)?;
    writer.finish()?;
    Ok(Prepared { out: json, images: images.len() as u64, annotations: segments, warnings: vec![] })
}

fn category_id(label: &Label, train_ids: bool) -> u32 {
    // Both are at least 0 for labels that are scored.
    if train_ids { label.train_id as u32 } else { label.id as u32 }
}

fn category(label: &Label, train_ids: bool) -> serde_json::Value {
    json!({
        "id": category_id(label, train_ids),
        "name": label.name,
        "color": label.color,
        "supercategory": label.category.name(),
        "isthing": u8::from(label.has_instances),
    })
}

fn one_image(
    from: &Path,
    file: &Found,
    train_ids: bool,
    folder: &Path,
    (decoder, ids): &mut (LabelPng, Vec<u32>),
) -> Result<(ImageEntry, NamedImage), DataError> {
    let name = &file.stem;
    let path = from.join(&file.folder).join(format!("{name}_gtFine_instanceIds.png"));
    let map = decoder.labels16(&path)?;
    let mut table = vec![0; 1 << 16];
    let mut segments_info = Vec::new();
    for (value, region) in regions(map.width, map.pixels) {
        let label = Label::of_instance(value as u16).ok_or_else(|| {
            DataError::image(&path, format!("expected a label id or label id * 1000 + number, got {value}"))
        })?;
        if label.ignore_in_eval {
            continue;
        }
        table[value] = value as u32;
        segments_info.push(Segment {
            id: value as u32,
            category_id: category_id(label, train_ids),
            area: region.area,
            bbox: region.bbox(),
            iscrowd: u8::from(label.has_instances && value < usize::from(INSTANCE_FACTOR)),
        });
    }
    ids.clear();
    ids.extend(map.pixels.iter().map(|&value| table[usize::from(value)]));
    let file_name = format!("{name}_gtFine_panoptic.png");
    write_ids(&folder.join(&file_name), [map.height, map.width], ids)?;
    let image = ImageEntry {
        id: name.clone(),
        file_name: format!("{name}_gtFine_leftImg8bit.png"),
        width: map.width as u32,
        height: map.height as u32,
    };
    Ok((image, NamedImage { image_id: name.clone(), file_name, segments_info }))
}
