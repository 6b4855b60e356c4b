//! ADE20K semantic labels for training: class ids from 0, 255 where there is none.
//!
//! Result of `prepare_ade20k_sem_seg.py` of Mask2Former and detectron2: each value less one, in 8 bits, so 0 becomes 255.

use std::path::PathBuf;

use super::label_files;
use super::pipeline::in_order;
use super::png_out::{create_dir, not_the_input, write_labels};
use super::{Ade20kOptions, Prepared, Tick};
use crate::benchmarks::ade20k::CLASSES;
use crate::error::DataError;
use crate::label_png::LabelPng;

/// Writes `annotations_detectron2/{training,validation}/*.png` from `annotations/{training,validation}/*.png`.
///
/// Values above 150 are no class; as in the official script they are lowered like the others, with a warning here.
///
/// # Errors
/// [`DataError`] if there is no label map, or one cannot be read or written.
pub fn ade20k_semantic(options: &Ade20kOptions, tick: Tick<'_>) -> Result<Prepared, DataError> {
    let from = options.root.join("annotations").join(options.folder());
    let files = label_files::find(&from, ".png", 0)?;
    let to = options.out().join("annotations_detectron2").join(options.folder());
    create_dir(&to)?;
    not_the_input(&to, &from)?;
    let files: Vec<PathBuf> = files.into_iter().map(|file| format!("{}.png", file.stem).into()).collect();

    let convert = |decoder: &mut LabelPng, name: &PathBuf| {
        let map = decoder.labels(&from.join(name))?;
        let pixels: Vec<u8> = map.pixels.iter().map(|value| value.wrapping_sub(1)).collect();
        write_labels(&to.join(name), [map.height, map.width], &pixels)?;
        Ok(map.pixels.iter().filter(|&&value| usize::from(value) > CLASSES.len()).count() as u64)
    };
    let (mut maps, mut outside) = (0u64, 0u64);
    in_order(&files, tick, LabelPng::new, convert, |pixels| {
        maps += u64::from(pixels > 0);
        outside += pixels;
        Ok(())
    })?;
    let warning = || format!("{outside} pixels of {maps} label maps are above 150, which is no class");
    let warnings = if outside > 0 { vec![warning()] } else { vec![] };
    Ok(Prepared { out: to, images: files.len() as u64, annotations: 0, warnings })
}
