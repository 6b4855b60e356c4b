//! Fine-tuning: a network that starts from the weights of another with the same backbone.
//!
//! A weights file holds a classifier or a backbone alone, both at the root, or a network with heads whose backbone lies below
//! `backbone.`. The backbone's other names are the same in all three, but that dense backbones alone have norms of levels, and
//! classifiers alone a norm before their last layer. Every tensor of the network and of the file is loaded, or listed with the
//! reason why not, or part of an error: nothing is passed over in silence.
//! Checked by: `tests/transfer.rs`, and from outside by tools/tests/finetune.rs.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use smalti_checkpoints::{Checkpoint, Format};
use tch::nn::VarStore;
use tch::{Tensor, no_grad};

use crate::ClassifierEnd;
use crate::safetensors_io::{self, SafetensorsError};
use crate::weights::{WeightsMismatch, named_tensors};

pub use error::{Count, TransferError};

use error::{CLASSES, QUERIES};

/// Where the backbone of a network with heads lies.
const BACKBONE: &str = "backbone.";
/// A head that is there to help training decides nothing about what a network predicts.
const AUXILIARY: &str = "auxiliary_head";

/// What a network takes over from a weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Every parameter and buffer, of a network with the same heads.
    All,
    /// The same without the layers whose rows are classes.
    AllButClasses,
    /// The backbone, of a network with any heads or none; of two classifiers also the norm before the last layer.
    Backbone,
}

impl Part {
    /// The name in recipes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::AllButClasses => "all_but_classes",
            Self::Backbone => "backbone",
        }
    }
}

/// What is asked of a weights file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// What to take; without it [`Part::All`] of a file whose heads are the network's, else [`Part::Backbone`].
    pub part: Option<Part>,
    /// Take what fits and leave the rest as it is, instead of refusing a file of which anything does not fit.
    pub partial: bool,
}

/// What tells a network's backbone from the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Anatomy {
    /// How classifiers of the backbone's family end.
    pub end: ClassifierEnd,
    /// Layers of this network whose rows are classes, as dotted paths.
    pub class_layers: Vec<&'static str>,
    /// Rows of these layers that are no class: 1 where "no object" has one.
    pub other_rows: i64,
    /// Layers whose rows are queries, as dotted paths.
    pub query_layers: Vec<&'static str>,
}

impl Anatomy {
    /// A network without queries, which predicts classes alone.
    pub fn new(end: ClassifierEnd, class_layers: Vec<&'static str>) -> Self {
        Self { end, class_layers, other_rows: 0, query_layers: Vec::new() }
    }

    fn is_class_layer(&self, name: &str) -> bool {
        self.class_layers.iter().any(|layer| is_below(name, layer))
    }

    fn is_query_layer(&self, name: &str) -> bool {
        self.query_layers.iter().any(|layer| is_below(name, layer))
    }
}

/// What a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Backbone,
    /// The norm of a dense level.
    LevelNorm,
    /// The norm before a classifier's last layer.
    LastNorm,
    Head,
}

/// Name and sizes of a tensor, from a header or from a network.
type Shaped = (String, Vec<i64>);

/// The tensors of a network or of a file, by role and by a name that does not depend on where the backbone lies.
#[derive(Debug)]
struct Side {
    with_heads: bool,
    tensors: BTreeMap<(Role, String), Shaped>,
}

impl Side {
    fn new(tensors: Vec<Shaped>, end: ClassifierEnd) -> Self {
        let with_heads = tensors.iter().any(|(name, _)| name.starts_with(BACKBONE));
        let key = |name: &str| match name.strip_prefix(BACKBONE) {
            Some(inner) if is_level_norm(inner) => (Role::LevelNorm, inner.to_owned()),
            Some(inner) => (Role::Backbone, inner.to_owned()),
            None if with_heads => (Role::Head, name.to_owned()),
            None => (role_at_the_root(name, end), name.to_owned()),
        };
        Self { with_heads, tensors: tensors.into_iter().map(|tensor| (key(&tensor.0), tensor)).collect() }
    }

    fn has(&self, role: Role) -> bool {
        self.tensors.keys().any(|(other, _)| *other == role)
    }

    /// Where the heads lie that decide what is predicted.
    fn heads(&self) -> BTreeSet<&str> {
        let heads = self.tensors.keys().filter(|(role, _)| *role == Role::Head);
        heads.filter_map(|(_, name)| name.split('.').next()).filter(|head| *head != AUXILIARY).collect()
    }

    fn is_like(&self, other: &Self) -> bool {
        self.with_heads == other.with_heads && self.heads() == other.heads()
    }

    fn describe(&self) -> String {
        let heads: Vec<&str> = self.heads().into_iter().collect();
        match heads[..] {
            [] => "a backbone alone".to_owned(),
            _ if self.with_heads => format!("a network with {}", heads.join(", ")),
            _ => "a classifier".to_owned(),
        }
    }
}

fn role_at_the_root(name: &str, end: ClassifierEnd) -> Role {
    let last_norm = match end {
        ClassifierEnd::NormThenPool { norm, .. } | ClassifierEnd::PoolThenNorm { norm, .. } => Some(norm),
        ClassifierEnd::Pool { .. } => None,
    };
    if last_norm.is_some_and(|norm| is_below(name, norm)) {
        Role::LastNorm
    } else if is_below(name, end.head()) {
        Role::Head
    } else if is_level_norm(name) {
        Role::LevelNorm
    } else {
        Role::Backbone
    }
}

fn is_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
}

/// `norm0` to `norm3` of most families, `norms.0` to `norms.3` of DAT.
fn is_level_norm(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    first == "norms" || first.strip_prefix("norm").is_some_and(|level| level.parse::<u8>().is_ok())
}

/// Tensors that were not loaded, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Half a sentence.
    pub why: &'static str,
    /// Names, sorted.
    pub names: Vec<String>,
}

/// What a network takes over from a file, tensor by tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// The weights file.
    pub weights: PathBuf,
    /// What it holds, such as `a classifier`.
    pub holds: String,
    /// What is taken over.
    pub part: Part,
    /// The network's names and, beside each, the file's.
    pub loaded: Vec<(String, String)>,
    /// Tensors of the network that keep their initial values.
    pub initial: Vec<Skipped>,
    /// Tensors of the file that are not used.
    pub left_out: Vec<Skipped>,
}

/// How many names the text of a [`Transfer`] shows of each reason.
const SHOWN: usize = 4;

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, part) = (self.loaded.len(), self.part.name());
        write!(
            f,
            "starts from {}, {}: {count} tensors, part = \"{part}\"",
            self.weights.display(),
            self.holds
        )?;
        let of_network = self.initial.iter().map(|skipped| ("keep their initial values", skipped));
        let of_file = self.left_out.iter().map(|skipped| ("of the file are left out", skipped));
        for (what, Skipped { why, names }) in of_network.chain(of_file) {
            let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(SHOWN);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(f, "\n  {} {what} ({why}): {shown}{rest}", names.len())?;
        }
        Ok(())
    }
}

/// What [`load`] would do, told by the file's header alone.
///
/// # Errors
/// [`TransferError`] if the file can not be read or does not fit.
pub fn plan(
    store: &VarStore,
    anatomy: &Anatomy,
    path: &Path,
    request: Request,
) -> Result<Transfer, TransferError> {
    let entries = own_format(path, safetensors_io::inspect(path))?.0;
    let sizes = |shape: Vec<usize>| shape.into_iter().map(|size| size as i64).collect();
    let tensors = entries.into_iter().map(|entry| (entry.name, sizes(entry.shape))).collect();
    pair(store, anatomy, path, request, tensors)
}

/// Copies tensors of a weights file into the network, as [`plan`] says; all or nothing. Dtypes are converted to the network's.
///
/// # Errors
/// As [`plan`]; the network is unchanged then.
pub fn load(
    store: &VarStore,
    anatomy: &Anatomy,
    path: &Path,
    request: Request,
) -> Result<Transfer, TransferError> {
    let tensors = own_format(path, safetensors_io::read(path))?.tensors;
    let shaped = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
    let transfer = pair(store, anatomy, path, request, shaped)?;
    let theirs: BTreeMap<String, Tensor> = tensors.into_iter().collect();
    let sources: BTreeMap<&str, &str> =
        transfer.loaded.iter().map(|(name, source)| (name.as_str(), source.as_str())).collect();
    no_grad(|| {
        for (name, mut tensor) in named_tensors(store) {
            if let Some(source) = sources.get(name.as_str()) {
                tensor.copy_(&theirs[*source]);
            }
        }
    });
    Ok(transfer)
}

/// What was read of the file; of a folder or a checkpoint in another format an error that says so.
fn own_format<T>(path: &Path, read: Result<T, SafetensorsError>) -> Result<T, TransferError> {
    let error = match read {
        Ok(content) => return Ok(content),
        Err(error) => error,
    };
    let foreign = |got: &str| TransferError::Foreign { path: path.to_path_buf(), got: got.to_owned() };
    if path.is_dir() {
        return Err(foreign("a folder"));
    }
    match Checkpoint::open(path) {
        Ok(checkpoint) if checkpoint.format() != Format::Safetensors => {
            Err(foreign(checkpoint.format().name()))
        }
        _ => Err(error.into()),
    }
}

/// Why a tensor of one side is not to be loaded, if it is not. Asked of network and file alike: what one can not use, the other
/// can not give.
fn why_skipped(
    anatomy: &Anatomy,
    part: Part,
    (role, name): &(Role, String),
    other: &Side,
) -> Option<&'static str> {
    match (part, role) {
        (Part::Backbone, Role::Head) => Some("no part of the backbone"),
        (Part::Backbone, Role::LevelNorm) if !other.has(Role::LevelNorm) => {
            Some("only dense backbones have norms of levels")
        }
        (Part::Backbone, Role::LastNorm) if !other.has(Role::LastNorm) => {
            Some("only classifiers have a norm before the last layer")
        }
        (Part::AllButClasses, _) if anatomy.is_class_layer(name) => Some("their rows are classes"),
        _ => None,
    }
}

/// Why tensors of a network stay as they are when only what fits is asked for, and why those of the file are not used.
const NOT_THERE: &str = "not in the file";
const OTHER_SIZE: &str = "of another size in the file";
const NOT_HERE: &str = "not in the network";
const OTHER_SIZE_HERE: &str = "of another size in the network";

/// Names by the reason why they are not loaded.
type Groups = BTreeMap<&'static str, Vec<String>>;

/// Pairs the network's tensors with the file's.
fn pair(
    store: &VarStore,
    anatomy: &Anatomy,
    path: &Path,
    Request { part, partial }: Request,
    theirs: Vec<Shaped>,
) -> Result<Transfer, TransferError> {
    let shaped = |(name, tensor): (String, Tensor)| (name, tensor.size());
    let own = Side::new(named_tensors(store).into_iter().map(shaped).collect(), anatomy.end);
    let theirs = Side::new(theirs, anatomy.end);
    let alike = own.is_like(&theirs);
    let part = part.unwrap_or(if alike { Part::All } else { Part::Backbone });
    let path = path.to_path_buf();
    if part != Part::Backbone && !alike {
        let (expected, got) = (own.describe(), theirs.describe());
        return Err(TransferError::OtherHeads { path, part, expected, got });
    }

    let (mut loaded, mut mismatch) = (Vec::new(), WeightsMismatch::default());
    let (mut initial, mut left_out) = (Groups::new(), Groups::new());
    for (key, (name, shape)) in &own.tensors {
        match (why_skipped(anatomy, part, key, &theirs), theirs.tensors.get(key)) {
            (Some(why), _) => initial.entry(why).or_default().push(name.clone()),
            (None, None) if partial => initial.entry(NOT_THERE).or_default().push(name.clone()),
            (None, None) => mismatch.missing.push(name.clone()),
            (None, Some((_, other))) if other != shape && partial => {
                initial.entry(OTHER_SIZE).or_default().push(name.clone());
            }
            (None, Some((_, other))) if other != shape => {
                mismatch.shapes.push((name.clone(), shape.clone(), other.clone()));
            }
            (None, Some((source, _))) => loaded.push((name.clone(), source.clone())),
        }
    }
    for (key, (name, shape)) in &theirs.tensors {
        match (why_skipped(anatomy, part, key, &own), own.tensors.get(key)) {
            (Some(why), _) => left_out.entry(why).or_default().push(name.clone()),
            (None, None) if partial => left_out.entry(NOT_HERE).or_default().push(name.clone()),
            (None, None) => mismatch.surplus.push(name.clone()),
            (None, Some((_, other))) if other != shape && partial => {
                left_out.entry(OTHER_SIZE_HERE).or_default().push(name.clone());
            }
            (None, Some(_)) => {}
        }
    }
    if partial && loaded.is_empty() {
        let names = |tensors: &BTreeMap<_, Shaped>| tensors.values().map(|(name, _)| name.clone()).collect();
        (mismatch.missing, mismatch.surplus) = (names(&own.tensors), names(&theirs.tensors));
    }
    if !mismatch.is_empty() {
        return Err(misfit(anatomy, path, mismatch));
    }
    let skipped = |groups: Groups| groups.into_iter().map(|(why, names)| Skipped { why, names }).collect();
    Ok(Transfer {
        weights: path,
        holds: theirs.describe(),
        part,
        loaded,
        initial: skipped(initial),
        left_out: skipped(left_out),
    })
}

/// A mismatch; its own error where nothing but the numbers of classes and of queries differ.
fn misfit(anatomy: &Anatomy, path: PathBuf, mismatch: WeightsMismatch) -> TransferError {
    let rows_alone = |(name, model, file): &(String, Vec<i64>, Vec<i64>)| {
        (anatomy.is_class_layer(name) || anatomy.is_query_layer(name)) && model.get(1..) == file.get(1..)
    };
    let counts_alone =
        mismatch.missing.is_empty() && mismatch.surplus.is_empty() && mismatch.shapes.iter().all(rows_alone);
    let first = |layers: &[&'static str], of: &'static str, other_rows: i64| {
        layers.iter().find_map(|layer| {
            let (_, model, file) = mismatch.shapes.iter().find(|(name, ..)| is_below(name, layer))?;
            let (expected, got) = (model.first()? - other_rows, file.first()? - other_rows);
            Some(Count { layer, of, expected, got })
        })
    };
    let counts: Vec<Count> =
        [first(&anatomy.class_layers, CLASSES, anatomy.other_rows), first(&anatomy.query_layers, QUERIES, 0)]
            .into_iter()
            .flatten()
            .collect();
    if counts_alone && !counts.is_empty() {
        TransferError::Counts { path, counts }
    } else {
        TransferError::Misfit { path, mismatch }
    }
}

#[cfg(test)]
mod tests {
    use smalti_ops::without_data::WithoutData;
    use tch::Device;

    use super::*;
    use crate::{Purpose, catalog};

    /// What tells the norms of levels is their names; here it is asked of the networks.
    #[test]
    fn level_norms_are_what_dense_backbones_have_more() {
        let _mode = WithoutData::enter().unwrap();
        for variant in catalog::variants() {
            let names = |purpose| {
                let store = VarStore::new(Device::Cpu);
                variant.config.build(&store.root(), purpose).unwrap();
                store.variables().into_keys().collect::<BTreeSet<String>>()
            };
            let (dense, trunk) = (names(Purpose::Dense), names(Purpose::Classify));
            assert!(trunk.is_subset(&dense), "{}", variant.name);
            for name in &dense {
                assert_eq!(is_level_norm(name), !trunk.contains(name), "{}: {name}", variant.name);
            }
        }
    }
}
