//! The data sets that lie beside the repository on some machines.

use std::path::{Path, PathBuf};

/// A folder of the shared data, if this machine has it.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let env = std::env::var_os("SMALTI_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let found =
        [env, Some(beside)].into_iter().flatten().map(|base| base.join(folder)).find(|path| path.is_dir());
    if found.is_none() {
        println!("SKIPPED: no {folder} below $SMALTI_DATA or ../../shared/data");
    }
    found
}
