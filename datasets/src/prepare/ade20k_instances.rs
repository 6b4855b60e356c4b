//! ADE20K instance labels as a file in COCO detection format.
//!
//! Result of `prepare_ade20k_ins_seg.py` of Mask2Former (commit 9b0651c): image ids are names, annotation ids count
//! from 1 over the images in order of their names, category ids are those of the 150 classes, so they have gaps.

use ndarray::ArrayView2;
use serde::Serialize;
use serde_json::json;

use super::ade20k::{ImageEntry, Instances};
use super::pipeline::in_order;
use super::set_writer::SetWriter;
use super::{Ade20kOptions, Prepared, Tick};
use crate::benchmarks::ade20k::INSTANCE_CLASSES;
use crate::coco::Segmentation;
use crate::error::DataError;
use crate::label_png::LabelPng;
use crate::rle::Rle;

#[derive(Serialize)]
struct Annotation {
    id: u64,
    image_id: String,
    category_id: u32,
    segmentation: Segmentation,
    area: u32,
    bbox: [u32; 4],
    iscrowd: u8,
}

/// Writes `ade20k_instance_{train,val}.json` from `images` and `annotations_instance`.
///
/// # Errors
/// [`DataError`], naming the file: no image, a label map that is missing, damaged or of another size than its image, an
/// instance of several classes or of one that is unknown.
pub fn ade20k_instances(options: &Ade20kOptions, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let names = options.images()?;
    let out = options.out().join(format!("ade20k_instance_{}.json", options.name()));
    let mut writer = SetWriter::create(&out)?;
    let categories: Vec<_> =
        INSTANCE_CLASSES.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    writer.field("categories", &categories)?;

    let convert = |(decoder, instances): &mut (LabelPng, Instances), name: &String| {
        one_image(options, name, decoder, instances)
    };
    let mut images = Vec::with_capacity(names.len());
    let mut next_id = 1;
    in_order(&names, tick, Default::default, convert, |(image, annotations)| {
        images.push(image);
        for mut annotation in annotations {
            annotation.id = next_id;
            next_id += 1;
            writer.push(&annotation)?;
        }
        Ok(())
    })?;
    writer.field("images", &images)?;
    let annotations = writer.finish()?;
    Ok(Prepared { out, images: images.len() as u64, annotations, warnings: vec![] })
}

fn one_image(
    options: &Ade20kOptions,
    name: &str,
    decoder: &mut LabelPng,
    instances: &mut Instances,
) -> Result<(ImageEntry, Vec<Annotation>), DataError> {
    let entry = options.entry(name)?;
    let path = options.labels("annotations_instance", name);
    instances.read(decoder, &path, &entry)?;
    let pixels: Vec<u32> = instances.pixels.iter().map(|&instance| instance.into()).collect();
    let damaged = |_| DataError::image(&path, "damaged: pixels do not fill the image");
    let size = (entry.height as usize, entry.width as usize);
    let masks = Rle::encode_segments(&ArrayView2::from_shape(size, &pixels).map_err(damaged)?)?;
    let annotation = |(instance, mask): (u32, Rle)| {
        let category_id = instances.categories.get(instance as usize).copied().flatten()?; // none: instance 0
        Some(Annotation {
            id: 0, // until the number of annotations before it is known
            image_id: name.to_owned(),
            category_id,
            area: mask.area(),
            bbox: mask.bbox(),
            segmentation: Segmentation::compressed(&mask),
            iscrowd: 0,
        })
    };
    Ok((entry, masks.into_iter().filter_map(annotation).collect()))
}
