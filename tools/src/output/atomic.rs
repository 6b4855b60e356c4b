//! Files that are there whole or not at all: written under another name, synced, renamed.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::exit::InputError;

/// Writes a file atomically; what was there before stays until the new content is on disk. Folders are not created.
///
/// # Errors
/// A folder that is missing or cannot be written to is an [`InputError`]; a full disk is not.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return Err(
            InputError::new(format!("{}: expected a file to write, got a folder", path.display())).into()
        );
    }
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".smalti-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file, less what the umask takes away.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|err| plain(&err, folder)).with_context(|| format!("{}: writing failed", path.display()))
}

/// `tempfile` puts the temporary name into its errors; the reason alone is what helps.
fn plain(err: &std::io::Error, folder: &Path) -> std::io::Error {
    match (err.kind(), folder.is_dir()) {
        (kind @ ErrorKind::NotFound, false) => {
            std::io::Error::new(kind, format!("no such folder: {}", folder.display()))
        }
        (kind, _) => kind.into(),
    }
}

/// Makes a folder and those above it; one that is there already is fine.
///
/// # Errors
/// As for [`write_atomic`].
pub fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{}: making the folder failed", path.display()))
}

/// Refuses a folder with something in it, for files that are read as a whole later: what was there would be among them.
/// `what` is what they are.
///
/// # Errors
/// An [`InputError`] if something is there that is no empty folder.
pub fn expect_empty(folder: &Path, what: &str) -> Result<()> {
    let got = match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(()),
        Ok(false) => "one with files in it",
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => "a file",
        Err(error) => {
            return Err(error)
                .with_context(|| format!("{}: looking into the folder failed", folder.display()));
        }
    };
    let folder = folder.display();
    Err(InputError::new(format!(
        "{folder}: expected an empty folder for {what}, or none, got {got}: name another, or empty this one"
    ))
    .into())
}

/// Writes a value as indented JSON with a final newline, atomically and at full precision.
///
/// # Errors
/// As for [`write_atomic`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context("the result does not fit into JSON")?;
    text.push(b'\n');
    write_atomic(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::exit;

    #[test]
    fn folders_with_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused =
            |name: &str| expect_empty(&dir.path().join(name), "the maps").map_err(|error| error.to_string());
        refused("none").unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        refused("a").unwrap();
        std::fs::write(dir.path().join("a/1.png"), "").unwrap();
        let text = refused("a").unwrap_err();
        assert!(
            text.ends_with("or none, got one with files in it: name another, or empty this one"),
            "{text}"
        );
        let text = refused("a/1.png").unwrap_err();
        assert!(
            text.contains("a/1.png: expected an empty folder for the maps, or none, got a file"),
            "{text}"
        );
    }

    #[test]
    fn replaces_whole_files_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_json(&path, &[0.1f64 + 0.2]).unwrap();
        write_json(&path, &[1.0f64 / 3.0]).unwrap();
        let back: Vec<f64> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(back, [1.0 / 3.0]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn says_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let err = write_atomic(&dir.path().join("no/where.json"), b"x").unwrap_err();
        let text = exit::message(&err);
        assert!(text.contains("no/where.json: writing failed: no such folder: "), "{text}");
        assert_eq!(exit::code(&err), 2);
        let err = write_atomic(dir.path(), b"x").unwrap_err();
        assert!(exit::message(&err).contains("expected a file to write, got a folder"));
    }
}
