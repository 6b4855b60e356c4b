//! Where the CUDA runtime is that a libtorch with CUDA loads: shared by both build scripts.

use std::path::{Path, PathBuf};

/// The library that kernels and launchers call, the one of libtorch's own CUDA release.
pub const LIBRARY: &str = "libcudart.so.13";

/// Its folder, as the wheels lay it out or beside libtorch.
pub fn folder(libtorch_lib: &Path) -> Option<PathBuf> {
    let candidates = [libtorch_lib.join("../../nvidia/cu13/lib"), libtorch_lib.to_path_buf()];
    let found = candidates.into_iter().find(|folder| folder.join(LIBRARY).exists())?;
    Some(found.canonicalize().unwrap_or(found))
}
