//! Files that a list of images holds more than once.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, repeated};

/// Files with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// The first in the list.
    pub first: PathBuf,
    /// All others, at least one.
    pub others: Vec<PathBuf>,
}

impl Copies {
    /// A group for each such file, by their first image. Entries of one path are no copies.
    pub fn among(prints: &[Option<Fingerprint>], path: impl Fn(usize) -> PathBuf) -> Vec<Self> {
        repeated(prints).into_iter().filter_map(|group| Self::of(group.into_iter().map(&path))).collect()
    }

    /// Nothing if all paths are one.
    pub(crate) fn of(paths: impl Iterator<Item = PathBuf>) -> Option<Self> {
        let mut known = HashSet::new();
        let mut paths = paths.filter(|path| known.insert(path.clone()));
        let (first, others) = (paths.next()?, paths.collect::<Vec<_>>());
        (!others.is_empty()).then_some(Self { first, others })
    }
}

/// Of many others the first ones and the number of the rest.
impl Display for Copies {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        for (i, path) in self.others.iter().take(NAMED).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, path.display())?;
        }
        match self.others.len().saturating_sub(NAMED) {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        let verb = if self.others.len() == 1 { "is" } else { "are" };
        write!(f, " {verb} the same file as {}", self.first.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(names: &[&str]) -> Option<String> {
        Copies::of(names.iter().map(PathBuf::from)).map(|copies| copies.to_string())
    }

    #[test]
    fn many_copies_are_one_line() {
        assert_eq!(copies(&["a", "b"]).unwrap(), "b is the same file as a");
        assert_eq!(copies(&["a", "b", "c", "d"]).unwrap(), "b, c, d are the same file as a");
        assert_eq!(
            copies(&["a", "b", "c", "d", "e", "f"]).unwrap(),
            "b, c, d and 2 more are the same file as a"
        );
    }

    #[test]
    fn one_path_twice_is_no_copy() {
        assert_eq!(copies(&["a", "a"]), None);
        assert_eq!(copies(&["a", "b", "a"]).unwrap(), "b is the same file as a");
    }
}
