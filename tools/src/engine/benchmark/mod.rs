//! `smalti eval --benchmark`: a network by the official protocol of a benchmark.
//!
//! Images are scored one by one as they are predicted; what is printed and written is what `smalti score` says of the files of
//! `--submission`. The protocols are in `smalti_configs::Protocol`.

mod cityscapes;
mod folder;
mod json_files;
mod mask;
mod mask_files;
mod official;
mod semantic;
mod submission;

use anyhow::{Error, Result, anyhow, bail};
use smalti::cli::EvalArgs;
use smalti::output::{self, InputError};
use smalti_configs::{Protocol, ProtocolSet, TestSize};
use smalti_datasets::{ClassTable, Shard};
use smalti_training::Counts;

use crate::class_names::{alike, plain};
use crate::eval::parts::{self, Evaluated};
use crate::session::find_config;
use json_files::Listing;
use submission::{Submission, gather};

/// Scores weights by the protocol called `name`.
pub fn eval(name: &str, args: &EvalArgs) -> Result<()> {
    let protocol = Protocol::find(name)?;
    protocol.check_overrides(&args.set)?;
    let mut recipe = find_config(&args.weights, args.config.as_deref(), &args.set)?;
    let size = protocol.configure(&mut recipe)?;
    args.submission.as_deref().map_or(Ok(()), |folder| output::expect_empty(folder, "the submission"))?;
    let call = Call { protocol, size, args };
    let official = match protocol.set {
        ProtocolSet::Semantic(benchmark) => semantic::score(&call, benchmark, recipe)?,
        ProtocolSet::Segments(..) => mask::score(&call, recipe)?,
    };
    let Some(official) = official else { return Ok(()) };
    official.print();
    if let Some(path) = &args.json {
        output::write_json(path, &official.json)?;
    }
    if let Some(target) = &args.submission {
        output::line(&format!("submission: {}", target.display()));
    }
    Ok(())
}

fn stopped() -> Error {
    anyhow!("the evaluation was stopped")
}

/// What is to be evaluated, and what comes of it.
struct Call<'a> {
    protocol: &'static Protocol,
    size: TestSize,
    args: &'a EvalArgs,
}

impl Call<'_> {
    /// Counts the images, or those of a shard, and writes what a submission has of them: `count` is given the shard and where
    /// predictions go. Or adds parts up, and puts their pieces of a submission together. None for a shard, as `parts::counted`.
    fn counted<C: Counts>(
        &self,
        listing: Option<&Listing>,
        evaluated: impl FnOnce() -> Result<Evaluated>,
        empty: impl FnOnce() -> Result<C>,
        count: impl FnOnce(Shard, Option<&mut Submission>) -> Result<C>,
    ) -> Result<Option<C>> {
        let evaluated = || Ok(evaluated()?.by_protocol(self.protocol.name));
        let target = self.args.submission.as_deref();
        let counted = parts::counted(self.args, evaluated, empty, |share| {
            let mut submission = match (target, share.parts) {
                (None, _) => None,
                (Some(target), None) => Some(Submission::whole(target, listing)?),
                (Some(_), Some(parts)) => Some(Submission::piece(parts, share.shard)?),
            };
            self.announce();
            let counts = count(share.shard, submission.as_mut())?;
            submission.map_or(Ok(()), Submission::finish)?;
            Ok(counts)
        })?;
        let Some(counted) = counted else { return Ok(None) };
        if let (Some(target), Some(parts)) = (target, &counted.parts) {
            gather(parts, listing, target)?;
        }
        Ok(Some(counted.counts))
    }

    /// Says what is evaluated.
    fn announce(&self) {
        output::note(&format!(
            "{}: images of {}, shorter edge {} px, longer edge at most {} px",
            self.protocol.name,
            self.protocol.images(),
            self.size.short_edge,
            self.size.max_long_edge
        ));
    }

    /// Refuses a network of other classes; a few names that are spelt in another way are only warned of.
    fn compare_classes(&self, of_model: &ClassTable) -> Result<()> {
        let official = self.protocol.classes();
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
                self.args.weights.display(),
                official.len(),
                self.protocol.name,
                of_model.len(),
            )));
        }
        let others = match differing.count() {
            0 => String::new(),
            more => format!("; {more} other names differ too"),
        };
        output::warning(&format!(
            "class {first} is {expected} in the benchmark, {got} in the network{others}"
        ));
        Ok(())
    }
}
