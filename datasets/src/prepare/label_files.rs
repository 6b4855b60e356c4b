//! Files of a data set found by the end of their names.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// A file below a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// Folder of the file, relative to the one that was searched.
    pub(crate) folder: PathBuf,
    /// Name without the suffix that was searched for.
    pub(crate) stem: String,
}

/// The files that end with `suffix`, at most `depth` folders down, in order of their paths.
///
/// # Errors
/// [`DataError::Missing`] if the folder is not there or has no such file, [`DataError::Io`] if it cannot be read.
pub(crate) fn find(root: &Path, suffix: &str, depth: usize) -> Result<Vec<Found>, DataError> {
    if !root.is_dir() {
        let wanted_by = format!("the folder of the files `*{suffix}`");
        return Err(DataError::Missing { path: root.to_owned(), wanted_by });
    }
    let mut found = Vec::new();
    walk(root, Path::new(""), suffix, depth, &mut found)?;
    if found.is_empty() {
        let wanted_by = format!("files with this ending, at most {depth} folders down");
        return Err(DataError::Missing { path: root.join(format!("*{suffix}")), wanted_by });
    }
    found.sort();
    Ok(found)
}

fn walk(
    root: &Path,
    below: &Path,
    suffix: &str,
    depth: usize,
    found: &mut Vec<Found>,
) -> Result<(), DataError> {
    let folder = root.join(below);
    for entry in std::fs::read_dir(&folder).map_err(DataError::io(&folder, "listing the folder"))? {
        let entry = entry.map_err(DataError::io(&folder, "listing the folder"))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue }; // names of the sets are ASCII
        if let Some(stem) = name.strip_suffix(suffix).filter(|stem| !stem.starts_with('.')) {
            found.push(Found { folder: below.to_owned(), stem: stem.to_owned() });
        } else if depth > 0 && entry.path().is_dir() {
            walk(root, &below.join(name), suffix, depth - 1, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_order_and_only_so_deep() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/2_x.png", "b/1_x.png", "a_x.png", "b/1_y.png", "b/c/3_x.png", ".hidden_x.png"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let stems = |depth| -> Vec<String> {
            find(dir.path(), "_x.png", depth).unwrap().into_iter().map(|found| found.stem).collect()
        };
        assert_eq!(stems(0), ["a"]);
        assert_eq!(stems(1), ["a", "1", "2"]);
        assert_eq!(stems(2), ["a", "1", "2", "3"]);
        assert!(find(dir.path(), "_z.png", 3).unwrap_err().to_string().contains("*_z.png: no such file"));
        assert!(matches!(find(&dir.path().join("no"), "x", 0), Err(DataError::Missing { .. })));
    }
}
