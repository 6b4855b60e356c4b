//! The folder of a submission: it appears under its name when everything is in it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use smalti::output;
use smalti_training::TrainError;

/// A folder under a temporary name, which is removed unless it is finished.
#[derive(Debug)]
pub struct Folder {
    target: PathBuf,
    temporary: tempfile::TempDir,
}

impl Folder {
    /// Starts a folder that is to become `target`.
    ///
    /// # Errors
    /// As of [`output::expect_empty`]; a place that cannot be written to.
    pub fn new(target: &Path) -> Result<Self> {
        output::expect_empty(target, "the submission")?;
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
        Ok(Self { target: target.to_owned(), temporary })
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

    /// Starts a JSON file that is a list between `head` and `tail`.
    pub fn list(&self, name: &str, head: &str, tail: &'static str) -> Result<JsonList, TrainError> {
        let path = self.target.join(name);
        let file =
            File::create(self.temporary.path().join(name)).map_err(TrainError::io(&path, "writing"))?;
        let mut list = JsonList { path, out: BufWriter::new(file), tail, is_empty: true };
        list.text(head)?;
        Ok(list)
    }

    /// Gives the folder its name.
    pub fn finish(self) -> Result<(), TrainError> {
        fs::rename(self.temporary.path(), &self.target)
            .map_err(TrainError::io(&self.target, "renaming the finished folder to it"))?;
        let _ = self.temporary.keep(); // nothing lies under this name any more
        Ok(())
    }
}

/// A JSON file that is written entry by entry, so memory does not grow with the images.
#[derive(Debug)]
pub struct JsonList {
    path: PathBuf,
    out: BufWriter<File>,
    tail: &'static str,
    is_empty: bool,
}

impl JsonList {
    /// Adds an entry.
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), TrainError> {
        let between = if self.is_empty { "\n" } else { ",\n" };
        self.is_empty = false;
        self.text(between)?;
        serde_json::to_writer(&mut self.out, entry)
            .map_err(|error| TrainError::io(&self.path, "writing")(error.into()))
    }

    /// Ends the file and waits until it is on disk.
    pub fn finish(mut self) -> Result<(), TrainError> {
        self.text(self.tail)?;
        let failed = || TrainError::io(&self.path, "writing");
        self.out.flush().map_err(failed())?;
        self.out.get_ref().sync_all().map_err(failed())
    }

    fn text(&mut self, text: &str) -> Result<(), TrainError> {
        self.out.write_all(text.as_bytes()).map_err(TrainError::io(&self.path, "writing"))
    }
}

#[cfg(test)]
mod tests {
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
        let mut list = folder.list("e.json", "{\"annotations\": [", "]}\n").unwrap();
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
    }
}
