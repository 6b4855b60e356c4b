//! Dense prediction on ADE20K, COCO, Cityscapes and Mapillary Vistas.

use super::Pretraining::{self, ImageNet1k, ImageNet22k};
use super::{Dense, Scores, reported};

const SHI: &str = "SHI-Labs repository";
const DAT: &str = "DAT repositories";
const DAVIT: &str = "DaViT repository";
const SWIN: &str = "Swin repository";
const MMSEG: &str = "mmsegmentation";
const MASK2FORMER_ZOO: &str = "Mask2Former repository";
const ONEFORMER_ZOO: &str = "OneFormer repository";

type Key = (&'static str, &'static str);

/// UperNet, 160k steps; millions of parameters and giga multiply-adds; mIoU at one scale, at several with flips; 0 = not
/// reported. Multiply-adds are of images four times as long as the crop is high.
const fn uper(
    model: Key,
    pretraining: Pretraining,
    crop: i64,
    [parameters, gmac]: [f64; 2],
    [single, several]: [f64; 2],
    source: &'static str,
) -> Dense {
    Dense {
        model,
        pretraining,
        data: "ADE20K",
        task: "semantic",
        head: "UperNet",
        schedule: "160k",
        crop: Some(crop),
        parameters_m: reported(parameters),
        gmac: reported(gmac),
        gmac_size: match (gmac > 0.0, crop) {
            (true, 512) => Some("512x2048"),
            (true, 640) => Some("640x2560"),
            _ => None,
        },
        scores: Scores::new([("mIoU", single), ("mIoU ms", several), ("", 0.0)]),
        source,
    }
}

#[rustfmt::skip] // tables read best as such
pub(super) const UPERNET: &[Dense] = &[
    uper(("nat", "mini"),        ImageNet1k,  512, [50.0, 900.0],   [45.1, 46.4], SHI),
    uper(("nat", "tiny"),        ImageNet1k,  512, [58.0, 934.0],   [47.1, 48.4], SHI),
    uper(("nat", "small"),       ImageNet1k,  512, [82.0, 1010.0],  [48.0, 49.5], SHI),
    uper(("nat", "base"),        ImageNet1k,  512, [123.0, 1137.0], [48.5, 49.7], SHI),
    uper(("nat", "dinat_mini"),  ImageNet1k,  512, [50.0, 900.0],   [45.8, 47.2], SHI),
    uper(("nat", "dinat_tiny"),  ImageNet1k,  512, [58.0, 934.0],   [47.8, 48.8], SHI),
    uper(("nat", "dinat_small"), ImageNet1k,  512, [82.0, 1010.0],  [48.9, 49.9], SHI),
    uper(("nat", "dinat_base"),  ImageNet1k,  512, [123.0, 1137.0], [49.6, 50.4], SHI),
    uper(("nat", "dinat_large"), ImageNet22k, 640, [238.0, 2335.0], [54.0, 54.9], SHI),

    uper(("dinat_s", "tiny"),  ImageNet1k,  512, [60.0, 941.0],   [46.0, 47.4], SHI),
    uper(("dinat_s", "small"), ImageNet1k,  512, [81.0, 1030.0],  [48.6, 49.9], SHI),
    uper(("dinat_s", "base"),  ImageNet1k,  512, [121.0, 1173.0], [49.4, 50.2], SHI),
    uper(("dinat_s", "large"), ImageNet22k, 640, [234.0, 2466.0], [53.4, 54.6], SHI),

    uper(("dat", "tiny"),  ImageNet1k, 512, [0.0, 0.0], [49.4, 50.3], DAT),
    uper(("dat", "small"), ImageNet1k, 512, [0.0, 0.0], [50.5, 51.2], DAT),
    uper(("dat", "base"),  ImageNet1k, 512, [0.0, 0.0], [51.0, 51.5], DAT),

    uper(("davit", "tiny"),  ImageNet1k, 512, [60.0, 940.0],   [46.3, 0.0], DAVIT),
    uper(("davit", "small"), ImageNet1k, 512, [81.0, 1030.0],  [48.8, 0.0], DAVIT),
    uper(("davit", "base"),  ImageNet1k, 512, [121.0, 1175.0], [49.4, 0.0], DAVIT),

    uper(("swin", "tiny"),     ImageNet1k,  512, [0.0, 0.0], [44.41, 0.0], MMSEG),
    uper(("swin", "small"),    ImageNet1k,  512, [0.0, 0.0], [47.72, 0.0], MMSEG),
    uper(("swin", "base"),     ImageNet1k,  512, [0.0, 0.0], [47.99, 0.0], MMSEG),
    uper(("swin", "base"),     ImageNet22k, 512, [0.0, 0.0], [50.31, 0.0], MMSEG),
    uper(("swin", "base_384"), ImageNet1k,  512, [0.0, 0.0], [48.35, 0.0], MMSEG),
    uper(("swin", "base_384"), ImageNet22k, 512, [0.0, 0.0], [50.76, 0.0], MMSEG),

    uper(("convnext", "tiny"),   ImageNet1k,  512, [0.0, 0.0], [46.11, 46.62], MMSEG),
    uper(("convnext", "small"),  ImageNet1k,  512, [0.0, 0.0], [48.56, 49.02], MMSEG),
    uper(("convnext", "base"),   ImageNet1k,  512, [0.0, 0.0], [48.71, 49.54], MMSEG),
    uper(("convnext", "base"),   ImageNet22k, 640, [0.0, 0.0], [52.13, 52.66], MMSEG),
    uper(("convnext", "large"),  ImageNet22k, 640, [0.0, 0.0], [53.16, 53.38], MMSEG),
    uper(("convnext", "xlarge"), ImageNet22k, 640, [0.0, 0.0], [53.58, 54.11], MMSEG),
];

/// Mask R-CNN and Cascade Mask R-CNN, 36 epochs; millions of parameters and giga multiply-adds at 800x1280; box and mask AP.
const fn detector(
    model: Key,
    pretraining: Pretraining,
    head: &'static str,
    [parameters, gmac]: [f64; 2],
    [box_ap, mask_ap]: [f64; 2],
    source: &'static str,
) -> Dense {
    Dense {
        model,
        pretraining,
        data: "COCO",
        task: "instance",
        head,
        schedule: "3x",
        crop: None,
        parameters_m: reported(parameters),
        gmac: reported(gmac),
        gmac_size: if gmac > 0.0 { Some("800x1280") } else { None },
        scores: Scores::new([("AP", mask_ap), ("AP box", box_ap), ("", 0.0)]),
        source,
    }
}

const MASK_RCNN: &str = "Mask R-CNN";
const CASCADE: &str = "Cascade Mask R-CNN";

#[rustfmt::skip] // tables read best as such
pub(super) const DETECTION: &[Dense] = &[
    detector(("nat", "mini"),        ImageNet1k,  MASK_RCNN, [40.0, 225.0],   [46.5, 41.7], SHI),
    detector(("nat", "tiny"),        ImageNet1k,  MASK_RCNN, [48.0, 258.0],   [47.7, 42.6], SHI),
    detector(("nat", "small"),       ImageNet1k,  MASK_RCNN, [70.0, 330.0],   [48.4, 43.2], SHI),
    detector(("nat", "mini"),        ImageNet1k,  CASCADE,   [77.0, 704.0],   [50.3, 43.6], SHI),
    detector(("nat", "tiny"),        ImageNet1k,  CASCADE,   [85.0, 737.0],   [51.4, 44.5], SHI),
    detector(("nat", "small"),       ImageNet1k,  CASCADE,   [108.0, 809.0],  [52.0, 44.9], SHI),
    detector(("nat", "base"),        ImageNet1k,  CASCADE,   [147.0, 931.0],  [52.3, 45.1], SHI),
    detector(("nat", "dinat_mini"),  ImageNet1k,  MASK_RCNN, [40.0, 225.0],   [47.2, 42.5], SHI),
    detector(("nat", "dinat_tiny"),  ImageNet1k,  MASK_RCNN, [48.0, 258.0],   [48.6, 43.5], SHI),
    detector(("nat", "dinat_small"), ImageNet1k,  MASK_RCNN, [70.0, 330.0],   [49.3, 44.0], SHI),
    detector(("nat", "dinat_mini"),  ImageNet1k,  CASCADE,   [77.0, 704.0],   [51.2, 44.4], SHI),
    detector(("nat", "dinat_tiny"),  ImageNet1k,  CASCADE,   [85.0, 737.0],   [52.2, 45.1], SHI),
    detector(("nat", "dinat_small"), ImageNet1k,  CASCADE,   [108.0, 809.0],  [52.9, 45.8], SHI),
    detector(("nat", "dinat_base"),  ImageNet1k,  CASCADE,   [147.0, 931.0],  [53.4, 46.2], SHI),
    detector(("nat", "dinat_large"), ImageNet22k, CASCADE,   [258.0, 1276.0], [55.3, 47.8], SHI),

    detector(("dinat_s", "tiny"),  ImageNet1k,  MASK_RCNN, [48.0, 263.0],   [46.6, 42.1], SHI),
    detector(("dinat_s", "small"), ImageNet1k,  MASK_RCNN, [69.0, 350.0],   [48.6, 43.5], SHI),
    detector(("dinat_s", "tiny"),  ImageNet1k,  CASCADE,   [86.0, 742.0],   [51.0, 44.1], SHI),
    detector(("dinat_s", "small"), ImageNet1k,  CASCADE,   [107.0, 829.0],  [52.3, 45.2], SHI),
    detector(("dinat_s", "base"),  ImageNet1k,  CASCADE,   [145.0, 966.0],  [52.6, 45.3], SHI),
    detector(("dinat_s", "large"), ImageNet22k, CASCADE,   [253.0, 1357.0], [54.8, 47.2], SHI),

    detector(("dat", "tiny"),  ImageNet1k, MASK_RCNN, [0.0, 0.0], [50.5, 45.1], DAT),
    detector(("dat", "small"), ImageNet1k, MASK_RCNN, [0.0, 0.0], [51.2, 45.7], DAT),
    detector(("dat", "tiny"),  ImageNet1k, CASCADE,   [0.0, 0.0], [53.0, 46.0], DAT),
    detector(("dat", "small"), ImageNet1k, CASCADE,   [0.0, 0.0], [54.2, 46.9], DAT),
    detector(("dat", "base"),  ImageNet1k, CASCADE,   [0.0, 0.0], [54.5, 47.0], DAT),

    detector(("davit", "tiny"),  ImageNet1k, MASK_RCNN, [47.8, 263.0],  [47.4, 42.9], DAVIT),
    detector(("davit", "small"), ImageNet1k, MASK_RCNN, [69.2, 351.0],  [49.5, 44.3], DAVIT),
    detector(("davit", "base"),  ImageNet1k, MASK_RCNN, [107.3, 491.0], [49.9, 44.6], DAVIT),

    detector(("swin", "tiny"),  ImageNet1k, MASK_RCNN, [48.0, 267.0],  [46.0, 41.6], SWIN),
    detector(("swin", "small"), ImageNet1k, MASK_RCNN, [69.0, 359.0],  [48.5, 43.3], SWIN),
    detector(("swin", "tiny"),  ImageNet1k, CASCADE,   [86.0, 745.0],  [50.4, 43.7], SWIN),
    detector(("swin", "small"), ImageNet1k, CASCADE,   [107.0, 838.0], [51.9, 45.0], SWIN),
    detector(("swin", "base"),  ImageNet1k, CASCADE,   [145.0, 982.0], [51.9, 45.0], SWIN),
];

/// A set and a task of Mask2Former and OneFormer.
#[derive(Clone, Copy)]
struct Benchmark {
    data: &'static str,
    task: &'static str,
    metrics: [&'static str; 3],
}

const PANOPTIC: [&str; 3] = ["PQ", "AP", "mIoU"];
const SEMANTIC: [&str; 3] = ["mIoU", "mIoU ms", ""];
const COCO_PANOPTIC: Benchmark = Benchmark { data: "COCO", task: "panoptic", metrics: PANOPTIC };
const COCO_INSTANCE: Benchmark =
    Benchmark { data: "COCO", task: "instance", metrics: ["AP", "AP boundary", ""] };
const CITY_PANOPTIC: Benchmark = Benchmark { data: "Cityscapes", task: "panoptic", metrics: PANOPTIC };
const CITY_INSTANCE: Benchmark =
    Benchmark { data: "Cityscapes", task: "instance", metrics: ["AP", "AP50", ""] };
const CITY_SEMANTIC: Benchmark = Benchmark { data: "Cityscapes", task: "semantic", metrics: SEMANTIC };
const ADE_PANOPTIC: Benchmark = Benchmark { data: "ADE20K", task: "panoptic", metrics: PANOPTIC };
const ADE_INSTANCE: Benchmark = Benchmark { data: "ADE20K", task: "instance", metrics: ["AP", "", ""] };
const ADE_SEMANTIC: Benchmark = Benchmark { data: "ADE20K", task: "semantic", metrics: SEMANTIC };
const MAPILLARY: Benchmark = Benchmark { data: "Mapillary", task: "panoptic", metrics: PANOPTIC };

/// A row without its costs, which few report.
const fn universal(
    head: &'static str,
    source: &'static str,
    model: Key,
    pretraining: Pretraining,
    on: Benchmark,
    schedule: &'static str,
    values: [f64; 3],
) -> Dense {
    let [first, second, third] = on.metrics;
    Dense {
        model,
        pretraining,
        data: on.data,
        task: on.task,
        head,
        schedule,
        crop: None,
        parameters_m: None,
        gmac: None,
        gmac_size: None,
        scores: Scores::new([(first, values[0]), (second, values[1]), (third, values[2])]),
        source,
    }
}

/// Mask2Former.
const fn m2f(
    model: Key,
    pretraining: Pretraining,
    on: Benchmark,
    schedule: &'static str,
    values: [f64; 3],
) -> Dense {
    universal("Mask2Former", MASK2FORMER_ZOO, model, pretraining, on, schedule, values)
}

/// Mask2Former with the largest DiNAT: 220 million parameters.
const fn m2f_dinat(on: Benchmark, schedule: &'static str, gmac: f64, values: [f64; 3]) -> Dense {
    let row = universal("Mask2Former", SHI, ("nat", "dinat_large_k11"), ImageNet22k, on, schedule, values);
    Dense { parameters_m: Some(220.0), gmac: Some(gmac), ..row }
}

/// `row` with the side of its crops.
const fn cropped(crop: i64, row: Dense) -> Dense {
    Dense { crop: Some(crop), ..row }
}

#[rustfmt::skip] // tables read best as such
pub(super) const MASK2FORMER: &[Dense] = &[
    m2f(("resnet", "50"),      ImageNet1k,  COCO_PANOPTIC, "50 ep",  [51.9, 41.7, 61.7]),
    m2f(("resnet", "101"),     ImageNet1k,  COCO_PANOPTIC, "50 ep",  [52.6, 42.6, 62.4]),
    m2f(("swin", "tiny"),      ImageNet1k,  COCO_PANOPTIC, "50 ep",  [53.2, 43.3, 63.2]),
    m2f(("swin", "small"),     ImageNet1k,  COCO_PANOPTIC, "50 ep",  [54.6, 44.7, 64.2]),
    m2f(("swin", "base_384"),  ImageNet1k,  COCO_PANOPTIC, "50 ep",  [55.1, 45.2, 65.1]),
    m2f(("swin", "base_384"),  ImageNet22k, COCO_PANOPTIC, "50 ep",  [56.4, 46.3, 67.1]),
    m2f(("swin", "large_384"), ImageNet22k, COCO_PANOPTIC, "100 ep", [57.8, 48.6, 67.4]),
    m2f_dinat(COCO_PANOPTIC, "100 ep", 522.0, [58.5, 49.2, 68.3]),

    m2f(("resnet", "50"),      ImageNet1k,  COCO_INSTANCE, "50 ep",  [43.7, 30.6, 0.0]),
    m2f(("resnet", "101"),     ImageNet1k,  COCO_INSTANCE, "50 ep",  [44.2, 31.1, 0.0]),
    m2f(("swin", "tiny"),      ImageNet1k,  COCO_INSTANCE, "50 ep",  [45.0, 31.8, 0.0]),
    m2f(("swin", "small"),     ImageNet1k,  COCO_INSTANCE, "50 ep",  [46.3, 32.9, 0.0]),
    m2f(("swin", "base_384"),  ImageNet1k,  COCO_INSTANCE, "50 ep",  [46.7, 33.2, 0.0]),
    m2f(("swin", "base_384"),  ImageNet22k, COCO_INSTANCE, "50 ep",  [48.1, 34.4, 0.0]),
    m2f(("swin", "large_384"), ImageNet22k, COCO_INSTANCE, "100 ep", [50.1, 36.2, 0.0]),
    m2f_dinat(COCO_INSTANCE, "100 ep", 522.0, [50.8, 0.0, 0.0]),

    m2f(("resnet", "50"),      ImageNet1k,  CITY_PANOPTIC, "90k", [62.1, 37.3, 77.5]),
    m2f(("resnet", "101"),     ImageNet1k,  CITY_PANOPTIC, "90k", [62.4, 37.7, 78.6]),
    m2f(("swin", "tiny"),      ImageNet1k,  CITY_PANOPTIC, "90k", [63.9, 39.1, 80.5]),
    m2f(("swin", "small"),     ImageNet1k,  CITY_PANOPTIC, "90k", [64.8, 40.7, 81.8]),
    m2f(("swin", "base_384"),  ImageNet22k, CITY_PANOPTIC, "90k", [66.1, 42.8, 82.7]),
    m2f(("swin", "large_384"), ImageNet22k, CITY_PANOPTIC, "90k", [66.6, 43.6, 82.9]),
    m2f_dinat(CITY_PANOPTIC, "90k", 522.0, [67.2, 44.5, 83.4]),

    m2f(("resnet", "50"),      ImageNet1k,  CITY_INSTANCE, "90k", [37.4, 61.9, 0.0]),
    m2f(("resnet", "101"),     ImageNet1k,  CITY_INSTANCE, "90k", [38.5, 63.9, 0.0]),
    m2f(("swin", "tiny"),      ImageNet1k,  CITY_INSTANCE, "90k", [39.7, 66.9, 0.0]),
    m2f(("swin", "small"),     ImageNet1k,  CITY_INSTANCE, "90k", [41.8, 70.4, 0.0]),
    m2f(("swin", "base_384"),  ImageNet22k, CITY_INSTANCE, "90k", [42.0, 68.8, 0.0]),
    m2f(("swin", "large_384"), ImageNet22k, CITY_INSTANCE, "90k", [43.7, 71.4, 0.0]),
    m2f_dinat(CITY_INSTANCE, "90k", 522.0, [45.1, 0.0, 0.0]),

    m2f(("resnet", "50"),      ImageNet1k,  CITY_SEMANTIC, "90k", [79.4, 82.2, 0.0]),
    m2f(("resnet", "101"),     ImageNet1k,  CITY_SEMANTIC, "90k", [80.1, 81.9, 0.0]),
    m2f(("swin", "tiny"),      ImageNet1k,  CITY_SEMANTIC, "90k", [82.1, 83.0, 0.0]),
    m2f(("swin", "small"),     ImageNet1k,  CITY_SEMANTIC, "90k", [82.6, 83.6, 0.0]),
    m2f(("swin", "base_384"),  ImageNet22k, CITY_SEMANTIC, "90k", [83.3, 84.5, 0.0]),
    m2f(("swin", "large_384"), ImageNet22k, CITY_SEMANTIC, "90k", [83.3, 84.3, 0.0]),
    m2f_dinat(CITY_SEMANTIC, "90k", 509.0, [0.0, 84.5, 0.0]),

    m2f(("resnet", "50"), ImageNet1k, ADE_PANOPTIC, "160k", [39.7, 26.5, 46.1]),
    cropped(640, m2f(("swin", "large_384"), ImageNet22k, ADE_PANOPTIC, "160k", [48.1, 34.2, 54.5])),
    cropped(640, m2f_dinat(ADE_PANOPTIC, "160k", 535.0, [49.4, 35.0, 56.3])),
    m2f(("resnet", "50"), ImageNet1k, ADE_INSTANCE, "160k", [26.4, 0.0, 0.0]),
    cropped(640, m2f(("swin", "large_384"), ImageNet22k, ADE_INSTANCE, "160k", [34.9, 0.0, 0.0])),
    cropped(640, m2f_dinat(ADE_INSTANCE, "160k", 535.0, [35.4, 0.0, 0.0])),
    cropped(512, m2f(("resnet", "50"),      ImageNet1k,  ADE_SEMANTIC, "160k", [47.2, 49.2, 0.0])),
    cropped(512, m2f(("resnet", "101"),     ImageNet1k,  ADE_SEMANTIC, "160k", [47.8, 50.1, 0.0])),
    cropped(512, m2f(("swin", "tiny"),      ImageNet1k,  ADE_SEMANTIC, "160k", [47.7, 49.6, 0.0])),
    cropped(512, m2f(("swin", "small"),     ImageNet1k,  ADE_SEMANTIC, "160k", [51.3, 52.4, 0.0])),
    cropped(640, m2f(("swin", "base_384"),  ImageNet1k,  ADE_SEMANTIC, "160k", [52.4, 53.7, 0.0])),
    cropped(640, m2f(("swin", "base_384"),  ImageNet22k, ADE_SEMANTIC, "160k", [53.9, 55.1, 0.0])),
    cropped(640, m2f(("swin", "large_384"), ImageNet22k, ADE_SEMANTIC, "160k", [56.1, 57.3, 0.0])),
    cropped(640, m2f_dinat(ADE_SEMANTIC, "160k", 518.0, [0.0, 58.1, 0.0])),
];

/// OneFormer with the largest DiNAT, whose window is 11 pixels wide but on Cityscapes.
const fn oneformer(variant: &'static str, on: Benchmark, values: [f64; 3]) -> Dense {
    universal("OneFormer", ONEFORMER_ZOO, ("nat", variant), ImageNet22k, on, "-", values)
}

#[rustfmt::skip] // tables read best as such
pub(super) const ONEFORMER: &[Dense] = &[
    oneformer("dinat_large_k11", COCO_PANOPTIC, [58.0, 0.0, 68.1]),
    cropped(640,  oneformer("dinat_large_k11", ADE_PANOPTIC, [50.5, 36.0, 58.3])),
    cropped(1280, oneformer("dinat_large_k11", ADE_PANOPTIC, [51.5, 37.1, 58.3])),
    oneformer("dinat_large",     CITY_PANOPTIC, [67.6, 45.6, 83.1]),
    oneformer("dinat_large_k11", MAPILLARY,     [47.8, 0.0, 0.0]),
];
