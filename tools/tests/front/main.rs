//! The verbs that need no libtorch, from outside: help, exit codes, printed and written numbers, answers to bad input.

#![expect(
    clippy::unwrap_used,
    clippy::manual_midpoint,
    reason = "helpers of tests stop where they cannot go on; means are written as on paper"
)]

mod bench;
mod benchmarks;
mod data;
mod data_classes;
mod data_copies;
mod data_mix;
mod data_segments;
mod help;
mod instance;
mod malformed;
mod prepare;
mod score;
mod score_cityscapes;
mod score_errors;
mod score_panoptic;
mod support;
mod weights;
