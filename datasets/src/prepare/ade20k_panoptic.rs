//! ADE20K semantic and instance labels as one panoptic set.
//!
//! Result of `prepare_ade20k_pan_seg.py` of Mask2Former (commit 9b0651c). Stuff comes from the semantic labels, things
//! from the instance labels, pasted over it. Area and box of stuff are measured **before** things are pasted: where the
//! two labels overlap, the JSON says more than the PNG shows, down to segments without a pixel. Thing classes of the
//! semantic labels without an instance stay void.

use std::path::Path;

use super::ade20k::{ImageEntry, Instances};
use super::categories::Categories;
use super::pipeline::in_order;
use super::png_out::{create_dir, write_ids};
use super::regions::{Region, regions};
use super::segment_ids::{Palette, SegmentIds};
use super::set_writer::SetWriter;
use super::{Ade20kOptions, NamedImage, Prepared, Tick};
use crate::benchmarks::ade20k::CLASSES;
use crate::coco::Segment;
use crate::error::DataError;
use crate::label_png::LabelPng;

/// Writes `ade20k_panoptic_{train,val}.json` and the folder of PNGs beside it, from `images`, `annotations` and
/// `annotations_instance`.
///
/// # Errors
/// [`DataError`], naming the file: no image, a label map that is missing, damaged or of another size than its image, a
/// value that is no class, an instance of several classes or of one that is unknown.
pub fn ade20k_panoptic(options: &Ade20kOptions, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let names = options.images()?;
    let folder = options.out().join(format!("ade20k_panoptic_{}", options.name()));
    create_dir(&folder)?;
    let json = folder.with_extension("json");
    let categories = Categories::of(&CLASSES);
    let palette = Palette::new(&categories, &json)?;
    let mut writer = SetWriter::create(&json)?;
    writer.field("categories", &categories.records())?;

    let convert = |work: &mut Work, name: &String| work.one_image(options, name, &palette, &folder);
    let mut images = Vec::with_capacity(names.len());
    let mut segments = 0;
    in_order(&names, tick, Work::default, convert, |(image, annotation)| {
        images.push(image);
        segments += annotation.segments_info.len() as u64;
        writer.push(&annotation)
    })?;
    writer.field("images", &images)?;
    writer.finish()?;
    Ok(Prepared { out: json, images: images.len() as u64, annotations: segments, warnings: vec![] })
}

/// What a thread keeps from image to image.
#[derive(Default)]
struct Work {
    semantic: LabelPng,
    instance: LabelPng,
    instances: Instances,
    ids: Vec<u32>,
}

impl Work {
    fn one_image(
        &mut self,
        options: &Ade20kOptions,
        name: &str,
        palette: &Palette,
        folder: &Path,
    ) -> Result<(ImageEntry, NamedImage), DataError> {
        let entry = options.entry(name)?;
        let (semantic_path, instance_path) =
            (options.labels("annotations", name), options.labels("annotations_instance", name));
        let semantic = self.semantic.labels(&semantic_path)?;
        entry.check_size(&semantic_path, semantic.height, semantic.width)?;
        self.instances.read(&mut self.instance, &instance_path, &entry)?;

        let mut segments_info = Vec::new();
        let mut ids = palette.image();
        let stuff = stuff_ids(semantic.width, semantic.pixels, &mut ids, &mut segments_info)
            .map_err(|reason| DataError::image(&semantic_path, reason))?;
        let things = thing_ids(semantic.width, &self.instances, &mut ids, &mut segments_info)
            .map_err(|reason| DataError::image(&instance_path, reason))?;

        let paint = |(&class, &instance): (&u8, &u8)| match things[usize::from(instance)] {
            0 => stuff[usize::from(class)],
            thing => thing,
        };
        self.ids.clear();
        self.ids.extend(semantic.pixels.iter().zip(&self.instances.pixels).map(paint));
        let file_name = format!("{name}.png");
        write_ids(&folder.join(&file_name), [semantic.height, semantic.width], &self.ids)?;
        Ok((entry, NamedImage { image_id: name.to_owned(), file_name, segments_info }))
    }
}

/// Segment id of every raw value of the semantic labels, 0 for things and "no class"; lists the segments.
fn stuff_ids(
    width: usize,
    pixels: &[u8],
    ids: &mut SegmentIds<'_>,
    segments: &mut Vec<Segment>,
) -> Result<[u32; 256], String> {
    let mut table = [0; 256];
    for (value, region) in regions(width, pixels) {
        let Some(category) = value.checked_sub(1) else { continue };
        let class = CLASSES.get(category);
        let class =
            class.ok_or_else(|| format!("expected label values 0 to {}, got {value}", CLASSES.len()))?;
        if !class.isthing {
            table[value] = ids.next(class.id)?;
            segments.push(segment(table[value], class.id, region));
        }
    }
    Ok(table)
}

/// Segment id of every instance, 0 for instance 0; lists the segments.
fn thing_ids(
    width: usize,
    instances: &Instances,
    ids: &mut SegmentIds<'_>,
    segments: &mut Vec<Segment>,
) -> Result<[u32; 256], String> {
    let mut table = [0; 256];
    for (instance, region) in regions(width, &instances.pixels) {
        if let Some(category) = instances.categories[instance] {
            table[instance] = ids.next(category)?;
            segments.push(segment(table[instance], category, region));
        }
    }
    Ok(table)
}

fn segment(id: u32, category_id: u32, region: Region) -> Segment {
    Segment { id, category_id, area: region.area, bbox: region.bbox(), iscrowd: 0 }
}
