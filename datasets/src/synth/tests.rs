//! Whole sets on disk: labels agree with one another, and nothing depends on threads.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;

use super::*;
use crate::classes::ClassTable;
use crate::coco::{InstanceFile, PanopticFile, rgb_to_id};

fn options(out: &Path) -> SynthOptions {
    let layout = SynthLayout::Panoptic;
    SynthOptions { out: out.to_owned(), images: 6, val_images: 3, size: (33, 47), seed: 7, layout }
}

fn quiet(options: &SynthOptions) -> Result<SynthSummary, DataError> {
    generate(options, &|_, _| {})
}

/// Every file below a folder with its bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let dirs = [1, 2, 5].map(|threads| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| quiet(&options(dir.path()))).unwrap();
        dir
    });
    let expected = files(dirs[0].path());
    assert_eq!(expected.len(), 9 * 3 + 4 + 2);
    for dir in &dirs[1..] {
        assert!(files(dir.path()) == expected);
    }
}

#[test]
fn an_image_depends_on_seed_split_and_number_only() {
    let [few, many, other] = [(2, 1, 7), (5, 4, 7), (2, 1, 8)].map(|(images, val_images, seed)| {
        let dir = tempfile::tempdir().unwrap();
        quiet(&SynthOptions { images, val_images, seed, ..options(dir.path()) }).unwrap();
        files(dir.path())
    });
    for name in ["train/000002.jpg", "val/000001.jpg", "panoptic_train/000001.png", "semantic_val/000001.png"]
    {
        assert_eq!(few[Path::new(name)], many[Path::new(name)], "{name}");
        assert_ne!(few[Path::new(name)], other[Path::new(name)], "{name}");
    }
    assert_ne!(few[Path::new("train/000001.jpg")], few[Path::new("val/000001.jpg")]);
}

#[test]
fn masks_boxes_and_maps_agree_to_the_pixel() {
    for (number, size) in [(33, 47), (64, 64), (90, 32)].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            SynthOptions { images: 8, val_images: 2, size, seed: number as u64, ..options(dir.path()) };
        let summary = quiet(&options).unwrap();
        let train = check_split(dir.path(), "train", size);
        let val = check_split(dir.path(), "val", size);
        assert_eq!((summary.instances, summary.val_instances), (train, val));
        assert_eq!((summary.images, summary.val_images, summary.classes), (8, 2, 14));
    }
}

/// Compares the files of every image of a split; returns the number of instances.
fn check_split(root: &Path, split: &str, (height, width): (usize, usize)) -> usize {
    let paths = SplitPaths::new(root, split);
    let instances: InstanceFile = read_json(&paths.instances_json).unwrap();
    let panoptic: PanopticFile = read_json(&paths.panoptic_json).unwrap();
    let contiguous = |category: u32| CLASSES.iter().find(|c| c.category_id == category).unwrap().id;
    assert_eq!(instances.images, panoptic.images);
    assert_eq!((instances.categories.len(), panoptic.categories.len()), (8, 14));
    assert!(instances.annotations.iter().enumerate().all(|(i, a)| a.id == i as u64 + 1 && a.iscrowd == 0));

    for (entry, info) in panoptic.annotations.iter().zip(&panoptic.images) {
        let [image, panoptic_png, semantic_png] = paths.files(info.id);
        assert_eq!(entry.image_id, info.id);
        let rgb = image::open(&image).unwrap().to_rgb8();
        assert_eq!(rgb.dimensions(), (width as u32, height as u32));
        let ids = image::open(&panoptic_png).unwrap().to_rgb8();
        let ids = Array2::from_shape_fn((height, width), |(y, x)| rgb_to_id(ids[(x as u32, y as u32)].0));
        let labels = image::open(&semantic_png).unwrap();
        assert_eq!(labels.color(), image::ColorType::L8);
        let labels = labels.to_luma8();
        let labels = Array2::from_shape_fn((height, width), |(y, x)| labels[(x as u32, y as u32)].0[0]);

        // The semantic map is the panoptic map with classes for ids, and void for 0.
        let class_of: BTreeMap<u32, u8> =
            entry.segments_info.iter().map(|s| (s.id, contiguous(s.category_id))).chain([(0, 255)]).collect();
        assert_eq!(ids.mapv(|id| class_of[&id]), labels);
        for segment in &entry.segments_info {
            let pixels: Vec<_> =
                ids.indexed_iter().filter(|(_, id)| **id == segment.id).map(|(p, _)| p).collect();
            assert_eq!(segment.area as usize, pixels.len());
            assert_eq!(segment.bbox, tight_box(&pixels));
        }

        // Every thing segment has its instance with the very same pixels.
        let things: Vec<_> = entry.segments_info.iter().filter(|s| contiguous(s.category_id) < 8).collect();
        let own: Vec<_> = instances.annotations.iter().filter(|a| a.image_id == info.id).collect();
        assert_eq!(things.len(), own.len());
        assert!((1..=12).contains(&own.len()));
        for (segment, instance) in things.iter().zip(own) {
            let mask = instance.segmentation.to_rle([0, 0]).unwrap().decode();
            assert_eq!(mask, ids.mapv(|id| u8::from(id == segment.id)));
            assert_eq!(instance.category_id, segment.category_id);
            assert_eq!(instance.area, segment.area as f64);
            assert_eq!(instance.bbox, segment.bbox.map(f64::from));
        }
        let void = labels.iter().filter(|&&v| v == 255).count();
        assert!(void > 0 && void < height * width / 4, "{void} void pixels");
    }
    instances.annotations.len()
}

fn tight_box(pixels: &[(usize, usize)]) -> [u32; 4] {
    let range = |f: fn(&(usize, usize)) -> usize| {
        let values = || pixels.iter().map(f);
        (values().min().unwrap() as u32, values().max().unwrap() as u32)
    };
    let ((y0, y1), (x0, x1)) = (range(|p| p.0), range(|p| p.1));
    [x0, y0, x1 - x0 + 1, y1 - y0 + 1]
}

#[test]
fn a_hundred_images_show_every_class() {
    let mut images = [0; CLASSES.len()];
    for id in 1..=100 {
        let scene = Scene::draw(64, 64, &mut Dice::new(0, 0, id));
        let mut classes = scene.classes.clone();
        classes.dedup();
        for class in CLASSES.iter().filter(|c| classes.contains(&c.id)) {
            images[usize::from(class.id)] += 1;
        }
    }
    assert!(images.iter().all(|&n| n >= 15), "images per class: {images:?}");
}

#[test]
fn the_class_file_is_read_by_class_tables() {
    let dir = tempfile::tempdir().unwrap();
    quiet(&SynthOptions { images: 1, val_images: 0, ..options(dir.path()) }).unwrap();
    let table = ClassTable::load(&dir.path().join("classes.json")).unwrap();
    assert_eq!(table.len(), CLASSES.len());
    for (row, class) in table.iter().zip(&CLASSES) {
        assert_eq!(
            (row.name.as_str(), row.color, row.is_thing),
            (class.name, class.color, class.isthing == 1)
        );
    }
}

#[test]
fn a_finished_set_is_kept_and_an_interrupted_one_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let first = quiet(&options).unwrap();
    let expected = files(dir.path());
    let again = quiet(&options).unwrap();
    assert_eq!(again, SynthSummary { reused: true, ..first });

    // As a kill leaves it: the marker, some files, a temporary file, no manifest.
    let manifest = Manifest::of(&options);
    write_json(&unfinished(dir.path()), &manifest).unwrap();
    fs::remove_file(finished(dir.path())).unwrap();
    fs::remove_file(dir.path().join("train/000003.jpg")).unwrap();
    fs::write(dir.path().join("semantic_val/000001.png"), b"half").unwrap();
    fs::write(dir.path().join("annotations/.tmpX"), b"half").unwrap();
    assert_eq!(quiet(&options).unwrap(), first);
    assert!(files(dir.path()) == expected);

    fs::remove_file(dir.path().join("panoptic_val/000002.png")).unwrap();
    assert_eq!(quiet(&options).unwrap(), first);
    assert!(files(dir.path()) == expected);
}

#[test]
fn foreign_folders_and_other_parameters_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    quiet(&options(dir.path())).unwrap();
    let error = quiet(&SynthOptions { seed: 8, images: 2, ..options(dir.path()) }).unwrap_err().to_string();
    assert!(error.contains("images 6 instead of 2, seed 7 instead of 8"), "{error}");
    fs::write(finished(dir.path()), "{}").unwrap();
    assert!(quiet(&options(dir.path())).unwrap_err().to_string().contains("not of this version"));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let error = quiet(&options(dir.path())).unwrap_err().to_string();
    assert!(error.contains("holds other files") && error.contains(&*dir.path().to_string_lossy()), "{error}");
    assert_eq!(files(dir.path()).len(), 1);
    let error = quiet(&options(&dir.path().join("thesis.tex"))).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    let error = quiet(&options(&dir.path().join("thesis.tex/below"))).unwrap_err();
    assert!(error.to_string().contains("thesis.tex/below"), "{error}");
}

#[test]
fn options_out_of_range_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let fails = |changed: SynthOptions, part: &str| {
        let error = quiet(&changed).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    fails(
        SynthOptions { size: (31, 64), ..options.clone() },
        "`size (height)`: expected 32..=4096 pixels, got 31",
    );
    fails(SynthOptions { size: (64, 9999), ..options.clone() }, "`size (width)`");
    fails(SynthOptions { images: 0, ..options.clone() }, "`images`: expected 1..=999999, got 0");
    fails(SynthOptions { val_images: 1_000_000, ..options }, "`val_images`");
}

#[test]
fn the_classification_layout_has_a_folder_a_class() {
    let dirs = [1, 3].map(|threads| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let classes = SynthOptions { images: 17, layout: SynthLayout::Classes, ..options(dir.path()) };
        let summary = pool.install(|| quiet(&classes)).unwrap();
        assert_eq!((summary.classes, summary.instances, summary.val_instances), (8, 17, 3));
        assert!(quiet(&classes).unwrap().reused);
        dir
    });
    let expected = files(dirs[0].path());
    assert!(files(dirs[1].path()) == expected, "bytes depend on the number of threads");
    assert_eq!(expected.len(), 17 + 3 + 1);
    for name in
        ["train/ball/000001.jpg", "train/ball/000017.jpg", "train/candy/000008.jpg", "val/star/000003.jpg"]
    {
        assert!(expected.contains_key(Path::new(name)), "{name}");
    }
    assert_ne!(expected[Path::new("train/ball/000001.jpg")], expected[Path::new("val/ball/000001.jpg")]);

    let error = quiet(&SynthOptions { images: 17, ..options(dirs[0].path()) }).unwrap_err().to_string();
    assert!(error.contains("layout classes instead of panoptic"), "{error}");
    fs::remove_file(dirs[0].path().join("train/ball/000009.jpg")).unwrap();
    let again = SynthOptions { images: 17, layout: SynthLayout::Classes, ..options(dirs[0].path()) };
    assert!(!quiet(&again).unwrap().reused);
    assert!(files(dirs[0].path()) == expected);
}

#[test]
fn progress_reaches_the_total() {
    let dir = tempfile::tempdir().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    generate(&options(dir.path()), &|done, total| seen.lock().unwrap().push((done, total))).unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=9).map(|done| (done, 9)).collect::<Vec<_>>());
}

/// Draws contact sheets to look at: `SHEET=/tmp/sheet.png SIZE=256 cargo test --release -- --ignored sheet`.
#[test]
#[ignore = "writes a picture for the eye"]
fn sheet() {
    let env = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let number = |name: &str, default: &str| env(name, default).parse::<usize>().unwrap();
    let (size, columns, rows) = (number("SIZE", "256"), number("COLUMNS", "4"), number("ROWS", "3"));
    let labels = env("LABELS", "0") == "1";
    let mut sheet = image::RgbImage::new((columns * size) as u32, (rows * size) as u32);
    for id in 0..columns * rows {
        let scene = Scene::draw(size, size, &mut Dice::new(number("SEED", "0") as u64, 1, id as u64 + 1));
        for (at, class) in scene.semantic().into_iter().enumerate() {
            let (x, y) = (id % columns * size + at % size, id / columns * size + at / size);
            let colour: [u8; 3] = std::array::from_fn(|i| scene.rgb[at * 3 + i]);
            let colour =
                if labels { CLASSES.get(usize::from(class)).map_or([0; 3], |c| c.color) } else { colour };
            sheet.put_pixel(x as u32, y as u32, image::Rgb(colour));
        }
    }
    sheet.save(env("SHEET", "/tmp/sheet.png")).unwrap();
}
