//! Folders of Hugging Face's cache: `models--ORG--NAME/snapshots/REVISION/` with the files, `refs/main` with a revision's name.
//!
//! The layout is that of huggingface_hub, which transformers, timm and the crate hf-hub share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{CheckpointError, Fault};

/// The snapshot to take of a repository's folder in the cache: that of `main`, or the only one. `None` for other folders.
pub(crate) fn snapshot(folder: &Path) -> Option<Result<PathBuf, CheckpointError>> {
    let snapshots = folder.join("snapshots");
    if !snapshots.is_dir() {
        return None;
    }
    let named = std::fs::read_to_string(folder.join("refs/main")).ok();
    if let Some(path) = named.map(|revision| snapshots.join(revision.trim())).filter(|path| path.is_dir()) {
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

/// Where the cache is: `$HF_HUB_CACHE`, else `hub` in `$HF_HOME`, else in `huggingface` in `$XDG_CACHE_HOME` or `~/.cache`.
/// `variable` looks up an environment variable.
pub fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || {
        set("XDG_CACHE_HOME")
            .or_else(|| Some(set("HOME")?.join(".cache")))
            .map(|home| home.join("huggingface"))
    };
    set("HF_HUB_CACHE").or_else(|| set("HF_HOME").or_else(home).map(|home| home.join("hub")))
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
    }
}
