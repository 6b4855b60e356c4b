//! Cityscapes label ids to train ids.
//!
//! `createTrainIdLabelImgs.py` of cityscapesscripts (commit 0bcc4a7) draws the polygons anew, with train ids. A polygon
//! covers the same pixels in both maps and the label without an id is drawn in neither, so a table from label id to
//! train id gives the same picture.

use std::path::PathBuf;

use super::label_files::{self, Found};
use super::pipeline::in_order;
use super::png_out::{create_dir, write_labels};
use super::{Prepared, Tick};
use crate::cityscapes::{NUM_IDS, train_id_of};
use crate::error::DataError;
use crate::label_png::LabelPng;

/// Arguments of [`cityscapes_train_ids`].
#[derive(Debug, Clone)]
pub struct CityscapesTrainIds {
    /// `gtFine`, `gtCoarse`, or a folder in them: files are looked for three folders down.
    pub gt_dir: PathBuf,
    /// Folder that gets the same tree; if not given, the files go beside those they are made from.
    pub out: Option<PathBuf>,
}

/// Writes `*_labelTrainIds.png` for every `*_labelIds.png`: 0 to 18, and 255 for what is not trained on.
///
/// # Errors
/// [`DataError`] if there is no label map, one cannot be read or written, or has values above 33.
pub fn cityscapes_train_ids(options: &CityscapesTrainIds, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let files = label_files::find(&options.gt_dir, "_labelIds.png", 3)?;
    let out = options.out.as_ref().unwrap_or(&options.gt_dir);
    if options.out.is_some() {
        let mut folders: Vec<_> = files.iter().map(|file| &file.folder).collect();
        folders.dedup(); // files are in order of their folders
        folders.into_iter().try_for_each(|folder| create_dir(&out.join(folder)))?;
    }
    let table: [Option<u8>; 256] = std::array::from_fn(|value| train_id_of(value as u8));

    let convert = |decoder: &mut LabelPng, Found { folder, stem }: &Found| {
        let path = options.gt_dir.join(folder).join(format!("{stem}_labelIds.png"));
        let map = decoder.labels(&path)?;
        let mut pixels = Vec::with_capacity(map.pixels.len());
        for &value in map.pixels {
            pixels.push(table[usize::from(value)].ok_or_else(|| {
                let most = NUM_IDS - 1;
                DataError::image(&path, format!("expected label ids 0 to {most}, got the value {value}"))
            })?);
        }
        let to = out.join(folder).join(format!("{stem}_labelTrainIds.png"));
        write_labels(&to, [map.height, map.width], &pixels)
    };
    in_order(&files, tick, LabelPng::new, convert, Ok)?;
    Ok(Prepared { out: out.clone(), images: files.len() as u64, annotations: 0, warnings: vec![] })
}
