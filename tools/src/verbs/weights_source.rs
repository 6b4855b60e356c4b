//! What a user names as weights: a path, or a repository of Hugging Face's hub by its name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use smalti_checkpoints::hub;

use crate::output::InputError;

/// Endings of files with weights; a name with one of them is a path, whatever else it looks like.
const ENDINGS: [&str; 6] = ["safetensors", "pth", "pt", "bin", "pkl", "json"];

/// The path of what was named, which is that itself, or the folder of a repository in the hub's cache.
///
/// # Errors
/// An [`InputError`] for the name of a repository that the cache lacks. Other paths that are not there come back as they
/// are: opening them says what is wrong.
pub fn resolve(named: &Path) -> Result<PathBuf> {
    let is_file = named.extension().and_then(OsStr::to_str).is_some_and(|ending| ENDINGS.contains(&ending));
    if named.exists() || is_file {
        return Ok(named.to_owned());
    }
    let cache = hub::cache(|name| std::env::var_os(name));
    match named.to_str().zip(cache).and_then(|(id, cache)| hub::repository(&cache, id)) {
        Some(folder) if folder.join("snapshots").is_dir() => Ok(folder),
        Some(folder) => {
            let pull = format!("run `smalti weights pull {}`, or ", named.display());
            let text = format!(
                "{}: expected a file, a folder, or a repository in the hub's cache, got none of them\n  \
                 if it is a repository, {}put its model.safetensors and config.json into {}",
                named.display(),
                if cfg!(feature = "torch") { pull.as_str() } else { "" },
                folder.join("snapshots/main").display(),
            );
            bail!(InputError::new(text))
        }
        None => Ok(named.to_owned()),
    }
}
