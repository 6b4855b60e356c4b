//! What `footprint` tells of predictions, beside what they take of the machine: UperNet and Mask2Former on NAT-Mini and Swin-Tiny.
//!
//! `cargo run --release -p smalti-heads --example footprint [-- HEIGHTxWIDTH ...]`. Measured is what the process grows by at its
//! peak over one prediction, after a small one, on Linux.

#![allow(clippy::print_stdout)]

use std::fs;

use smalti_backbones::{BackboneConfig, NatConfig, NatVariant, SwinConfig, SwinVariant};
use smalti_heads::mask::post::{
    Frame, ImageLogits, MaskInferenceConfig, SemanticOrder, instances, panoptic, semantic,
};
use smalti_heads::{
    InferenceConfig, MaskConfig, MaskFootprint, MaskHeadConfig, MaskModel, SemanticConfig, SemanticFootprint,
    SemanticModel, SlideConfig, UperConfig,
};
use smalti_ops::runtime::release_freed_memory;
use tch::{Device, Tensor, nn, no_grad};

const SIZES: [(i64, i64); 4] = [(320, 320), (512, 640), (800, 1024), (1024, 1536)];
const WARM_UP: (i64, i64) = (64, 64);

fn main() {
    let given: Vec<(i64, i64)> = std::env::args()
        .skip(1)
        .map(|word| {
            let (height, width) = word.split_once('x').expect("HEIGHTxWIDTH");
            (height.parse().expect("a height"), width.parse().expect("a width"))
        })
        .collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    let nat = NatConfig { variant: Some(NatVariant::Mini), ..NatConfig::default() };
    let swin = SwinConfig { variant: Some(SwinVariant::Tiny), ..SwinConfig::default() };
    println!("network                        size        told MiB   measured   told / measured");
    for (name, backbone) in
        [("NAT-Mini", BackboneConfig::Nat(nat)), ("Swin-Tiny", BackboneConfig::Swin(swin))]
    {
        uper(name, &backbone, &sizes);
        masks(name, &backbone, &sizes);
    }
}

/// 150 classes, whole and in windows of 512.
fn uper(name: &str, backbone: &BackboneConfig, sizes: &[(i64, i64)]) {
    let config = SemanticConfig {
        backbone: backbone.clone(),
        decode: UperConfig::default(),
        auxiliary: None,
        recompute: [false; 4],
    };
    let store = nn::VarStore::new(Device::Cpu);
    let model = SemanticModel::new(&store.root(), &config, 150).expect("a published network");
    let footprint = SemanticFootprint::new(&config, 150).expect("a published network");
    let slide = Some(SlideConfig { crop: [512, 512], stride: [341, 341] });
    for (how, inference) in [
        ("", InferenceConfig::default()),
        (" in windows", InferenceConfig { slide, ..InferenceConfig::default() }),
    ] {
        let predict = |size: (i64, i64)| drop(inference.predict(&model, &image(&values(size), size)));
        predict(WARM_UP);
        for &size in sizes {
            let told = footprint.predict(&inference, size).expect("shapes that fit");
            row(&format!("UperNet {name}{how}"), size, told, || predict(size));
        }
    }
}

/// 133 classes and 100 queries, all results.
fn masks(name: &str, backbone: &BackboneConfig, sizes: &[(i64, i64)]) {
    let config =
        MaskConfig { backbone: backbone.clone(), head: MaskHeadConfig::default(), recompute: [false; 4] };
    let store = nn::VarStore::new(Device::Cpu);
    let model = MaskModel::new(&store.root(), &config, 133).expect("a published network");
    let footprint = MaskFootprint::new(&config, 133).expect("a published network");
    // Of random weights, all queries take part.
    let inference = MaskInferenceConfig { object_mask_threshold: 0.0, ..MaskInferenceConfig::default() };
    let predict = |size: (i64, i64)| {
        let images = image(&values(size), size);
        let output = no_grad(|| model.forward_t(&images, false)).expect("shapes that fit");
        let (classes, masks) = (output.class_logits.get(0), output.mask_logits.get(0));
        let logits = ImageLogits { classes: &classes, masks: &masks, frame: Frame::of_size(size) };
        drop(panoptic(logits, &inference, &[true; 133]).expect("a map"));
        drop(instances(logits, &inference, None).expect("instances"));
        drop(semantic(logits, SemanticOrder::ResizeMasks).expect("a map"));
    };
    predict(WARM_UP);
    for &size in sizes {
        let told = footprint.predict(Frame::of_size(size)).expect("shapes that fit");
        row(&format!("Mask2Former {name}"), size, told, || predict(size));
    }
}

/// The array that an image is before it becomes a tensor.
fn values((height, width): (i64, i64)) -> Vec<f32> {
    (0..3 * height * width).map(|i| ((i % 251) as f32 - 125.0) / 60.0).collect()
}

// [1, 3, H, W]
fn image(values: &[f32], (height, width): (i64, i64)) -> Tensor {
    Tensor::from_slice(values).reshape([1, 3, height, width])
}

fn row(network: &str, (height, width): (i64, i64), told: u64, predict: impl FnOnce()) {
    let told = told as f64 / f64::from(1 << 20);
    let measured = peak_mib(predict);
    let (size, ratio) = (format!("{height}x{width}"), told / measured);
    println!("{network:30} {size:10} {told:9.0}   {measured:8.0}   {ratio:.2}");
}

/// What `work` takes at its peak beyond what was in use before.
fn peak_mib(work: impl FnOnce()) -> f64 {
    release_freed_memory();
    // Starts the count of the peak anew.
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = status("VmRSS:");
    work();
    status("VmHWM:") - before
}

fn status(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number") / 1024.0
}
