//! Images a second of Mask2Former's pipeline for COCO instances: decode, flip, large-scale jitter 0.1 to 2 of 1024x1024 with
//! Pillow's filter, masks of the window, normalise, collate in batches of 4.
//!
//! Run with `cargo bench -p smalti-datasets --bench large_scale_jitter`. Uses generated 640x480 JPEGs with seven outlines
//! each, and the COCO sample where `$SMALTI_DATA/coco-sample` or `../../shared/data/coco-sample` exists. With one worker
//! the time an image is the CPU time an image, but for the copy into the batch, which runs beside it.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it cannot go on")]

use std::env;
use std::f64::consts::TAU;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use smalti_datasets::coco::{InstanceFile, Segmentation, read_json};
use smalti_datasets::config::{LoaderConfig, NormalizeConfig};
use smalti_datasets::sample::{Segment, SegmentMasks, SegmentedSample};
use smalti_datasets::sampler::rng;
use smalti_datasets::transform::normalize::Normalizer;
use smalti_datasets::transform::segments::{SegmentAugmentConfig, SegmentPipeline};
use smalti_datasets::{DataError, Loader, SegmentSource, Segmented, decode};

const AUGMENT: &str = r#"
[[augment]]
op = "flip"
[[augment]]
op = "large_scale_jitter"
size = [1024, 1024]
"#;

#[derive(serde::Deserialize)]
struct Data {
    augment: Vec<SegmentAugmentConfig>,
}

/// Images with the masks of their instances, which are few enough to hold.
struct Instances(Vec<(PathBuf, Vec<Segment>, Vec<Segmentation>)>);

impl Segmented for Instances {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn load(&self, index: usize) -> Result<SegmentedSample, DataError> {
        let (path, segments, masks) = &self.0[index];
        Ok(SegmentedSample {
            name: path.display().to_string(),
            image: decode::image(path)?,
            segments: segments.clone(),
            masks: SegmentMasks::Each(masks.clone()),
        })
    }
}

/// Soft blobs with noise, which compress about as well as a photograph, and seven outlines of 40 points.
fn generate(folder: &Path) -> Instances {
    const HEIGHT: u32 = 480;
    const WIDTH: u32 = 640;
    let of_image = |n: u32| {
        let at = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (y, x)));
        let rgb: Vec<u8> = at
            .flat_map(|(y, x)| {
                let noise = (y * WIDTH + x).wrapping_mul(2_654_435_761).rotate_left(n) >> 28;
                let base = ((x + 17 * n) / 61 + (y + x / 4) / 47) % 11 * 19 + noise;
                [base, base + y / 9, 200 - base / 2].map(|v| v as u8)
            })
            .collect();
        let path = folder.join(format!("{n:03}.jpg"));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
        encoder.encode(&rgb, WIDTH, HEIGHT, image::ExtendedColorType::Rgb8).unwrap();
        let outline = |i: u32| {
            let (x, y) = (f64::from((i * 97 + n * 41) % WIDTH), f64::from((i * 61 + n * 29) % HEIGHT));
            let radius = 20.0 + 25.0 * f64::from(i);
            let point = |step: u32| {
                let (sin, cos) = (TAU * f64::from(step) / 40.0).sin_cos();
                let radius = radius * (1.0 + 0.2 * f64::from(step % 3));
                [(x + radius * cos).clamp(0.0, 640.0), (y + radius * sin).clamp(0.0, 480.0)]
            };
            Segmentation::Polygons(vec![(0..40).flat_map(point).collect()])
        };
        let segments = vec![Segment { class: 0, thing: true, crowd: false }; 7];
        (path, segments, (0..7).map(outline).collect())
    };
    Instances((0..24).map(of_image).collect())
}

fn coco_sample() -> Option<Instances> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let root = bases.into_iter().flatten().map(|base| base.join("coco-sample")).find(|root| root.is_dir())?;
    let file: InstanceFile = read_json(&root.join("annotations/instances_train2017.json")).unwrap();
    let of_image = |image: &smalti_datasets::coco::ImageInfo| {
        let own = file.annotations.iter().filter(|instance| instance.image_id == image.id);
        let (segments, masks) = own
            .map(|instance| {
                let crowd = instance.iscrowd == 1;
                (Segment { class: 0, thing: true, crowd }, instance.segmentation.clone())
            })
            .unzip();
        (root.join("train2017").join(&image.file_name), segments, masks)
    };
    Some(Instances(file.images.iter().map(of_image).filter(|(path, ..)| path.is_file()).collect()))
}

fn bench_set(criterion: &mut Criterion, name: &str, set: Instances) {
    let set = Arc::new(set);
    let data: Data = toml::from_str(AUGMENT).unwrap();
    let normalize = NormalizeConfig::default();
    let mut group = criterion.benchmark_group(name);
    group.measurement_time(Duration::from_secs(6)).sample_size(20);
    for workers in [1, 0] {
        let cfg = LoaderConfig { workers, ..LoaderConfig::default() };
        group.throughput(Throughput::Elements(cfg.batch_size as u64));
        let source = Arc::new(SegmentSource::new(Arc::clone(&set), &data.augment, &normalize));
        let mut loader = Loader::over(source, &cfg, 0, 0).unwrap();
        let label = if workers == 0 { "loader, one worker a core" } else { "loader, 1 worker" };
        group.bench_function(label, |bencher| bencher.iter(|| loader.next().unwrap()));
    }
    group.throughput(Throughput::Elements(1));
    let (pipeline, normalizer) = (SegmentPipeline::new(&data.augment), Normalizer::new(&normalize));
    let samples: Vec<_> = (0..set.len().min(40)).map(|i| set.load(i).unwrap()).collect();
    let mut i = 0;
    let mut turn = || {
        i += 1;
        i % samples.len()
    };
    group.bench_function("decode", |bencher| bencher.iter(|| set.load(turn()).unwrap()));
    let mut n = 0;
    group.bench_function("transform, with masks", |bencher| {
        bencher.iter(|| {
            n += 1;
            pipeline.apply(samples[n as usize % samples.len()].clone(), &mut rng(0, 0, n)).unwrap()
        });
    });
    let view = pipeline.apply(samples[0].clone(), &mut rng(0, 0, 0)).unwrap();
    group.bench_function("normalize", |bencher| {
        bencher.iter(|| normalizer.image(&view.image, [1024, 1024]));
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    bench_set(criterion, "generated 640x480, 7 instances", generate(folder.path()));
    if let Some(set) = coco_sample() {
        bench_set(criterion, "coco-sample", set);
    }
}

criterion_group!(all, benches);
criterion_main!(all);
