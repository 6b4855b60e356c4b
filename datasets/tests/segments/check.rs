//! `SegmentCheck` finds each defect by itself, and nothing in sound sets.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::array;
use proptest::prelude::*;
use serde_json::{Value, json};
use smalti_datasets::segment_set::SegmentDataConfig;
use smalti_datasets::segment_set::check::{Finding, Kind, SegmentCheck, SegmentReport, has_split, task_of};
use smalti_datasets::segment_set::stats::stats;
use smalti_datasets::{SegmentSet, SegmentTask, Split};

use crate::support::{Folder, ids, instance_set, panoptic_set, picture, png, shared, synth};

const TRAIN: &str = "train = { images = \"images\", annotations = \"a.json\" }";

fn try_check(folder: &Folder, task: SegmentTask) -> Result<SegmentReport, String> {
    let check = SegmentCheck::open(&folder.config(TRAIN), task, Split::Train, None)
        .map_err(|error| folder.shorten(&error.full_message()))?;
    let (calls, images) = (AtomicUsize::new(0), check.len());
    let (mut report, prints) = check.run(&|| _ = calls.fetch_add(1, Ordering::Relaxed));
    assert_eq!((calls.into_inner(), prints.len(), report.images), (images, images, images));
    for text in report.findings.iter_mut().flat_map(|finding| &mut finding.examples) {
        *text = folder.shorten(text);
    }
    Ok(report)
}

fn check(folder: &Folder, task: SegmentTask) -> SegmentReport {
    try_check(folder, task).unwrap()
}

/// Kinds and texts of all findings.
fn told(report: &SegmentReport) -> Vec<(Kind, &str)> {
    assert!(report.findings.iter().all(|finding| finding.count == finding.examples.len() as u64));
    let texts = |finding| {
        let Finding { kind, examples, .. }: &Finding = finding;
        examples.iter().map(|text| (*kind, text.as_str()))
    };
    report.findings.iter().flat_map(texts).collect()
}

/// What is found in a set of which the JSON was changed.
fn changed(
    (folder, mut json): (Folder, Value),
    task: SegmentTask,
    change: impl Fn(&mut Value),
) -> SegmentReport {
    change(&mut json);
    folder.write("a.json", json.to_string());
    check(&folder, task)
}

#[track_caller]
fn one(report: &SegmentReport, kind: Kind, text: &str, trainable: bool) {
    assert_eq!(told(report), [(kind, text)]);
    assert_eq!(report.trainable(), trainable);
}

fn instances(change: impl Fn(&mut Value)) -> SegmentReport {
    changed(larger(), SegmentTask::Instance, change)
}

fn panoptic(change: impl Fn(&mut Value)) -> SegmentReport {
    changed(panoptic_sound(), SegmentTask::Panoptic, change)
}

/// A sound instance set of one image of 20x30 pixels with two cats and a crowd of ants.
fn larger() -> (Folder, Value) {
    let folder = Folder::new();
    folder.write("images/1.png", picture(20, 30));
    let square = |left: u32, top: u32, edge: u32| {
        let (right, bottom) = (left + edge, top + edge);
        json!([[left, top, right, top, right, bottom, left, bottom]])
    };
    let cat = |id: u32, left: u32| {
        json!({"id": id, "image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": square(left, 2, 8),
            "area": 64, "bbox": [left, 2, 8, 8]})
    };
    let json = json!({
        "images": [{"id": 1, "file_name": "1.png", "height": 20, "width": 30}],
        "annotations": [
            cat(5, 1), cat(6, 15),
            {"id": 7, "image_id": 1, "category_id": 4, "iscrowd": 1, "area": 20, "bbox": [0, 0, 1, 20],
             "segmentation": {"size": [20, 30], "counts": [0, 20, 580]}},
        ],
        "categories": [{"id": 4, "name": "ant"}, {"id": 3, "name": "cat"}],
    });
    folder.write("a.json", json.to_string());
    (folder, json)
}

/// The panoptic set of the other tests with boxes and areas that fit.
fn panoptic_sound() -> (Folder, Value) {
    let (folder, mut json) = panoptic_set();
    for (at, area, bbox) in [
        ("/annotations/0/segments_info/0", 6, [0, 0, 3, 2]),
        ("/annotations/1/segments_info/0", 2, [1, 0, 2, 1]),
    ] {
        let segment = json.pointer_mut(at).unwrap();
        (segment["area"], segment["bbox"]) = (json!(area), json!(bbox));
    }
    let last = json.pointer_mut("/annotations/1/segments_info/1").unwrap();
    (last["area"], last["bbox"]) = (json!(2), json!([0, 1, 2, 1]));
    // The pictures differ, else one is the other's copy.
    folder.write("images/25.png", png([2, 3], ::png::ColorType::Rgb, ::png::BitDepth::Eight, &[7; 18]));
    folder.write("a.json", json.to_string());
    (folder, json)
}

#[test]
fn sound_sets_pass_and_are_counted() {
    let report = check(&larger().0, SegmentTask::Instance);
    assert_eq!(told(&report), []);
    assert!(report.trainable());
    assert_eq!((report.name.as_str(), report.images, report.good, report.objects), ("train", 1, 1, 3));
    let counts: Vec<_> =
        report.categories.iter().map(|c| (c.id, c.name.as_str(), c.objects, c.images, c.pixels)).collect();
    assert_eq!(counts, [(3, "cat", 2, 1, 128), (4, "ant", 1, 1, 20)]);
    let report = check(&panoptic_sound().0, SegmentTask::Panoptic);
    assert_eq!(told(&report), []);
    assert_eq!((report.good, report.objects, report.void_pixels, report.pixels), (2, 3, 2, 12));
    let folder = synth();
    for (task, name) in [(SegmentTask::Instance, "instances"), (SegmentTask::Panoptic, "panoptic")] {
        let path = |below: &str| folder.path(&format!("set/{below}"));
        let annotations = path(&format!("annotations/{name}_train.json"));
        assert_eq!(task_of(&annotations).unwrap(), Some(task));
        let run = |labels| {
            SegmentCheck::open_files(&path("train"), &annotations, labels, task).unwrap().run(&|| ()).0
        };
        let pngs = path("panoptic_train");
        let report = run((task == SegmentTask::Panoptic).then_some(pngs.as_path()));
        assert!(report.trainable() && report.images == 4, "{:?}", told(&report));
        if task == SegmentTask::Panoptic {
            let setting = format!("--labels {}", pngs.display());
            assert_eq!(run(None).hints[0].setting, setting, "PNGs are looked for beside the annotations");
        }
    }
}

#[test]
fn equal_pictures_are_told_and_no_error() {
    let (folder, _) = instance_set();
    let report = check(&folder, SegmentTask::Instance);
    assert_eq!(report.count(Kind::RepeatedImage), 1, "two blank pictures");
    assert!(report.trainable());
}

#[test]
fn records_and_ids() {
    let report = instances(|json| json["annotations"][1] = json!({"id": 6, "image_id": 1}));
    assert_eq!((report.count(Kind::MalformedRecord), report.trainable()), (1, false));
    let text = told(&report)[0].1;
    assert!(
        text.starts_with("annotation 1 (byte ") && text.ends_with("): missing field `category_id`"),
        "{text}"
    );
    let report = instances(|json| json["annotations"][1]["id"] = json!(5));
    assert!(told(&report)[0].1.contains("annotation 1 (id 5, image 1, byte "), "{:?}", told(&report));
    assert!(told(&report)[0].1.ends_with("): expected an id once, got it twice"));
    assert_eq!((report.count(Kind::DuplicateId), report.good, report.trainable()), (1, 0, false));
    let report = instances(|json| {
        let image = json["images"][0].clone();
        json["images"].as_array_mut().unwrap().push(image);
    });
    one(&report, Kind::DuplicateId, "image 1: expected an id once, got it twice", false);
    let report = instances(|json| json["categories"][0]["id"] = json!(3));
    assert_eq!(told(&report)[0].1, "category 3: both \"ant\" and \"cat\" have this id");
    let report = instances(|json| json["categories"][0]["name"] = json!("cat"));
    one(&report, Kind::Categories, "class 1 \"cat\": class 0 has the same name", false);
    let report = instances(|json| json["annotations"][0]["image_id"] = json!(9));
    assert_eq!((report.count(Kind::UnknownImage), report.trainable()), (1, false));
    let report = instances(|json| json["annotations"][0]["category_id"] = json!(9));
    assert!(told(&report)[0].1.ends_with("): category 9 is not listed"));
    assert_eq!((report.count(Kind::UnknownCategory), report.trainable()), (1, false));
}

#[test]
fn shifted_categories_get_a_hint() {
    let report = instances(|json| {
        for annotation in json["annotations"].as_array_mut().unwrap() {
            annotation["category_id"] = json!(annotation["category_id"].as_u64().unwrap() - 1);
        }
    });
    assert_eq!(report.hints[0].setting, "`category_id` + 1 in every annotation");
    assert_eq!(
        report.hints[0].reason,
        "annotations use 2 to 3, `categories` lists 3 to 4: they are one too low"
    );
}

#[test]
fn images() {
    let (folder, mut json) = larger();
    for id in 2..30 {
        let name = format!("{id}.png");
        folder.write(&format!("images/{name}"), png_of(id));
        let image = json!({"id": id, "file_name": name, "height": 4, "width": 4});
        json["images"].as_array_mut().unwrap().push(image);
    }
    json["images"][1]["height"] = json!(5);
    json["images"][3]["file_name"] = json!("3.png");
    folder.write("a.json", json.to_string());
    fs::remove_file(folder.path("images/6.png")).unwrap();
    let whole = fs::read(folder.path("images/7.png")).unwrap();
    folder.write("images/7.png", &whole[..whole.len() / 2]);
    fs::copy(folder.path("images/9.png"), folder.path("images/10.png")).unwrap();
    let report = check(&folder, SegmentTask::Instance);
    let told = told(&report);
    assert_eq!(told[0], (Kind::MissingFile, "images/6.png (image 6)"));
    assert_eq!(told[1].0, Kind::Unreadable);
    assert!(told[1].1.starts_with("images/7.png: truncated or damaged"), "{}", told[1].1);
    let sizes = "image 2: expected 5x4 (HxW) as listed, got images/2.png of 4x4";
    assert_eq!(told[2], (Kind::SizeDiffers, sizes));
    let twice: Vec<&str> = told[3..].iter().map(|(_, text)| *text).collect();
    assert_eq!(
        twice,
        [
            "image 4: \"3.png\" is the file of an earlier image too",
            "images/10.png is the same file as images/9.png",
        ]
    );
    assert_eq!(report.hints[0].setting, "data.loader.on_corrupt = \"skip\"");
    assert_eq!((report.good, report.images, report.empty_images, report.trainable()), (26, 29, 28, false));
}

/// A picture of 4x4 that differs from all others.
fn png_of(seed: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..48).map(|i| (i * seed) as u8).collect();
    png([4, 4], ::png::ColorType::Rgb, ::png::BitDepth::Eight, &pixels)
}

#[test]
fn masks_boxes_and_areas() {
    let mask = |value: Value| move |json: &mut Value| json["annotations"][0]["segmentation"] = value.clone();
    let place = "annotation 0 (id 5, image 1, byte ";
    for (value, kind, text, trainable) in [
        (
            json!({"size": [30, 20], "counts": [0, 600]}),
            Kind::NoMask,
            "`segmentation`: expected a mask of 20x30 (HxW) as its image, got 30x20",
            false,
        ),
        (
            json!({"size": [20, 30], "counts": [0, 601]}),
            Kind::NoMask,
            "`segmentation`: run-length encoded mask: runs cover 601 pixels or more, expected 600 for 20x30 (HxW)",
            false,
        ),
        (
            json!([[1, 2, 3, 4]]),
            Kind::NoMask,
            "`segmentation`: run-length encoded mask: a polygon of 4 numbers, expected at least 3 points",
            false,
        ),
        (json!([[1, 1, 1, 1, 1, 1]]), Kind::EmptyMask, "no pixel of its mask lies on the image", true),
        (
            json!({"size": [20, 30], "counts": [600]}),
            Kind::EmptyMask,
            "no pixel of its mask lies on the image",
            true,
        ),
    ] {
        let report = instances(mask(value));
        let told = told(&report);
        assert_eq!((told.len(), told[0].0, report.trainable()), (1, kind, trainable), "{told:?}");
        assert!(told[0].1.starts_with(place) && told[0].1.ends_with(&format!("): {text}")), "{told:?}");
    }
    let report = instances(mask(json!([])));
    assert_eq!(report.count(Kind::MalformedRecord), 1, "{:?}", told(&report));
    let report = instances(|json| {
        json["annotations"][0]["segmentation"] = json!([[25, 2, 40, 2, 40, 10, 25, 10]]);
        json["annotations"][0]["area"] = json!(40);
        json["annotations"][0]["bbox"] = json!([25, 2, 5, 8]);
    });
    let outside = "an outline from (25, 2) to (40, 10) on an image of 20x30 (HxW)";
    assert!(told(&report)[0].1.ends_with(outside), "{:?}", told(&report));
    assert_eq!((report.count(Kind::OutlineOutside), report.trainable()), (1, true));

    for (field, value, kind, text) in [
        ("area", json!(900), Kind::AreaDiffers, "`area` is 900, its mask has 64 pixels"),
        (
            "bbox",
            json!([1, 2, 40, 8]),
            Kind::BoxOutside,
            "`bbox` [1.0, 2.0, 40.0, 8.0] on an image of 20x30 (HxW)",
        ),
        (
            "bbox",
            json!([1, 2, 18, 18]),
            Kind::BoxDiffers,
            "`bbox` [1.0, 2.0, 18.0, 18.0], its mask lies in [1, 2, 8, 8] (x, y, width, height)",
        ),
    ] {
        let report = instances(|json| json["annotations"][0][field] = value.clone());
        assert_eq!(told(&report).len(), 1, "{:?}", told(&report));
        assert_eq!((told(&report)[0].0, report.trainable()), (kind, true));
        assert!(told(&report)[0].1.ends_with(text), "{:?}", told(&report));
    }
    let report = instances(|json| json["annotations"][1]["bbox"] = json!([15, 2, 23, 10]));
    assert!(told(&report)[0].1.ends_with("reads as x1, y1, x2, y2, expected x, y, width, height"));
    assert_eq!(report.count(Kind::BoxOutside), 1);
}

#[test]
fn objects_annotated_twice() {
    let again = |category: u32| {
        instances(move |json| {
            let mut copy = json["annotations"][0].clone();
            (copy["id"], copy["category_id"]) = (json!(8), json!(category));
            json["annotations"].as_array_mut().unwrap().push(copy);
        })
    };
    for (category, words) in [(3, "the same category"), (4, "another category")] {
        let report = again(category);
        let told = told(&report);
        assert!(told[0].1.contains("shares 100 % of its pixels with annotation 0 (id 5"), "{told:?}");
        assert!(told[0].1.ends_with(words) && told.len() == 1, "{told:?}");
        assert!(report.trainable());
    }
}

#[test]
fn panoptic_lists() {
    let report = panoptic(|json| json["annotations"][0]["image_id"] = json!(77));
    assert_eq!(
        told(&report),
        [
            (Kind::UnknownImage, "annotation 0 (image 77): its image is not listed"),
            (Kind::NotAnnotated, "image 25"),
        ]
    );
    let report = panoptic(|json| json["annotations"][1]["segments_info"][1]["id"] = json!(70_000));
    assert_eq!(
        told(&report)[0],
        (Kind::DuplicateId, "annotation 1 (image 9): segment id 70000 twice, expected it once")
    );
    let report = panoptic(|json| json["annotations"][1]["segments_info"][1]["category_id"] = json!(99));
    one(
        &report,
        Kind::UnknownCategory,
        "annotation 1 (image 9): segment 258: category 99 is not listed",
        false,
    );
    let report = panoptic(|json| {
        json["annotations"][1]["segments_info"][0]["category_id"] = json!(2);
        json["annotations"][1]["segments_info"][1]["category_id"] = json!(2);
    });
    one(&report, Kind::RepeatedStuff, "annotation 1 (image 9): several segments of stuff category 2", false);
    let report = panoptic(|json| _ = json["categories"][0].as_object_mut().unwrap().remove("isthing"));
    one(
        &report,
        Kind::Categories,
        "category 8 \"car\": `isthing`: expected 1 for things or 0 for stuff, got none",
        false,
    );
}

#[test]
fn panoptic_pngs() {
    let change = |file: &str, bytes: Vec<u8>| {
        let (folder, _) = panoptic_sound();
        folder.write(file, bytes);
        check(&folder, SegmentTask::Panoptic)
    };
    let report = change("a/25.png", ids(&array![[5, 5, 5], [5, 5, 6]]));
    assert_eq!(
        told(&report),
        [
            (Kind::UnlistedSegment, "a/25.png: segment id 6 in 1 pixels"),
            (Kind::AreaDiffers, "a/25.png: segment 5: `area` is 6, the PNG has 5 pixels"),
        ]
    );
    let report = change("a/9.png", ids(&array![[0, 70_000, 70_000], [0, 0, 0]]));
    one(&report, Kind::AbsentSegment, "a/9.png: segment 258", false);
    let report = change("a/25.png", ids(&array![[0, 0, 0], [0, 0, 0]]));
    assert_eq!(told(&report), [(Kind::AbsentSegment, "a/25.png: segment 5"), (Kind::AllVoid, "a/25.png")]);
    let report = change("a/25.png", ids(&array![[5, 5], [5, 5], [5, 5]]));
    assert_eq!(told(&report)[0], (Kind::SizeDiffers, "a/25.png: expected 2x3 (HxW) as its image, got 3x2"));
    let report = change("a/25.png", vec![1, 2, 3]);
    assert_eq!((report.count(Kind::Unreadable), report.trainable()), (1, false));
    let report = panoptic(|json| json["annotations"][0]["segments_info"][0]["bbox"] = json!([0, 0, 9, 2]));
    one(
        &report,
        Kind::BoxDiffers,
        "a/25.png: segment 5: `bbox` [0.0, 0.0, 9.0, 2.0], its pixels lie in [0, 0, 3, 2]",
        true,
    );
}

#[test]
fn files_in_another_folder_get_a_setting() {
    let settings = |folder: &Folder| -> Vec<String> {
        let report = check(folder, SegmentTask::Panoptic);
        assert_eq!((report.count(Kind::MissingFile), report.trainable()), (2, false));
        report.hints.into_iter().map(|hint| hint.setting).collect()
    };
    let (folder, _) = panoptic_sound();
    fs::create_dir(folder.path("masks")).unwrap();
    fs::rename(folder.path("a"), folder.path("masks/train")).unwrap();
    assert_eq!(settings(&folder), ["data.train.labels = \"masks/train\""]);
    let (folder, _) = panoptic_sound();
    fs::rename(folder.path("images"), folder.path("photos")).unwrap();
    fs::create_dir(folder.path("images")).unwrap();
    assert_eq!(settings(&folder), ["data.train.images = \"photos\""]);
}

#[test]
fn what_leaves_nothing_to_look_at_is_an_error() {
    let (folder, _) = panoptic_sound();
    assert_eq!(
        try_check(&folder, SegmentTask::Instance).unwrap_err(),
        "a.json: annotation 0: expected instance annotations, got panoptic ones: set task = \"panoptic\""
    );
    folder.write("a.json", "{\"images\": [], \"categories\": []}");
    assert_eq!(
        try_check(&folder, SegmentTask::Instance).unwrap_err(),
        "a.json: the whole file: expected a list `annotations`, got none"
    );
    folder.write("a.json", "{\"images\": []");
    assert!(try_check(&folder, SegmentTask::Instance).unwrap_err().starts_with("a.json: byte "));
    fs::remove_file(folder.path("a.json")).unwrap();
    let missing = try_check(&folder, SegmentTask::Instance).unwrap_err();
    assert_eq!(missing, "a.json: no such file or folder (data.train)");
}

fn benchmark(name: &str, root: &std::path::Path) -> SegmentDataConfig {
    toml::from_str(&format!("benchmark = \"{name}\"\nroot = \"{}\"", root.display())).unwrap()
}

#[test]
fn train_ids_of_cityscapes_are_recognised() {
    let folder = Folder::new();
    let stem = "train/ulm/ulm_000000_000019";
    folder.write(&format!("leftImg8bit/{stem}_leftImg8bit.png"), picture(2, 3));
    let labels = |values: &[u8]| png([2, 3], ::png::ColorType::Grayscale, ::png::BitDepth::Eight, values);
    let name = format!("gtFine/{stem}_gtFine_instanceIds.png");
    folder.write(&name, labels(&[0, 13, 255, 0, 0, 0]));
    let cfg = benchmark("cityscapes", &folder.path(""));
    let run = || SegmentCheck::open(&cfg, SegmentTask::Panoptic, Split::Train, None).unwrap().run(&|| ()).0;
    let report = run();
    assert_eq!((report.count(Kind::Unreadable), report.trainable()), (1, false));
    assert!(report.hints[0].reason.contains("train ids"), "{:?}", report.hints);
    folder.write(&name, labels(&[7, 7, 26, 26, 0, 0]));
    let report = run();
    assert!(report.trainable() && report.hints.is_empty(), "{:?}", report.findings);
    assert_eq!((report.objects, report.void_pixels), (2, 2));
    assert!(!has_split(&cfg, SegmentTask::Panoptic, Split::Val, None).unwrap());
}

#[test]
fn real_samples_are_sound() {
    let run = |cfg: &SegmentDataConfig, task, split| {
        let report = SegmentCheck::open(cfg, task, split, None).unwrap().run(&|| ()).0;
        assert!(report.trainable() && report.hints.is_empty(), "{task} {split}: {:?}", told(&report));
        assert_eq!(report.good, report.images);
        report
    };
    if let Some(root) = shared("coco-sample") {
        let cfg = benchmark("coco", &root);
        let instances = run(&cfg, SegmentTask::Instance, Split::Train);
        assert_eq!((instances.images, instances.objects, told(&instances).len()), (100, 747, 0));
        let panoptic = run(&cfg, SegmentTask::Panoptic, Split::Val);
        assert_eq!((panoptic.images, panoptic.objects, told(&panoptic).len()), (80, 832, 0));
    }
    if let Some(root) = shared("cityscapes-sample") {
        let cfg = benchmark("cityscapes", &root);
        for task in [SegmentTask::Instance, SegmentTask::Panoptic] {
            run(&cfg, task, Split::Train);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is done to the bytes of an annotation file: it is refused, or checked to the end.
    #[test]
    fn no_damage_makes_it_panic(
        panoptic in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let ((folder, json), task) =
            if panoptic { (panoptic_sound(), SegmentTask::Panoptic) } else { (larger(), SegmentTask::Instance) };
        let mut bytes = json.to_string().into_bytes();
        for (place, value, how) in changes {
            let at = place.index(bytes.len());
            // Digits keep the JSON whole; other bytes mostly break it.
            match how {
                0 => bytes[at] = value,
                1 if bytes[at].is_ascii_digit() => bytes[at] = b'0' + value % 10,
                1 => bytes.insert(at, b'-'),
                _ => _ = bytes.remove(at),
            }
        }
        folder.write("a.json", bytes);
        if let Ok(report) = try_check(&folder, task) {
            prop_assert!(report.good <= report.images);
        }
    }
}

#[test]
fn statistics_by_hand() {
    let (folder, _) = panoptic_sound();
    let cfg = folder.config(TRAIN);
    let set = SegmentSet::open(&cfg, SegmentTask::Panoptic, Split::Train, None).unwrap();
    let found = stats(&set, &|| ()).unwrap();
    assert_eq!(
        (found.images, found.objects, found.crowds, found.pixels, found.void_pixels),
        (2, 3, 1, 12, 2)
    );
    let classes: Vec<_> =
        found.classes.iter().map(|c| (c.name.as_str(), c.is_thing, c.objects, c.images, c.pixels)).collect();
    assert_eq!(classes, [("grass", false, 1, 1, 6), ("ant", true, 1, 1, 2), ("car", true, 1, 1, 2)]);
    assert_eq!((found.classes[0].share, found.by_size, found.areas.max), (0.6, [3, 0, 0], 6));
    let per_image = found.objects_per_image;
    assert_eq!((per_image.min, per_image.max, per_image.mean, found.empty_images), (1, 2, 1.5, 0));
    assert_eq!((found.mean, found.std), ([48.5; 3], [41.5; 3]));
    let (folder, _) = larger();
    let set = SegmentSet::open(&folder.config(TRAIN), SegmentTask::Instance, Split::Train, None).unwrap();
    let found = stats(&set, &|| ()).unwrap();
    assert_eq!((found.objects, found.areas.min, found.areas.median, found.void_pixels), (3, 20, 64, 0));
}
