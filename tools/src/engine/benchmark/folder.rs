//! The folder of a submission or of a piece of one: it appears under its name when everything is in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use smalti::output;
use smalti_training::TrainError;

use super::json_files::TextFile;

/// A folder under a temporary name, which is removed unless it is finished.
#[derive(Debug)]
pub struct Folder {
    target: PathBuf,
    temporary: tempfile::TempDir,
    /// Whether what is at `target` goes; else something that is there in the end is an error.
    replaces: bool,
}

impl Folder {
    /// Starts a folder that is to become `target`.
    ///
    /// # Errors
    /// As of [`output::expect_empty`]; a place that cannot be written to.
    pub fn new(target: &Path) -> Result<Self> {
        output::expect_empty(target, "the submission")?;
        Self::beside(target, false)
    }

    /// Starts a folder that is to take the place of `target`, whatever that holds.
    ///
    /// # Errors
    /// A place that cannot be written to.
    pub fn replacing(target: &Path) -> Result<Self> {
        Self::beside(target, true)
    }

    fn beside(target: &Path, replaces: bool) -> Result<Self> {
        let beside = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        output::create_dir(beside)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".smalti-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new folder, less what the umask takes away.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let temporary = builder
            .tempdir_in(beside)
            .with_context(|| format!("{}: making a folder in it failed", beside.display()))?;
        Ok(Self { target: target.to_owned(), temporary, replaces })
    }

    /// Writes a file, with the folder it lies in.
    pub fn write(&self, name: &str, bytes: Result<Vec<u8>>) -> Result<(), TrainError> {
        let path = self.temporary.path().join(name);
        let failed = || TrainError::io(self.target.join(name), "writing");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed())?;
        }
        let bytes = bytes.map_err(|error| failed()(std::io::Error::other(error)))?;
        fs::write(&path, bytes).map_err(failed())
    }

    /// Starts a file that is written piece by piece.
    pub fn create(&self, name: &str) -> Result<TextFile, TrainError> {
        let path = self.target.join(name);
        let file =
            File::create(self.temporary.path().join(name)).map_err(TrainError::io(&path, "writing"))?;
        Ok(TextFile::new(path, file))
    }

    /// Gives the folder its name.
    pub fn finish(self) -> Result<(), TrainError> {
        if self.replaces && self.target.exists() {
            let failed = TrainError::io(&self.target, "removing what was there before");
            fs::remove_dir_all(&self.target).map_err(failed)?;
        }
        fs::rename(self.temporary.path(), &self.target)
            .map_err(TrainError::io(&self.target, "renaming the finished folder to it"))?;
        let _ = self.temporary.keep(); // nothing lies under this name any more
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_files::{JsonList, Listing};
    use super::*;

    #[test]
    fn a_folder_appears_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a/b");
        let unfinished = Folder::new(&target).unwrap();
        unfinished.write("c/d.png", Ok(vec![1])).unwrap();
        assert!(!target.exists());
        drop(unfinished);
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 0);

        fs::create_dir(&target).unwrap(); // empty: fine
        let folder = Folder::new(&target).unwrap();
        let listing = Listing { file: "e.json".to_owned(), head: "{\"annotations\": [", tail: "]}\n" };
        let mut list = JsonList::new(folder.create(&listing.file).unwrap(), &listing).unwrap();
        list.push(&1.5).unwrap();
        list.push(&"x").unwrap();
        list.finish().unwrap();
        folder.write("c/d.png", Ok(vec![1])).unwrap();
        folder.finish().unwrap();
        assert_eq!(fs::read(target.join("c/d.png")).unwrap(), [1]);
        let value: serde_json::Value =
            serde_json::from_slice(&fs::read(target.join("e.json")).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"annotations": [1.5, "x"]}));
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);

        let refused = Folder::new(&target).unwrap_err().to_string();
        assert!(refused.contains("a/b: expected an empty folder for the submission"), "{refused}");

        let folder = Folder::replacing(&target).unwrap();
        folder.write("f", Ok(vec![2])).unwrap();
        assert!(target.join("e.json").exists(), "what was there stays until the new one is whole");
        folder.finish().unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
        assert_eq!(fs::read(target.join("f")).unwrap(), [2]);
    }
}
