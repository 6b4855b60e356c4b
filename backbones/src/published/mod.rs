//! What authors report of the published sizes: the one home of these numbers, which `smalti models` prints beside ours.
//!
//! Sources: SHI-Labs/Neighborhood-Attention-Transformer d334f5b (NAT, DiNAT, `DiNAT_s`), LeapLabTHU/DAT 32173fc with DAT-Segmentation fdd2039 and
//! DAT-Detection 4d4023d, dingmyu/davit fc79470,
//! microsoft/Swin-Transformer 005e8ef, facebookresearch/ConvNeXt 048efce, torchvision 0.26 (`IMAGENET1K_V1`), mmsegmentation's
//! model zoo, facebookresearch/Mask2Former 9b0651c, SHI-Labs/OneFormer 4962ef6. `DaViT`'s large, huge and giant are the paper's;
//! its repository has no table of them.
//!
//! Giga multiply-adds are what those sources call FLOPs. Accuracies and mIoU are percent, AP and PQ times 100, as printed there.

mod dense;
mod imagenet;

use serde::Serialize;

/// What a network was trained on before the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Pretraining {
    /// ImageNet-1k, or nothing before it where ImageNet-1k is the task.
    #[serde(rename = "ImageNet-1k")]
    ImageNet1k,
    /// ImageNet-22k.
    #[serde(rename = "ImageNet-22k")]
    ImageNet22k,
    /// Images and texts that are not public.
    #[serde(rename = "not public")]
    NotPublic,
}

impl Pretraining {
    /// Short name: `1k`, `22k`, `private`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageNet1k => "1k",
            Self::ImageNet22k => "22k",
            Self::NotPublic => "private",
        }
    }
}

/// An ImageNet-1k classifier as reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ImageNet {
    /// Family and variant, as in configs.
    #[serde(skip)]
    pub model: (&'static str, &'static str),
    /// What it was trained on first.
    pub pretraining: Pretraining,
    /// Side of the images, pixels.
    pub size: i64,
    /// Parameters, millions.
    pub parameters_m: Option<f64>,
    /// Giga multiply-adds of one image.
    pub gmac: Option<f64>,
    /// Accuracy of the first guess, percent.
    pub top1: Option<f64>,
    /// Where it is reported.
    pub source: &'static str,
}

/// A result of dense prediction as reported; single models, validation sets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Dense {
    /// Family and variant of the backbone, as in configs.
    #[serde(skip)]
    pub model: (&'static str, &'static str),
    /// What the backbone was trained on first.
    pub pretraining: Pretraining,
    /// Data set.
    pub data: &'static str,
    /// `semantic`, `instance` or `panoptic`.
    pub task: &'static str,
    /// The network around the backbone.
    pub head: &'static str,
    /// Length of the training: steps (`160k`), epochs (`50 ep`), the usual multiple of 12 epochs (`3x`), or `-`, not told.
    pub schedule: &'static str,
    /// Side of training crops, where several are in use.
    pub crop: Option<i64>,
    /// Parameters of the whole network, millions.
    pub parameters_m: Option<f64>,
    /// Giga multiply-adds of the whole network, at [`gmac_size`](Self::gmac_size).
    pub gmac: Option<f64>,
    /// Image size of `gmac`, where it is reported.
    pub gmac_size: Option<&'static str>,
    /// The scores.
    pub scores: Scores,
    /// Where they are reported.
    pub source: &'static str,
}

/// Scores by metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores([(&'static str, f64); 3]);

impl Scores {
    /// The reported ones; a value of 0 stands for one that is not.
    const fn new(scores: [(&'static str, f64); 3]) -> Self {
        Self(scores)
    }

    /// Metric and value of all that are reported.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().copied().filter(|(_, value)| *value > 0.0)
    }
}

impl Serialize for Scores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.reported())
    }
}

/// A number of a table, where 0 stands for "not reported".
const fn reported(value: f64) -> Option<f64> {
    if value > 0.0 { Some(value) } else { None }
}

/// Every reported classifier, those of a variant in the order of their sizes; the first is what the variant is named for.
pub fn imagenet() -> &'static [ImageNet] {
    imagenet::ROWS
}

/// Every reported result of dense prediction.
pub fn dense() -> impl Iterator<Item = &'static Dense> {
    [dense::UPERNET, dense::DETECTION, dense::MASK2FORMER, dense::ONEFORMER].into_iter().flatten()
}
