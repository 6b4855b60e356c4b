//! A run that is stopped anywhere and resumed must end as the run that never stopped: same weights to the bit, same losses
//! and scores in the log. Also: what a run does with a loss that is not finite, and with a damaged checkpoint.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod classification;
mod mask;
mod semantic;
mod semantic_mask;
mod support;
