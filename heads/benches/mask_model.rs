//! Time and peak memory of Mask2Former on Swin, on the CPU: the parts and the whole in evaluation, and a training step whose loss is
//! the plain sum of all predictions.
//!
//! `cargo bench -p smalti-heads --bench mask_model [-- VARIANT SIZE BATCH]`, by default `tiny 512 1`. Medians of 5 runs after one
//! warm-up. Peak memory is the process's so far.

#![allow(clippy::print_stdout)]

mod memory;

use smalti_backbones::{BackboneConfig, Purpose, SwinConfig, SwinVariant};
use smalti_heads::mask::PixelDecoder;
use smalti_heads::{MaskConfig, MaskHeadConfig, MaskModel};
use smalti_ops::bench_cases::Timer;
use tch::{Device, Kind, Tensor, nn, no_grad};

use memory::peak_mib;

const CLASSES: i64 = 133;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number =
        |at: usize, default: i64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let name = words.first().map_or("tiny", String::as_str);
    let variant =
        SwinVariant::ALL.into_iter().find(|variant| variant.name() == name).expect("a Swin variant");
    let (size, batch) = (number(1, 512), number(2, 1));
    smalti_ops::runtime::flush_denormals(true);

    let backbone = BackboneConfig::Swin(SwinConfig { variant: Some(variant), ..SwinConfig::default() });
    let config = MaskConfig { backbone, head: MaskHeadConfig::default(), recompute: [false; 4] };
    let store = nn::VarStore::new(Device::Cpu);
    let model = MaskModel::new(&store.root(), &config, CLASSES).expect("a published variant");
    let parameters: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu));
    println!(
        "Mask2Former + Swin-{name}, {:.2} M parameters, batch {batch}, {size}x{size}, {} threads",
        parameters as f64 / 1e6,
        tch::get_num_threads()
    );

    let timer = Timer { device: Device::Cpu, warm_ups: 1, repeat: 5 };
    let row = |what: &str, seconds: f64| {
        println!("{what:15} {:8.1} ms   peak {:6.0} MiB", seconds * 1e3, peak_mib());
    };
    {
        let parts = nn::VarStore::new(Device::Cpu);
        let backbone = config.backbone.build(&(parts.root() / "backbone"), Purpose::Dense).expect("as above");
        let pixel_decoder =
            PixelDecoder::new(&parts.root(), &config.head, backbone.levels()).expect("as above");
        let levels = no_grad(|| backbone.forward_t(&images, false));
        row("backbone", timer.median_seconds(|| drop(no_grad(|| backbone.forward_t(&images, false)))));
        row(
            "pixel decoder",
            timer.median_seconds(|| drop(no_grad(|| pixel_decoder.forward(&levels).expect("features")))),
        );
    }
    let infer = || drop(no_grad(|| model.forward_t(&images, false).expect("a prediction")));
    row("inference", timer.median_seconds(infer));
    let train = || {
        store.trainable_variables().iter_mut().for_each(Tensor::zero_grad);
        let output = model.forward_t(&images, true).expect("a prediction");
        let sum = |logits: &Tensor| logits.sum(Kind::Float);
        let mut loss = sum(&output.class_logits) + sum(&output.mask_logits);
        for layer in &output.aux {
            loss += sum(&layer.class_logits) + sum(&layer.mask_logits);
        }
        loss.backward();
    };
    row("training step", timer.median_seconds(train));
}
