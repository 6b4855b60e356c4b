//! Dilations of neighborhood attention, one a block: written out, or by the name of the published setting.
//!
//! Weights do not depend on dilations: the authors load their 224 checkpoints into dense models with larger ones. A dilation
//! is as large as a map of that stride admits at the named image size: `window * dilation` reaches over all of it.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::ModelError;
use crate::fields::{STAGES, bad};

/// Far above any published one: a slip in a recipe is an error and not an exhausted machine.
const MAX_DILATION: i64 = 256;

/// Dilations of a network: a preset's name, or a list per stage with a number per block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dilations {
    /// A published setting.
    Preset(DilationPreset),
    /// One number a block, one list a stage.
    Lists(Vec<Vec<i64>>),
}

/// What the authors trained with, by task and image size. The windows are 7 pixels wide unless another is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DilationPreset {
    /// `classification_224`: ImageNet at 224, and `DiNAT-Large` with a window of 11 at 384.
    Classification224,
    /// `classification_384`: ImageNet at 384.
    Classification384,
    /// `uper_512`: UperNet on crops of 512.
    Uper512,
    /// `uper_640`: UperNet on crops of 640.
    Uper640,
    /// `mask2former`: Mask2Former on all data sets, window 11.
    Mask2former,
    /// `oneformer`: `OneFormer` on COCO, Mapillary, and ADE20K at 640 and 896, window 11.
    Oneformer,
    /// `oneformer_1280`: `OneFormer` on ADE20K at 1280, window 11.
    Oneformer1280,
    /// `oneformer_cityscapes`: `OneFormer` on Cityscapes.
    OneformerCityscapes,
}

/// A pattern a stage; a stage with fewer blocks takes its first ones.
pub(crate) type Patterns = [&'static [i64]; STAGES];

impl DilationPreset {
    /// Every preset.
    pub const ALL: [Self; 8] = [
        Self::Classification224,
        Self::Classification384,
        Self::Uper512,
        Self::Uper640,
        Self::Mask2former,
        Self::Oneformer,
        Self::Oneformer1280,
        Self::OneformerCityscapes,
    ];

    const NAMES: [&'static str; 8] = [
        "classification_224",
        "classification_384",
        "uper_512",
        "uper_640",
        "mask2former",
        "oneformer",
        "oneformer_1280",
        "oneformer_cityscapes",
    ];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The patterns of DiNAT, for up to 3, 4, 18, 5 blocks.
    pub(crate) const fn of_dinat(self) -> Patterns {
        match self {
            Self::Classification224 => [&[1, 8, 1], &[1, 4, 1, 4], &EVERY_SECOND_2, &[1; 5]],
            Self::Classification384 => [&[1, 13, 1], &[1, 6, 1, 6], &EVERY_SECOND_3, &[1; 5]],
            Self::Uper512 => [&[1, 16, 1], &[1, 4, 1, 8], &UP_TO_4, &[1, 2, 1, 2, 1]],
            Self::Uper640 | Self::Oneformer => [&[1, 20, 1], &[1, 5, 1, 10], &UP_TO_5, &[1, 2, 1, 2, 1]],
            Self::Mask2former => {
                [&[1, 14, 1], &[1, 4, 1, 7], &[1, 2, 1, 3, 1, 2, 1, 3, 1, 2, 1, 3, 1, 2, 1, 3, 1, 3], &[1; 5]]
            }
            Self::Oneformer1280 => [
                &[1, 28, 1],
                &[1, 7, 1, 14],
                &[1, 3, 1, 5, 1, 5, 1, 7, 1, 3, 1, 5, 1, 5, 1, 7, 1, 7],
                &[1, 3, 1, 3, 1],
            ],
            Self::OneformerCityscapes => [&[1, 18, 1], &[1, 5, 1, 9], &UP_TO_4, &[1, 2, 1, 2, 1]],
        }
    }

    /// The patterns of `DiNAT_s`, for up to 2, 2, 18, 2 blocks; its authors trained no `OneFormer` and no Mask2Former.
    pub(crate) const fn of_dinat_s(self) -> Option<Patterns> {
        Some(match self {
            Self::Classification224 => [&[1, 8], &[1, 4], &EVERY_SECOND_2, &[1, 1]],
            Self::Classification384 => [&[1, 13], &[1, 6], &EVERY_SECOND_3, &[1, 1]],
            Self::Uper512 => [&[1, 16], &[1, 8], &UP_TO_4, &[1, 2]],
            Self::Uper640 => [&[1, 20], &[1, 10], &UP_TO_5, &[1, 2]],
            Self::Mask2former | Self::Oneformer | Self::Oneformer1280 | Self::OneformerCityscapes => {
                return None;
            }
        })
    }
}

// Third stages of 18 blocks.
const EVERY_SECOND_2: [i64; 18] = [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2];
const EVERY_SECOND_3: [i64; 18] = [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3];
const UP_TO_4: [i64; 18] = [1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4, 1, 2, 1, 3, 1, 4];
const UP_TO_5: [i64; 18] = [1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5];

impl Dilations {
    /// The dilation of every block of stages of these depths; `patterns` are the family's.
    ///
    /// # Errors
    /// [`ModelError::Config`] if lists do not fit the depths, or the family lacks the preset or has no pattern as long.
    pub(crate) fn of_blocks(
        &self,
        patterns: fn(DilationPreset) -> Option<Patterns>,
        depths: &[i64; STAGES],
    ) -> Result<[Vec<i64>; STAGES], ModelError> {
        match self {
            Self::Lists(lists) => check_lists(lists, depths),
            Self::Preset(preset) => {
                let name = preset.name();
                let Some(patterns) = patterns(*preset) else {
                    let known = DilationPreset::ALL.into_iter().filter(|&preset| patterns(preset).is_some());
                    let names = known.map(DilationPreset::name).collect::<Vec<_>>().join(", ");
                    return Err(bad("dilations", format!("lists, or one of {names}"), name));
                };
                if patterns.iter().zip(depths).any(|(pattern, &depth)| depth as usize > pattern.len()) {
                    let longest = patterns.map(<[i64]>::len);
                    let expected = format!("lists: {name} has dilations for at most {longest:?} blocks");
                    return Err(bad("dilations", expected, format!("{name} and depths {depths:?}")));
                }
                Ok(std::array::from_fn(|l| patterns[l][..depths[l] as usize].to_vec()))
            }
        }
    }
}

fn check_lists(lists: &[Vec<i64>], depths: &[i64; STAGES]) -> Result<[Vec<i64>; STAGES], ModelError> {
    let refused = || {
        let expected =
            format!("a list a stage with as many dilations of 1 to {MAX_DILATION} as blocks, {depths:?}");
        bad("dilations", expected, format!("{lists:?}"))
    };
    let stages: &[Vec<i64>; STAGES] = lists.try_into().map_err(|_| refused())?;
    let fits = stages.iter().zip(depths).all(|(list, &depth)| list.len() as i64 == depth);
    if !fits || stages.iter().flatten().any(|dilation| !(1..=MAX_DILATION).contains(dilation)) {
        return Err(refused());
    }
    Ok(stages.clone())
}

impl Serialize for DilationPreset {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Derived code for an untagged enum would not say which names there are.
impl<'de> Deserialize<'de> for Dilations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PresetOrLists;

        impl<'de> Visitor<'de> for PresetOrLists {
            type Value = Dilations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of dilations a stage, or one of {}", DilationPreset::NAMES.join(", "))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Dilations, E> {
                let preset = DilationPreset::ALL.into_iter().find(|preset| preset.name() == name);
                preset.map(Dilations::Preset).ok_or_else(|| E::unknown_variant(name, &DilationPreset::NAMES))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, lists: A) -> Result<Dilations, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(lists)).map(Dilations::Lists)
            }
        }

        deserializer.deserialize_any(PresetOrLists)
    }
}
