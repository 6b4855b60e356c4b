//! Writes one scene's files and makes its annotations.

use std::fs;
use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::catalog::CLASSES;
use super::noise::hash;
use super::scene::Scene;
use crate::coco::{ImageInfo, Instance, PanopticImage, Segment, Segmentation, id_to_rgb, rgb_to_id};
use crate::error::DataError;
use crate::rle::Rle;

const JPEG_QUALITY: u8 = 92;

/// The folders and files of one split.
#[derive(Debug, Clone)]
pub(super) struct SplitPaths {
    pub(super) images: PathBuf,
    pub(super) panoptic: PathBuf,
    pub(super) semantic: PathBuf,
    pub(super) instances_json: PathBuf,
    pub(super) panoptic_json: PathBuf,
}

impl SplitPaths {
    pub(super) fn new(out: &Path, split: &str) -> Self {
        let annotations = out.join("annotations");
        Self {
            images: out.join(split),
            panoptic: out.join(format!("panoptic_{split}")),
            semantic: out.join(format!("semantic_{split}")),
            instances_json: annotations.join(format!("instances_{split}.json")),
            panoptic_json: annotations.join(format!("panoptic_{split}.json")),
        }
    }

    /// Image, panoptic PNG and semantic PNG of the image with this id.
    pub(super) fn files(&self, id: u64) -> [PathBuf; 3] {
        [self.images.join(jpeg_name(id)), self.panoptic.join(png_name(id)), self.semantic.join(png_name(id))]
    }
}

/// What the JSON files hold about one image. Instance ids are 0 until the file's own numbering is known.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) instances: Vec<Instance>,
    pub(super) panoptic: PanopticImage,
}

/// Entry of the JSON files for the image with this id, counted from 1.
pub(super) fn image_info(id: u64, (height, width): (usize, usize)) -> ImageInfo {
    ImageInfo { id, file_name: jpeg_name(id), height: height as u32, width: width as u32 }
}

/// Writes JPEG, panoptic PNG and semantic PNG of a scene.
pub(super) fn write(scene: &Scene, paths: &SplitPaths, id: u64) -> Result<Record, DataError> {
    let [image, panoptic, semantic] = paths.files(id);
    let (height, width) = scene.segments.dim();
    let size = [height as u32, width as u32];
    write_jpeg(&image, &scene.rgb, size)?;

    let ids = segment_ids(&scene.classes);
    let colours = scene.segments.iter().flat_map(|&segment| match segment {
        0 => [0; 3],
        _ => id_to_rgb(ids[segment as usize - 1]),
    });
    save(&panoptic, &encode_png(&panoptic, &colours.collect::<Vec<_>>(), size, png::ColorType::Rgb)?)?;
    save(&semantic, &encode_png(&semantic, &scene.semantic(), size, png::ColorType::Grayscale)?)?;
    annotate(scene, &ids, id)
}

/// Writes `H * W * 3` bytes as a JPEG of this height and width.
pub(super) fn write_jpeg(path: &Path, rgb: &[u8], size: [u32; 2]) -> Result<(), DataError> {
    save(path, &encode_jpeg(path, rgb, size)?)
}

fn annotate(scene: &Scene, ids: &[u32], image_id: u64) -> Result<Record, DataError> {
    let mut instances = Vec::new();
    let mut segments_info = Vec::new();
    for (segment, rle) in Rle::encode_segments(&scene.segments)? {
        let Some(index) = (segment as usize).checked_sub(1) else { continue }; // void
        let class = CLASSES[usize::from(scene.classes[index])];
        let (area, bbox) = (rle.area(), rle.bbox());
        let (category_id, iscrowd) = (class.category_id, 0);
        segments_info.push(Segment { id: ids[index], category_id, area: u64::from(area), bbox, iscrowd });
        if class.isthing == 1 {
            instances.push(Instance {
                id: 0,
                image_id,
                category_id,
                segmentation: Segmentation::compressed(&rle),
                area: f64::from(area),
                bbox: bbox.map(f64::from),
                iscrowd,
            });
        }
    }
    Ok(Record {
        instances,
        panoptic: PanopticImage { image_id, file_name: png_name(image_id), segments_info },
    })
}

/// Ids of an image's segments whose colours in the PNG show the class: its own colour, then shades of it.
fn segment_ids(classes: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::with_capacity(classes.len());
    for &class in classes {
        let colour = CLASSES[usize::from(class)].color;
        let shade = |attempt: i32| {
            let h = hash(i32::from(class), attempt, 0);
            let channel = |slot: usize| {
                let shift = if attempt == 0 { 0 } else { (h >> (8 * slot) & 63) as i32 - 32 };
                (i32::from(colour[slot]) + shift).clamp(1, 255) as u8
            };
            rgb_to_id([channel(0), channel(1), channel(2)])
        };
        // Always finds one: an image has twelve things, a class thousands of shades.
        ids.extend((0..1 << 16).map(shade).find(|id| !ids.contains(id)));
    }
    ids
}

pub(super) fn jpeg_name(id: u64) -> String {
    format!("{id:06}.jpg")
}

fn png_name(id: u64) -> String {
    format!("{id:06}.png")
}

fn encode_jpeg(path: &Path, rgb: &[u8], [height, width]: [u32; 2]) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::with_capacity(rgb.len() / 4);
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(|err| DataError::image(path, format!("cannot be encoded as JPEG: {err}")))?;
    Ok(bytes)
}

fn encode_png(
    path: &Path,
    data: &[u8],
    [height, width]: [u32; 2],
    colour: png::ColorType,
) -> Result<Vec<u8>, DataError> {
    let failed = |err: png::EncodingError| DataError::image(path, format!("cannot be encoded as PNG: {err}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    fs::write(path, bytes).map_err(DataError::io(path, "writing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_ids_differ_and_are_never_void() {
        let classes: Vec<u8> = (0..14).chain(std::iter::repeat_n(3, 30)).collect();
        let mut ids = segment_ids(&classes);
        assert_eq!(id_to_rgb(ids[3]), CLASSES[3].color);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), classes.len());
        assert_ne!(ids[0], 0);
    }
}
