//! Whose names and whose order of elements: the layouts of every code base that publishes weights of our families.
//!
//! A layout is a table of rules, each with names of ours and of theirs and the way elements lie. The same table is read in both
//! directions ([`read`], [`write()`]), so what went through one way comes back to the bit; what a file holds beyond the model
//! (buffers, counters, other heads) is dropped with its reason. Elements move when the bytes are asked for ([`Content`]).

mod apply;
mod bicubic;
mod content;
mod detect;
mod dropped;
mod mask2former;
mod pattern;
mod rule;
mod tables;

pub use apply::{Discarded, Moved, Reading, read, write};
pub use content::Content;

use dropped::Dropped;
use rule::Rule;
use tables::LAYOUTS;

/// A family of backbones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// NAT and DiNAT.
    Nat,
    /// `DiNAT_s`.
    DinatS,
    /// DAT++.
    Dat,
    /// DaViT.
    Davit,
    /// Swin.
    Swin,
    /// ConvNeXt.
    ConvNext,
    /// ResNet.
    ResNet,
}

impl Family {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nat => "NAT or DiNAT",
            Self::DinatS => "DiNAT_s",
            Self::Dat => "DAT++",
            Self::Davit => "DaViT",
            Self::Swin => "Swin",
            Self::ConvNext => "ConvNeXt",
            Self::ResNet => "ResNet",
        }
    }

    /// Names of the classifier's linear layer, and of the norm before it.
    fn end(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Nat | Self::DinatS | Self::Swin | Self::ConvNext => ("head.", Some("norm.")),
            Self::Dat => ("cls_head.", Some("cls_norm.")),
            Self::Davit => ("head.fc.", Some("head.norm.")),
            Self::ResNet => ("fc.", None),
        }
    }

    /// Name of the finest level's norm, if levels have norms.
    fn level_norm(self) -> Option<&'static str> {
        match self {
            Self::Nat | Self::DinatS | Self::Davit | Self::Swin | Self::ConvNext => Some("norm0.weight"),
            Self::Dat => Some("norms.0.norm.weight"),
            Self::ResNet => None,
        }
    }
}

/// A code base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "their names say it")]
pub enum Origin {
    Hf,
    Timm,
    Shi,
    Mmseg,
    Detectron2,
    Dat,
    Davit,
    Microsoft,
    Facebook,
    Torchvision,
}

impl Origin {
    /// Every code base.
    pub const ALL: [Self; 10] = [
        Self::Hf,
        Self::Timm,
        Self::Shi,
        Self::Mmseg,
        Self::Detectron2,
        Self::Dat,
        Self::Davit,
        Self::Microsoft,
        Self::Facebook,
        Self::Torchvision,
    ];

    /// As the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hf => "hf",
            Self::Timm => "timm",
            Self::Shi => "shi",
            Self::Mmseg => "mmseg",
            Self::Detectron2 => "detectron2",
            Self::Dat => "dat",
            Self::Davit => "davit",
            Self::Microsoft => "microsoft",
            Self::Facebook => "facebook",
            Self::Torchvision => "torchvision",
        }
    }

    /// Whose names this code base has for a family, where it took them over.
    fn names(self, family: Family) -> Self {
        match (self, family) {
            (Self::Mmseg | Self::Detectron2, Family::Nat | Family::DinatS) => Self::Shi,
            (Self::Mmseg, Family::Davit) => Self::Davit,
            (Self::Mmseg | Self::Timm, Family::ResNet) => Self::Torchvision,
            (Self::Detectron2, Family::Swin) => Self::Microsoft,
            (Self::Detectron2, Family::ConvNext) => Self::Facebook,
            _ => self,
        }
    }

    /// Whether it has models of this kind.
    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Semantic => !matches!(self, Self::Timm | Self::Detectron2 | Self::Torchvision),
            Kind::Mask => matches!(self, Self::Hf | Self::Detectron2 | Self::Shi),
            Kind::Classifier | Kind::Dense | Kind::Trunk => true,
        }
    }
}

/// What a set of tensors is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image classifier.
    Classifier,
    /// A backbone with the norms of its levels.
    Dense,
    /// A backbone without: what is left of a classifier without its end.
    Trunk,
    /// A backbone and the heads of UperNet.
    Semantic,
    /// A backbone and the heads of Mask2Former.
    Mask,
}

impl Kind {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::Dense => "backbone",
            Self::Trunk => "backbone without norms of levels",
            Self::Semantic => "UperNet",
            Self::Mask => "Mask2Former",
        }
    }

    /// Whether heads stand beside the backbone, whose names then begin with `backbone.`.
    pub fn has_heads(self) -> bool {
        matches!(self, Self::Semantic | Self::Mask)
    }
}

/// Names and order of elements of one family in one code base.
#[derive(Debug)]
pub struct Layout {
    family: Family,
    origin: Origin,
    /// Which of several kinds of names that the code base has had.
    note: Option<&'static str>,
    /// Patterns that all fit some name each; those with `!` in front fit none.
    signature: &'static [&'static str],
    /// What stands before the backbone's names in classifiers.
    roots: &'static [&'static str],
    rules: &'static [Rule],
    dropped: &'static [Dropped],
}

impl Layout {
    /// The layout that a code base has for a family now.
    pub fn of(family: Family, origin: Origin) -> Option<&'static Self> {
        let origin = origin.names(family);
        LAYOUTS.iter().find(|layout| layout.family == family && layout.origin == origin)
    }

    /// The layout in which timm has Florence-2's vision towers.
    pub fn of_timm_florence2() -> &'static Self {
        let named = |layout: &&Self| {
            layout.origin == Origin::Timm && layout.family == Family::Davit && layout.note.is_some()
        };
        LAYOUTS.iter().find(named).expect("it stands in the table")
    }

    /// The code bases that have names for a family.
    pub fn origins(family: Family) -> impl Iterator<Item = Origin> {
        Origin::ALL.into_iter().filter(move |&origin| Self::of(family, origin).is_some())
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The code base.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// As messages call it: `Swin, names of hf`.
    pub fn describe(&self) -> String {
        let note = self.note.map_or_else(String::new, |note| format!(" ({note})"));
        format!("{}, names of {}{note}", self.family.name(), self.origin.name())
    }
}
