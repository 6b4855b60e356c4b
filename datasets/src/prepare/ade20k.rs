//! Where ADE20K's files lie, and its instance labels.

use std::path::{Path, PathBuf};

use image::ImageReader;

use super::label_files;
use crate::benchmarks::ade20k::INSTANCE_CLASSES;
use crate::config::Split;
use crate::error::DataError;
use crate::label_png::LabelPng;

/// Arguments of the ADE20K conversions.
#[derive(Debug, Clone)]
pub struct Ade20kOptions {
    /// The folder `ADEChallengeData2016`, with `images`, `annotations` and, for things, `annotations_instance`.
    pub root: PathBuf,
    /// Training or validation.
    pub split: Split,
    /// Folder of the results; `root` if not given.
    pub out: Option<PathBuf>,
}

impl Ade20kOptions {
    /// Folder of the split in `images` and the like.
    pub(super) fn folder(&self) -> &'static str {
        match self.split {
            Split::Train => "training",
            Split::Val => "validation",
        }
    }

    /// Name of the split in the results.
    pub(super) fn name(&self) -> &'static str {
        match self.split {
            Split::Train => "train",
            Split::Val => "val",
        }
    }

    /// Folder of the results.
    pub(super) fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(&self.root)
    }

    /// Names of the images without `.jpg`, in order.
    pub(super) fn images(&self) -> Result<Vec<String>, DataError> {
        let found = label_files::find(&self.root.join("images").join(self.folder()), ".jpg", 0)?;
        Ok(found.into_iter().map(|file| file.stem).collect())
    }

    /// The label PNG of an image below `annotations` or `annotations_instance`.
    pub(super) fn labels(&self, kind: &str, image: &str) -> PathBuf {
        self.root.join(kind).join(self.folder()).join(format!("{image}.png"))
    }

    /// The entry of an image in an annotation file; reads the head of the JPEG.
    pub(super) fn entry(&self, image: &str) -> Result<ImageEntry, DataError> {
        let file_name = format!("{image}.jpg");
        let path = self.root.join("images").join(self.folder()).join(&file_name);
        let reader = ImageReader::open(&path).map_err(DataError::io(&path, "opening"))?;
        let reader = reader.with_guessed_format().map_err(DataError::io(&path, "reading"))?;
        let (width, height) = reader
            .into_dimensions()
            .map_err(|err| DataError::image(&path, format!("the size cannot be read: {err}")))?;
        Ok(ImageEntry { id: image.to_owned(), file_name, width, height })
    }
}

/// One image of an annotation file whose images go by name.
#[derive(Debug, serde::Serialize)]
pub(super) struct ImageEntry {
    pub(super) id: String,
    pub(super) file_name: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl ImageEntry {
    /// Refuses labels of another size.
    pub(super) fn check_size(&self, labels: &Path, height: usize, width: usize) -> Result<(), DataError> {
        let expected = (self.height as usize, self.width as usize);
        if (height, width) != expected {
            let image = PathBuf::from(&self.file_name);
            return Err(DataError::SizeMismatch {
                labels: labels.to_owned(),
                image,
                expected,
                got: (height, width),
            });
        }
        Ok(())
    }
}

/// The instance labels of an image.
#[derive(Debug, Default)]
pub(super) struct Instances {
    /// Instance of each pixel, 0 = none.
    pub(super) pixels: Vec<u8>,
    /// Category id (0..150) of each instance that has pixels.
    pub(super) categories: Vec<Option<u32>>,
}

impl Instances {
    /// Reads a PNG with the class (1 to 100) in red and the number of the instance in green.
    ///
    /// # Errors
    /// [`DataError`] if the PNG is not RGB, has another size, or an instance has several classes or one that is unknown.
    pub(super) fn read(
        &mut self,
        decoder: &mut LabelPng,
        path: &Path,
        entry: &ImageEntry,
    ) -> Result<(), DataError> {
        let map = decoder.ids(path)?;
        entry.check_size(path, map.height, map.width)?;
        self.pixels.clear();
        let mut classes: [Option<u8>; 256] = [None; 256];
        for run in map.pixels.chunk_by(|a, b| a == b) {
            let [class, instance, ..] = run[0].to_le_bytes();
            self.pixels.resize(self.pixels.len() + run.len(), instance);
            let known = *classes[usize::from(instance)].get_or_insert(class);
            if instance != 0 && known != class {
                let reason =
                    format!("instance {instance}: expected one class (red), got {known} and {class}");
                return Err(DataError::image(path, reason));
            }
        }
        classes[0] = None;
        let category = |(instance, class): (usize, &Option<u8>)| {
            let Some(class) = *class else { return Ok(None) };
            let row = usize::from(class).checked_sub(1).and_then(|index| INSTANCE_CLASSES.get(index));
            row.map(|&(category, _)| Some(category)).ok_or_else(|| {
                let reason = format!("instance {instance}: expected a class (red) of 1 to 100, got {class}");
                DataError::image(path, reason)
            })
        };
        self.categories = classes.iter().enumerate().map(category).collect::<Result<_, _>>()?;
        Ok(())
    }
}
