//! Times of the exact assignment on random costs of the sizes that matching meets.
//!
//! `cargo bench -p smalti-heads --bench assignment`. 100 queries and 20 objects is a usual image, 200 and 150 a full one,
//! 300 and 300 more than any recipe asks for.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use smalti_heads::mask::assignment::assign;
use tch::{Device, Kind, Tensor};

/// Uniform costs, the same ones each time: `[queries, targets]`.
fn costs(queries: usize, targets: usize) -> Array2<f64> {
    tch::manual_seed(1);
    let values = Tensor::rand([(queries * targets) as i64], (Kind::Double, Device::Cpu));
    let values = Vec::<f64>::try_from(values).expect("one dimension");
    Array2::from_shape_vec((queries, targets), values).expect("as many values")
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assign");
    for (queries, targets) in [(100, 20), (200, 150), (300, 300)] {
        let costs = costs(queries, targets);
        group.bench_function(format!("{queries}x{targets}"), |bencher| {
            bencher.iter(|| assign(black_box(&costs)).expect("finite costs"));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
