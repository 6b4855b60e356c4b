//! Settings and remedies for what was found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::check::Hint;
use crate::coco::Category;

/// Folders that are searched for files which are not where they should be, at most.
const SEARCHED: usize = 2000;

/// Below this share of the images, unreadable ones may be passed over.
const FEW: f64 = 0.1;

pub(super) fn hint(setting: impl Into<String>, reason: impl Into<String>) -> Hint {
    Hint { setting: setting.into(), reason: reason.into() }
}

/// What category ids that are not listed look like, given how often each is used.
pub(super) fn categories(listed: &[Category], used: &BTreeMap<u32, u64>) -> Option<Hint> {
    let is_listed = |id: u32| listed.binary_search_by_key(&id, |category| category.id).is_ok();
    let (first, last) = (listed.first()?.id, listed.last()?.id);
    let (&lowest, &highest) = (used.keys().next()?, used.keys().next_back()?);
    if used.keys().all(|&id| is_listed(id)) {
        return None;
    }
    let range = format!("annotations use {lowest} to {highest}, `categories` lists {first} to {last}");
    let has_gaps = (last - first) as usize >= listed.len();
    if has_gaps && (highest as usize) < listed.len() {
        let reason = format!(
            "{range}: positions 0 to {} were written where ids of categories belong",
            listed.len() - 1
        );
        return Some(hint("the id of each category as `category_id`", reason));
    }
    if used.keys().all(|&id| id.checked_add(1).is_some_and(is_listed)) && !used.contains_key(&last) {
        return Some(hint("`category_id` + 1 in every annotation", format!("{range}: they are one too low")));
    }
    if used.keys().all(|&id| id.checked_sub(1).is_some_and(is_listed)) && !used.contains_key(&first) {
        return Some(hint(
            "`category_id` - 1 in every annotation",
            format!("{range}: they are one too high"),
        ));
    }
    None
}

/// Where files are that were not found: the folder, relative to `root` and none of `others`, that has `name` in it.
pub(super) fn folder_with(root: &Path, name: &str, others: [&Path; 2]) -> Option<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).filter(|_| next < SEARCHED).cloned() {
        next += 1;
        if !others.contains(&folder.as_path()) && folder.join(name).is_file() {
            return folder.strip_prefix(root).ok().map(Path::to_owned);
        }
        let mut inner: Vec<PathBuf> =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        inner.retain(|path| path.is_dir() && !path.is_symlink());
        inner.sort();
        folders.extend(inner);
    }
    None
}

/// Whether to go on without the images that cannot be read.
pub(super) fn unreadable(count: u64, images: usize) -> Option<Hint> {
    let is_few = count > 0 && (count as f64) < FEW * images as f64;
    is_few.then(|| {
        let reason = format!("{count} of {images} images cannot be read, others stand in for them");
        hint("data.loader.on_corrupt = \"skip\"", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listed: &[u32], used: &[u32]) -> Option<String> {
        let category = |&id: &u32| Category {
            id,
            name: format!("c{id}"),
            supercategory: String::new(),
            isthing: None,
            color: None,
        };
        let listed: Vec<Category> = listed.iter().map(category).collect();
        categories(&listed, &used.iter().map(|&id| (id, 1)).collect()).map(|hint| hint.setting)
    }

    #[test]
    fn shifts_of_category_ids_are_noticed() {
        assert_eq!(of(&[1, 2, 3], &[1, 3]), None);
        assert_eq!(of(&[1, 2, 3], &[0, 1, 2]).unwrap(), "`category_id` + 1 in every annotation");
        assert_eq!(of(&[0, 1, 2], &[1, 2, 3]).unwrap(), "`category_id` - 1 in every annotation");
        assert_eq!(of(&[1, 2, 3], &[0, 1, 3]), None, "the last is used, so it is no shift");
        assert_eq!(of(&[1, 5, 9], &[0, 2]).unwrap(), "the id of each category as `category_id`");
        assert_eq!(of(&[1, 5, 9], &[1, 77]), None);
        assert_eq!(of(&[], &[1]), None);
        assert_eq!(of(&[1], &[u32::MAX]), None);
    }

    #[test]
    fn a_folder_is_found_by_a_file_in_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/1.png"), "").unwrap();
        assert_eq!(folder_with(dir.path(), "1.png", [Path::new("x"); 2]), Some("a/b".into()));
        assert_eq!(folder_with(dir.path(), "b/1.png", [Path::new("x"); 2]), Some("a".into()));
        assert_eq!(folder_with(dir.path(), "2.png", [Path::new("x"); 2]), None);
    }
}
