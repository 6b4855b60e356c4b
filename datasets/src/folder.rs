//! Semantic sets that are plain files: images, label maps and a class list, by list file or by a pair of folders.

mod listing;

use std::path::{Path, PathBuf};

use crate::config::{DataConfig, Split};
use crate::sample::{IGNORE, LabelMap, Sample};
use crate::{ClassTable, DataError, DataRoot, decode};

pub use listing::Problem;
pub(crate) use listing::walk;

/// One split of a set: file names, classes and the meaning of raw label values. Pixels are read on demand.
#[derive(Debug, Clone)]
pub struct SemanticSet {
    root: PathBuf,
    split: Split,
    classes: ClassTable,
    mapping: LabelMapping,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

/// An image and its label map.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Image path below the root, with forward slashes and without the extension.
    name: String,
    image: PathBuf,
    labels: PathBuf,
}

impl SemanticSet {
    /// Finds the files of a split and reads the class list. Names of list files are kept in their order; folders are
    /// sorted by name.
    ///
    /// # Errors
    /// A missing root, folder, list or class file; a malformed or repeated line; an image without labels; no image at
    /// all. Labels without an image are only warned of.
    pub fn open(cfg: &DataConfig, split: Split, data_root: Option<&Path>) -> Result<Self, DataError> {
        let set = Self::scan(cfg, split, data_root)?;
        let mut fatal = set.problems.iter().filter(|p| p.is_fatal());
        if let Some(first) = fatal.next() {
            return Err(first.to_error(fatal.count()));
        }
        for problem in &set.problems {
            tracing::warn!("{problem}");
        }
        if set.is_empty() {
            return Err(DataError::invalid(
                split.key(),
                "at least one image",
                format!("none in {}", set.root.display()),
            ));
        }
        Ok(set)
    }

    /// Like [`SemanticSet::open`], but keeps what is wrong with single files in [`SemanticSet::problems`] and leaves those
    /// files out. May be empty.
    ///
    /// # Errors
    /// Only what leaves nothing to look at: a missing root, folder, list or class file.
    pub fn scan(cfg: &DataConfig, split: Split, data_root: Option<&Path>) -> Result<Self, DataError> {
        let files = cfg.split(split);
        files.validate(split.key())?;
        let root = DataRoot::new(data_root).resolve(&cfg.root)?;
        let classes = ClassTable::load(&root.join(&cfg.classes))?;
        let mapping = LabelMapping::new(classes.len(), cfg.ignore_label, cfg.reduce_zero_label);
        let (entries, problems) = listing::find(&root, files, split)?;
        Ok(Self { root, split, classes, mapping, entries, problems })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no image; never after [`SemanticSet::open`].
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Name of image `i`: its path below the root, with forward slashes and without the extension.
    pub fn name(&self, i: usize) -> &str {
        &self.entries[i].name
    }

    /// Image file and label file of image `i`.
    pub fn paths(&self, i: usize) -> (&Path, &Path) {
        (&self.entries[i].image, &self.entries[i].labels)
    }

    /// The classes; their number is K.
    pub fn classes(&self) -> &ClassTable {
        &self.classes
    }

    /// Folder of the set.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which split this is.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Meaning of raw label values.
    pub fn mapping(&self) -> &LabelMapping {
        &self.mapping
    }

    /// What was wrong with single files; see [`SemanticSet::scan`].
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Reads image `i` with its labels.
    ///
    /// # Errors
    /// Unreadable files, sizes that differ, label values outside the classes.
    pub fn load(&self, i: usize) -> Result<Sample, DataError> {
        let entry = &self.entries[i];
        let image = decode::image(&entry.image)?;
        let mut labels = decode::labels(&entry.labels)?;
        let expected = (image.dim().0, image.dim().1);
        if labels.dim() != expected {
            let (labels_path, image_path) = (entry.labels.clone(), entry.image.clone());
            return Err(DataError::SizeMismatch {
                labels: labels_path,
                image: image_path,
                expected,
                got: labels.dim(),
            });
        }
        self.mapping.apply(&mut labels).map_err(|wrong| {
            let hint = self.hint(&wrong);
            let k = self.classes.len();
            let (value, count) = (wrong.value, wrong.count);
            DataError::LabelValue {
                path: entry.labels.clone(),
                value,
                count,
                num_classes: k,
                raw_range: self.mapping.raw_range(),
                hint,
            }
        })?;
        Ok(Sample { name: entry.name.clone(), image, labels })
    }

    fn hint(&self, wrong: &OutsideLabel) -> String {
        let value = wrong.value;
        if self.mapping.ignore_label.is_none() && self.classes.ignore_hint() == Some(value) {
            return format!(
                "; the class file says {value} is to be ignored: set data.ignore_label = {value}"
            );
        }
        let shift = if usize::from(value) == self.classes.len() && !self.mapping.reduce_zero_label {
            " If 0 means \"not labelled\" and classes start at 1, set data.reduce_zero_label = true."
        } else {
            ""
        };
        let ignore = if self.mapping.ignore_label.is_none() {
            format!(" If {value} means \"not labelled\", set data.ignore_label = {value}.")
        } else {
            String::new()
        };
        if shift.is_empty() && ignore.is_empty() { String::new() } else { format!(".{shift}{ignore}") }
    }
}

/// How raw label values become class ids: first `ignore_label` becomes 255, then, with `reduce_zero_label`, 0 becomes 255
/// and the others move down by one (255 stays).
#[derive(Debug, Clone)]
pub struct LabelMapping {
    num_classes: usize,
    ignore_label: Option<u8>,
    reduce_zero_label: bool,
    table: [u8; 256],
    identity: bool,
}

/// The most frequent raw value of a label map that is no class and not ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutsideLabel {
    /// Raw value.
    pub value: u8,
    /// Pixels that have it.
    pub count: u64,
}

impl LabelMapping {
    /// The mapping for `num_classes` classes.
    pub fn new(num_classes: usize, ignore_label: Option<u8>, reduce_zero_label: bool) -> Self {
        let map = |raw: u8| match raw {
            IGNORE => IGNORE,
            _ if Some(raw) == ignore_label => IGNORE,
            0 if reduce_zero_label => IGNORE,
            _ if reduce_zero_label => raw - 1,
            _ => raw,
        };
        let table: [u8; 256] = std::array::from_fn(|raw| map(raw as u8));
        let identity = ignore_label.is_none() && !reduce_zero_label;
        Self { num_classes, ignore_label, reduce_zero_label, table, identity }
    }

    /// Class id of a raw value, [`IGNORE`], or none if it is outside the classes.
    pub fn class_of(&self, raw: u8) -> Option<u8> {
        let id = self.table[usize::from(raw)];
        (id == IGNORE || usize::from(id) < self.num_classes).then_some(id)
    }

    /// Number of classes K.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The raw value that is ignored beside 255.
    pub fn ignore_label(&self) -> Option<u8> {
        self.ignore_label
    }

    /// Whether raw 0 is ignored and raw 1 is class 0.
    pub fn reduce_zero_label(&self) -> bool {
        self.reduce_zero_label
    }

    /// Lowest and highest raw value that is a class.
    pub fn raw_range(&self) -> (u8, u8) {
        let low = u8::from(self.reduce_zero_label);
        (low, low + (self.num_classes - 1) as u8)
    }

    /// Turns raw values into class ids in place; on an error `labels` is unchanged.
    ///
    /// # Errors
    /// The most frequent value that is outside the classes.
    pub fn apply(&self, labels: &mut LabelMap) -> Result<(), OutsideLabel> {
        let outside: [bool; 256] = std::array::from_fn(|raw| self.class_of(raw as u8).is_none());
        if labels.iter().fold(false, |any, &raw| any | outside[usize::from(raw)]) {
            let mut counts = [0u64; 256];
            labels.iter().for_each(|&raw| counts[usize::from(raw)] += 1);
            let wrong = (0..=255u8).filter(|&raw| outside[usize::from(raw)]);
            let worst = wrong.max_by_key(|&raw| counts[usize::from(raw)]).unwrap_or_default();
            return Err(OutsideLabel { value: worst, count: counts[usize::from(worst)] });
        }
        if !self.identity {
            labels.mapv_inplace(|raw| self.table[usize::from(raw)]);
        }
        Ok(())
    }
}
