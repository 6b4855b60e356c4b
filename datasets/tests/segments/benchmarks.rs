//! Benchmarks as they lie on disk.

use std::fs;
use std::path::Path;

use ndarray::Array2;
use smalti_datasets::prepare::{Ade20kOptions, ade20k_instances, ade20k_panoptic};
use smalti_datasets::sample::{NO_SEGMENT, Segment, SegmentMasks};
use smalti_datasets::segment_set::{RecordId, SegmentBenchmark};
use smalti_datasets::{EvalLoader, SegmentDataConfig, SegmentSet, SegmentTask, Shard, Split};

use crate::support::{Folder, drawn, open, picture, png, shared};

fn config(benchmark: SegmentBenchmark, root: &Path) -> SegmentDataConfig {
    toml::from_str(&format!("benchmark = \"{benchmark}\"\nroot = \"{}\"", root.display())).unwrap()
}

/// Images, segments, things and crowds of a set, all of it loaded; and the share of pixels without a segment in percent.
fn count(set: &SegmentSet) -> ([usize; 4], f64) {
    let (mut counts, mut pixels, mut void) = ([set.len(), 0, 0, 0], 0, 0);
    for i in 0..set.len() {
        let sample = set.load(i).unwrap();
        assert_eq!(sample.segments, set.segments(i).unwrap());
        let (height, width, _) = sample.image.dim();
        let mut covered = Array2::from_elem((height, width), false);
        for mask in drawn(&sample.masks, (height, width), sample.segments.len()) {
            assert!(mask.iter().any(|set| *set), "{}", sample.name);
            covered.zip_mut_with(&mask, |all, one| *all |= one);
        }
        counts[1] += sample.segments.len();
        counts[2] += sample.segments.iter().filter(|segment| segment.thing).count();
        counts[3] += sample.segments.iter().filter(|segment| segment.crowd).count();
        pixels += covered.len();
        void += covered.iter().filter(|set| !**set).count();
    }
    (counts, 100.0 * void as f64 / pixels as f64)
}

#[test]
fn coco_sample_has_the_counts_of_its_readme() {
    let Some(root) = shared("coco-sample") else { return };
    let cfg = config(SegmentBenchmark::Coco, &root);
    for (split, images, instances, crowds, segments, things) in
        [(Split::Train, 100, 747, 6, 1111, 746), (Split::Val, 80, 553, 5, 832, 553)]
    {
        let set = open(&cfg, SegmentTask::Instance, split, None).unwrap();
        assert_eq!((set.classes().len(), set.benchmark()), (80, Some(SegmentBenchmark::Coco)));
        assert_eq!(count(&set).0, [images, instances, instances, crowds]);
        let set = open(&cfg, SegmentTask::Panoptic, split, None).unwrap();
        assert_eq!(set.classes().len(), 133);
        let (counts, void) = count(&set);
        assert_eq!(counts[..3], [images, segments, things]);
        assert!((void - 9.98).abs() < 0.006, "{split}: {void}");
    }
    let set = open(&cfg, SegmentTask::Panoptic, Split::Train, None).unwrap();
    assert_eq!((set.name(0), set.image_id(0)), ("train2017/000000000009".into(), RecordId::Number(9)));
}

/// The validation instances of the sample were made from the panoptic PNGs: pixels and classes are the same.
#[test]
fn coco_sample_instances_are_the_things_of_its_panoptic_set() {
    let Some(root) = shared("coco-sample") else { return };
    let cfg = config(SegmentBenchmark::Coco, &root);
    let [instances, panoptic] = [SegmentTask::Instance, SegmentTask::Panoptic]
        .map(|task| open(&cfg, task, Split::Val, None).unwrap());
    assert_eq!(instances.len(), panoptic.len());
    for i in 0..panoptic.len() {
        let other = (0..instances.len()).find(|&j| instances.image_id(j) == panoptic.image_id(i)).unwrap();
        let things = |set: &SegmentSet, i: usize| {
            let sample = set.load(i).unwrap();
            let (height, width, _) = sample.image.dim();
            let masks = drawn(&sample.masks, (height, width), sample.segments.len());
            let found = sample.segments.into_iter().zip(masks).filter(|(segment, _)| segment.thing);
            let mut found: Vec<_> = found
                .map(|(segment, mask)| (segment.class, segment.crowd, mask.into_raw_vec_and_offset().0))
                .collect();
            found.sort();
            found
        };
        assert!(things(&panoptic, i) == things(&instances, other), "{}", panoptic.name(i));
    }
}

#[test]
fn coco_pngs_may_lie_where_detectron2_has_them() {
    let Some(root) = shared("coco-sample") else { return };
    let folder = Folder::new();
    let link = |from: &str, to: &str| {
        fs::create_dir_all(folder.path(to).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(root.join(from), folder.path(to)).unwrap();
    };
    link("val2017", "coco/val2017");
    link("annotations/panoptic_val2017.json", "coco/annotations/panoptic_val2017.json");
    let cfg: SegmentDataConfig = toml::from_str("benchmark = \"coco\"").unwrap();
    let at = folder.path("");
    let open =
        || open(&cfg, SegmentTask::Panoptic, Split::Val, Some(&at)).map_err(|error| folder.shorten(&error));
    assert_eq!(
        open().unwrap_err(),
        "coco/annotations/panoptic_val2017: no such file or folder (the panoptic annotations of coco)"
    );
    link("annotations/panoptic_val2017", "coco/panoptic_val2017");
    assert!(open().unwrap().load(3).is_ok());
}

#[test]
fn nuclei_are_a_set_of_ones_own() {
    let Some(root) = shared("dsb2018-nuclei") else { return };
    let own = |files: &str| toml::from_str(&format!("root = \"{}\"\n{files}", root.display())).unwrap();
    let cfg = own("val = { images = \"val\", annotations = \"annotations/instances_val.json\" }");
    let set = open(&cfg, SegmentTask::Instance, Split::Val, None).unwrap();
    assert_eq!(count(&set).0, [80, 2479, 2479, 0]);
    let cfg = own("val = { images = \"val\", annotations = \"annotations/panoptic_val.json\" }");
    let set = open(&cfg, SegmentTask::Panoptic, Split::Val, None).unwrap();
    assert_eq!(count(&set), ([80, 2559, 2479, 0], 0.0));
}

#[test]
fn cityscapes_sample_has_the_counts_of_its_readme() {
    let Some(root) = shared("cityscapes-sample") else { return };
    let cfg = config(SegmentBenchmark::Cityscapes, &root);
    for (split, images, instances, segments, void) in
        [(Split::Train, 6, 99, 160, 6.43), (Split::Val, 1, 7, 15, 11.82)]
    {
        let set = open(&cfg, SegmentTask::Panoptic, split, None).unwrap();
        let (counts, found) = count(&set);
        assert_eq!(counts[..2], [images, segments], "{split}");
        assert!((found - void).abs() < 0.006, "{split}: {found}");
        let set = open(&cfg, SegmentTask::Instance, split, None).unwrap();
        let [found_images, found, things, crowds] = count(&set).0;
        assert_eq!((found_images, found - crowds, things), (images, instances, found), "{split}");
        assert_eq!(set.classes().len(), 8);
    }
}

/// What `createPanopticImgs` of cityscapesscripts made of the same files.
#[test]
fn cityscapes_segments_are_those_of_the_official_conversion() {
    let Some(root) = shared("cityscapes-sample") else { return };
    for split in [Split::Train, Split::Val] {
        let ours =
            open(&config(SegmentBenchmark::Cityscapes, &root), SegmentTask::Panoptic, split, None).unwrap();
        // The conversion calls images by a name that no file has.
        let folder = Folder::new();
        for i in 0..ours.len() {
            let RecordId::Text(frame) = ours.image_id(i) else { panic!("a name") };
            let name = format!("{frame}_gtFine_leftImg8bit.png");
            std::os::unix::fs::symlink(ours.image_path(i), folder.path(&name)).unwrap();
        }
        let labels = root.join(format!("gtFine/cityscapes_panoptic_{split}"));
        let files = format!(
            "{split} = {{ images = \".\", annotations = \"{0}.json\", labels = \"{0}\" }}",
            labels.display()
        );
        let cfg = folder.config(&files);
        let official = open(&cfg, SegmentTask::Panoptic, split, None).unwrap();
        assert_eq!((ours.len(), official.classes().len()), (official.len(), 19));
        for i in 0..ours.len() {
            let other = (0..official.len()).find(|&j| official.image_id(j) == ours.image_id(i)).unwrap();
            assert_same_segments(&ours.load(i).unwrap(), &official.load(other).unwrap());
        }
    }
}

/// Every pixel belongs to the same segment, whatever its number.
fn assert_same_segments(
    a: &smalti_datasets::sample::SegmentedSample,
    b: &smalti_datasets::sample::SegmentedSample,
) {
    let (SegmentMasks::Map(of_a), SegmentMasks::Map(of_b)) = (&a.masks, &b.masks) else { panic!("maps") };
    assert_eq!((a.segments.len(), of_a.dim()), (b.segments.len(), of_b.dim()));
    let mut partner = vec![None; a.segments.len()];
    for (&from, &to) in of_a.iter().zip(of_b) {
        assert_eq!(from == NO_SEGMENT, to == NO_SEGMENT);
        if from != NO_SEGMENT {
            assert_eq!(*partner[usize::from(from)].get_or_insert(to), to);
            assert_eq!(a.segments[usize::from(from)], b.segments[usize::from(to)]);
        }
    }
}

#[test]
fn cityscapes_says_what_is_missing() {
    let folder = Folder::new();
    let frame = "ulm_000001_000019";
    folder.write(&format!("leftImg8bit/val/ulm/{frame}_leftImg8bit.png"), picture(1, 2));
    folder.write(&format!("gtFine/val/ulm/{frame}_gtFine_instanceIds.png"), instance_ids([7, 26_001]));
    let cfg = config(SegmentBenchmark::Cityscapes, &folder.path(""));
    let open = || open(&cfg, SegmentTask::Panoptic, Split::Val, None).map_err(|error| folder.shorten(&error));
    let sample = open().unwrap().load(0).unwrap();
    let road = Segment { class: 0, thing: false, crowd: false };
    assert_eq!(sample.segments, [road, Segment { class: 13, thing: true, crowd: false }]);
    folder.write(&format!("gtFine/val/ulm/{frame}_gtFine_instanceIds.png"), instance_ids([7, 40]));
    let error = open().unwrap().load(0).unwrap_err().to_string();
    assert!(error.ends_with("expected a label id or label id * 1000 + number, got 40"), "{error}");
    folder.write("leftImg8bit/val/ulm/ulm_000002_000019_leftImg8bit.png", picture(1, 2));
    let error = open().unwrap_err();
    assert_eq!(
        error,
        "gtFine/val/ulm/ulm_000002_000019_gtFine_instanceIds.png: no such file or folder (instance ids of \
         leftImg8bit/val/ulm/ulm_000002_000019_leftImg8bit.png)"
    );
}

fn instance_ids(values: [u16; 2]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    png([1, 2], png::ColorType::Grayscale, png::BitDepth::Sixteen, &bytes)
}

/// Two images as ADE20K has them, converted by `data prepare`: a bed (8, thing 7) lies over all of the wall (1) of the first.
#[test]
fn ade20k_is_read_as_it_was_prepared() {
    let folder = Folder::new();
    let root = folder.path("ADEChallengeData2016");
    let grey = |values: &[u8]| png([1, 4], png::ColorType::Grayscale, png::BitDepth::Eight, values);
    let objects = |pairs: [[u8; 2]; 4]| {
        let pixels: Vec<u8> = pairs.iter().flat_map(|[class, number]| [*class, *number, 0]).collect();
        png([1, 4], png::ColorType::Rgb, png::BitDepth::Eight, &pixels)
    };
    for (name, semantic, instances) in [
        ("ADE_val_00000001", [1, 1, 3, 0], [[1, 1], [1, 1], [0, 0], [0, 0]]),
        ("ADE_val_00000002", [3, 3, 3, 3], [[0, 0], [1, 1], [1, 2], [0, 0]]),
    ] {
        let below = |kind: &str, end: &str| format!("ADEChallengeData2016/{kind}/validation/{name}.{end}");
        folder.write(&below("images", "jpg"), picture(1, 4)); // told from its content
        folder.write(&below("annotations", "png"), grey(&semantic));
        folder.write(&below("annotations_instance", "png"), objects(instances));
    }
    let cfg: SegmentDataConfig = toml::from_str("benchmark = \"ade20k\"").unwrap();
    let open =
        |task| open(&cfg, task, Split::Val, Some(&folder.path(""))).map_err(|error| folder.shorten(&error));
    assert_eq!(
        folder.shorten(&open(SegmentTask::Panoptic).unwrap_err()),
        "ADEChallengeData2016/ade20k_panoptic_val.json: no such file or folder (the panoptic annotations of ade20k, which \
         `smalti data prepare ade20k-panoptic --root ADEChallengeData2016 --split val` writes)"
    );
    let options = Ade20kOptions { root, split: Split::Val, out: None };
    ade20k_panoptic(&options, &|_| ()).unwrap();
    ade20k_instances(&options, &|_| ()).unwrap();

    let set = open(SegmentTask::Panoptic).unwrap();
    assert_eq!((set.classes().len(), set.image_id(0)), (150, RecordId::Text("ADE_val_00000001".into())));
    let listed: Vec<u16> = set.segments(0).unwrap().iter().map(|segment| segment.class).collect();
    assert_eq!(listed, [0, 2, 7], "wall, sky, bed");
    let sample = set.load(0).unwrap();
    let [sky, bed] = [(2, false), (7, true)].map(|(class, thing)| Segment { class, thing, crowd: false });
    assert_eq!(sample.segments, [sky, bed], "no pixel of the wall is left");
    assert_eq!(sample.masks, SegmentMasks::Map(ndarray::array![[1, 1, 0, NO_SEGMENT]]));
    let areas: Vec<Option<f64>> = set.stated(0).unwrap().iter().map(|stated| stated.area).collect();
    assert_eq!(areas, [2.0, 1.0, 2.0].map(Some));
    // Scores count the wall that is listed.
    let set = std::sync::Arc::new(set);
    let scored = EvalLoader::of_segments(set, &cfg, Shard::WHOLE).unwrap().next().unwrap().unwrap();
    assert_eq!(scored.sample.segments.iter().map(|segment| segment.class).collect::<Vec<_>>(), [0, 2, 7]);
    assert_eq!(scored.sample.masks, SegmentMasks::Map(ndarray::array![[2, 2, 1, NO_SEGMENT]]));
    assert_eq!(scored.stated.len(), 3);

    let set = open(SegmentTask::Instance).unwrap();
    assert_eq!(set.classes().len(), 100);
    let sample = set.load(1).unwrap();
    let bed = Segment { class: 0, thing: true, crowd: false };
    assert_eq!(sample.segments, [bed, bed]);
    let masks = drawn(&sample.masks, (1, 4), 2);
    assert_eq!(masks[0], ndarray::array![[false, true, false, false]]);
    assert_eq!(masks[1], ndarray::array![[false, false, true, false]]);
}
