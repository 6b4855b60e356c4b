//! One rule: the names of some tensors on both sides, and how their elements lie.

/// Tensors of ours and of another code base that hold the same numbers. Both directions are read from one rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Patterns of our names.
    pub ours: &'static [&'static str],
    /// Patterns of theirs.
    pub theirs: &'static [&'static str],
    /// How the elements of one side become those of the other.
    pub op: Op,
    /// Stands beside what the other code base wraps its backbone in: `classifier.weight` beside `swin.encoder...`.
    pub outside: bool,
}

/// How elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Alike.
    Same,
    /// One of ours is several of theirs, one after the other along the first dimension.
    Fused,
    /// Several of ours are the rows of one of theirs.
    Stacked,
    /// The last dimension holds the four pixels of a block in another order.
    Merging,
}

/// A way to write a rule down: both names, elements alike.
pub(crate) const fn same(ours: &'static [&'static str; 1], theirs: &'static [&'static str; 1]) -> Rule {
    Rule { ours, theirs, op: Op::Same, outside: false }
}

/// As [`same`], of a tensor beside the backbone.
pub(crate) const fn outside(ours: &'static [&'static str; 1], theirs: &'static [&'static str; 1]) -> Rule {
    Rule { outside: true, ..same(ours, theirs) }
}

/// One of ours that theirs has in parts.
pub(crate) const fn fused(ours: &'static [&'static str; 1], theirs: &'static [&'static str]) -> Rule {
    Rule { ours, theirs, op: Op::Fused, outside: false }
}

/// Some of ours that are rows of one of theirs.
pub(crate) const fn stacked(ours: &'static [&'static str], theirs: &'static [&'static str; 1]) -> Rule {
    Rule { ours, theirs, op: Op::Stacked, outside: false }
}

/// The four pixels of patch merging, in mmsegmentation's order over there.
pub(crate) const fn merging(ours: &'static [&'static str; 1], theirs: &'static [&'static str; 1]) -> Rule {
    Rule { ours, theirs, op: Op::Merging, outside: false }
}
