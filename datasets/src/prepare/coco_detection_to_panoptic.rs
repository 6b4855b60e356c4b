//! COCO detection format to COCO panoptic format: masks become segments of one PNG an image.
//!
//! Result of `converters/detection2panoptic_coco_format.py` of panopticapi (commit 7bb4655): masks must not overlap,
//! every annotation becomes a segment with its other fields kept (area and box too), images without annotations get a
//! PNG that is void. Segment ids that are random there are fixed here (see the module above).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::categories::Categories;
use super::pipeline::in_order;
use super::png_out::{named_files, not_the_input, write_ids};
use super::records::{Parts, Source, repeated};
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
pub fn coco_detection_to_panoptic(
    options: &DetectionToPanoptic,
    tick: Tick<'_>,
) -> Result<Prepared, DataError> {
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

    let jobs = images.iter().zip(&names).zip(by_image).zip(paths);
    let jobs: Vec<_> =
        jobs.map(|(((image, name), annotations), path)| Job { image, name, annotations, path }).collect();
    let convert = |(): &mut (), job: &Job<'_>| -> Result<_, DataError> {
        Ok((job.image.id, job.name.to_owned(), job.convert(&parts, &palette)?))
    };
    let mut segments = 0;
    let take = |(image_id, file_name, segments_info): (i64, String, Vec<Map<String, Value>>)| {
        segments += segments_info.len() as u64;
        writer.push(&json!({"image_id": image_id, "file_name": file_name, "segments_info": segments_info}))
    };
    in_order(&jobs, tick, || (), convert, take)?;
    writer.finish()?;
    Ok(Prepared {
        out: options.out.clone(),
        images: images.len() as u64,
        annotations: segments,
        warnings: homeless,
    })
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

/// Indices of the annotations of every image, in file order, and a warning about those whose image is not listed.
fn group(parts: &Parts<'_>, images: &[Image]) -> Result<(Vec<Vec<usize>>, Vec<String>), DataError> {
    #[derive(Deserialize)]
    struct Key {
        id: i64,
        image_id: i64,
    }
    let mut places = BTreeMap::new();
    for (place, image) in images.iter().enumerate() {
        if places.insert(image.id, place).is_some() {
            return Err(DataError::record(
                &parts.path,
                image.record(),
                "expected an image id once, got it twice",
            ));
        }
    }
    let keys: Vec<Result<Key, DataError>> =
        (0..parts.annotations.len()).into_par_iter().map(|index| parts.annotation(index)).collect();
    let mut by_image = vec![Vec::new(); images.len()];
    let mut ids = Vec::with_capacity(keys.len());
    let mut homeless = 0u64;
    for (index, key) in keys.into_iter().enumerate() {
        let Key { id, image_id } = key?;
        ids.push(id);
        match places.get(&image_id) {
            Some(&place) => by_image[place].push(index),
            None => homeless += 1,
        }
    }
    if let Some(twice) = repeated(ids) {
        let record = format!("annotation {twice}");
        return Err(DataError::record(&parts.path, record, "expected an annotation id once, got it twice"));
    }
    let warning = || format!("{homeless} annotations belong to images that the file does not list; left out");
    Ok((by_image, if homeless > 0 { vec![warning()] } else { vec![] }))
}

/// One image to convert.
struct Job<'a> {
    image: &'a Image,
    /// Of the PNG.
    name: &'a str,
    /// Indices in the file.
    annotations: Vec<usize>,
    /// Of the PNG.
    path: PathBuf,
}

impl Job<'_> {
    /// Writes the PNG and returns its segments.
    fn convert(&self, parts: &Parts<'_>, palette: &Palette) -> Result<Vec<Map<String, Value>>, DataError> {
        let image = self.image;
        let pixels = u64::from(image.height) * u64::from(image.width);
        if pixels == 0 || pixels > MAX_PIXELS {
            let reason =
                format!("expected 1 to {MAX_PIXELS} pixels, got {}x{} (HxW)", image.height, image.width);
            return Err(DataError::record(&parts.path, image.record(), reason));
        }
        let mut canvas = Canvas::new(image);
        let mut ids = palette.image();
        let mut segments = Vec::with_capacity(self.annotations.len());
        for &index in &self.annotations {
            let mut annotation: Map<String, Value> = parts.annotation(index)?;
            let name = annotation.get("id").map_or_else(String::new, ToString::to_string);
            let wrong = |reason: String| {
                DataError::record(&parts.path, format!("annotation {name} ({})", image.record()), reason)
            };
            let category = annotation.get("category_id").and_then(Value::as_u64);
            let category = category.and_then(|id| u32::try_from(id).ok());
            let category = category.ok_or_else(|| wrong("`category_id`: expected a whole number".into()))?;
            let id = ids.next(category).map_err(wrong)?;
            let mask = annotation.shift_remove("segmentation").unwrap_or_default();
            let mask: Segmentation = serde_json::from_value(mask).map_err(|_| {
                wrong("`segmentation`: expected polygons or run lengths with their size".into())
            })?;
            canvas.paint(&mask, id, &name).map_err(wrong)?;
            annotation.shift_remove("image_id");
            annotation.insert("id".into(), id.into());
            segments.push(annotation);
        }
        write_ids(&self.path, [canvas.size[0] as usize, canvas.size[1] as usize], &canvas.pixels)?;
        Ok(segments)
    }
}

/// The segment ids of an image, and which annotation has which.
struct Canvas {
    size: [u32; 2],
    pixels: Vec<u32>,
    owners: BTreeMap<u32, String>,
}

impl Canvas {
    fn new(image: &Image) -> Self {
        let size = [image.height, image.width];
        let pixels = vec![0; image.height as usize * image.width as usize];
        Self { size, pixels, owners: BTreeMap::new() }
    }

    /// Sets the pixels of a mask, all of which must be free.
    fn paint(&mut self, mask: &Segmentation, id: u32, annotation: &str) -> Result<(), String> {
        let mask = mask.to_rle(self.size).map_err(|err| err.to_string())?;
        let [height, width] = self.size;
        if mask.size() != self.size {
            let [h, w] = mask.size();
            return Err(format!("expected a mask of {height}x{width} (HxW) like its image, got {h}x{w}"));
        }
        let (height, width) = (height as usize, width as usize);
        for (start, end) in mask.ones() {
            for position in start as usize..end as usize {
                let (x, y) = (position / height, position % height); // runs go down the columns
                let pixel = &mut self.pixels[y * width + x];
                if *pixel != 0 {
                    let other = self.owners.get(pixel).map_or("another", String::as_str);
                    return Err(format!(
                        "expected masks that do not overlap, got one that meets annotation {other} at x {x}, y {y}"
                    ));
                }
                *pixel = id;
            }
        }
        self.owners.insert(id, annotation.to_owned());
        Ok(())
    }
}
