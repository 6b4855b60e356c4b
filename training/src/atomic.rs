//! Files that are either the old ones or the new ones, never half of each, across crashes and full disks.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Replaces the file at `path` by `bytes`.
///
/// # Errors
/// As [`write_with`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    write_with(path, |out| out.write_all(bytes).map_err(TrainError::io(path, "writing")))
}

/// Replaces the file at `path` by what `fill` writes: into a temporary file beside it, synced, renamed, and the
/// folder synced.
///
/// # Errors
/// Whatever `fill` returns, or an I/O error naming `path` (folder missing or not writable, disk full). The earlier
/// file is then untouched and the temporary one removed.
pub fn write_with<F>(path: &Path, fill: F) -> Result<(), TrainError>
where
    F: FnOnce(&mut dyn Write) -> Result<(), TrainError>,
{
    let folder = folder_of(path);
    let failed = || TrainError::io(path, "writing");
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-");
    #[cfg(unix)]
    {
        // As a plain file would be: the umask decides who may read a run, not the temporary file's 0600.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(&folder).map_err(failed())?;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
    fill(&mut out)?;
    out.flush().map_err(failed())?;
    drop(out);
    temporary.as_file().sync_all().map_err(failed())?;
    temporary.persist(path).map_err(|error| failed()(error.error))?;
    sync_folder(&folder)
}

/// Makes renames and new entries in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), TrainError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        // Some network and user-space file systems cannot sync folders; there is nothing more to be done there.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other.map_err(TrainError::io(folder, "syncing the folder")),
    }
}

/// The folder that holds `path`; `.` for a bare file name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_file(&path, b"a longer first version").unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(names(dir.path()), ["x.json"]);
    }

    #[test]
    fn a_failure_midway_keeps_the_earlier_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_file(&path, b"first").unwrap();
        let result = write_with(&path, |out| {
            out.write_all(b"half of the sec").map_err(TrainError::io(&path, "writing"))?;
            Err(TrainError::io(&path, "writing")(ErrorKind::StorageFull.into()))
        });
        assert!(result.unwrap_err().is_input_error());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["x.json"]);
    }

    #[test]
    fn a_missing_folder_is_an_error_naming_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/x.json");
        let error = write_file(&path, b"x").unwrap_err();
        assert_eq!(error.to_string(), format!("{}: writing failed", path.display()));
        assert_eq!(error.exit_code(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_a_plain_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        std::fs::write(dir.path().join("plain"), b"x").unwrap();
        write_file(&dir.path().join("atomic"), b"x").unwrap();
        assert_eq!(mode("atomic"), mode("plain"));
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("x.json")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/x.json")), Path::new("a"));
    }
}
