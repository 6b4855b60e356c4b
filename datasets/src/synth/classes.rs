//! The classification layout: pictures of one thing each, in a folder of its class.
//!
//! ```text
//! out/{train,val}/{ball,tile,...}/NNNNNN.jpg           images, numbered from 000001 over all classes of a split in turn
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::catalog::{CLASSES, THINGS, Thing};
use super::dice::Dice;
use super::record;
use super::scene::Scene;
use super::{SPLITS, SynthOptions};
use crate::error::DataError;

/// Classes of this layout.
pub(super) const COUNT: usize = THINGS.len();

/// Keeps the random numbers apart from those of the panoptic layout.
const FIRST_STREAM: u64 = 16;

/// What the image with this number shows; classes take turns.
fn kind(id: u64) -> Thing {
    THINGS[(id - 1) as usize % COUNT]
}

/// File of the image with this number.
pub(super) fn file(out: &Path, split: &str, id: u64) -> PathBuf {
    out.join(split).join(CLASSES[kind(id) as usize].name).join(record::jpeg_name(id))
}

/// Draws and writes the images of one split.
pub(super) fn generate_split(
    options: &SynthOptions,
    split: usize,
    tick: &(dyn Fn() + Sync),
) -> Result<(), DataError> {
    for thing in THINGS {
        let folder = options.out.join(SPLITS[split]).join(CLASSES[thing as usize].name);
        fs::create_dir_all(&folder).map_err(DataError::io(&folder, "creating the folder"))?;
    }
    let (height, width) = options.size;
    let last = [options.images, options.val_images][split] as u64;
    (1..=last).into_par_iter().try_for_each(|id| {
        let mut dice = Dice::new(options.seed, FIRST_STREAM + split as u64, id);
        let rgb = Scene::portrait(kind(id), height, width, &mut dice);
        record::write_jpeg(&file(&options.out, SPLITS[split], id), &rgb, [height as u32, width as u32])?;
        tick();
        Ok(())
    })
}

/// Whether every file of a finished set is still there.
pub(super) fn nothing_missing(out: &Path, counts: [usize; 2]) -> bool {
    SPLITS
        .iter()
        .zip(counts)
        .all(|(split, count)| (1..=count as u64).into_par_iter().all(|id| file(out, split, id).is_file()))
}
