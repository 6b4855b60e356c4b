//! Which layout a file has, told from its names alone.

use super::pattern::captures;
use super::tables::LAYOUTS;
use super::{Family, Layout, Origin};
use crate::error::{Fault, shown};

/// What models put before all names of their backbone: nothing, UperNet, Mask2Former, Florence-2.
const PREFIXES: [&str; 5] =
    ["", "backbone.", "model.pixel_level_module.encoder.", "vision_tower.", "model.vision_tower."];

/// Names shown of a file whose layout is not known.
const SHOWN: usize = 4;

/// A layout and where the backbone stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub layout: &'static Layout,
    pub prefix: &'static str,
}

/// The one layout that fits the names, among those of a code base if one is named.
pub(super) fn detect(names: &[&str], from: Option<Origin>) -> Result<Found, Fault> {
    let fits = |found: &Found| {
        let local: Vec<&str> = names
            .iter()
            .filter_map(|name| Some(found.layout.without_root(name.strip_prefix(found.prefix)?)))
            .collect();
        let some = |pattern: &str| local.iter().any(|name| captures(pattern, name).is_some());
        found.layout.signature.iter().all(|&pattern| match pattern.strip_prefix('!') {
            None => some(pattern),
            Some(absent) => !some(absent),
        })
    };
    let all = PREFIXES.iter().flat_map(|prefix| LAYOUTS.iter().map(|layout| Found { layout, prefix }));
    let fitting: Vec<Found> = all.filter(fits).collect();
    let asked: Vec<Found> = fitting
        .iter()
        .copied()
        .filter(|found| from.is_none_or(|origin| found.layout.is_of(origin)))
        .collect();
    match (asked[..].as_ref(), &fitting[..]) {
        ([one], _) => Ok(*one),
        ([], []) => Err(unknown(names)),
        ([], others) => Err(Fault::layout(
            "names",
            format!("those of {}", from.map_or("any", Origin::name)),
            described(others),
            "leave out --from",
        )),
        (several, _) => Err(Fault::layout(
            "names",
            "those of one model",
            described(several),
            "say whose they are with --from, or which set of weights with --wrapper",
        )),
    }
}

fn described(found: &[Found]) -> String {
    let one = |found: &Found| {
        let below =
            if found.prefix.is_empty() { String::new() } else { format!(" below `{}`", found.prefix) };
        format!("{}{below}", found.layout.describe())
    };
    found.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn unknown(names: &[&str]) -> Fault {
    if names.iter().any(|name| name.starts_with("res2_0_branch2a")) {
        return Fault::layout(
            "names",
            "a ResNet with the stride in the 3x3 convolutions",
            "MSRA's from Caffe, with the stride in the 1x1 convolutions and BGR images",
            "take torchvision's weights, or detectron2's R-50.pkl and R-101.pkl below ImageNetPretrained/torchvision",
        );
    }
    if names.iter().any(|name| name.ends_with("patch_proj.0.weight")) {
        return Fault::layout(
            "names",
            "a DAT++, with two convolutions in the stem and a local perception unit in every block",
            "a DAT of 2022, or another of its authors' ablations",
            "take DAT++'s weights",
        );
    }
    let some: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{}`", shown(name))).collect();
    let got = if some.is_empty() { "no tensors".to_owned() } else { format!("{}, ...", some.join(", ")) };
    Fault::layout(
        "names",
        "NAT, DiNAT, DiNAT_s, DAT++, DaViT, Swin, ConvNeXt or ResNet in a layout of docs/weights.md",
        got,
        "`smalti weights inspect --all` lists what the file holds",
    )
}

impl Layout {
    /// Whether a code base has these names, be they its own or taken over. DAT++'s authors build on mmsegmentation.
    fn is_of(&self, origin: Origin) -> bool {
        let dense_dat = self.family == Family::Dat && matches!(origin, Origin::Dat | Origin::Mmseg);
        self.origin == origin || self.origin == origin.names(self.family) || dense_dat
    }

    /// A name without what classifiers put before the backbone's.
    pub(super) fn without_root<'a>(&self, name: &'a str) -> &'a str {
        self.roots.iter().find_map(|root| name.strip_prefix(root)).unwrap_or(name)
    }
}
