//! The classes of a classification set.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageClass {
    /// Name of its folder, unique; empty where nobody knows it, as of weights from elsewhere.
    pub folder: String,
    /// Display name; two classes of ImageNet share theirs.
    pub name: String,
}

/// All classes, sorted by folder; the position is the class id. As many as there are folders. Either all folders are known or
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassFolders(Vec<ImageClass>);

impl ClassFolders {
    /// Classes of sorted folder names, with the display names of a file if there is one: lines `FOLDER NAME`, as ImageNet's
    /// `LOC_synset_mapping.txt`. Folders that are not there may be named.
    ///
    /// # Errors
    /// A file that cannot be read, a malformed or repeated line, a folder without a name.
    pub(super) fn new(folders: Vec<String>, names: Option<&Path>) -> Result<Self, DataError> {
        let Some(path) = names else {
            let class = |folder: String| ImageClass { name: folder.clone(), folder };
            return Ok(Self(folders.into_iter().map(class).collect()));
        };
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                DataError::Missing { path: path.to_owned(), wanted_by: "data.class_names".into() }
            }
            _ => DataError::Io { path: path.to_owned(), action: "reading the class names", source },
        })?;
        let mut names = read_names(path, &text)?;
        let class = |folder: String| match names.remove(folder.as_str()) {
            Some(name) => Ok(ImageClass { name: name.to_owned(), folder }),
            None => Err(DataError::record(path, format!("class {folder:?}"), "no line names this folder")),
        };
        Ok(Self(folders.into_iter().map(class).collect::<Result<_, _>>()?))
    }

    /// Classes of weights from elsewhere: names in the order of the ids, at least one; their folders are not known.
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| ImageClass { folder: String::new(), name }).collect())
    }

    /// Whether the classes' folders are known.
    pub fn have_folders(&self) -> bool {
        self.0.iter().all(|class| !class.folder.is_empty())
    }

    /// Number of classes K, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a set without classes can not be opened")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The class with this id.
    pub fn get(&self, id: usize) -> Option<&ImageClass> {
        self.0.get(id)
    }

    /// All classes in order of their ids.
    pub fn iter(&self) -> std::slice::Iter<'_, ImageClass> {
        self.0.iter()
    }

    /// Whether a folder of this name is a class.
    pub fn contains(&self, folder: &str) -> bool {
        self.0.binary_search_by(|class| class.folder.as_str().cmp(folder)).is_ok()
    }
}

impl<'a> IntoIterator for &'a ClassFolders {
    type Item = &'a ImageClass;
    type IntoIter = std::slice::Iter<'a, ImageClass>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Display name by folder.
fn read_names<'a>(path: &Path, text: &'a str) -> Result<HashMap<&'a str, &'a str>, DataError> {
    let mut names = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let at = || format!("line {number}");
        let Some((folder, name)) = line.split_once(char::is_whitespace) else {
            return Err(DataError::record(path, at(), format!("expected `FOLDER NAME`, got {line:?}")));
        };
        if names.insert(folder, name.trim()).is_some() {
            return Err(DataError::record(path, at(), format!("{folder:?} is named twice")));
        }
    }
    Ok(names)
}
