//! Semantic sets: images with label maps and a class list. One's own come by list file or by a pair of folders, benchmarks
//! as they lie on disk.
//!
//! A set is a list of images, label files, and how each label file is decoded to raw 8-bit values; one mapping then turns raw
//! values into class ids. Loader, check, stats and evaluation know no more than that.

mod benchmark;
mod coco_panoptic;
mod labels;
mod listing;
mod mixed;
mod segments;

use std::path::{Path, PathBuf};

use crate::benchmarks::Benchmark;
use crate::config::{BenchmarkFiles, DataConfig, SetFiles, Split};
use crate::sample::{LabelMap, Sample};
use crate::{ClassTable, DataError, DataRoot, decode, stage};
use segments::SegmentTable;

pub use labels::{LabelMapping, OutsideLabel};
pub use listing::Problem;
pub(crate) use listing::{name_of, walk};

/// Harmless problems that the log names one by one.
const WARNED: usize = 5;

/// One split of a set: file names, classes and the meaning of raw label values. Pixels are read on demand.
#[derive(Debug, Clone)]
pub struct SemanticSet {
    root: PathBuf,
    split: Split,
    benchmark: Option<Benchmark>,
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
    kind: LabelKind,
}

/// How a label file is decoded to raw 8-bit values.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelKind {
    /// Its pixels are the raw values.
    Values,
    /// Its colours are segment ids; the raw values are the segments' categories.
    Segments(SegmentTable),
}

impl Entry {
    fn new(root: &Path, image: PathBuf, labels: PathBuf, kind: LabelKind) -> Self {
        Self { name: listing::name_of(root, &image), image, labels, kind }
    }

    fn raw_labels(&self) -> Result<LabelMap, DataError> {
        match &self.kind {
            LabelKind::Values => decode::labels(&self.labels),
            LabelKind::Segments(table) => table.decode(&self.labels),
        }
    }
}

impl SemanticSet {
    /// Finds the files of a split and reads the class list. Names of list files are kept in their order; folders are
    /// sorted by name.
    ///
    /// # Errors
    /// A missing root, folder, list or class file; a malformed or repeated line; an image without labels; no image at
    /// all. Labels without an image are only warned of.
    pub fn open(cfg: &DataConfig, split: Split, data_root: Option<&Path>) -> Result<Self, DataError> {
        Self::open_files(&cfg.files, split.key(), split, data_root)
    }

    /// [`Self::open`] of files that the table `key` names.
    fn open_files(
        files: &SetFiles,
        key: &str,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<Self, DataError> {
        let set = Self::scan_files(files, key, split, data_root)?;
        let mut fatal = set.problems.iter().filter(|p| p.is_fatal());
        if let Some(first) = fatal.next() {
            return Err(first.to_error(fatal.count()));
        }
        for problem in set.problems.iter().take(WARNED) {
            tracing::warn!("{problem}");
        }
        if let Some(more @ 1..) = set.problems.len().checked_sub(WARNED) {
            tracing::warn!("and {more} more such files");
        }
        if set.is_empty() {
            let field = if set.benchmark.is_some() { "data.benchmark" } else { key };
            let got = format!("none in {}", set.root.display());
            return Err(DataError::invalid(field, "at least one image", got));
        }
        Ok(set)
    }

    /// Like [`SemanticSet::open`], but keeps what is wrong with single files in [`SemanticSet::problems`] and leaves those
    /// files out. May be empty.
    ///
    /// # Errors
    /// Only what leaves nothing to look at: a missing root, folder, list or class file.
    pub fn scan(cfg: &DataConfig, split: Split, data_root: Option<&Path>) -> Result<Self, DataError> {
        Self::scan_files(&cfg.files, split.key(), split, data_root)
    }

    fn scan_files(
        files: &SetFiles,
        key: &str,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<Self, DataError> {
        let data_root = DataRoot::new(data_root);
        match files {
            SetFiles::Own(files) => {
                let chosen = files.split(split);
                chosen.validate(key)?;
                let root = data_root.resolve(&files.root)?;
                let classes = ClassTable::load(&root.join(&files.classes))?;
                let mapping = LabelMapping::new(classes.len(), files.ignore_label, files.reduce_zero_label);
                let (entries, problems) = listing::find(&root, chosen, key)?;
                Ok(Self { root, split, benchmark: None, classes, mapping, entries, problems })
            }
            SetFiles::Benchmark(files) => {
                let root = data_root.resolve_benchmark(files.benchmark, files.root.as_deref())?;
                let (entries, problems) = benchmark::find(files.benchmark, &root, split)?;
                let (classes, mapping) = (files.benchmark.classes(), benchmark::mapping(files.benchmark));
                let benchmark = Some(files.benchmark);
                Ok(Self { root, split, benchmark, classes, mapping, entries, problems })
            }
        }
    }

    /// Whether a benchmark has the folder of a split's images; sets of one's own are taken to have what their recipe names.
    ///
    /// # Errors
    /// A root that is not there.
    pub fn has_split(cfg: &DataConfig, split: Split, data_root: Option<&Path>) -> Result<bool, DataError> {
        match &cfg.files {
            SetFiles::Own(_) => Ok(true),
            SetFiles::Benchmark(BenchmarkFiles { benchmark, root }) => {
                let root = DataRoot::new(data_root).resolve_benchmark(*benchmark, root.as_deref())?;
                Ok(root.join(benchmark.image_folder(split)).is_dir())
            }
        }
    }

    /// The classes alone; those of a benchmark are known without any file.
    ///
    /// # Errors
    /// A missing root or class file, a class file that is none.
    pub fn class_table(cfg: &DataConfig, data_root: Option<&Path>) -> Result<ClassTable, DataError> {
        match &cfg.files {
            SetFiles::Own(files) => {
                ClassTable::load(&DataRoot::new(data_root).resolve(&files.root)?.join(&files.classes))
            }
            SetFiles::Benchmark(files) => Ok(files.benchmark.classes()),
        }
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

    /// The benchmark that this is, if it is one.
    pub fn benchmark(&self) -> Option<Benchmark> {
        self.benchmark
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
        stage::enter!(ANNOTATIONS);
        let mut labels = entry.raw_labels()?;
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
            let OutsideLabel { value, count } = wrong;
            let (path, hint) = (entry.labels.clone(), self.hint(value));
            DataError::LabelValue { path, value, count, expected: self.mapping.expected().to_owned(), hint }
        })?;
        Ok(Sample { name: entry.name.clone(), image, labels })
    }

    /// Raw label values of image `i` and errors of its label file, whatever the image.
    pub(crate) fn raw_labels(&self, i: usize) -> Result<LabelMap, DataError> {
        self.entries[i].raw_labels()
    }

    /// What to set in the recipe where a raw value is no class.
    fn hint(&self, value: u8) -> String {
        if self.benchmark.is_some() {
            return String::new(); // there is nothing to set
        }
        let no_ignore_label = self.mapping.ignore_label().is_none();
        if no_ignore_label && self.classes.ignore_hint() == Some(value) {
            return format!(
                "; the class file says {value} is to be ignored: set data.ignore_label = {value}"
            );
        }
        let shift = if usize::from(value) == self.mapping.num_classes() && !self.mapping.reduce_zero_label() {
            " If 0 means \"not labelled\" and classes start at 1, set data.reduce_zero_label = true."
        } else {
            ""
        };
        let ignore = if no_ignore_label {
            format!(" If {value} means \"not labelled\", set data.ignore_label = {value}.")
        } else {
            String::new()
        };
        if shift.is_empty() && ignore.is_empty() { String::new() } else { format!(".{shift}{ignore}") }
    }
}
