//! `smalti score errors`: where a result loses its points.

mod semantic;

use anyhow::Result;

use crate::cli::ScoreErrorsVerb;

/// Runs `smalti score errors ...`.
pub fn run(verb: &ScoreErrorsVerb) -> Result<()> {
    match verb {
        ScoreErrorsVerb::Semantic(args) => semantic::run(args),
    }
}
