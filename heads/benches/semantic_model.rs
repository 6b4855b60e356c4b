//! Time and peak memory of UperNet + NAT: training step (forward, loss, backward) and inference, on the CPU.
//!
//! `cargo bench -p smalti-heads --bench semantic_model [-- VARIANT SIZE BATCH CHANNELS]`, by default `tiny 512 2 512`. Medians of 5
//! runs after one warm-up.

#![allow(clippy::print_stdout)]

mod memory;

use smalti_backbones::{BackboneConfig, NatConfig, NatVariant};
use smalti_heads::{FcnConfig, SemanticConfig, SemanticLoss, SemanticModel, UperConfig};
use smalti_ops::bench_cases::Timer;
use tch::{Device, Kind, Tensor, nn, no_grad};

use memory::peak_mib;

const CLASSES: i64 = 11;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number =
        |at: usize, default: i64| words.get(at).map_or(default, |word| word.parse().expect("a number"));
    let name = words.first().map_or("tiny", String::as_str);
    let variant = NatVariant::ALL.into_iter().find(|variant| variant.name() == name).expect("a NAT variant");
    let (size, batch, channels) = (number(1, 512), number(2, 2), number(3, 512));
    smalti_ops::runtime::flush_denormals(true);

    let store = nn::VarStore::new(Device::Cpu);
    let config = SemanticConfig {
        backbone: BackboneConfig::Nat(NatConfig { variant: Some(variant), ..NatConfig::default() }),
        decode: UperConfig { channels, ..UperConfig::default() },
        auxiliary: Some(FcnConfig { channels: channels.min(256), ..FcnConfig::default() }),
        recompute: [std::env::args().any(|argument| argument == "recompute"); 4],
    };
    let model = SemanticModel::new(&store.root(), &config, CLASSES).expect("a published variant");
    let parameters: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(CLASSES, [batch, size, size], (Kind::Int64, Device::Cpu));
    println!(
        "UperNet({channels}) + NAT-{name}, {:.2} M parameters, batch {batch}, {size}x{size}, {} threads",
        parameters as f64 / 1e6,
        tch::get_num_threads()
    );

    let timer = Timer { device: Device::Cpu, warm_ups: 1, repeat: 5 };
    let inference = timer.median_seconds(|| {
        let _ = no_grad(|| model.forward_t(&images, false).logits);
    });
    println!("inference       {:8.1} ms   peak {:6.0} MiB", inference * 1e3, peak_mib());
    let loss = SemanticLoss::new(0.4, None, Device::Cpu);
    let train = timer.median_seconds(|| {
        store.trainable_variables().iter_mut().for_each(Tensor::zero_grad);
        loss.forward(&model.forward_t(&images, true), &labels).total.backward();
    });
    println!("training step   {:8.1} ms   peak {:6.0} MiB", train * 1e3, peak_mib());
}
