//! `smalti weights pull`: a repository's settings and weights, from the hub into the cache that Hugging Face's libraries share.
//!
//! The cache: `models--OWNER--NAME/` with `blobs/` (the files by their hashes), `snapshots/COMMIT/` (links to them by their
//! names), and `refs/REVISION` (the commit of a branch or tag, written last: it never names an unfinished snapshot).

mod files;
mod remote;
mod repository;
mod settings;

use anyhow::{Result, bail};
use smalti_checkpoints::parts_of_index;

use crate::cli::PullArgs;
use crate::output::{self, InputError, duration, megabytes};

use remote::{Answer, Fetched, Remote};
use repository::Repository;
use settings::Settings;

/// Runs the verb.
pub fn run(args: &PullArgs) -> Result<()> {
    let settings = Settings::new(|name| std::env::var_os(name))?;
    let repository = Repository::new(&settings, &args.repository, &args.revision)?;
    if let Some(variable) = settings.offline {
        return without_network(&repository, &format!("{variable} is set, so nothing is fetched"));
    }
    let remote = Remote::new(&settings, &repository)?;
    let (commit, listed) = match remote.list()? {
        Answer::Listing { commit, files } => (commit, files),
        Answer::Silence(reason) => return without_network(&repository, &reason),
    };
    let has = |name: &str| listed.iter().any(|file| file == name);
    let Some(weights) = files::weights(has) else {
        bail!(InputError::new(files::no_weights(&repository.id, &listed)));
    };

    let fetch = |name: &str| -> Result<()> {
        let fetched = remote.fetch(&commit, name)?;
        output::line(&format!("{name}: {}", describe(&fetched)));
        Ok(())
    };
    for name in files::SETTINGS.into_iter().filter(|name| has(name)) {
        fetch(name)?;
    }
    fetch(weights)?;
    let snapshot = repository.snapshot(&commit);
    if files::is_index(weights) {
        for part in parts_of_index(&snapshot.join(weights))? {
            if !has(&part) {
                let text = format!("{}: {weights} names {part}, which the repository has not", repository.id);
                bail!(InputError::new(text));
            }
            fetch(&part)?;
        }
    }
    repository.name_revision(&commit)?;
    output::line(&repository.what_next(&snapshot));
    Ok(())
}

fn describe(fetched: &Fetched) -> String {
    match *fetched {
        Fetched::Had => "in the cache".into(),
        Fetched::Came { bytes, kept: 0, seconds } => format!("{} in {}", megabytes(bytes), duration(seconds)),
        Fetched::Came { bytes, kept, seconds } => {
            format!(
                "{}, {} of them from an earlier pull, in {}",
                megabytes(bytes),
                megabytes(kept),
                duration(seconds)
            )
        }
    }
}

/// What the cache has is good enough; else an error that says by which hands files get there.
fn without_network(repository: &Repository, reason: &str) -> Result<()> {
    let Some(snapshot) = repository.cached().filter(|folder| files::is_complete(folder)) else {
        bail!(InputError::new(repository.by_hand(reason)));
    };
    output::warning(&format!("{}: {reason}; this is what the cache has", repository.id));
    output::line(&repository.what_next(&snapshot));
    Ok(())
}
