//! Panoptic quality of one image, in pixels per second: reading the PNG, and matching. Run with
//! `cargo bench -p smalti-evaluation --bench panoptic`.
//!
//! Two kinds of 640x480 maps: "regions" as panoptic maps are (a dozen discs, the prediction shifted by a few pixels), and
//! "noise" where no two neighbours agree, the worst case.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smalti_datasets::label_png::{LabelPng, PixelMap};
use smalti_evaluation::panoptic::{GtSegment, PanopticClass, PanopticQuality, PredSegment, SegmentMap};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// Discs over a background, moved to the right.
fn regions(shift: usize) -> Vec<u32> {
    let id = |i: usize| {
        let (x, y) = ((i % WIDTH + shift) as i64, (i / WIDTH) as i64);
        let inside = |k: i64| {
            let (dx, dy) = (x - k * 277 % 640, y - k * 131 % 480);
            dx * dx + dy * dy < (20 + k * 9) * (20 + k * 9)
        };
        (1..12).find(|&k| inside(k)).map_or(7, |k| (k * 70_001) as u32)
    };
    (0..WIDTH * HEIGHT).map(id).collect()
}

fn noise(seed: u32) -> Vec<u32> {
    (0..(WIDTH * HEIGHT) as u32).map(|i| (i ^ seed).wrapping_mul(2_654_435_761) >> 26).collect()
}

fn encode(ids: &[u32], filter: png::Filter) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_filter(filter);
    let rgb: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()[..3].to_vec()).collect();
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&rgb));
    assert!(written.is_ok());
    bytes
}

fn ids_of(map: &[u32]) -> Vec<u32> {
    let mut ids = map.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|&id| id > 0);
    ids
}

fn bench_decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("panoptic_png");
    group.throughput(Throughput::Elements((WIDTH * HEIGHT) as u64)).measurement_time(Duration::from_secs(2));
    let mut decoder = LabelPng::new();
    let filters = [("up", png::Filter::Up), ("sub", png::Filter::Sub), ("paeth", png::Filter::Paeth)];
    for (name, filter) in filters.into_iter().chain([("adaptive", png::Filter::Adaptive)]) {
        let file = encode(&regions(0), filter);
        group.bench_function(format!("regions/{name}"), |b| {
            b.iter(|| decoder.ids_of(Path::new("x.png"), black_box(&file)).map(|map| map.pixels.len()));
        });
    }
    let file = encode(&noise(0), png::Filter::Paeth);
    group.bench_function("noise/paeth", |b| {
        b.iter(|| decoder.ids_of(Path::new("x.png"), black_box(&file)).map(|map| map.pixels.len()));
    });
    group.finish();
}

fn bench_match(c: &mut Criterion) {
    let mut group = c.benchmark_group("panoptic_match");
    group.throughput(Throughput::Elements((WIDTH * HEIGHT) as u64)).measurement_time(Duration::from_secs(2));
    for (name, gt, pred) in [("regions", regions(0), regions(4)), ("noise", noise(0), noise(77))] {
        let category = |id: u32| i64::from(id % 3);
        let gts: Vec<_> = ids_of(&gt)
            .into_iter()
            .map(|id| GtSegment { id: id.into(), category_id: category(id), area: 20_000, is_crowd: false })
            .collect();
        let preds: Vec<_> = ids_of(&pred)
            .into_iter()
            .map(|id| PredSegment { id: id.into(), category_id: category(id) })
            .collect();
        let map = |pixels| PixelMap { height: HEIGHT, width: WIDTH, pixels };
        let classes = (0..3).map(|id| PanopticClass { id, name: id.to_string(), is_thing: true }).collect();
        let Ok(plain) = PanopticQuality::new(classes) else { return };
        for (kind, mut quality) in [("mask", plain.clone()), ("boundary", plain.with_boundary())] {
            group.bench_function(format!("{kind}/{name}"), |b| {
                b.iter(|| {
                    let gt = SegmentMap { map: map(black_box(&gt[..])), segments: &gts };
                    quality.add(&1.into(), gt, SegmentMap { map: map(&pred[..]), segments: &preds })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench_decode, bench_match);
criterion_main!(benches);
