//! Classifiers of ImageNet-1k.

use super::Pretraining::{self, ImageNet1k, ImageNet22k, NotPublic};
use super::{ImageNet, reported};

const SHI: &str = "SHI-Labs repository";
const DAT: &str = "DAT repository";
const DAVIT: &str = "DaViT repository";
const DAVIT_PAPER: &str = "DaViT paper";
const SWIN: &str = "Swin repository";
const CONVNEXT: &str = "ConvNeXt repository";
const TORCHVISION: &str = "torchvision";

type Key = (&'static str, &'static str);

/// A row: millions of parameters, giga multiply-adds, accuracy; 0 = not reported.
const fn row(
    model: Key,
    pretraining: Pretraining,
    size: i64,
    [parameters, gmac, top1]: [f64; 3],
    source: &'static str,
) -> ImageNet {
    ImageNet {
        model,
        pretraining,
        size,
        parameters_m: reported(parameters),
        gmac: reported(gmac),
        top1: reported(top1),
        source,
    }
}

#[rustfmt::skip] // a table reads best as one
pub(super) const ROWS: &[ImageNet] = &[
    row(("nat", "mini"),            ImageNet1k,  224, [20.0,  2.7,  81.8], SHI),
    row(("nat", "tiny"),            ImageNet1k,  224, [28.0,  4.3,  83.2], SHI),
    row(("nat", "small"),           ImageNet1k,  224, [51.0,  7.8,  83.7], SHI),
    row(("nat", "base"),            ImageNet1k,  224, [90.0,  13.7, 84.3], SHI),
    row(("nat", "dinat_mini"),      ImageNet1k,  224, [20.0,  2.7,  81.8], SHI),
    row(("nat", "dinat_tiny"),      ImageNet1k,  224, [28.0,  4.3,  82.7], SHI),
    row(("nat", "dinat_small"),     ImageNet1k,  224, [51.0,  7.8,  83.8], SHI),
    row(("nat", "dinat_base"),      ImageNet1k,  224, [90.0,  13.7, 84.4], SHI),
    row(("nat", "dinat_large"),     ImageNet22k, 224, [200.0, 30.6, 86.6], SHI),
    row(("nat", "dinat_large"),     ImageNet22k, 384, [200.0, 89.7, 87.4], SHI),
    row(("nat", "dinat_large_k11"), ImageNet22k, 384, [200.0, 92.4, 87.5], SHI),

    row(("dinat_s", "tiny"),  ImageNet1k,  224, [28.0,  4.5,   81.8], SHI),
    row(("dinat_s", "small"), ImageNet1k,  224, [50.0,  8.7,   83.5], SHI),
    row(("dinat_s", "base"),  ImageNet1k,  224, [88.0,  15.4,  83.8], SHI),
    row(("dinat_s", "large"), ImageNet22k, 224, [197.0, 34.5,  86.5], SHI),
    row(("dinat_s", "large"), ImageNet22k, 384, [197.0, 101.5, 87.4], SHI),

    row(("dat", "tiny"),  ImageNet1k, 224, [0.0, 0.0, 83.9], DAT),
    row(("dat", "small"), ImageNet1k, 224, [0.0, 0.0, 84.6], DAT),
    row(("dat", "base"),  ImageNet1k, 224, [0.0, 0.0, 84.9], DAT),
    row(("dat", "base"),  ImageNet1k, 384, [0.0, 0.0, 85.9], DAT),

    row(("davit", "tiny"),  ImageNet1k,  224, [28.3,   4.5,    82.8], DAVIT),
    row(("davit", "small"), ImageNet1k,  224, [49.7,   8.8,    84.2], DAVIT),
    row(("davit", "base"),  ImageNet1k,  224, [87.9,   15.5,   84.6], DAVIT),
    row(("davit", "large"), ImageNet22k, 384, [196.8,  103.0,  87.5], DAVIT_PAPER),
    row(("davit", "huge"),  NotPublic,   512, [362.0,  334.0,  90.2], DAVIT_PAPER),
    row(("davit", "giant"), NotPublic,   512, [1437.0, 1038.0, 90.4], DAVIT_PAPER),

    row(("swin", "tiny"),      ImageNet1k,  224, [28.0,  4.5,   81.2], SWIN),
    row(("swin", "small"),     ImageNet1k,  224, [50.0,  8.7,   83.2], SWIN),
    row(("swin", "base"),      ImageNet1k,  224, [88.0,  15.4,  83.5], SWIN),
    row(("swin", "base"),      ImageNet22k, 224, [88.0,  15.4,  85.2], SWIN),
    row(("swin", "large"),     ImageNet22k, 224, [197.0, 34.5,  86.3], SWIN),
    row(("swin", "base_384"),  ImageNet1k,  384, [88.0,  47.1,  84.5], SWIN),
    row(("swin", "base_384"),  ImageNet22k, 384, [88.0,  47.1,  86.4], SWIN),
    row(("swin", "large_384"), ImageNet22k, 384, [197.0, 103.9, 87.3], SWIN),

    row(("convnext", "tiny"),   ImageNet1k,  224, [28.0,  4.5,   82.1], CONVNEXT),
    row(("convnext", "tiny"),   ImageNet22k, 224, [29.0,  4.5,   82.9], CONVNEXT),
    row(("convnext", "tiny"),   ImageNet22k, 384, [29.0,  13.1,  84.1], CONVNEXT),
    row(("convnext", "small"),  ImageNet1k,  224, [50.0,  8.7,   83.1], CONVNEXT),
    row(("convnext", "small"),  ImageNet22k, 224, [50.0,  8.7,   84.6], CONVNEXT),
    row(("convnext", "small"),  ImageNet22k, 384, [50.0,  25.5,  85.8], CONVNEXT),
    row(("convnext", "base"),   ImageNet1k,  224, [89.0,  15.4,  83.8], CONVNEXT),
    row(("convnext", "base"),   ImageNet1k,  384, [89.0,  45.0,  85.1], CONVNEXT),
    row(("convnext", "base"),   ImageNet22k, 224, [89.0,  15.4,  85.8], CONVNEXT),
    row(("convnext", "base"),   ImageNet22k, 384, [89.0,  47.0,  86.8], CONVNEXT),
    row(("convnext", "large"),  ImageNet1k,  224, [198.0, 34.4,  84.3], CONVNEXT),
    row(("convnext", "large"),  ImageNet1k,  384, [198.0, 101.0, 85.5], CONVNEXT),
    row(("convnext", "large"),  ImageNet22k, 224, [198.0, 34.4,  86.6], CONVNEXT),
    row(("convnext", "large"),  ImageNet22k, 384, [198.0, 101.0, 87.5], CONVNEXT),
    row(("convnext", "xlarge"), ImageNet22k, 224, [350.0, 60.9,  87.0], CONVNEXT),
    row(("convnext", "xlarge"), ImageNet22k, 384, [350.0, 179.0, 87.8], CONVNEXT),

    row(("resnet", "50"),  ImageNet1k, 224, [25.6, 4.09, 76.13],  TORCHVISION),
    row(("resnet", "101"), ImageNet1k, 224, [44.5, 7.80, 77.374], TORCHVISION),
];
