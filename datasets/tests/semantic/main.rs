//! Semantic sets from files to batches, through the public interface.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::unnecessary_debug_formatting,
    reason = "helpers of tests: they stop where they cannot go on; TOML wants quoted paths"
)]

mod benchmarks;
mod camvid;
mod check;
mod decode;
mod folder;
mod loader;
mod mixed;
mod support;
