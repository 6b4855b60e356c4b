//! How long a set as large as COCO's training images takes to open, with and without a kept index, and in how much memory.
//!
//! `cargo run --release -p smalti-datasets --example segment_index -- generate DIR` writes `DIR/coco`: annotation files with as
//! many images, instances, segments and bytes as train2017 has, in the same form, and empty files for images and PNGs.
//! `... -- open DIR instance|panoptic CACHE` opens it once; the index is kept in CACHE, so the second time is warm.

#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rand::{Rng, RngExt};
use smalti_datasets::benchmarks::coco;
use smalti_datasets::sampler::rng;
use smalti_datasets::{IndexCache, SegmentDataConfig, SegmentSet, SegmentTask, Split};

/// Of train2017.
const IMAGES: usize = 118_287;
const INSTANCES: usize = 860_001;
const SEGMENTS: usize = 1_294_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", folder] => generate(Path::new(folder)),
        ["open", folder, "instance", cache] => open(Path::new(folder), SegmentTask::Instance, cache),
        ["open", folder, "panoptic", cache] => open(Path::new(folder), SegmentTask::Panoptic, cache),
        _ => Err("usage: segment_index generate DIR | open DIR instance|panoptic CACHE".into()),
    }
}

fn open(folder: &Path, task: SegmentTask, cache: &str) -> Result<(), Box<dyn Error>> {
    let cfg: SegmentDataConfig = toml::from_str("benchmark = \"coco\"")?;
    let start = Instant::now();
    let set = SegmentSet::open_with(&cfg, task, Split::Train, Some(folder), &IndexCache::at(cache))?;
    let seconds = start.elapsed().as_secs_f64();
    let segments: usize = (0..set.len()).map(|i| set.segments(i).map_or(0, |segments| segments.len())).sum();
    println!("{} images, {segments} segments: {seconds:.3} s, peak {}", set.len(), peak()?);
    Ok(())
}

/// Most memory that this process has had.
fn peak() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{} MiB", kib / 1024))
}

fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let root = folder.join("coco");
    let annotations = root.join("annotations");
    let pngs = annotations.join("panoptic_train2017");
    let images = root.join("train2017");
    for folder in [&pngs, &images] {
        fs::create_dir_all(folder)?;
    }
    for image in 0..IMAGES {
        File::create(images.join(format!("{:012}.jpg", id_of(image))))?;
        File::create(pngs.join(format!("{:012}.png", id_of(image))))?;
    }
    let mut random = rng(1, 0, 0);
    write(&annotations.join("instances_train2017.json"), true, INSTANCES, |number| {
        // Instances stand in the official file in no order of their images.
        instance(number, id_of(random.random_range(0..IMAGES as u32) as usize), &mut random)
    })?;
    let mut random = rng(2, 0, 0);
    write(&annotations.join("panoptic_train2017.json"), false, IMAGES, |number| {
        let segments = SEGMENTS * (number + 1) / IMAGES - SEGMENTS * number / IMAGES;
        panoptic(id_of(number), segments, &mut random)
    })?;
    Ok(())
}

/// Ids have gaps.
fn id_of(image: usize) -> usize {
    image * 49 / 10 + 9
}

/// Writes a file with its lists in the official order.
fn write(
    path: &Path,
    things: bool,
    count: usize,
    mut annotation: impl FnMut(usize) -> String,
) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(b"{\"info\": {\"year\": 2017}, \"images\": [")?;
    for image in 0..IMAGES {
        let comma = if image == 0 { "" } else { ", " };
        let id = id_of(image);
        write!(
            out,
            "{comma}{{\"license\": 3, \"file_name\": \"{id:012}.jpg\", \"coco_url\": \
             \"http://images.cocodataset.org/train2017/{id:012}.jpg\", \"height\": 480, \"width\": 640, \"date_captured\": \
             \"2013-11-14 11:18:45\", \"flickr_url\": \"http://farm9.staticflickr.com/8186/{id:010}_76f02d3927_z.jpg\", \"id\": {id}}}"
        )?;
    }
    out.write_all(b"], \"annotations\": [")?;
    for number in 0..count {
        let comma = if number == 0 { "" } else { ", " };
        write!(out, "{comma}{}", annotation(number))?;
    }
    let categories: Vec<_> =
        coco::CLASSES.iter().filter(|row| row.isthing || !things).map(|row| row.to_category()).collect();
    write!(out, "], \"categories\": {}}}", serde_json::to_string(&categories)?)?;
    out.into_inner()?.sync_all()?;
    println!("{}: {} MB", path.display(), fs::metadata(path)?.len() / 1_000_000);
    Ok(())
}

fn instance(number: usize, image: usize, random: &mut impl Rng) -> String {
    let crowd = number.is_multiple_of(86); // 1.2 %, as run lengths
    let mut text = String::from("{\"segmentation\": ");
    if crowd {
        let runs: Vec<u32> = (0..300).map(|_| random.random_range(1..1000)).collect();
        let rest = 480 * 640 - runs.iter().sum::<u32>().min(480 * 640);
        let _ = write!(text, "{{\"counts\": {:?}, \"size\": [480, 640]}}", [runs, vec![rest]].concat());
    } else {
        let points = random.random_range(8..46);
        let (x, y) = (random.random_range(50.0..500.0), random.random_range(50.0..400.0));
        let coordinates: Vec<String> = (0..points)
            .flat_map(|_| [x + random.random_range(0.0..90.0), y + random.random_range(0.0..70.0)])
            .map(|coordinate: f64| format!("{coordinate:.2}"))
            .collect();
        let _ = write!(text, "[[{}]]", coordinates.join(", "));
    }
    let class = coco::CLASSES[random.random_range(0..80)].id;
    let _ = write!(
        text,
        ", \"area\": 702.1057499999998, \"iscrowd\": {}, \"image_id\": {image}, \"bbox\": [473.07, 395.93, 38.65, 28.67], \
         \"category_id\": {class}, \"id\": {}}}",
        u8::from(crowd),
        number + 156
    );
    text
}

fn panoptic(image: usize, segments: usize, random: &mut impl Rng) -> String {
    let segments: Vec<String> = (0..segments)
        .map(|number| {
            // Things first, then stuff of classes that differ.
            let class = if number < 6 { random.random_range(0..80) } else { 80 + number % 53 };
            format!(
                "{{\"id\": {}, \"category_id\": {}, \"iscrowd\": 0, \"bbox\": [0, 246, 432, 281], \"area\": 52170}}",
                3_226_956 + number * 4099,
                coco::CLASSES[class].id
            )
        })
        .collect();
    format!(
        "{{\"segments_info\": [{}], \"file_name\": \"{image:012}.png\", \"image_id\": {image}}}",
        segments.join(", ")
    )
}
