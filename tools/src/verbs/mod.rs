//! The verbs that need no tensor.

mod data_check;
mod data_prepare;
mod data_show;
mod data_stats;
mod data_synth;
mod score;
mod weights_inspect;

use anyhow::Result;
use smalti_datasets::{DataConfig, Recipe};

use crate::cli::{DataVerb, SetArgs};

pub use score::score;
pub use weights_inspect::run as weights_inspect;

/// Runs `smalti data ...`.
pub fn data(command: &DataVerb) -> Result<()> {
    match command {
        DataVerb::Synth(args) => data_synth::run(args),
        DataVerb::Check(args) => data_check::run(args),
        DataVerb::Show(args) => data_show::run(args),
        DataVerb::Stats(args) => data_stats::run(args),
        DataVerb::Prepare(verb) => data_prepare::run(verb),
    }
}

/// The `[data]` table of a recipe, checked.
fn data_config(args: &SetArgs) -> Result<DataConfig> {
    let config: DataConfig = Recipe::load(&args.config, &args.set)?.table("data")?;
    config.validate()?;
    Ok(config)
}
