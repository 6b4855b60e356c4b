//! `smalti eval --benchmark`: a network by the official protocol of a benchmark.
//!
//! Images are scored one by one as they are predicted; what is printed and written is what `smalti score` says of the files of
//! `--submission`. The protocols are in `smalti_configs::Protocol`.

mod cityscapes;
mod folder;
mod mask;
mod mask_files;
mod official;
mod semantic;

use std::path::Path;

use anyhow::{Result, bail};
use smalti::cli::EvalArgs;
use smalti::output::{self, InputError};
use smalti_configs::{Protocol, ProtocolSet};
use smalti_datasets::ClassTable;

use crate::class_names::{alike, plain};
use crate::session::find_config;
use folder::Folder;

/// Scores weights by the protocol called `name`.
pub fn eval(name: &str, args: &EvalArgs) -> Result<()> {
    let protocol = Protocol::find(name)?;
    protocol.check_overrides(&args.set)?;
    let mut recipe = find_config(&args.weights, args.config.as_deref(), &args.set)?;
    let size = protocol.configure(&mut recipe)?;
    let folder = args.submission.as_deref().map(Folder::new).transpose()?;
    output::note(&format!(
        "{name}: images of {}, shorter edge {} px, longer edge at most {} px",
        protocol.images(),
        size.short_edge,
        size.max_long_edge
    ));
    let official = match protocol.set {
        ProtocolSet::Semantic(benchmark) => semantic::score(protocol, benchmark, recipe, args, folder)?,
        ProtocolSet::Segments(..) => mask::score(protocol, recipe, args, folder)?,
    };
    official.print();
    if let Some(path) = &args.json {
        output::write_json(path, &official.json)?;
    }
    if let Some(target) = &args.submission {
        output::line(&format!("submission: {}", target.display()));
    }
    Ok(())
}

/// Refuses a network of other classes; a few names that are spelt in another way are only warned of.
fn compare_classes(protocol: &Protocol, of_model: &ClassTable, weights: &Path) -> Result<()> {
    let official = protocol.classes();
    let name = |table: &ClassTable, id| {
        table.get(id).map_or("no class".to_owned(), |class| format!("{:?}", class.name))
    };
    let differs = |id: &usize| {
        let plain = |table: &ClassTable| table.get(*id).map(|class| plain(&class.name));
        plain(&official) != plain(of_model)
    };
    let mut differing = (0..official.len().max(of_model.len())).filter(differs);
    let Some(first) = differing.next() else { return Ok(()) };
    let (expected, got) = (name(&official, first), name(of_model, first));
    let names: Vec<String> = of_model.names().map(str::to_owned).collect();
    if !alike(&names, &official) {
        bail!(InputError::new(format!(
            "{}: expected a network for the {} classes of {}, got one for {}; class {first} is {got} in the network, \
             {expected} in the benchmark",
            weights.display(),
            official.len(),
            protocol.name,
            of_model.len(),
        )));
    }
    let others = match differing.count() {
        0 => String::new(),
        more => format!("; {more} other names differ too"),
    };
    output::warning(&format!("class {first} is {expected} in the benchmark, {got} in the network{others}"));
    Ok(())
}
