//! 2D neighborhood attention on the CPU: time forward and forward + backward, and how far from the arithmetic floor.
//!
//! `cargo bench -p smalti-ops --bench neighborhood_attention [-- FILTER]`. Medians of 7 runs after two warm-ups. The floor counts
//! `4 * pairs * head_dim` flops forward and 3.5 times that for forward + backward, at the rate that a 1024^3 matrix product reaches
//! in the same process, and every tensor moved once at the rate of a 256 MB copy; the larger of the two.

#![allow(clippy::print_stdout)]

#[path = "support/median.rs"]
mod median;

use median::median_seconds;
use smalti_ops::{Window2d, neighborhood_attention_2d};
use tch::{Device, Kind, Tensor, no_grad};

/// Map side, heads, window, dilation: the shapes of NAT and DiNAT at 224 and 512 input.
const SHAPES: [(i64, i64, i64, i64); 9] = [
    (56, 2, 7, 1),
    (56, 2, 7, 8),
    (28, 4, 7, 1),
    (14, 8, 7, 1),
    (7, 16, 7, 1),
    (128, 2, 7, 1),
    (64, 4, 7, 1),
    (64, 4, 11, 1),
    (32, 8, 7, 4),
];
const HEAD_DIM: i64 = 32;

fn median(run: impl FnMut()) -> f64 {
    median_seconds(2, 7, run)
}

fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    let cpu = (Kind::Float, Device::Cpu);
    let (a, b) = (Tensor::randn([1024, 1024], cpu), Tensor::randn([1024, 1024], cpu));
    let flops = 2.0 * 1024f64.powi(3) / median(|| drop(a.matmul(&b)));
    let (from, mut to) = (Tensor::zeros([64 << 20], cpu), Tensor::zeros([64 << 20], cpu));
    let bytes = 2.0 * 256e6 * 1.048_576 / median(|| to.copy_(&from));
    println!(
        "{} threads, sgemm {:.0} GFLOP/s, copy {:.1} GB/s",
        tch::get_num_threads(),
        flops / 1e9,
        bytes / 1e9
    );
    println!(
        "{:<26} {:>10} {:>8} {:>12} {:>8}",
        "map, heads, k, dilation, B", "forward ms", "x floor", "fwd + bwd ms", "x floor"
    );
    for (side, heads, window, dilation) in SHAPES {
        for batch in [1, 8] {
            let name = format!("{side}x{side}, {heads}, {window}, {dilation}, {batch}");
            if !name.contains(&filter) {
                continue;
            }
            let shape = [batch, side, side, 3, heads, HEAD_DIM];
            let qkv = Tensor::randn(shape, cpu).set_requires_grad(true);
            let bias = Tensor::randn([heads, 2 * window - 1, 2 * window - 1], cpu).set_requires_grad(true);
            let run = || {
                let parts = qkv.unbind(3);
                let window = Window2d::square(window, dilation);
                neighborhood_attention_2d(&parts[0], &parts[1], &parts[2], Some(&bias), window, 0.177)
                    .expect("legal shapes")
            };
            let forward = median(|| drop(no_grad(run)));
            let both = median(|| {
                drop(Tensor::run_backward(&[run().sum(Kind::Float)], &[&qkv, &bias], false, false));
            });
            let tokens = (batch * side * side * heads * HEAD_DIM) as f64;
            let work = 4.0 * tokens * (window * window) as f64;
            let floor = (work / flops).max(4.0 * tokens * 4.0 / bytes);
            let floor_both = (3.5 * work / flops).max(12.0 * tokens * 4.0 / bytes);
            println!(
                "{name:<26} {:>10.2} {:>8.1} {:>12.2} {:>8.1}",
                forward * 1e3,
                forward / floor,
                both * 1e3,
                both / floor_both
            );
        }
    }
}
