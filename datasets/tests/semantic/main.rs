//! Semantic sets from files to batches, through the public interface.

mod camvid;
mod check;
mod decode;
mod folder;
mod loader;
mod support;
