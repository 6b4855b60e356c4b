//! Which files belong together, and what is wrong where they do not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, LabelKind};
use crate::DataError;
use crate::config::SplitConfig;

/// Something wrong with one file or line of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// An image without a label map.
    ImageWithoutLabels {
        /// The image file.
        image: PathBuf,
        /// Where its labels should be.
        expected: PathBuf,
    },
    /// A label map without an image; harmless.
    LabelsWithoutImage {
        /// The label file.
        labels: PathBuf,
    },
    /// Two files that stand for the same image or label map.
    Duplicate {
        /// The file left out.
        file: PathBuf,
        /// The file or line kept.
        first: String,
    },
    /// A line of a list that does not name an image and a label map.
    MalformedLine {
        /// The list file.
        list: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file named by a list that does not exist.
    MissingFile {
        /// The file.
        file: PathBuf,
        /// The list file.
        list: PathBuf,
        /// Line, counted from 1.
        line: usize,
    },
    /// A record of an annotation file that can not be used.
    WrongRecord {
        /// The annotation file.
        file: PathBuf,
        /// Which record, such as "image 42".
        record: String,
        /// What is wrong, with expected and got.
        reason: String,
    },
    /// An image named by an annotation file that does not exist.
    MissingImage {
        /// The image file.
        image: PathBuf,
        /// The annotation file.
        file: PathBuf,
        /// Which record of it.
        record: String,
    },
    /// An image that the annotation file does not name; harmless.
    ImageNotListed {
        /// The image file.
        image: PathBuf,
        /// The annotation file.
        file: PathBuf,
    },
}

impl Problem {
    /// Whether the set cannot be used before this is put right.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::LabelsWithoutImage { .. } | Self::ImageNotListed { .. })
    }

    /// The problem as an error; `others` is the number of further ones.
    pub(super) fn to_error(&self, others: usize) -> DataError {
        let more = if others == 0 { String::new() } else { format!(" (and {others} more such problems)") };
        match self {
            Self::ImageWithoutLabels { image, expected } => DataError::Missing {
                path: expected.clone(),
                wanted_by: format!("label map of {}{more}", image.display()),
            },
            Self::LabelsWithoutImage { labels } => {
                DataError::image(labels, "no image belongs to this label map")
            }
            Self::Duplicate { file, first } => {
                DataError::image(file, format!("stands for the same as {first}{more}"))
            }
            Self::MalformedLine { list, line, reason } => {
                DataError::record(list, format!("line {line}"), format!("{reason}{more}"))
            }
            Self::MissingFile { file, list, line } => DataError::Missing {
                path: file.clone(),
                wanted_by: format!("line {line} of {}{more}", list.display()),
            },
            Self::WrongRecord { file, record, reason } => {
                DataError::record(file, record, format!("{reason}{more}"))
            }
            Self::MissingImage { image, file, record } => DataError::Missing {
                path: image.clone(),
                wanted_by: format!("{record} of {}{more}", file.display()),
            },
            Self::ImageNotListed { image, file } => {
                DataError::image(image, format!("{} does not list this image", file.display()))
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_error(0).fmt(f)
    }
}

/// Pairs of a split, and what did not pair; `key` is the dotted name of the table that says where they are.
pub(super) fn find(
    root: &Path,
    files: &SplitConfig,
    key: &str,
) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    match (&files.list, &files.images, &files.labels) {
        (Some(list), ..) => from_list(root, &root.join(list), key),
        (None, Some(images), Some(labels)) => {
            let wanted_by = [format!("{key}.images"), format!("{key}.labels")];
            from_folders(root, &root.join(images), &root.join(labels), [&wanted_by[0], &wanted_by[1]])
        }
        _ => Ok((vec![], vec![])), // refused by SplitConfig::validate
    }
}

fn from_list(root: &Path, list: &Path, key: &str) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    let text = fs::read_to_string(list).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::Missing { path: list.to_owned(), wanted_by: format!("{key}.list") }
        }
        _ => DataError::Io { path: list.to_owned(), action: "reading the list", source },
    })?;
    let mut folders = Folders::default();
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    let (mut entries, mut problems) = (vec![], vec![]);
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match split_line(content) {
            Err(reason) => problems.push(Problem::MalformedLine { list: list.to_owned(), line, reason }),
            Ok((image, labels)) => {
                let (image, labels) = (root.join(image), root.join(labels));
                let missing: Vec<&PathBuf> =
                    [&image, &labels].into_iter().filter(|f| !folders.contain(f)).collect();
                if let Some(first) = seen.insert(image.clone(), line) {
                    let first = format!("line {first} of {}", list.display());
                    problems.push(Problem::Duplicate { file: image, first });
                } else if missing.is_empty() {
                    entries.push(Entry::new(root, image, labels, LabelKind::Values));
                } else {
                    let of = |file: &PathBuf| Problem::MissingFile {
                        file: file.clone(),
                        list: list.to_owned(),
                        line,
                    };
                    problems.extend(missing.into_iter().map(of));
                }
            }
        }
    }
    Ok((entries, problems))
}

/// Image and label path of a line; paths with spaces in them are parted by a tab.
fn split_line(line: &str) -> Result<(&str, &str), String> {
    let fields: Vec<&str> = if line.contains('\t') {
        line.split('\t').map(str::trim).filter(|field| !field.is_empty()).collect()
    } else {
        line.split_whitespace().collect()
    };
    match fields[..] {
        [image, labels] => Ok((image, labels)),
        _ => Err(format!(
            "expected `image label` (paths with spaces are parted by a tab), got {} fields",
            fields.len()
        )),
    }
}

/// Listings of folders, each read once: much faster than a look at every file on a network disk.
#[derive(Default)]
pub(super) struct Folders(HashMap<PathBuf, HashSet<OsString>>);

impl Folders {
    /// Whether a file is there.
    pub(super) fn contain(&mut self, file: &Path) -> bool {
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else { return false };
        if !self.0.contains_key(parent) {
            let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
            self.0.insert(parent.to_owned(), names.collect());
        }
        self.0.get(parent).is_some_and(|names| names.contains(name))
    }
}

/// Pairs of an image and a label map with the same path below their folders; `wanted_by` says what asks for each folder.
pub(super) fn from_folders(
    root: &Path,
    images: &Path,
    labels: &Path,
    wanted_by: [&str; 2],
) -> Result<(Vec<Entry>, Vec<Problem>), DataError> {
    let mut problems = vec![];
    let image_files = by_stem(images, wanted_by[0], &mut problems)?;
    let mut label_files = by_stem(labels, wanted_by[1], &mut problems)?;
    let mut entries = vec![];
    for (stem, image) in image_files {
        if let Some(labels) = label_files.remove(&stem) {
            entries.push(Entry::new(root, image, labels, LabelKind::Values));
        } else {
            let expected = labels.join(format!("{stem}.png"));
            problems.push(Problem::ImageWithoutLabels { image, expected });
        }
    }
    problems.extend(label_files.into_values().map(|labels| Problem::LabelsWithoutImage { labels }));
    Ok((entries, problems))
}

/// Image files of a folder and its sub-folders by relative path without extension.
fn by_stem(
    folder: &Path,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Result<BTreeMap<String, PathBuf>, DataError> {
    if !folder.is_dir() {
        return Err(DataError::Missing { path: folder.to_owned(), wanted_by: key.to_owned() });
    }
    let mut files = vec![];
    walk(folder, 0, &mut files)?;
    files.sort();
    let mut found = BTreeMap::new();
    for file in files {
        let stem = name_of(folder, &file);
        match found.get(&stem) {
            None => _ = found.insert(stem, file),
            Some(first) => {
                let first: &PathBuf = first;
                problems.push(Problem::Duplicate { file, first: first.display().to_string() });
            }
        }
    }
    Ok(found)
}

/// Adds the image files of a folder and its sub-folders.
pub(crate) fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if depth > 16 {
        return Err(DataError::image(
            folder,
            "folders are nested more than 16 deep; is there a loop of links?",
        ));
    }
    for entry in fs::read_dir(folder).map_err(DataError::io(folder, "listing the folder"))? {
        let entry = entry.map_err(DataError::io(folder, "listing the folder"))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if path.is_dir() {
            walk(&path, depth + 1, files)?;
        } else if has_image_extension(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    extension.is_some_and(|ext| ["jpg", "jpeg", "png"].iter().any(|known| ext == *known))
}

/// Path below `root` (the whole path if it lies elsewhere), forward slashes, no extension.
pub(crate) fn name_of(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let parts = below.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
