//! A repository and its folder in the cache.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use smalti_checkpoints::hub;

use crate::output::{self, InputError};

use super::settings::Settings;

/// What is asked for, and where it lies once it is there.
#[derive(Debug)]
pub struct Repository {
    /// OWNER/NAME.
    pub id: String,
    /// A branch, a tag, or a commit.
    pub revision: String,
    /// `models--OWNER--NAME` in the cache.
    pub folder: PathBuf,
}

impl Repository {
    /// # Errors
    /// [`InputError`]s: names that the hub cannot have.
    pub fn new(settings: &Settings, id: &str, revision: &str) -> Result<Self> {
        let Some(folder) = hub::repository(&settings.cache, id) else {
            let text = format!(
                "{}: expected a repository as OWNER/NAME, such as microsoft/swin-tiny-patch4-window7-224",
                id.escape_debug()
            );
            bail!(InputError::new(text));
        };
        // It becomes the name of a file below refs/.
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+=@".contains(c);
            !part.is_empty() && part.chars().all(allowed) && part.chars().any(|c| c != '.')
        };
        if !revision.split('/').all(plain) {
            let text = format!(
                "--revision {}: expected a branch, a tag, or a commit, such as main",
                revision.escape_debug()
            );
            bail!(InputError::new(text));
        }
        Ok(Self { id: id.to_owned(), revision: revision.to_owned(), folder })
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The snapshot that the cache has of the revision.
    pub fn cached(&self) -> Option<PathBuf> {
        hub::revision(&self.folder, &self.revision)
    }

    /// Notes which commit the revision is. A commit needs no such note.
    pub fn name_revision(&self, commit: &str) -> Result<()> {
        if self.revision == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(&self.revision);
        output::create_dir(path.parent().unwrap_or(&self.folder))?;
        output::write_atomic(&path, commit.as_bytes())
    }

    /// The folder, and the command that reads it.
    pub fn what_next(&self, snapshot: &Path) -> String {
        let name = self.id.rsplit('/').next().unwrap_or(&self.id);
        format!("{}\nnext: smalti weights convert {} {name}", snapshot.display(), shell_word(snapshot))
    }

    /// What to do where the hub cannot be asked.
    pub fn by_hand(&self, reason: &str) -> String {
        let at =
            if self.revision == "main" { String::new() } else { format!(" --revision {}", self.revision) };
        format!(
            "{id}: {reason}, and the cache lacks its revision `{revision}`\n  \
             on a machine with a network run `smalti weights pull {id}{at}`, or fetch config.json and model.safetensors (or its \
             index and parts, or pytorch_model.bin) otherwise; put these files into\n  {folder}\n  \
             or into any folder, which `smalti weights convert FOLDER OUT_DIR` reads as well",
            id = self.id,
            revision = self.revision,
            folder = self.snapshot(&self.revision.replace('/', "-")).display(),
        )
    }
}

/// A path as a shell reads it back.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/-_.+=@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cache: &str) -> Settings {
        let (cache, endpoint) = (PathBuf::from(cache), "http://hub".to_owned());
        Settings { endpoint, cache, offline: None, token: None, token_file: None }
    }

    #[test]
    fn names_that_leave_the_cache_are_refused() {
        let settings = settings("/c");
        for id in ["swin", "a/b/c", "../b", "https://huggingface.co/a/b", "a/b c", ""] {
            let error = Repository::new(&settings, id, "main").unwrap_err().to_string();
            assert!(error.contains("expected a repository as OWNER/NAME"), "{id}: {error}");
        }
        for revision in ["", "..", "a/../b", "/etc", "a//b", "x?y", "a b"] {
            let error = Repository::new(&settings, "a/b", revision).unwrap_err().to_string();
            assert!(error.contains("expected a branch, a tag, or a commit"), "{revision}: {error}");
        }
        assert!(Repository::new(&settings, "a/b", "refs/pr/3").is_ok());
    }

    #[test]
    fn a_revision_is_noted_for_whoever_reads_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let repository =
            Repository::new(&settings(dir.path().to_str().unwrap()), "a/b", "refs/pr/3").unwrap();
        std::fs::create_dir_all(repository.snapshot("abc")).unwrap();
        assert_eq!(repository.cached(), None);
        repository.name_revision("abc").unwrap();
        assert_eq!(repository.cached().unwrap(), dir.path().join("models--a--b/snapshots/abc"));
    }

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(shell_word(Path::new("/a/b-1.0")), "/a/b-1.0");
        assert_eq!(shell_word(Path::new("/my files/it's")), r"'/my files/it'\''s'");
    }
}
