//! Rules at work: a file's tensors as ours, ours as another code base's.

use std::collections::BTreeMap;

use super::detect::detect;
use super::dropped::{BESIDE, COUNTERS, Dropped};
use super::pattern::{Captures, captures, render};
use super::rule::{Op, Rule};
use super::tables::HEADS_HF;
use super::{Content, Kind, Layout, Origin, mask2former};
use crate::error::{Fault, shown};
use crate::tensor::LazyTensor;

/// What stands before the backbone's names, ours and most others', where heads stand beside it.
const BACKBONE: &str = "backbone.";
/// And in Hugging Face's Mask2Former.
const BACKBONE_OF_MASK_HF: &str = "model.pixel_level_module.encoder.";
const DECODE_HEAD: &str = "decode_head.";
const AUXILIARY_HEAD: &str = "auxiliary_head.";
/// What mmsegmentation's Semantic FPN has where UperNet has its pools and laterals.
const SEMANTIC_FPN: &str = "decode_head.scale_heads.";

/// Tensors of one side that became tensors of the other.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Names there.
    pub from: Vec<String>,
    /// Names here, with what they hold.
    pub to: Vec<(String, Content)>,
    /// What was done beside renaming; empty if nothing.
    pub how: &'static str,
}

/// A tensor that is not taken over.
#[derive(Debug, Clone)]
pub struct Discarded {
    /// Its name in the file.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Why.
    pub reason: &'static str,
}

/// A file's tensors under our names.
#[derive(Debug)]
pub struct Reading {
    /// Whose names they had.
    pub layout: &'static Layout,
    /// What stood before the backbone's names.
    pub prefix: &'static str,
    /// What they are.
    pub kind: Kind,
    /// What was taken over.
    pub moved: Vec<Moved>,
    /// What was not, and is not needed.
    pub discarded: Vec<Discarded>,
    /// Names and sizes of tensors that no rule is about.
    pub unknown: Vec<(String, Vec<usize>)>,
    head_rules: &'static [Rule],
}

impl Reading {
    /// What the file would call a tensor of ours; empty if its code base has no name for it.
    pub fn their_names(&self, ours: &str) -> Vec<String> {
        let local = if self.kind.has_heads() { ours.strip_prefix(BACKBONE) } else { Some(ours) };
        let (rules, name, root, prefix) = match local {
            Some(local) => {
                let root = self.layout.roots.first().filter(|_| self.kind == Kind::Classifier).copied();
                (self.layout.rules, local, root.unwrap_or_default(), self.prefix)
            }
            None => (self.head_rules, ours, "", ""),
        };
        for rule in rules {
            if let Some(found) = rule.ours.iter().find_map(|pattern| captures(pattern, name)) {
                let root = if rule.outside { "" } else { root };
                return rule
                    .theirs
                    .iter()
                    .map(|name| format!("{prefix}{root}{}", render(name, &found)))
                    .collect();
            }
        }
        // Heads' names that both sides share have no rule.
        if local.is_none() { vec![ours.to_owned()] } else { Vec::new() }
    }
}

/// The tensors of a file under our names; `from` says whose names it has, if that is known.
///
/// # Errors
/// A layout that is not known, two that fit; parts of a tensor that are missing or do not fit each other; two tensors of one
/// name of ours.
pub fn read(tensors: &[(String, &LazyTensor)], from: Option<Origin>) -> Result<Reading, Fault> {
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let found = detect(&names, from)?;
    let (layout, prefix) = (found.layout, found.prefix);
    let masks = mask2former::rules(&names);
    let hf_heads = names.iter().any(|name| name.starts_with("decode_head.classifier."));
    let head_rules: &'static [Rule] = masks.unwrap_or(if hf_heads { &HEADS_HF } else { &[] });
    let uper = masks.is_none() && !names.iter().any(|name| name.starts_with(SEMANTIC_FPN));
    let is_head = |name: &str| match masks {
        Some(_) => mask2former::is_head(name),
        None => uper && (name.starts_with(DECODE_HEAD) || name.starts_with(AUXILIARY_HEAD)),
    };
    let beside: &[Dropped] = if masks.is_some() { &mask2former::BESIDE } else { &BESIDE };

    let (mut trunk, mut heads) = (Side::new(layout.rules), Side::new(head_rules));
    let (mut discarded, mut unknown) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let mut discard = |reason| {
            discarded.push(Discarded { name: name.clone(), shape: tensor.shape().to_vec(), reason });
        };
        let content = Content::from(*tensor);
        if let Some(local) = name.strip_prefix(prefix) {
            if let Some(dropped) = layout.dropped.iter().find(|dropped| dropped.fits(local)) {
                discard(dropped.reason);
            } else if let Some(content) = trunk.add(name, layout.without_root(local), content)? {
                unknown.push((name.clone(), content.shape().to_vec()));
            }
        } else if is_head(name) {
            if let Some(dropped) = COUNTERS.iter().find(|dropped| dropped.fits(name)) {
                discard(dropped.reason);
            } else {
                heads.add_or_keep(name, content)?;
            }
        } else if let Some(dropped) = beside.iter().find(|dropped| dropped.fits(name)) {
            discard(dropped.reason);
        } else {
            unknown.push((name.clone(), tensor.shape().to_vec()));
        }
    }

    let (mut moved, heads) = (trunk.finish()?, heads.finish()?);
    let with_heads = if masks.is_some() { Kind::Mask } else { Kind::Semantic };
    let kind = kind(layout, &moved, (!heads.is_empty()).then_some(with_heads));
    if kind != Kind::Classifier
        && let (_, Some(norm)) = layout.family.end()
    {
        let lonely = |moved: &Moved| moved.to.iter().all(|(name, _)| name.starts_with(norm));
        for Moved { from, to, .. } in moved.extract_if(.., |moved| lonely(moved)) {
            let reason = "the norm before a classifier, which is not there";
            let shape = to.first().map_or_else(Vec::new, |(_, content)| content.shape().to_vec());
            discarded.extend(from.into_iter().map(|name| Discarded { name, shape: shape.clone(), reason }));
        }
    }
    if kind.has_heads() {
        moved.iter_mut().flat_map(|moved| &mut moved.to).for_each(|(name, _)| name.insert_str(0, BACKBONE));
    }
    moved.extend(heads);
    check_unique(&moved)?;
    Ok(Reading { layout, prefix, kind, moved, discarded, unknown, head_rules })
}

/// Our tensors under the names of a layout; what has no name there is an error.
///
/// # Errors
/// Names that the code base does not have; a tensor that does not split as it does there.
pub fn write(
    tensors: &[(String, Content)],
    layout: &Layout,
    origin: Origin,
    kind: Kind,
) -> Result<Vec<Moved>, Fault> {
    if !origin.has(kind) {
        let others = if kind == Kind::Mask { "hf or detectron2" } else { "hf or mmseg" };
        let help = format!("take {others}, or convert a backbone alone");
        return Err(Fault::layout("heads", format!("a code base with {}", kind.name()), origin.name(), help));
    }
    let root = layout.roots.first().filter(|_| kind == Kind::Classifier).copied().unwrap_or_default();
    let head_rules: &'static [Rule] = match (kind, origin) {
        (Kind::Mask, Origin::Hf) => &mask2former::HF,
        (Kind::Mask, _) => &mask2former::AUTHORS,
        (_, Origin::Hf) => &HEADS_HF,
        _ => &[],
    };
    let (mut trunk, mut heads) = (Side::back(layout.rules), Side::back(head_rules));
    for (name, content) in tensors {
        let local = if kind.has_heads() { name.strip_prefix(BACKBONE) } else { Some(name.as_str()) };
        let Some(local) = local else {
            heads.add_or_keep(name, content.clone())?;
            continue;
        };
        if trunk.add(name, local, content.clone())?.is_some() {
            let got = format!("`{}`", shown(name));
            let help = "it has no place for it: choose another --to";
            return Err(Fault::layout("names", format!("tensors of {}", layout.describe()), got, help));
        }
    }
    let (mut moved, heads) = (trunk.finish_with_root(root)?, heads.finish()?);
    if kind.has_heads() {
        let hf_masks = (kind, origin) == (Kind::Mask, Origin::Hf);
        let prefix = if hf_masks { BACKBONE_OF_MASK_HF } else { BACKBONE };
        moved.iter_mut().flat_map(|moved| &mut moved.to).for_each(|(name, _)| name.insert_str(0, prefix));
    }
    moved.extend(heads);
    check_unique(&moved)?;
    Ok(moved)
}

fn kind(layout: &Layout, moved: &[Moved], with_heads: Option<Kind>) -> Kind {
    let has = |wanted: &str| moved.iter().flat_map(|moved| &moved.to).any(|(name, _)| name == wanted);
    let (head, _) = layout.family.end();
    if let Some(kind) = with_heads {
        kind
    } else if has(&format!("{head}weight")) {
        Kind::Classifier
    } else if layout.family.level_norm().is_none_or(has) {
        Kind::Dense
    } else {
        Kind::Trunk
    }
}

fn check_unique(moved: &[Moved]) -> Result<(), Fault> {
    let mut seen = BTreeMap::new();
    for moved in moved {
        for (name, _) in &moved.to {
            if let Some(other) = seen.insert(name, &moved.from) {
                let got = format!("{} and {}", quoted(other), quoted(&moved.from));
                let help = "the file is no file of one model: choose its weights with --wrapper";
                return Err(Fault::layout(format!("`{}`", shown(name)), "one source", got, help));
            }
        }
    }
    Ok(())
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ")
}

/// The tensors of a rule with several names, as far as they are there.
type Parts = Vec<Option<(String, Content)>>;

/// Tensors on their way from one side of a table to the other.
struct Side {
    rules: &'static [Rule],
    back: bool,
    /// Tensors of rules with several names on this side, until all are there.
    waiting: BTreeMap<(usize, Captures), Parts>,
    moved: Vec<Moved>,
    /// Which of `moved` stand beside the backbone.
    outside: Vec<bool>,
}

impl Side {
    /// From theirs to ours.
    fn new(rules: &'static [Rule]) -> Self {
        Self { rules, back: false, waiting: BTreeMap::new(), moved: Vec::new(), outside: Vec::new() }
    }

    /// From ours to theirs.
    fn back(rules: &'static [Rule]) -> Self {
        Self { back: true, ..Self::new(rules) }
    }

    /// Names on the side that tensors come from, and on the other.
    fn names(&self, rule: &Rule) -> (&'static [&'static str], &'static [&'static str]) {
        if self.back { (rule.ours, rule.theirs) } else { (rule.theirs, rule.ours) }
    }

    /// Takes a tensor, `name` in the file and `local` in the table; gives it back if no rule is about it.
    fn add(&mut self, name: &str, local: &str, content: Content) -> Result<Option<Content>, Fault> {
        let fitting = self.rules.iter().enumerate().find_map(|(index, rule)| {
            let (from, _) = self.names(rule);
            let (part, found) = from
                .iter()
                .enumerate()
                .find_map(|(part, pattern)| Some((part, captures(pattern, local)?)))?;
            Some((index, rule, part, found, from.len()))
        });
        let Some((index, rule, part, found, parts)) = fitting else { return Ok(Some(content)) };
        if parts == 1 {
            self.complete(rule, &found, vec![(name.to_owned(), content)])?;
            return Ok(None);
        }
        let key = (index, found);
        let waiting = self.waiting.entry(key.clone()).or_insert_with(|| vec![None; parts]);
        waiting[part] = Some((name.to_owned(), content));
        if waiting.iter().all(Option::is_some) {
            let sources = self.waiting.remove(&key).unwrap_or_default().into_iter().flatten().collect();
            self.complete(rule, &key.1, sources)?;
        }
        Ok(None)
    }

    /// Takes a tensor, as it is if no rule is about it: names that both sides share have none.
    fn add_or_keep(&mut self, name: &str, content: Content) -> Result<(), Fault> {
        if let Some(content) = self.add(name, name, content)? {
            self.moved.push(Moved {
                from: vec![name.to_owned()],
                to: vec![(name.to_owned(), content)],
                how: "",
            });
            self.outside.push(true);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        rule: &Rule,
        found: &Captures,
        sources: Vec<(String, Content)>,
    ) -> Result<(), Fault> {
        let (_, to) = self.names(rule);
        let names: Vec<String> = to.iter().map(|pattern| render(pattern, found)).collect();
        let (from, contents): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        let shapes: Vec<_> = contents.iter().map(|content| content.shape().to_vec()).collect();
        let (results, how) = turn(rule.op, self.back, contents, names.len());
        let Some(results) = results else {
            let got = shapes.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(", ");
            let help = "the file is damaged, or of another model: compare it with its source";
            return Err(Fault::layout(quoted(&from), expected(rule.op, to.len()), got, help));
        };
        self.moved.push(Moved { from, to: names.into_iter().zip(results).collect(), how });
        self.outside.push(rule.outside);
        Ok(())
    }

    fn finish(self) -> Result<Vec<Moved>, Fault> {
        self.finish_with_root("")
    }

    /// Everything moved; names of the backbone begin with `root`.
    fn finish_with_root(mut self, root: &str) -> Result<Vec<Moved>, Fault> {
        if let Some(((index, found), parts)) = self.waiting.pop_first() {
            let (from, _) = self.names(&self.rules[index]);
            let there: Vec<String> = parts.iter().flatten().map(|(name, _)| name.clone()).collect();
            let missing = from.iter().zip(&parts).filter(|(_, part)| part.is_none());
            let missing: Vec<String> = missing.map(|(pattern, _)| render(pattern, &found)).collect();
            let help = "the file is not whole: fetch it again";
            return Err(Fault::layout(
                quoted(&missing),
                "it beside its fellows",
                format!("{} alone", quoted(&there)),
                help,
            ));
        }
        for (moved, _) in self.moved.iter_mut().zip(&self.outside).filter(|(_, outside)| !**outside) {
            moved.to.iter_mut().for_each(|(name, _)| name.insert_str(0, root));
        }
        Ok(self.moved)
    }
}

/// The tensors of the other side, and a word for what was done to them.
fn turn(op: Op, back: bool, contents: Vec<Content>, count: usize) -> (Option<Vec<Content>>, &'static str) {
    let one = |content: Option<Content>| content.map(|content| vec![content]);
    let first = || contents.first().cloned();
    match (op, back) {
        (Op::Same, _) => (Some(contents), ""),
        (Op::Fused, false) => (one(Content::joined(contents)), "joined"),
        (Op::Fused, true) => (first().and_then(|content| content.split(count)), "split"),
        (Op::Stacked, false) => (first().and_then(|content| content.unstacked(count)), "split by rows"),
        (Op::Stacked, true) => (one(Content::stacked(contents)), "stacked as rows"),
        (Op::Merging, false) => {
            (one(first().and_then(|content| content.unmerged())), "pixels of blocks reordered")
        }
        (Op::Merging, true) => {
            (one(first().and_then(|content| content.merged())), "pixels of blocks reordered")
        }
    }
}

fn expected(op: Op, count: usize) -> String {
    match op {
        Op::Same => "a tensor".to_owned(),
        Op::Fused => format!("tensors alike, or one of {count} equal parts"),
        Op::Stacked => format!("{count} rows"),
        Op::Merging => "channels of four pixels in the last dimension".to_owned(),
    }
}
