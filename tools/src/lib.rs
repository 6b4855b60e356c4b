//! The torch-free half of the `smalti` command: arguments, printing, pictures, reports, and the verbs that need no tensor.
//!
//! Two binaries share it: `smalti`, which never loads libtorch, and `smalti-torch` (feature `torch`), which `smalti` starts
//! for the verbs that train or run a network. See docs/decisions/0002.

pub mod cli;
pub mod draw;
pub mod free_memory;
pub mod output;
pub mod process;
pub mod report;
pub mod verbs;
