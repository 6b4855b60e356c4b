//! Evaluations that several processes share: `eval --shard K/N --parts DIR` counts a shard and leaves a part, a later
//! `eval --parts DIR` adds the parts up. The sum has the scores of one process that counts everything, to the bit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smalti::cli::EvalArgs;
use smalti::output::{self, InputError};
use smalti_datasets::Shard;
use smalti_training::Counts;

/// What parts of one evaluation have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// Version of Smalti.
    smalti: String,
    /// Hash of the weights file.
    weights: String,
    /// Hash of the recipe with every default and `--set`.
    recipe: String,
    /// Hash of the names of all images and classes.
    set: String,
    /// Images of the whole set.
    images: usize,
    /// The official protocol, if by one.
    protocol: Option<String>,
}

impl Evaluated {
    /// Weights by a recipe on images of classes, given by their names.
    pub fn new(
        weights: &Path,
        recipe: &str,
        images: impl ExactSizeIterator<Item = String>,
        classes: impl Iterator<Item = String>,
    ) -> Result<Self> {
        let reading = || format!("{}: reading failed", weights.display());
        let of_weights = blake3::Hasher::new()
            .update_reader(File::open(weights).with_context(reading)?)
            .with_context(reading)?
            .finalize();
        let count = images.len();
        let mut of_set = blake3::Hasher::new();
        for name in images.chain(classes) {
            of_set.update(name.as_bytes()).update(b"\n");
        }
        Ok(Self {
            smalti: env!("CARGO_PKG_VERSION").to_owned(),
            weights: of_weights.to_hex().to_string(),
            recipe: blake3::hash(recipe.as_bytes()).to_hex().to_string(),
            set: of_set.finalize().to_hex().to_string(),
            images: count,
            protocol: None,
        })
    }

    /// The same by an official protocol.
    pub fn by_protocol(self, name: &str) -> Self {
        Self { protocol: Some(name.to_owned()), ..self }
    }

    /// What another evaluation has that this one has not.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            (self.smalti == other.smalti, "version of smalti"),
            (self.protocol == other.protocol, "--benchmark"),
            (self.weights == other.weights, "weights"),
            (self.set == other.set && self.images == other.images, "validation set"),
            (self.recipe == other.recipe, "recipe or --set"),
        ]
        .into_iter()
        .find_map(|(same, what)| (!same).then_some(what))
    }
}

/// Whose part something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    shard: usize,
    shards: usize,
    evaluated: Evaluated,
}

/// A part as a file. `counts` are those of the task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartFile<C> {
    origin: Origin,
    counts: C,
}

/// All parts of an evaluation, in a folder.
#[derive(Debug)]
pub struct Parts<'a> {
    folder: &'a Path,
    shards: usize,
    evaluated: Evaluated,
}

impl Parts<'_> {
    /// Everyone who has a part.
    pub fn shards(&self) -> impl Iterator<Item = Shard> {
        (0..self.shards).filter_map(|index| Shard::new(index, self.shards))
    }

    /// Images of the whole set.
    pub fn images(&self) -> usize {
        self.evaluated.images
    }

    /// Where a shard leaves what is more than counts: a folder beside its part.
    pub fn beside(&self, shard: Shard) -> PathBuf {
        self.folder.join(stem(shard))
    }

    /// What says in that folder whose it is.
    pub fn origin(&self, shard: Shard) -> Origin {
        Origin { shard: shard.index(), shards: shard.count(), evaluated: self.evaluated.clone() }
    }
}

/// What a process counts.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    pub shard: Shard,
    /// The parts among which its own will be; none if it counts everything.
    pub parts: Option<&'a Parts<'a>>,
}

/// The counts of a whole validation set.
#[derive(Debug)]
pub struct Counted<'a, C> {
    pub counts: C,
    /// What they are the sum of; none if this process has counted everything.
    pub parts: Option<Parts<'a>>,
}

/// What a call of `eval` is to count.
#[derive(Debug, PartialEq, Eq)]
enum Role<'a> {
    Everything,
    /// This much, into a part in the folder.
    Shard(Shard, &'a Path),
    /// Nothing: the parts in the folder are added up.
    Sum(&'a Path),
}

/// The counts of the whole validation set: those that `count` makes, or the sum of parts. `None` for a shard, whose counts are
/// in a part then. `evaluated` and `empty` are asked for with parts only.
pub fn counted<C: Counts>(
    args: &EvalArgs,
    evaluated: impl FnOnce() -> Result<Evaluated>,
    empty: impl FnOnce() -> Result<C>,
    count: impl FnOnce(Share<'_>) -> Result<C>,
) -> Result<Option<Counted<'_, C>>> {
    match role(args, |name| std::env::var(name).ok())? {
        Role::Everything => {
            let counts = count(Share { shard: Shard::WHOLE, parts: None })?;
            Ok(Some(Counted { counts, parts: None }))
        }
        Role::Shard(shard, folder) => {
            output::create_dir(folder)?;
            let parts = Parts { folder, shards: shard.count(), evaluated: evaluated()? };
            let counts = count(Share { shard, parts: Some(&parts) })?.part();
            let file = write(&parts, shard, counts)?;
            output::line(&format!(
                "shard {shard}: {}; `smalti eval --parts {}` adds all {} up",
                file.display(),
                folder.display(),
                shard.count()
            ));
            Ok(None)
        }
        Role::Sum(folder) => {
            let (counts, parts) = sum(folder, evaluated()?, empty()?)?;
            Ok(Some(Counted { counts, parts: Some(parts) }))
        }
    }
}

/// A launcher says by `RANK` and `WORLD_SIZE` which of its processes this is.
fn role(args: &EvalArgs, env: impl Fn(&str) -> Option<String>) -> Result<Role<'_>> {
    let Some(folder) = args.parts.as_deref() else { return Ok(Role::Everything) };
    let shard = match args.shard {
        Some(shard) => Some(shard),
        None => launched([env("RANK"), env("WORLD_SIZE")])?,
    };
    match shard {
        Some(shard) if args.pictures.is_some() => bail!(InputError::new(format!(
            "`--pictures`: a shard, here {shard}, counts and draws nothing; the call without one, which adds the parts up, draws"
        ))),
        Some(shard) if args.json.is_some() => bail!(InputError::new(format!(
            "`--json`: a shard, here {shard}, has no scores; the call without one, which adds the parts up, writes them"
        ))),
        Some(shard) => Ok(Role::Shard(shard, folder)),
        None => Ok(Role::Sum(folder)),
    }
}

fn launched(env: [Option<String>; 2]) -> Result<Option<Shard>> {
    let [rank, size] = match env {
        [None, None] => return Ok(None),
        env => env.map(|value| value.unwrap_or_else(|| "nothing".to_owned())),
    };
    let shard = || Shard::new(rank.parse().ok()?, size.parse().ok()?);
    match shard() {
        Some(shard) => Ok(Some(shard)),
        None => bail!(InputError::new(format!(
            "expected the environment to have both RANK and WORLD_SIZE, RANK from 0 to WORLD_SIZE - 1, got RANK={rank} and \
             WORLD_SIZE={size}; `--shard K/N` overrules them"
        ))),
    }
}

/// Name of a part without its ending.
fn stem(shard: Shard) -> String {
    format!("part-{}-of-{}", shard.index(), shard.count())
}

fn write<C: Serialize>(parts: &Parts<'_>, shard: Shard, counts: C) -> Result<PathBuf> {
    let path = parts.folder.join(format!("{}.json", stem(shard)));
    let part = PartFile { origin: parts.origin(shard), counts };
    output::write_atomic(&path, &serde_json::to_vec(&part).context("the counts do not fit into JSON")?)?;
    Ok(path)
}

/// The sum of all parts of an evaluation in a folder.
fn sum<C: Counts>(folder: &Path, expected: Evaluated, mut counts: C) -> Result<(C, Parts<'_>)> {
    let mut found: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let mut of: Option<(usize, PathBuf)> = None;
    for path in files(folder)? {
        let wrong = |text: String| InputError::new(format!("{}: {text}", path.display()));
        let unreadable = || wrong("expected a part of an evaluation, as `eval --shard` writes it".into());
        let bytes = fs::read(&path).with_context(|| format!("{}: reading failed", path.display()))?;
        let PartFile { origin: Origin { shard, shards, evaluated }, counts: part } =
            serde_json::from_slice::<PartFile<&RawValue>>(&bytes).with_context(unreadable)?;
        if let Some(what) = expected.difference(&evaluated) {
            bail!(wrong(format!("a part of another evaluation, with another {what} than this call has")));
        }
        let (first_shards, first) = of.get_or_insert_with(|| (shards, path.clone()));
        if *first_shards != shards {
            bail!(wrong(format!(
                "expected one of {first_shards} parts as {}, got one of {shards}",
                first.display()
            )));
        }
        if shard >= shards {
            bail!(wrong(format!("expected a shard from 0 to {}, got {shard}", shards.saturating_sub(1))));
        }
        if let Some(other) = found.get(&shard) {
            bail!(wrong(format!("shard {shard}/{shards}, which is in {} already", other.display())));
        }
        let part = serde_json::from_str(part.get()).with_context(unreadable)?;
        counts.add_part(part).map_err(|error| wrong(error.to_string()))?;
        found.insert(shard, path.clone());
    }
    let shards = of.map_or(0, |(shards, _)| shards);
    let missing: Vec<String> = (0..shards)
        .filter(|shard| !found.contains_key(shard))
        .map(|shard| format!("{shard}/{shards}"))
        .collect();
    if !missing.is_empty() {
        let text = format!(
            "expected the parts of {shards} shards, got {}; missing: {}",
            found.len(),
            missing.join(", ")
        );
        bail!(InputError::new(format!("{}: {text}", folder.display())));
    }
    Ok((counts, Parts { folder, shards, evaluated: expected }))
}

/// The JSON files of a folder by name; at least one.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("{}: listing the folder failed", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        bail!(InputError::new(format!(
            "{}: expected parts of an evaluation, as `eval --shard K/N --parts` writes them, got no JSON file",
            folder.display()
        )));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> EvalArgs {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: EvalArgs,
        }
        Line::try_parse_from([&["eval", "--weights", "w"], words].concat()).unwrap().args
    }

    fn role_of<'a>(args: &'a EvalArgs, env: [Option<&str>; 2]) -> Result<Role<'a>, String> {
        let value = |name: &str| env[usize::from(name == "WORLD_SIZE")].map(str::to_owned);
        role(args, value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_stands_for_the_shard() {
        let (rank, none) = ([Some("1"), Some("4")], [None, None]);
        assert_eq!(role_of(&args(&[]), rank), Ok(Role::Everything));
        let parts = args(&["--parts", "p"]);
        assert_eq!(role_of(&parts, none), Ok(Role::Sum(Path::new("p"))));
        assert_eq!(role_of(&parts, rank), Ok(Role::Shard("1/4".parse().unwrap(), Path::new("p"))));
        let named = args(&["--parts", "p", "--shard", "2/3"]);
        assert_eq!(role_of(&named, rank), Ok(Role::Shard("2/3".parse().unwrap(), Path::new("p"))));
        for env in [[Some("4"), Some("4")], [Some("0"), None], [None, Some("2")], [Some("x"), Some("2")]] {
            assert!(role_of(&parts, env).unwrap_err().contains("RANK="), "{env:?}");
        }
    }

    #[test]
    fn a_shard_has_no_scores() {
        let named = args(&["--parts", "p", "--shard", "0/2", "--json", "x"]);
        assert!(role_of(&named, [None, None]).unwrap_err().contains("a shard, here 0/2"));
        let drawn = args(&["--parts", "p", "--shard", "0/2", "--pictures", "x"]);
        assert!(role_of(&drawn, [None, None]).unwrap_err().contains("`--pictures`: a shard, here 0/2"));
        let launched = args(&["--parts", "p", "--json", "x"]);
        assert!(role_of(&launched, [Some("1"), Some("2")]).unwrap_err().contains("a shard, here 1/2"));
        assert!(role_of(&launched, [None, None]).is_ok());
    }
}
