//! `smalti config show|check`: a recipe with every default written out, or a word on what is wrong with it.

use anyhow::Result;
use smalti::cli::ConfigVerb;
use smalti::output;
use smalti_configs::AnyRun;

/// Runs the verb.
pub fn run(command: &ConfigVerb) -> Result<()> {
    match command {
        ConfigVerb::Show(args) => output::text_out(&AnyRun::load(&args.file, &args.set)?.to_toml()),
        ConfigVerb::Check(args) => {
            AnyRun::load(&args.file, &args.set)?;
            output::line(&format!("{}: a valid recipe", args.file.display()));
        }
    }
    Ok(())
}
