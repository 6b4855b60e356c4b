//! Scoring instances: reading run lengths, comparing masks, matching. Run with
//! `cargo bench -p smalti-evaluation --bench instance`.
//!
//! Masks are rough discs on 480x640, 100 detections an image of which a third lie near one of 7 objects.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use smalti_datasets::rle::{Rle, Spans, overlap};
use smalti_evaluation::instance::{Detection, InstanceAp, IouType, MaxDets, Region, Truth};

const SIZE: (usize, usize) = (480, 640);

/// A small generator, so that the bench needs no crate for it.
fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A disc with a rough edge.
fn disc(x: i64, y: i64, radius: i64) -> Rle {
    let mask = Array2::from_shape_fn(SIZE, |(row, column)| {
        let (dx, dy) = (column as i64 - x, row as i64 - y);
        let edge = radius + (dx * 7 + dy * 3) % 5;
        u8::from(dx * dx + dy * dy < edge * edge)
    });
    Rle::encode(&mask).unwrap_or_else(|err| panic!("{err}"))
}

fn image() -> (Vec<Truth>, Vec<Detection>) {
    let mut state = 7;
    let mut below = |n: u64| (xorshift(&mut state) % n) as i64;
    let mut truths = Vec::new();
    let mut detections = Vec::new();
    let mut places = Vec::new();
    for id in 1..=7 {
        let (x, y, radius, category) = (below(640), below(480), 10 + below(90), below(5));
        let mask = disc(x, y, radius);
        let area = f64::from(mask.area());
        truths.push(Truth { id, category, region: Region::Mask(mask), area, crowd: false });
        places.push((x, y, radius, category));
    }
    for i in 0..100 {
        let (x, y, radius, category) = if i % 3 == 0 {
            let (x, y, radius, category) = places[below(7) as usize];
            (x + below(5), y + below(5), radius + below(4), category)
        } else {
            (below(640), below(480), 5 + below(60), below(80))
        };
        let region = Region::Mask(disc(x, y, radius));
        detections.push(Detection { category, score: below(1000) as f64, region });
    }
    (truths, detections)
}

fn bench(c: &mut Criterion) {
    let (truths, detections) = image();
    let masks: Vec<&Rle> = detections
        .iter()
        .filter_map(|det| if let Region::Mask(mask) = &det.region { Some(mask) } else { None })
        .collect();
    let texts: Vec<String> = masks.iter().map(|mask| mask.to_compressed()).collect();
    let mut group = c.benchmark_group("instance");
    group.measurement_time(Duration::from_secs(2));

    let bytes = texts.iter().map(|text| text.len() as u64).sum();
    group.throughput(Throughput::Bytes(bytes));
    let mut spans = Spans::new();
    group.bench_function("read run lengths", |b| {
        b.iter(|| {
            texts.iter().filter(|text| spans.read_compressed([480, 640], black_box(text)).is_ok()).count()
        });
    });

    let all: Vec<Spans> = masks
        .iter()
        .map(|mask| {
            let mut spans = Spans::new();
            spans.read_rle(mask);
            spans
        })
        .collect();
    group.throughput(Throughput::Elements(99));
    group.bench_function("overlap of two masks", |b| {
        b.iter(|| {
            all.windows(2).map(|pair| overlap(pair[0].spans(), black_box(pair[1].spans()))).sum::<u32>()
        });
    });

    group.throughput(Throughput::Elements(detections.len() as u64));
    for (name, kind) in [("segm", IouType::Segm), ("boundary", IouType::Boundary)] {
        group.bench_function(format!("one image, {name}"), |b| {
            b.iter(|| {
                let mut ap = InstanceAp::new(kind, MaxDets::default());
                ap.add(1, black_box(&truths), black_box(&detections)).map(|()| ap)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
