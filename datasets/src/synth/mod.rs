//! A procedural panoptic data set: textured ground and shapes of coloured glass, with exact labels.
//!
//! It is the data of demos and tests: nothing to download, any size, every label known to the pixel. Files are laid out
//! as COCO's are:
//!
//! ```text
//! out/classes.json                                     contiguous class ids, names, colours, COCO category ids
//! out/{train,val}/NNNNNN.jpg                           images, numbered from 000001
//! out/annotations/{instances,panoptic}_{train,val}.json
//! out/panoptic_{train,val}/NNNNNN.png                  segment ids as RGB
//! out/semantic_{train,val}/NNNNNN.png                  class ids, 255 = void (the rim of things, under a pixel wide)
//! out/synth.json                                       the parameters; written last, so its presence means "complete"
//! ```
//!
//! [`SynthLayout::Classes`] draws pictures of one thing each instead, in a folder a class, as ImageNet lies on disk.
//!
//! Image `i` of a split depends on the seed, the split and `i` only: never on threads, or on how many images are made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::coco::{AnnotationWriter, Head, read_json, write_json};
use crate::error::DataError;

mod camera;
mod catalog;
mod classes;
mod dice;
mod ground;
mod layout;
mod noise;
mod paint;
mod piece;
mod record;
mod scene;
mod shape;
mod surface;

use catalog::{CLASSES, categories};
use dice::Dice;
use record::{Record, SplitPaths, image_info};
use scene::Scene;

/// Rises when the same parameters would give other files, so that sets of an older version are not taken for equal.
const VERSION: u32 = 1;

/// Sides that are drawn: below, shapes cannot be told apart; above, only memory is wasted.
const SIDES: std::ops::RangeInclusive<usize> = 32..=4096;

/// File names have six digits.
const MOST_IMAGES: usize = 999_999;

/// Images that are drawn before their annotations are written; bounds the memory, whatever the size of the set.
const CHUNK: usize = 128;

const SPLITS: [&str; 2] = ["train", "val"];

/// What a set is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SynthLayout {
    /// Scenes with labels of every pixel and thing, as COCO's files.
    #[default]
    Panoptic,
    /// Pictures of one thing each, a folder a class.
    Classes,
}

impl SynthLayout {
    fn name(self) -> &'static str {
        if self.is_panoptic() { "panoptic" } else { "classes" }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_panoptic(&self) -> bool {
        *self == Self::Panoptic
    }
}

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthOptions {
    /// Folder to write; must be absent, empty, or hold a set of the same parameters.
    pub out: PathBuf,
    /// Training images, 1..=999999.
    pub images: usize,
    /// Validation images, 0..=999999. Unrelated to the training images, whatever their number.
    pub val_images: usize,
    /// Height and width in pixels, 32..=4096 each.
    pub size: (usize, usize),
    /// Same seed, same bytes, on one platform: sines and the like are those of its C library.
    pub seed: u64,
    /// What the set is for.
    pub layout: SynthLayout,
}

/// What was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthSummary {
    /// Training images.
    pub images: usize,
    /// Validation images.
    pub val_images: usize,
    /// Things in the training images.
    pub instances: usize,
    /// Things in the validation images.
    pub val_instances: usize,
    /// Number of classes K: things and stuff, or things alone.
    pub classes: usize,
    /// The folder held this very set already; nothing was written.
    pub reused: bool,
}

/// `synth.json`. Unknown keys make it a file of another version, so they are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    images: usize,
    val_images: usize,
    height: usize,
    width: usize,
    seed: u64,
    /// Absent where it is panoptic.
    #[serde(default, skip_serializing_if = "SynthLayout::is_panoptic")]
    layout: SynthLayout,
    /// Things in the training and in the validation images; absent while the set is being made.
    instances: Option<[usize; 2]>,
}

impl Manifest {
    fn of(options: &SynthOptions) -> Self {
        let (height, width) = options.size;
        let &SynthOptions { images, val_images, seed, layout, .. } = options;
        Self { version: VERSION, images, val_images, height, width, seed, layout, instances: None }
    }

    fn counts(&self) -> [usize; 2] {
        [self.images, self.val_images]
    }

    fn summary(&self, reused: bool) -> SynthSummary {
        let [instances, val_instances] = self.instances.unwrap_or_default();
        let &Self { images, val_images, .. } = self;
        let classes = if self.layout.is_panoptic() { CLASSES.len() } else { classes::COUNT };
        SynthSummary { images, val_images, instances, val_instances, classes, reused }
    }
}

/// Generates a data set. `progress(done, total)` is called for every image from any thread, in any order of `done`.
///
/// A set of the same parameters that is complete is kept; one that was interrupted is made again.
///
/// # Errors
/// [`DataError::Invalid`] for options out of range, [`DataError::Output`] for a folder that holds anything else,
/// [`DataError::Io`] naming the file that could not be written.
pub fn generate(
    options: &SynthOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<SynthSummary, DataError> {
    validate(options)?;
    let mut manifest = Manifest::of(options);
    let out = options.out.as_path();
    if let Some(complete) = inspect(out, &manifest)? {
        return Ok(complete.summary(true));
    }

    let annotations = out.join("annotations");
    if unfinished(out).exists() && annotations.exists() {
        // It may hold temporary files of a process that was killed.
        fs::remove_dir_all(&annotations).map_err(DataError::io(&annotations, "removing"))?;
    }
    let create =
        |folder: &Path| fs::create_dir_all(folder).map_err(DataError::io(folder, "creating the folder"));
    create(out)?;
    write_json(&unfinished(out), &manifest)?;
    let done = AtomicUsize::new(0);
    let total = options.images + options.val_images;
    let tick = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
    manifest.instances = Some(match options.layout {
        SynthLayout::Panoptic => {
            create(&annotations)?;
            write_json(&out.join("classes.json"), &serde_json::json!({ "classes": CLASSES }))?;
            let mut instances = [0; 2];
            for split in 0..SPLITS.len() {
                let paths = SplitPaths::new(out, SPLITS[split]);
                for folder in [&paths.images, &paths.panoptic, &paths.semantic] {
                    create(folder)?;
                }
                instances[split] = generate_split(options, split, &paths, &tick)?;
            }
            instances
        }
        SynthLayout::Classes => {
            for split in 0..SPLITS.len() {
                classes::generate_split(options, split, &tick)?;
            }
            manifest.counts()
        }
    });
    write_json(&finished(out), &manifest)?;
    let marker = unfinished(out);
    fs::remove_file(&marker).map_err(DataError::io(&marker, "removing"))?;
    Ok(manifest.summary(false))
}

/// Draws and writes the images of one split; returns the number of things in them.
fn generate_split(
    options: &SynthOptions,
    split: usize,
    paths: &SplitPaths,
    tick: &(dyn Fn() + Sync),
) -> Result<usize, DataError> {
    let last = [options.images, options.val_images][split] as u64;
    let images: Vec<_> = (1..=last).map(|id| image_info(id, options.size)).collect();
    let all = categories(false);
    let things = categories(true);
    let mut instance_file =
        AnnotationWriter::create(&paths.instances_json, Head { images: &images, categories: &things })?;
    let mut panoptic_file =
        AnnotationWriter::create(&paths.panoptic_json, Head { images: &images, categories: &all })?;
    let mut instances = 0;
    for chunk in images.chunks(CHUNK) {
        let make = |id: u64| -> Result<Record, DataError> {
            let mut dice = Dice::new(options.seed, split as u64, id);
            let scene = Scene::draw(options.size.0, options.size.1, &mut dice);
            let record = record::write(&scene, paths, id)?;
            tick();
            Ok(record)
        };
        let records: Vec<Record> = chunk.par_iter().map(|image| make(image.id)).collect::<Result<_, _>>()?;
        for mut record in records {
            for instance in &mut record.instances {
                instances += 1;
                instance.id = instances as u64;
                instance_file.push(instance)?;
            }
            panoptic_file.push(&record.panoptic)?;
        }
    }
    instance_file.finish()?;
    panoptic_file.finish()?;
    Ok(instances)
}

fn validate(options: &SynthOptions) -> Result<(), DataError> {
    for (name, side) in [("height", options.size.0), ("width", options.size.1)] {
        if !SIDES.contains(&side) {
            let range = format!("{}..={} pixels", SIDES.start(), SIDES.end());
            return Err(DataError::invalid(format!("size ({name})"), range, side));
        }
    }
    for (name, least, count) in [("images", 1, options.images), ("val_images", 0, options.val_images)] {
        if !(least..=MOST_IMAGES).contains(&count) {
            return Err(DataError::invalid(name, format!("{least}..={MOST_IMAGES}"), count));
        }
    }
    Ok(())
}

fn finished(out: &Path) -> PathBuf {
    out.join("synth.json")
}

fn unfinished(out: &Path) -> PathBuf {
    out.join("synth.unfinished.json")
}

/// What is in the folder already: `Some` for the very set that is wanted, `None` if it may be written.
fn inspect(out: &Path, wanted: &Manifest) -> Result<Option<Manifest>, DataError> {
    let mut entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(DataError::Io { path: out.to_owned(), action: "reading the folder", source });
        }
    };
    if entries.next().is_none() {
        return Ok(None);
    }
    let occupied = |what: &str| DataError::Output {
        path: out.to_owned(),
        reason: format!(
            "expected no folder, an empty one, or a synthetic set of the same parameters; {what}"
        ),
    };
    for (path, complete) in [(unfinished(out), false), (finished(out), true)] {
        if !path.exists() {
            continue;
        }
        let found: Manifest = read_json(&path)
            .map_err(|_| occupied(&format!("its {} is not of this version", file_name(&path))))?;
        let differs = difference(&found, wanted);
        if !differs.is_empty() {
            return Err(occupied(&format!("this one has {differs}")));
        }
        return Ok((complete && nothing_missing(out, &found)).then_some(found));
    }
    Err(occupied("it holds other files"))
}

/// "seed 3 instead of 4, ..." for every parameter that is not as wanted.
fn difference(found: &Manifest, wanted: &Manifest) -> String {
    let parameters = |m: &Manifest| {
        [
            ("version", m.version.to_string()),
            ("images", m.images.to_string()),
            ("val_images", m.val_images.to_string()),
            ("height", m.height.to_string()),
            ("width", m.width.to_string()),
            ("seed", m.seed.to_string()),
            ("layout", m.layout.name().to_owned()),
        ]
    };
    let pairs = parameters(found).into_iter().zip(parameters(wanted));
    let differing = pairs.filter(|(got, expected)| got.1 != expected.1);
    let texts: Vec<_> =
        differing.map(|((name, got), (_, expected))| format!("{name} {got} instead of {expected}")).collect();
    texts.join(", ")
}

/// Whether every file of a finished set is still there; a set that somebody thinned out is made again.
fn nothing_missing(out: &Path, manifest: &Manifest) -> bool {
    if manifest.layout == SynthLayout::Classes {
        return classes::nothing_missing(out, manifest.counts());
    }
    out.join("classes.json").is_file()
        && SPLITS.iter().zip(manifest.counts()).all(|(split, count)| {
            let paths = SplitPaths::new(out, split);
            paths.instances_json.is_file()
                && paths.panoptic_json.is_file()
                && (1..=count as u64)
                    .into_par_iter()
                    .all(|id| paths.files(id).iter().all(|file| file.is_file()))
        })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
