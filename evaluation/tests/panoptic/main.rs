//! Panoptic quality: goldens of the reference code, hand-worked numbers, files.
#![allow(clippy::unwrap_used, clippy::manual_midpoint)] // helpers of tests; means are written as on paper

mod data;
mod files;
mod goldens;
mod hand;
mod shares;
