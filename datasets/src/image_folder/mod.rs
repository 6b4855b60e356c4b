//! Classification sets as ImageNet lies on disk: one folder a split, in it one folder a class, in it the images.
//!
//! A class is known by its folder's name; its id is the name's place among the sorted names, as in torchvision's
//! `ImageFolder`, so that published weights fit. Names, listings and pixels are read in parallel.

mod classes;
mod config;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::config::Split;
use crate::likeness::{self, Copies, Fingerprint};
use crate::sample::Image;
use crate::semantic_set::walk;
use crate::{DataError, DataRoot, decode, each_image};

pub use classes::{ClassFolders, ImageClass};
pub use config::{
    ColorJitterConfig, EvalViewConfig, ImageAugmentConfig, ImageDataConfig, MixConfig, RandAugmentConfig,
    RandomErasingConfig, RandomResizedCropConfig,
};
pub use source::{ClassifiedImage, ImageBatch, ImageSource};

/// One split of a set: its classes and image files. Pixels are read on demand.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    split: Split,
    folder: PathBuf,
    classes: ClassFolders,
    entries: Vec<Entry>,
}

/// An image file below the split's folder, and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    file: PathBuf,
    class: u32,
}

/// What [`ImageFolder::check`] found, in the order of the set.
#[derive(Debug, Default)]
pub struct ImageCheck {
    /// What can not be read.
    pub unreadable: Vec<DataError>,
    /// A fingerprint of each image, `None` for those that can not be read.
    pub prints: Vec<Option<Fingerprint>>,
    /// Images that a class has more than once.
    pub copies: Vec<Copies>,
    /// Images that several classes have: all but one of them are wrong.
    pub contradictions: Vec<Copies>,
}

impl ImageFolder {
    /// Whether a set has the folder of a split.
    ///
    /// # Errors
    /// A root that is not there.
    pub fn has_split(
        cfg: &ImageDataConfig,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<bool, DataError> {
        Ok(DataRoot::new(data_root).resolve(&cfg.root)?.join(cfg.folder(split)).is_dir())
    }

    /// Lists the images of a split, sorted by class, then by path.
    ///
    /// # Errors
    /// A missing root or folder; images that lie in no class folder; a class folder without images; a file of names that
    /// does not fit the folders.
    pub fn open(cfg: &ImageDataConfig, split: Split, data_root: Option<&Path>) -> Result<Self, DataError> {
        let root = DataRoot::new(data_root).resolve(&cfg.root)?;
        let folder = root.join(cfg.folder(split));
        let names = class_folders(&folder, split)?;
        let listed: Vec<Vec<PathBuf>> =
            names.par_iter().map(|name| images_of(&folder, name)).collect::<Result<_, _>>()?;
        let of_class =
            |(class, files): (u32, Vec<PathBuf>)| files.into_iter().map(move |file| Entry { file, class });
        let entries = (0..).zip(listed).flat_map(of_class).collect();
        let names_file = cfg.class_names.as_ref().map(|file| root.join(file));
        let classes = ClassFolders::new(names, names_file.as_deref())?;
        Ok(Self { split, folder, classes, entries })
    }

    /// Opens both splits and checks that they have the same classes.
    ///
    /// # Errors
    /// As [`ImageFolder::open`], and for the first class that only one of them has.
    pub fn open_both(cfg: &ImageDataConfig, data_root: Option<&Path>) -> Result<[Self; 2], DataError> {
        let train = Self::open(cfg, Split::Train, data_root)?;
        let val = Self::open(cfg, Split::Val, data_root)?;
        val.expect_classes(&train.classes, &train.folder.display().to_string())?;
        Ok([train, val])
    }

    /// Checks that the classes are those of `expected`, which `whose` names; where nobody knows their folders, that there are
    /// as many.
    ///
    /// # Errors
    /// [`DataError::Image`] naming the first class that only one side has, or both numbers.
    pub fn expect_classes(&self, expected: &ClassFolders, whose: &str) -> Result<(), DataError> {
        if !expected.have_folders() {
            let (expected, got) = (expected.len(), self.classes.len());
            if expected == got {
                return Ok(());
            }
            let reason = format!("expected {expected} folders, as many as {whose} has classes, got {got}");
            return Err(DataError::image(&self.folder, reason));
        }
        let surplus = self.classes.iter().find(|class| !expected.contains(&class.folder));
        if let Some(class) = surplus {
            let reason = format!("expected the classes of {whose}, got {:?} beside them", class.folder);
            return Err(DataError::image(&self.folder, reason));
        }
        match expected.iter().find(|class| !self.classes.contains(&class.folder)) {
            Some(class) => {
                let reason =
                    format!("expected the classes of {whose}, got no folder for its {:?}", class.folder);
                Err(DataError::image(&self.folder, reason))
            }
            None => Ok(()),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no image; never, once opened.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The classes; their number is K.
    pub fn classes(&self) -> &ClassFolders {
        &self.classes
    }

    /// Folder of the split.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which split this is.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Name of image `i`: its path below the split's folder, with the class's folder first.
    pub fn name(&self, i: usize) -> String {
        self.entries[i].file.to_string_lossy().into_owned()
    }

    /// File of image `i`.
    pub fn path(&self, i: usize) -> PathBuf {
        self.folder.join(&self.entries[i].file)
    }

    /// Class of image `i`, in `0..K`.
    pub fn class_of(&self, i: usize) -> u32 {
        self.entries[i].class
    }

    /// Reads image `i`: `[H, W, 3]`.
    ///
    /// # Errors
    /// An unreadable file.
    pub fn load(&self, i: usize) -> Result<Image, DataError> {
        decode::image(&self.path(i))
    }

    /// Reads every image in parallel. `progress` is called after each, from any thread.
    pub fn check(&self, progress: &(dyn Fn() + Sync)) -> ImageCheck {
        let add = |found: &mut ImageCheck, i: usize| {
            match Fingerprint::of_file(&self.path(i)) {
                Ok((_, print)) => found.prints.push(Some(print)),
                Err(error) => {
                    found.prints.push(None);
                    found.unreadable.push(error);
                }
            }
            progress();
        };
        let merge = |found: &mut ImageCheck, behind: ImageCheck| {
            found.unreadable.extend(behind.unreadable);
            found.prints.extend(behind.prints);
        };
        let mut found = each_image::add_up(self.len(), ImageCheck::default, add, merge);
        for group in likeness::repeated(&found.prints) {
            let of_one_class = group.iter().all(|&i| self.class_of(i) == self.class_of(group[0]));
            let list = if of_one_class { &mut found.copies } else { &mut found.contradictions };
            list.extend(Copies::of(group.into_iter().map(|i| self.path(i))));
        }
        found
    }
}

/// Names of the folders in a split's folder, sorted.
fn class_folders(folder: &Path, split: Split) -> Result<Vec<String>, DataError> {
    if !folder.is_dir() {
        return Err(DataError::Missing { path: folder.to_owned(), wanted_by: split.key().to_owned() });
    }
    let mut names = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "listing the folder"))? {
        let entry = entry.map_err(DataError::io(folder, "listing the folder"))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if !entry.path().is_dir() {
            files += 1;
            continue;
        }
        let name = entry.file_name().into_string().map_err(|name| {
            DataError::image(folder, format!("expected folder names in UTF-8, got {}", name.display()))
        })?;
        names.push(name);
    }
    if names.is_empty() {
        let got = if files == 0 { "nothing".to_owned() } else { format!("{files} files and no folder") };
        return Err(DataError::image(
            folder,
            format!("expected a folder of images for each class, got {got}"),
        ));
    }
    names.sort_unstable();
    Ok(names)
}

/// Image files of a class, sorted, as paths below the split's folder.
fn images_of(folder: &Path, class: &str) -> Result<Vec<PathBuf>, DataError> {
    let class_folder = folder.join(class);
    let mut files = Vec::new();
    walk(&class_folder, 0, &mut files)?;
    if files.is_empty() {
        let reason = "expected .jpg, .jpeg or .png images of this class, got none";
        return Err(DataError::image(&class_folder, reason));
    }
    files.sort_unstable();
    // Relative paths: a set has a million of them.
    Ok(files.iter().map(|file| file.strip_prefix(folder).unwrap_or(file).to_owned()).collect())
}
