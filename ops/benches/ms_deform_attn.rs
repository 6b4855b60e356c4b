//! Multi-scale deformable attention on the CPU: time forward and forward + backward, and how far from the floor.
//!
//! `cargo bench -p smalti-ops --bench ms_deform_attn`. Mask2Former's pixel decoder on a 512x512 image: levels of stride 32, 16 and
//! 8, 5,376 queries, 8 heads of 32 channels, 4 points. Medians of 15 runs after two warm-ups. The floor moves every input
//! and output once at the rate of a 256 MB copy; the gathers of the corners, 264 MB an image, come on top of it from the caches.

#![allow(clippy::print_stdout)]

#[path = "support/median.rs"]
mod median;

use median::median_seconds;
use smalti_ops::ms_deform_attn;
use tch::{Device, Kind, Tensor, no_grad};

const LEVELS: [(i64, i64); 3] = [(16, 16), (32, 32), (64, 64)];
const HEADS: i64 = 8;
const HEAD_DIM: i64 = 32;
const POINTS: i64 = 4;

/// Centres of all positions of all levels, the same on every level: `[1, S, L, 2]`.
fn references() -> Tensor {
    let centres = |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) + 0.5) / n as f64;
    let of_level = |(height, width): (i64, i64)| {
        let y = centres(height).reshape([height, 1]).expand([height, width], false);
        let x = centres(width).reshape([1, width]).expand([height, width], false);
        Tensor::stack(&[x, y], -1).reshape([height * width, 2])
    };
    let all = Tensor::cat(&LEVELS.map(of_level), 0); // [S, 2]
    all.reshape([1, -1, 1, 2]).repeat([1, 1, LEVELS.len() as i64, 1])
}

fn main() {
    let cpu = (Kind::Float, Device::Cpu);
    let from = Tensor::rand([64 << 20], cpu);
    let mut to = from.zeros_like();
    let copied = 2.0 * 4.0 * from.numel() as f64 / median_seconds(2, 7, || to.copy_(&from));
    println!("{} threads, copy {:.1} GB/s", tch::get_num_threads(), copied / 1e9);

    for batch in [1, 2] {
        let queries: i64 = LEVELS.iter().map(|(height, width)| height * width).sum();
        let levels = LEVELS.len() as i64;
        let leaf = |shape: &[i64]| Tensor::randn(shape, cpu).set_requires_grad(true);
        let value = leaf(&[batch, queries, HEADS, HEAD_DIM]);
        let reference = references().repeat([batch, 1, 1, 1]);
        let offsets =
            (Tensor::randn([batch, queries, HEADS, levels, POINTS, 2], cpu) * 2.0).set_requires_grad(true);
        let logits = leaf(&[batch, queries, HEADS, levels * POINTS]);
        let weight = Tensor::randn([batch, queries, HEADS, HEAD_DIM], cpu);
        let run = || match ms_deform_attn(&value, &LEVELS, &reference, &offsets, &logits) {
            Ok(out) => out,
            Err(err) => panic!("{err}"),
        };
        let forward = median_seconds(2, 15, || {
            let _ = no_grad(run);
        });
        let both = median_seconds(2, 15, || {
            let loss = (run() * &weight).sum(Kind::Float);
            Tensor::run_backward(&[loss], &[&value, &offsets, &logits], false, false);
        });
        let tensors = [&value, &reference, &offsets, &logits, &weight];
        let bytes: f64 = tensors.iter().map(|t| 4.0 * t.numel() as f64).sum();
        let floor = bytes / copied;
        println!(
            "batch {batch}: forward {:6.2} ms ({:.1}x floor)   forward + backward {:6.2} ms ({:.1}x)",
            forward * 1e3,
            forward / floor,
            both * 1e3,
            both / (3.0 * floor)
        );
    }
}
