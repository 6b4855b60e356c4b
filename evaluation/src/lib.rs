//! Scorers over integer counts: streaming, parallel over images, mergeable across ranks, without libtorch.
//!
//! Every metric is the same three calls: count (`add`, as often as there are images), `merge` what other threads or
//! ranks counted, `finish` once. Counts are integers and the division comes last, so neither the order of images nor
//! the way they were shared out changes a single bit of the result. Metrics are fractions in `[0, 1]`; a metric that is
//! not defined (no pixel to speak of) is `None`, `null` in JSON.

pub mod boundary;
pub mod cityscapes;
pub mod classification;
pub mod error;
pub mod instance;
pub mod panoptic;
pub mod resample;
pub mod semantic;
pub mod semantic_files;

pub use error::EvalError;
