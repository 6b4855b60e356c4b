//! `smalti bench`: times of this build on this machine.

mod measure;
mod ops;

use anyhow::Result;
use smalti::cli::BenchVerb;

/// Runs the verb.
pub fn run(verb: &BenchVerb) -> Result<()> {
    match verb {
        BenchVerb::Ops(args) => ops::run(args),
    }
}
