//! The native ops on the CPU: time forward and forward + backward, and how far from the floor.
//!
//! `cargo bench -p smalti-ops [-- FILTER]`. The same cases, floors and timing as `smalti bench ops`, which also knows
//! dtypes, devices and JSON; here without building the command. Medians of 7 calls after two warm-ups.

#![allow(clippy::print_stdout)]

use smalti_ops::bench_cases::{Rates, Shape, Timer};
use tch::{Device, Kind};

fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    let timer = Timer { device: Device::Cpu, warm_ups: 2, repeat: 7 };
    let rates = Rates::measure(&timer, Kind::Float, Device::Cpu);
    println!(
        "{} threads, matrix product {:.0} GFLOP/s, copy {:.1} GB/s",
        tch::get_num_threads(),
        rates.flops / 1e9,
        rates.bytes / 1e9
    );
    println!("{:<58} {:>10} {:>8} {:>12} {:>8}", "", "forward ms", "x floor", "fwd + bwd ms", "x floor");
    for shape in Shape::all() {
        for batch in [1, 8] {
            let name = format!("{} {}, batch {batch}", shape.op(), shape.name());
            if !name.contains(&filter) {
                continue;
            }
            let problem = shape.problem(batch, Kind::Float, Device::Cpu);
            let forward = timer.median_seconds(|| drop(problem.forward().expect("legal shapes")));
            let both = timer.median_seconds(|| drop(problem.forward_backward().expect("legal shapes")));
            println!(
                "{name:<58} {:>10.2} {:>8.1} {:>12.2} {:>8.1}",
                forward * 1e3,
                forward / shape.forward_work(batch, Kind::Float).floor(&rates),
                both * 1e3,
                both / shape.forward_backward_work(batch, Kind::Float).floor(&rates)
            );
        }
    }
}
