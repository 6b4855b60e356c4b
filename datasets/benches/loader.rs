//! Images a second of the semantic 512 pipeline: decode, resize (2048, 512) x 0.5 to 2, crop 512, flip, photometric,
//! normalise, collate in batches of 4.
//!
//! Run with `cargo bench -p smalti-datasets`. Uses a generated set of 480x360 JPEGs, and CamVid where `$SMALTI_DATA/camvid`
//! or `../../shared/data/camvid` exists. With one worker the time an image is the CPU time an image, but for the copy into
//! the batch, which runs beside it.

#![expect(
    clippy::unwrap_used,
    clippy::unnecessary_debug_formatting,
    reason = "a benchmark stops where it cannot go on; TOML wants quoted paths"
)]

use std::env;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use smalti_datasets::sampler::rng;
use smalti_datasets::transform::Pipeline;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::{DataConfig, Loader, SemanticSet, Split};

const AUGMENT: &str = r#"
[[augment]]
op = "random_resize"
scale = [2048, 512]
[[augment]]
op = "random_crop"
size = [512, 512]
cat_max_ratio = 0.75
[[augment]]
op = "flip"
[[augment]]
op = "photometric"
"#;

/// Soft blobs with noise: compresses about as well as a photograph.
fn generate(folder: &Path) -> DataConfig {
    const HEIGHT: u32 = 360;
    const WIDTH: u32 = 480;
    let class = |n: u32, y: u32, x: u32| ((x + 17 * n) / 61 + (y + x / 4) / 47) % 11;
    for part in ["images", "labels"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    for n in 0..24 {
        let at = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y, x)));
        let rgb: Vec<u8> = at
            .clone()
            .flat_map(|(y, x)| {
                let noise = (y * WIDTH + x).wrapping_mul(2_654_435_761).rotate_left(n) >> 28;
                let base = class(n, y, x) * 19 + noise;
                [base, base + y / 9, 200 - base / 2].map(|v| v as u8)
            })
            .collect();
        let mut file = BufWriter::new(File::create(folder.join(format!("images/{n:03}.jpg"))).unwrap());
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
        encoder.encode(&rgb, WIDTH, HEIGHT, image::ExtendedColorType::Rgb8).unwrap();
        let labels =
            image::GrayImage::from_vec(WIDTH, HEIGHT, at.map(|(y, x)| class(n, y, x) as u8).collect())
                .unwrap();
        labels.save(folder.join(format!("labels/{n:03}.png"))).unwrap();
    }
    fs::write(folder.join("classes.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n").unwrap();
    config(folder, "classes = \"classes.txt\"", "images = \"images\"\nlabels = \"labels\"")
}

fn config(root: &Path, more: &str, train: &str) -> DataConfig {
    toml::from_str(&format!("root = {root:?}\n{more}\n[train]\n{train}\n{AUGMENT}")).unwrap()
}

fn camvid() -> Option<DataConfig> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let root = bases.into_iter().flatten().map(|base| base.join("camvid")).find(|root| root.is_dir())?;
    Some(config(&root, "ignore_label = 11", "list = \"train.txt\""))
}

fn bench_set(criterion: &mut Criterion, name: &str, cfg: &DataConfig) {
    let set = Arc::new(SemanticSet::open(cfg, Split::Train, None).unwrap());
    let mut group = criterion.benchmark_group(name);
    group.measurement_time(Duration::from_secs(4)).sample_size(20);
    for workers in [1, 0] {
        let mut cfg = cfg.clone();
        cfg.loader.workers = workers;
        group.throughput(Throughput::Elements(cfg.loader.batch_size as u64));
        let mut loader = Loader::new(Arc::clone(&set), &cfg, 0, 0).unwrap();
        let label = if workers == 0 { "loader, one worker a core" } else { "loader, 1 worker" };
        group.bench_function(label, |bencher| bencher.iter(|| loader.next().unwrap()));
    }
    group.throughput(Throughput::Elements(1));
    let (pipeline, normalizer) = (Pipeline::new(&cfg.augment), Normalizer::new(&cfg.normalize));
    let samples: Vec<_> = (0..set.len().min(24)).map(|i| set.load(i).unwrap()).collect();
    let mut i = 0;
    let mut turn = || {
        i += 1;
        i % samples.len()
    };
    group.bench_function("decode", |bencher| bencher.iter(|| set.load(turn()).unwrap()));
    let mut n = 0;
    group.bench_function("transform", |bencher| {
        bencher.iter(|| {
            n += 1;
            pipeline.apply(samples[n as usize % samples.len()].clone(), &mut rng(0, 0, n))
        });
    });
    let cropped = pipeline.apply(samples[0].clone(), &mut rng(0, 0, 0));
    group
        .bench_function("normalize", |bencher| bencher.iter(|| normalizer.image(&cropped.image, [512, 512])));
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    bench_set(criterion, "generated 480x360", &generate(folder.path()));
    if let Some(cfg) = camvid() {
        bench_set(criterion, "camvid", &cfg);
    }
}

criterion_group!(all, benches);
criterion_main!(all);
