//! The verbs that need no tensor.

mod bench_loader;
mod data_check;
mod data_prepare;
mod data_show;
mod data_stats;
mod data_synth;
mod score;
mod weights_inspect;
#[cfg(feature = "torch")]
mod weights_pull;
mod weights_source;

use anyhow::{Result, bail};
use smalti_datasets::{DataConfig, ImageDataConfig, Recipe};

use crate::cli::{DataVerb, SetArgs};
use crate::output::InputError;

pub use bench_loader::run as bench_loader;
pub use score::score;
pub use weights_inspect::run as weights_inspect;
#[cfg(feature = "torch")]
pub use weights_pull::run as weights_pull;
pub use weights_source::resolve as weights_source;

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

/// The `[data]` table of a recipe, by the recipe's task; checked.
enum DataTable {
    Semantic(DataConfig),
    Classification(ImageDataConfig),
}

fn data_table(args: &SetArgs) -> Result<DataTable> {
    let recipe = Recipe::load(&args.config, &args.set)?;
    if recipe.value().get("task").and_then(|task| task.as_str()) == Some("classification") {
        let config: ImageDataConfig = recipe.table("data")?;
        config.validate()?;
        return Ok(DataTable::Classification(config));
    }
    let config: DataConfig = recipe.table("data")?;
    config.validate()?;
    Ok(DataTable::Semantic(config))
}

/// The `[data]` table of a recipe of segmentation, checked; `verb` is what needs label maps.
fn data_config(args: &SetArgs, verb: &str) -> Result<DataConfig> {
    match data_table(args)? {
        DataTable::Semantic(config) => Ok(config),
        DataTable::Classification(_) => bail!(InputError::new(format!(
            "{}: `{verb}` looks at label maps, and the recipe's task is classification; `data check` reads its images",
            args.config.display()
        ))),
    }
}
