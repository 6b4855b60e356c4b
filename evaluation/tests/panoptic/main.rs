//! Panoptic quality: goldens of the reference code, hand-worked numbers, files.
#![allow(clippy::unwrap_used)] // helpers of tests

mod files;
mod goldens;
mod hand;
mod shares;
