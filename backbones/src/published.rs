//! What authors report of a published size.

use serde::Serialize;

/// What the paper, or the authors' repository, reports of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// Parameters of the ImageNet classifier, millions.
    pub parameters_m: f64,
    /// ImageNet-1k top-1 accuracy at 224, percent.
    pub top1: Option<f64>,
    /// ADE20K validation mIoU of UperNet 160k, single scale, percent; at 512, of large variants at 640.
    pub upernet_ade20k: Option<f64>,
}

impl Published {
    pub(crate) const fn new(parameters_m: f64, top1: f64, upernet_ade20k: f64) -> Self {
        Self { parameters_m, top1: Some(top1), upernet_ade20k: Some(upernet_ade20k) }
    }
}
