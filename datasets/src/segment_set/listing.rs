//! Whether the files are there that an annotation file names: folders are listed once, which is faster than a look at every
//! file, on a network disk by far.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Looks for files below a folder, given with what they are called in messages; `record` says which record names file `i`.
///
/// # Errors
/// [`DataError::Missing`] for the first that is not there, with the number of others.
pub(super) fn check<'a>(
    (folder, what): (&Path, &str),
    names: impl Iterator<Item = &'a str>,
    record: impl Fn(usize) -> String,
) -> Result<(), DataError> {
    let mut folders = Folders::default();
    let mut missing = names.enumerate().filter(|(_, name)| !folders.contain(folder, name));
    let Some((first, name)) = missing.next() else { return Ok(()) };
    let more = match missing.count() {
        0 => String::new(),
        others => format!(" (and {others} more such files)"),
    };
    let wanted_by = format!("{what} of {}{more}", record(first));
    Err(DataError::Missing { path: folder.join(name), wanted_by })
}

/// The names in each folder, as far as they were asked for.
#[derive(Default)]
pub(super) struct Folders(HashMap<PathBuf, HashSet<OsString>>);

impl Folders {
    /// Whether there is a file called `name` below `root`.
    pub(super) fn contain(&mut self, root: &Path, name: &str) -> bool {
        let (below, name) = name.rsplit_once('/').unwrap_or(("", name));
        let below = Path::new(below);
        if !self.0.contains_key(below) {
            let found = fs::read_dir(root.join(below)).into_iter().flatten().flatten();
            self.0.insert(below.to_owned(), found.map(|entry| entry.file_name()).collect());
        }
        self.0.get(below).is_some_and(|names| names.contains(OsStr::new(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_in_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["1.jpg", "b/2.jpg"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let check = |names: &[&str]| {
            check((dir.path(), "image"), names.iter().copied(), |i| format!("record {i}"))
                .map_err(|err| err.to_string().replace(&format!("{}/", dir.path().display()), ""))
        };
        assert_eq!(check(&["b/2.jpg", "1.jpg"]), Ok(()));
        let missing = check(&["1.jpg", "b/1.jpg", "c/1.jpg", "2.jpg"]).unwrap_err();
        assert_eq!(missing, "b/1.jpg: no such file or folder (image of record 1 (and 2 more such files))");
        assert!(check(&[""]).unwrap_err().ends_with("no such file or folder (image of record 0)"));
    }
}
