//! Folders of Hugging Face's cache: `models--ORG--NAME/snapshots/COMMIT/` with the files (links to `blobs/`), and
//! `refs/REVISION` with the commit that a branch or tag stands for.
//!
//! The layout is that of huggingface_hub, which transformers, timm and the crate hf-hub share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{CheckpointError, Fault};

/// The snapshot of a revision (a branch, a tag, or a commit) in a repository's folder of the cache, if it is there.
pub fn revision(repository: &Path, name: &str) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let commit = std::fs::read_to_string(repository.join("refs").join(name)).ok();
    let named = commit.filter(|commit| !commit.trim().is_empty()).map(|commit| snapshots.join(commit.trim()));
    named.into_iter().chain([snapshots.join(name)]).find(|path| path.is_dir())
}

/// The snapshot to take of a repository's folder in the cache: that of `main`, or the only one. `None` for other folders.
pub(crate) fn snapshot(folder: &Path) -> Option<Result<PathBuf, CheckpointError>> {
    let snapshots = folder.join("snapshots");
    if !snapshots.is_dir() {
        return None;
    }
    if let Some(path) = revision(folder, "main") {
        return Some(Ok(path));
    }
    let entries = match snapshots.read_dir() {
        Ok(entries) => entries,
        Err(error) => return Some(Err(CheckpointError::io(&snapshots, "listing the folder")(error))),
    };
    let mut there: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    Some(match there.len() {
        1 => Ok(there.remove(0)),
        count => {
            let got = format!("{count} of them and no refs/main that names one");
            Err(Fault::choice("snapshots", "one", got, "give the path of the snapshot").in_file(folder))
        }
    })
}

/// The folder of a repository, such as `microsoft/swin-tiny-patch4-window7-224`, in a cache; `None` for what is no such name.
pub fn repository(cache: &Path, id: &str) -> Option<PathBuf> {
    let (organisation, name) = id.split_once('/')?;
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(allowed) && part.chars().any(|c| c != '.')
    };
    (plain(organisation) && plain(name)).then(|| cache.join(format!("models--{organisation}--{name}")))
}

/// Where the hub's libraries keep their files: `$HF_HOME`, else `huggingface` in `$XDG_CACHE_HOME` or `~/.cache`.
/// `variable` looks up an environment variable.
pub fn home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set("HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
}

/// Where the cache is: `$HF_HUB_CACHE` (or by its older name `$HUGGINGFACE_HUB_CACHE`), else `hub` in [`home`].
pub fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(home(&variable)?.join("hub")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_hubs_libraries_look() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<_> =
                set.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
            cache(move |name| set.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).unwrap(),
            Path::new("/x/huggingface/hub")
        );
        assert_eq!(with(&[("HOME", "/h"), ("HF_HOME", "/f")]).unwrap(), Path::new("/f/hub"));
        assert_eq!(with(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/f")]).unwrap(), Path::new("/c"));
        assert_eq!(with(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/f")]).unwrap(), Path::new("/old"));
        assert_eq!(
            with(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")]).unwrap(),
            Path::new("/c")
        );
        assert_eq!(with(&[("HF_HUB_CACHE", "")]), None);
    }

    #[test]
    fn repositories_have_two_plain_names() {
        let folder = |id| repository(Path::new("/c"), id);
        assert_eq!(folder("shi-labs/nat-mini.a_b").unwrap(), Path::new("/c/models--shi-labs--nat-mini.a_b"));
        for id in ["nat", "a/b/c", "../b", "a/..", "/b", "a/", "a b/c"] {
            assert_eq!(folder(id), None, "{id}");
        }
    }

    #[test]
    fn a_repository_s_folder_leads_to_a_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        assert!(snapshot(dir.path()).is_none());
        let snapshots = dir.path().join("snapshots");
        std::fs::create_dir_all(snapshots.join("abc")).unwrap();
        assert_eq!(snapshot(dir.path()).unwrap().unwrap(), snapshots.join("abc"));
        std::fs::create_dir_all(snapshots.join("def")).unwrap();
        let error = snapshot(dir.path()).unwrap().unwrap_err().to_string();
        assert!(error.contains("snapshots: expected one, got 2 of them"), "{error}");
        std::fs::create_dir_all(dir.path().join("refs")).unwrap();
        std::fs::write(dir.path().join("refs/main"), "def\n").unwrap();
        assert_eq!(snapshot(dir.path()).unwrap().unwrap(), snapshots.join("def"));
        assert_eq!(revision(dir.path(), "abc").unwrap(), snapshots.join("abc"), "a commit");
        assert_eq!(revision(dir.path(), "v1"), None);
        std::fs::create_dir_all(dir.path().join("refs/refs/pr")).unwrap();
        std::fs::write(dir.path().join("refs/refs/pr/1"), "abc").unwrap();
        assert_eq!(revision(dir.path(), "refs/pr/1").unwrap(), snapshots.join("abc"));
    }
}
