//! `smalti score errors`: where a result loses its points.

mod instance;
mod panoptic;
mod semantic;

use anyhow::Result;

use crate::cli::ScoreErrorsVerb;

/// Runs `smalti score errors ...`.
pub fn run(verb: &ScoreErrorsVerb) -> Result<()> {
    match verb {
        ScoreErrorsVerb::Instance(args) => instance::run(args),
        ScoreErrorsVerb::Panoptic(args) => panoptic::run(args),
        ScoreErrorsVerb::Semantic(args) => semantic::run(args),
    }
}
