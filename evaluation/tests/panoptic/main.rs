//! Panoptic quality: goldens of the reference code, hand-worked numbers, files.
#![allow(
    clippy::unwrap_used,
    clippy::manual_midpoint,
    clippy::print_stdout,
    reason = "helpers of tests stop where they cannot go on; means are written as on paper; skipping is said"
)]

mod data;
mod files;
mod goldens;
mod hand;
mod shares;
