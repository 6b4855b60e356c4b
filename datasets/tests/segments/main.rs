//! Instance and panoptic sets from files to samples, through the public interface.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests: they stop where they cannot go on"
)]

mod benchmarks;
mod cached;
mod check;
mod mixed;
mod own;
mod support;
