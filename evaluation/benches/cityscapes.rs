//! Counting Cityscapes frames of 2048x1024 in memory, without the decoding.
//!
//! Run with `cargo bench -p smalti-evaluation --bench cityscapes`. The generated frame has road, sky and 24 cars of 32 to
//! 400 pixels a side; predictions are the cars moved by a few pixels.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smalti_evaluation::cityscapes::{InstanceAp, InstanceImage, PixelCounts};

const WIDTH: usize = 2048;
const HEIGHT: usize = 1024;
const CARS: usize = 24;

/// Row, column and side of each car.
fn cars() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..CARS).map(|i| {
        let side = 32 + i * 16;
        (i * 397 % (HEIGHT - side - 8), i * 911 % (WIDTH - side - 8), side)
    })
}

fn paint<T: Copy>(map: &mut [T], (y, x, side): (usize, usize, usize), value: T) {
    for row in y..y + side {
        map[row * WIDTH + x..][..side].fill(value);
    }
}

fn bench(c: &mut Criterion) {
    let mut ids = vec![23u16; WIDTH * HEIGHT];
    ids[WIDTH * HEIGHT / 2..].fill(7);
    let mut masks = Vec::new();
    for (i, (y, x, side)) in cars().enumerate() {
        paint(&mut ids, (y, x, side), 26_000 + i as u16);
        let mut mask = vec![0u8; WIDTH * HEIGHT];
        paint(&mut mask, (y + 5, x + 3, side), 255);
        masks.push(mask);
    }
    let labels: Vec<u8> =
        ids.iter().map(|&id| if id < 1000 { id as u8 } else { (id / 1000) as u8 }).collect();
    let mut pred = labels.clone();
    pred.rotate_right(3 + 2 * WIDTH);

    let mut group = c.benchmark_group("cityscapes");
    group.throughput(Throughput::Elements((WIDTH * HEIGHT) as u64)).measurement_time(Duration::from_secs(2));
    group.bench_function(format!("instance/{CARS}_masks"), |b| {
        b.iter(|| {
            let mut image = InstanceImage::new("a", black_box(&ids))?;
            for mask in &masks {
                image.predict(26, 0.5, black_box(mask))?;
            }
            let mut ap = InstanceAp::new();
            ap.add(image);
            Ok::<_, smalti_evaluation::EvalError>(ap)
        });
    });
    let mut counts = PixelCounts::new();
    group.bench_function("semantic", |b| {
        b.iter(|| counts.add("a", black_box(&pred), black_box(&labels), black_box(&ids)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
