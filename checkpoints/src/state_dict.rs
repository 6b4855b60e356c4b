//! Which of a file's tensors are the weights: the wrappers that trainers put around a state dict.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::dtype::SUPPORTED;
use crate::error::{CheckpointError, Fault, shown};
use crate::tensor::LazyTensor;
use crate::value::{Dict, Value};

/// A dict with tensors in it that could be a model's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// Keys from the root, joined by dots; empty for the file itself.
    pub name: String,
    /// Tensors directly in it.
    pub tensors: usize,
}

/// The weights of a checkpoint under a model's own names.
#[derive(Debug)]
pub struct StateDict<'a> {
    /// Where they stand: keys from the root, joined by dots; empty for the file itself.
    pub wrapper: String,
    /// What was taken off the front of all names: `module.` of data parallel training, `_orig_mod.` of compiled models.
    pub prefix: String,
    /// Names and tensors in the order of the file.
    pub tensors: Vec<(String, &'a LazyTensor)>,
    /// Entries that are no tensors, with what they are.
    pub others: Vec<(String, String)>,
    /// `_metadata` of torch, `__metadata__` of safetensors.
    pub attributes: Option<&'a Value>,
}

/// Wrappers of the weights, by preference. Averaged weights come last: they are taken by name only.
const USUAL: [&str; 9] = [
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "module",
    "net",
    "network",
    "weights",
    "params",
];

/// Prefixes that training adds to all names.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

impl Checkpoint {
    /// All dicts of the file that hold tensors directly, in the order of the file.
    pub fn wrappers(&self) -> Vec<Wrapper> {
        let wrapper = |(path, dict): &Found<'_>| Wrapper { name: path.join("."), tensors: direct(dict) };
        self.found().iter().map(wrapper).collect()
    }

    fn found(&self) -> Vec<Found<'_>> {
        let mut found = Vec::new();
        collect(self.tree(), &mut Vec::new(), &mut found);
        found
    }

    /// The weights: those under `wrapper` (a name of [`wrappers`](Self::wrappers)), else the file itself if tensors stand
    /// at its root, else what stands under one of the usual names.
    ///
    /// # Errors
    /// No tensors there, several sets to choose from, or a tensor of an element type that is not read.
    pub fn state_dict(&self, wrapper: Option<&str>) -> Result<StateDict<'_>, CheckpointError> {
        self.choose(wrapper).map_err(|fault| fault.in_file(self.path()))
    }

    fn choose(&self, wrapper: Option<&str>) -> Result<StateDict<'_>, Fault> {
        let found = self.found();
        let chosen = match wrapper {
            Some(name) => found.iter().find(|(path, _)| path.join(".") == name).cloned(),
            None => usual(self.tree()).or_else(|| only(found.iter().cloned())),
        };
        let Some((path, dict)) = chosen else {
            let names: Vec<_> = found.iter().take(12).map(|(path, _)| shown(&path.join("."))).collect();
            let expected = match wrapper {
                Some(name) => format!("tensors under `{}`", shown(name)),
                None => format!("tensors at the root or under {}", USUAL.join(", ")),
            };
            return Err(if names.is_empty() {
                let help = "is it the right file? `smalti weights inspect --all` shows what it holds";
                Fault::choice("file", expected, format!("no tensors, but {}", self.tree().kind()), help)
            } else {
                let got = format!("tensors under {}", names.join(", "));
                Fault::choice("file", expected, got, "name one of them as the wrapper")
            });
        };
        self.collected(&path, dict)
    }

    fn collected<'a>(&'a self, path: &[Arc<str>], dict: &'a Dict) -> Result<StateDict<'a>, Fault> {
        let (mut tensors, mut others) = (Vec::new(), Vec::new());
        for (name, value) in dict.texts() {
            match value {
                Value::Tensor(number) => tensors.push((name.to_string(), self.tensors()[*number].tensor())),
                Value::Foreign { dtype, .. } => {
                    let help = "convert it where it was made, or leave it out";
                    let got = shown(dtype);
                    return Err(Fault::unsupported(
                        format!("tensor `{}`", shown(name)),
                        SUPPORTED,
                        got,
                        help,
                    ));
                }
                other => others.push((name.to_string(), other.kind())),
            }
        }
        let mut prefix = String::new();
        while !tensors.is_empty()
            && let Some(more) =
                PREFIXES.iter().find(|p| tensors.iter().all(|(name, _)| name.starts_with(**p)))
        {
            for (name, _) in &mut tensors {
                name.drain(..more.len());
            }
            prefix.push_str(more);
        }
        let attributes = dict.attributes.as_deref();
        Ok(StateDict { wrapper: path.join("."), prefix, tensors, others, attributes })
    }
}

type Found<'a> = (Vec<Arc<str>>, &'a Dict);

/// The dict that the usual names lead to. A stray tensor beside a wrapper, such as a score, does not hide it.
fn usual(tree: &Value) -> Option<Found<'_>> {
    let (mut path, mut dict) = (Vec::new(), tree.as_dict()?);
    loop {
        let holding = || dict.texts().filter_map(|(key, value)| Some((key, holding(value)?)));
        let named = USUAL.iter().find_map(|name| holding().find(|(key, _)| &***key == *name));
        let next = match named {
            Some(next) => next,
            None if direct(dict) > 0 => return Some((path, dict)),
            None => only(holding())?,
        };
        path.push(Arc::clone(next.0));
        dict = next.1;
    }
}

/// The dict, if it has tensors in it or below.
fn holding(value: &Value) -> Option<&Dict> {
    let dict = value.as_dict()?;
    (direct(dict) > 0 || dict.texts().any(|(_, value)| holding(value).is_some())).then_some(dict)
}

/// The item, if there is one and no other.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

/// Tensors directly in a dict, those of foreign element types too.
fn direct(dict: &Dict) -> usize {
    dict.texts().filter(|(_, value)| matches!(value, Value::Tensor(_) | Value::Foreign { .. })).count()
}

/// All dicts with tensors directly in them.
fn collect<'a>(value: &'a Value, path: &mut Vec<Arc<str>>, found: &mut Vec<Found<'a>>) {
    let mut below = |segment: Arc<str>, value: &'a Value| {
        path.push(segment);
        collect(value, path, found);
        path.pop();
    };
    match value {
        Value::List(items) | Value::Tuple(items) => {
            items.iter().enumerate().for_each(|(i, item)| below(i.to_string().into(), item));
        }
        Value::Dict(dict) => {
            for (key, value) in &dict.entries {
                match key {
                    Value::Text(text) => below(Arc::clone(text), value),
                    Value::Int(number) => below(number.to_string().into(), value),
                    _ => {}
                }
            }
            if direct(dict) > 0 {
                found.push((path.clone(), dict));
            }
        }
        _ => {}
    }
}
