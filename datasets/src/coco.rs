//! The COCO annotation files, instance and panoptic, as serde types, and writers that leave no half-written file.
//!
//! Reading ignores keys that are not needed here (`license`, `date_captured`, ...), as real files are full of them.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::error::DataError;
use crate::polygon;
use crate::rle::Rle;

/// One image of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Joins annotations to the image.
    pub id: u64,
    /// Name below the image folder.
    pub file_name: String,
    /// Pixels.
    pub height: u32,
    /// Pixels.
    pub width: u32,
}

/// One class. Ids may have gaps; contiguous class ids are positions in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// The id that annotations refer to.
    pub id: u32,
    /// Readable name.
    pub name: String,
    /// Group of classes; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub supercategory: String,
    /// 1 = thing (countable), 0 = stuff. Instance files often leave it out: all their classes are things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isthing: Option<u8>,
    /// RGB for drawing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<[u8; 3]>,
}

/// The mask of an instance in one of the three forms that COCO knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segmentation {
    /// Outlines as `x, y, x, y, ...` in pixels; their union is the mask.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths as an ASCII string.
    Compressed {
        /// Height and width.
        size: [u32; 2],
        /// See [`Rle::to_compressed`].
        counts: String,
    },
    /// Run lengths as numbers.
    Uncompressed {
        /// Height and width.
        size: [u32; 2],
        /// See [`Rle::counts`].
        counts: Vec<u32>,
    },
}

impl Segmentation {
    /// The compressed form of a mask.
    pub fn compressed(rle: &Rle) -> Self {
        Self::Compressed { size: rle.size(), counts: rle.to_compressed() }
    }

    /// The mask's run lengths. Polygons are drawn on an image of `image_size` `[H, W]`; run lengths have their own size,
    /// which the caller may want to compare.
    ///
    /// # Errors
    /// [`DataError::Rle`] if the run lengths are not those of a mask of their size, or for polygons as of
    /// [`polygon::rasterize`].
    pub fn to_rle(&self, image_size: [u32; 2]) -> Result<Rle, DataError> {
        match self {
            Self::Polygons(parts) => polygon::rasterize(image_size, parts),
            Self::Compressed { size, counts } => Rle::from_compressed(*size, counts),
            Self::Uncompressed { size, counts } => Rle::new(*size, counts.clone()),
        }
    }
}

/// One instance of an instance file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique in the file. Not 0: the official scorer takes that for "not matched".
    pub id: u64,
    /// [`ImageInfo::id`].
    pub image_id: u64,
    /// [`Category::id`].
    pub category_id: u32,
    /// The mask.
    pub segmentation: Segmentation,
    /// Pixels; of the mask, not of the outline.
    pub area: f64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [f64; 4],
    /// 1 = a group of instances that were not told apart.
    pub iscrowd: u8,
}

/// An instance file (`instances_*.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceFile {
    /// All images, those without instances too.
    pub images: Vec<ImageInfo>,
    /// All classes.
    pub categories: Vec<Category>,
    /// All instances.
    pub annotations: Vec<Instance>,
}

/// One segment of a panoptic PNG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Value in the PNG, see [`rgb_to_id`]; never 0.
    pub id: u32,
    /// [`Category::id`].
    pub category_id: u32,
    /// Pixels.
    pub area: u64,
    /// `[x, y, width, height]` in pixels.
    pub bbox: [u32; 4],
    /// 1 = a group of instances that were not told apart.
    pub iscrowd: u8,
}

/// The segments of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PanopticImage {
    /// [`ImageInfo::id`].
    pub image_id: u64,
    /// Name of the PNG below the panoptic folder.
    pub file_name: String,
    /// Every value of the PNG but 0 (void).
    pub segments_info: Vec<Segment>,
}

/// A panoptic file (`panoptic_*.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PanopticFile {
    /// All images.
    pub images: Vec<ImageInfo>,
    /// All classes, things and stuff.
    pub categories: Vec<Category>,
    /// One entry an image.
    pub annotations: Vec<PanopticImage>,
}

/// Segment id of a pixel of a panoptic PNG: `R + 256 G + 65536 B`; 0 is void.
pub const fn rgb_to_id([red, green, blue]: [u8; 3]) -> u32 {
    red as u32 | (green as u32) << 8 | (blue as u32) << 16
}

/// Pixel of a panoptic PNG for a segment id; ids from 2^24 up do not fit and lose their upper bits.
pub const fn id_to_rgb(id: u32) -> [u8; 3] {
    [id as u8, (id >> 8) as u8, (id >> 16) as u8]
}

/// Reads a JSON file, such as an [`InstanceFile`] or a [`PanopticFile`].
///
/// # Errors
/// [`DataError::Io`] or [`DataError::Json`], naming the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io(path, "reading"))?;
    serde_json::from_slice(&bytes).map_err(|source| DataError::Json { path: path.to_owned(), source })
}

/// Writes a value as JSON: to a temporary name beside `path`, then renamed, so `path` is old or new, never half.
///
/// # Errors
/// [`DataError::Io`], naming the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DataError> {
    let mut file = AtomicFile::create(path)?;
    file.json(value)?;
    file.finish()
}

/// The parts of an annotation file that are known before any annotation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Head<'a> {
    /// All images.
    pub images: &'a [ImageInfo],
    /// All classes.
    pub categories: &'a [Category],
}

/// Writes an annotation file one annotation at a time, so memory does not grow with the set.
///
/// The file appears under its name with [`finish`](Self::finish); a writer that is dropped leaves nothing behind.
#[derive(Debug)]
pub struct AnnotationWriter {
    file: AtomicFile,
    first: bool,
}

impl AnnotationWriter {
    /// Starts a file with its images and categories.
    ///
    /// # Errors
    /// [`DataError::Io`], naming the file.
    pub fn create(path: &Path, head: Head<'_>) -> Result<Self, DataError> {
        let mut file = AtomicFile::create(path)?;
        file.text("{\"images\":")?;
        file.json(&head.images)?;
        file.text(",\"categories\":")?;
        file.json(&head.categories)?;
        file.text(",\"annotations\":[")?;
        Ok(Self { file, first: true })
    }

    /// Adds one annotation: an [`Instance`] or a [`PanopticImage`].
    ///
    /// # Errors
    /// [`DataError::Io`], naming the file.
    pub fn push(&mut self, annotation: &impl Serialize) -> Result<(), DataError> {
        self.file.text(if self.first { "\n" } else { ",\n" })?;
        self.first = false;
        self.file.json(annotation)
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`DataError::Io`], naming the file.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.file.text("]}\n")?;
        self.file.finish()
    }
}

/// A file that gets its name when it is complete.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let temp =
            builder().tempfile_in(folder).map_err(DataError::io(path, "creating a temporary file for it"))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::with_capacity(1 << 16, temp) })
    }

    fn text(&mut self, text: &str) -> Result<(), DataError> {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.out.write_all(bytes).map_err(DataError::io(&self.path, "writing"))
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), DataError> {
        serde_json::to_writer(&mut self.out, value).map_err(|err| DataError::Io {
            path: self.path.clone(),
            action: "writing",
            source: err.into(),
        })
    }

    pub(crate) fn finish(self) -> Result<(), DataError> {
        self.persist(true)
    }

    /// As [`finish`](Self::finish), without waiting for the disk: for label files, of which there are thousands. What a
    /// power cut takes, a second run makes again.
    pub(crate) fn finish_unsynced(self) -> Result<(), DataError> {
        self.persist(false)
    }

    fn persist(self, sync: bool) -> Result<(), DataError> {
        let path = self.path;
        let temp = self.out.into_inner().map_err(|err| DataError::Io {
            path: path.clone(),
            action: "writing",
            source: err.into_error(),
        })?;
        if sync {
            temp.as_file().sync_all().map_err(DataError::io(&path, "writing"))?;
        }
        temp.persist(&path).map_err(|err| DataError::Io {
            path,
            action: "renaming a finished file to it",
            source: err.error,
        })?;
        Ok(())
    }
}

/// Temporary files are private by default; these become ordinary files, so the umask decides.
#[cfg(unix)]
fn builder() -> tempfile::Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn builder() -> tempfile::Builder<'static, 'static> {
    tempfile::Builder::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_colours_are_each_others_inverse() {
        assert_eq!(rgb_to_id([7, 2, 1]), 7 + 256 * 2 + 65536);
        for id in [0, 1, 255, 256, 65_535, 65_536, (1 << 24) - 1] {
            assert_eq!(rgb_to_id(id_to_rgb(id)), id);
        }
    }

    #[test]
    fn the_three_forms_of_a_mask_are_told_apart() {
        let form = |text: &str| serde_json::from_str::<Segmentation>(text).unwrap();
        let rle = Rle::new([2, 2], vec![1, 2, 1]).unwrap();
        assert_eq!(form(r#"{"size":[2,2],"counts":"121"}"#), Segmentation::compressed(&rle));
        assert_eq!(form(r#"{"size":[2,2],"counts":[1,2,1]}"#).to_rle([9, 9]).unwrap(), rle);
        let drawn = form("[[0,0,2,0,2,1,0,1]]").to_rle([2, 2]).unwrap();
        assert_eq!(drawn.counts(), [0, 1, 1, 1, 1]);
    }

    #[test]
    fn an_annotation_file_appears_only_when_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("panoptic.json");
        let images = [ImageInfo { id: 4, file_name: "a \"b\".png".into(), height: 3, width: 2 }];
        let head = Head { images: &images, categories: &[] };
        drop(AnnotationWriter::create(&path, head).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let segment = Segment { id: 9, category_id: 2, area: 6, bbox: [0, 0, 2, 3], iscrowd: 0 };
        let entry = PanopticImage { image_id: 4, file_name: "a.png".into(), segments_info: vec![segment] };
        let mut writer = AnnotationWriter::create(&path, head).unwrap();
        writer.push(&entry).unwrap();
        writer.push(&entry).unwrap();
        writer.finish().unwrap();
        let read: PanopticFile = read_json(&path).unwrap();
        assert_eq!(read.images, images);
        assert_eq!(read.annotations, [entry.clone(), entry]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let path = Path::new("/nonexistent-smalti/x.json");
        assert!(write_json(path, &1).unwrap_err().to_string().contains("/nonexistent-smalti/x.json"));
        assert!(
            read_json::<InstanceFile>(path).unwrap_err().to_string().contains("/nonexistent-smalti/x.json")
        );
    }
}
