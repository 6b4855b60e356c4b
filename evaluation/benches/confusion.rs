//! Counting label pairs, and pairs on boundaries, in pixels per second. Run with `cargo bench -p smalti-evaluation`.
//!
//! Two kinds of 683x512 maps with 150 classes: "regions" as segmentations are (blocks of 23 pixels, 3 % of the
//! predictions wrong at random), and "noise" where no two neighbours agree, the worst case.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smalti_evaluation::semantic::{BoundaryCounts, ConfusionMatrix};

const WIDTH: usize = 683;
const HEIGHT: usize = 512;
const PIXELS: usize = WIDTH * HEIGHT;

/// A small generator, so that the bench needs no crate for it.
fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn regions() -> (Vec<u8>, Vec<u8>) {
    let mut state = 7;
    let gt: Vec<u8> =
        (0..PIXELS).map(|i| ((i % WIDTH / 23 * 31 + i / WIDTH / 23 * 17) % 150) as u8).collect();
    let pred =
        gt.iter().map(|&v| if xorshift(&mut state).is_multiple_of(33) { (v + 1) % 150 } else { v }).collect();
    (pred, gt)
}

fn noise() -> (Vec<u8>, Vec<u8>) {
    let mut state = 7;
    let mut map = || (0..PIXELS).map(|_| (xorshift(&mut state) % 150) as u8).collect();
    (map(), map())
}

/// One counter a pair, one increment a pixel: what the matrix is to be faster than.
fn plain(pred: &[u8], gt: &[u8]) -> Vec<u64> {
    let mut counts = vec![0; 151 * 151];
    for (&p, &g) in pred.iter().zip(gt) {
        if g != 255 {
            counts[usize::from(g).min(150) * 151 + usize::from(p).min(150)] += 1;
        }
    }
    counts
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("confusion");
    group.throughput(Throughput::Elements(PIXELS as u64)).measurement_time(Duration::from_secs(2));
    for (name, (pred, gt)) in [("regions", regions()), ("noise", noise())] {
        group.bench_function(format!("plain/{name}"), |b| b.iter(|| plain(black_box(&pred), black_box(&gt))));
        let mut counts = ConfusionMatrix::new(150);
        group.bench_function(format!("matrix/{name}"), |b| {
            b.iter(|| counts.add(black_box(&pred), black_box(&gt)));
        });
        let mut boundary = BoundaryCounts::new(150);
        group.bench_function(format!("boundary/{name}"), |b| {
            b.iter(|| boundary.add(black_box(&pred), black_box(&gt), HEIGHT, WIDTH));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
