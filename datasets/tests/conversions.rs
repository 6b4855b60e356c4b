//! `smalti_datasets::prepare` against what the official tools made of the same random annotations
//! (`scripts/goldens/make_conversions.py`), and against their results on real data where that is on hand.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failed unwrap is a failed test; skipped ones say so

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use smalti_datasets::Split;
use smalti_datasets::label_png::LabelPng;
use smalti_datasets::prepare::*;
use tempfile::TempDir;

fn goldens(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/conversions").join(set)
}

fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn quiet(_: u64) {}

/// A JSON file in which 1 and 1.0 are the same.
fn json(path: &Path) -> Value {
    fn plain(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().unwrap().into(),
            Value::Array(items) => items.into_iter().map(plain).collect(),
            Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, plain(value))).collect(),
            other => other,
        }
    }
    let text = std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    plain(serde_json::from_str(&text).unwrap())
}

#[track_caller]
fn same_json(got: &Path, expected: &Path) {
    let (got, expected) = (json(got), json(expected));
    let (got, expected) = (got.as_object().unwrap(), expected.as_object().unwrap());
    assert_eq!(got.keys().collect::<std::collections::BTreeSet<_>>(), expected.keys().collect());
    for (key, value) in expected {
        match value.as_array() {
            Some(items) => {
                let found = got[key].as_array().unwrap();
                assert_eq!(found.len(), items.len(), "{key}");
                for (index, (a, b)) in found.iter().zip(items).enumerate() {
                    assert_eq!(a, b, "{key}[{index}]");
                }
            }
            None => assert_eq!(&got[key], value, "{key}"),
        }
    }
}

fn pngs(folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap_or_else(|err| panic!("{}: {err}", at.display())) {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(end) if end == "png" => names.push(path.strip_prefix(folder).unwrap().to_owned()),
                _ => {}
            }
        }
    }
    names.sort();
    names
}

/// The same files with the same grey pixels.
#[track_caller]
fn same_labels(got: &Path, expected: &Path) {
    assert_eq!(pngs(got), pngs(expected));
    let (mut a, mut b) = (LabelPng::new(), LabelPng::new());
    for name in pngs(expected) {
        let (a, b) = (a.labels(&got.join(&name)).unwrap(), b.labels(&expected.join(&name)).unwrap());
        assert!(a == b, "{}", name.display());
    }
}

/// The same panoptic set. Ids may differ where the official tool draws them: the same segments in the same order, each
/// with one id on either side; ids that `fixed` knows must be the same.
#[track_caller]
fn same_panoptic(got: &Path, expected: &Path, fixed: impl Fn(&Value) -> bool) {
    let (mut a, b) = (json(got), json(expected));
    let mut decoders = (LabelPng::new(), LabelPng::new());
    let records = a["annotations"].as_array_mut().unwrap();
    assert_eq!(pngs(&got.with_extension("")), pngs(&expected.with_extension("")));
    for (record, official) in records.iter_mut().zip(b["annotations"].as_array().unwrap()) {
        let mut ids = BTreeMap::from([(0, 0)]);
        let segments = record["segments_info"].as_array_mut().unwrap();
        for (segment, official) in segments.iter_mut().zip(official["segments_info"].as_array().unwrap()) {
            let id = |segment: &Value| segment["id"].as_f64().unwrap() as u32;
            assert!(ids.insert(id(segment), id(official)).is_none(), "{} twice", id(segment));
            if !fixed(official) {
                segment["id"] = official["id"].clone();
            }
        }
        assert_eq!(record, official);
        let name = official["file_name"].as_str().unwrap();
        let map = decoders.0.ids(&got.with_extension("").join(name)).unwrap();
        let pixels: Vec<u32> = map.pixels.iter().map(|id| ids[id]).collect();
        let official = decoders.1.ids(&expected.with_extension("").join(name)).unwrap();
        assert_eq!((map.height, map.width), (official.height, official.width));
        assert!(pixels == official.pixels, "{name}");
    }
    for key in ["images", "categories"] {
        assert_eq!(a[key], b[key], "{key}");
    }
    assert_eq!(a["annotations"].as_array().unwrap().len(), b["annotations"].as_array().unwrap().len());
}

fn always(_: &Value) -> bool {
    true
}

#[test]
fn coco_panoptic_to_detection_equals_panopticapi() {
    let (from, dir) = (goldens("coco"), scratch());
    for (things_only, name) in [(false, "detection.json"), (true, "detection_things.json")] {
        let out = dir.path().join(name);
        let options = PanopticToDetection {
            json: from.join("panoptic.json"),
            png_dir: None,
            out: out.clone(),
            things_only,
            first_id: 0,
        };
        let done = coco_panoptic_to_detection(&options, &quiet).unwrap();
        same_json(&out, &from.join("expected").join(name));
        assert_eq!(done.warnings, ["1 segments of 1 PNGs are not in the JSON and were taken for void"]);
        assert_eq!(done.annotations as usize, json(&out)["annotations"].as_array().unwrap().len());
    }
}

#[test]
fn coco_panoptic_to_semantic_equals_all_three_tools() {
    let (from, dir) = (goldens("coco"), scratch());
    let run = |output: SemanticOutput, things_other: bool| {
        let options =
            PanopticToSemantic { json: from.join("panoptic.json"), png_dir: None, output, things_other };
        coco_panoptic_to_semantic(&options, &quiet).unwrap();
    };
    for (ids, name, things_other) in [
        (SemanticIds::Contiguous, "contiguous", false),
        (SemanticIds::Category, "category", false),
        (SemanticIds::Category, "other_category", true),
        (SemanticIds::Stuff, "stuff", false),
    ] {
        let folder = dir.path().join(name);
        run(SemanticOutput::Pngs { folder: folder.clone(), ids }, things_other);
        same_labels(&folder, &from.join("expected").join(name));
    }
    for (name, things_other) in [("stuff.json", false), ("other_stuff.json", true)] {
        run(SemanticOutput::Json(dir.path().join(name)), things_other);
        same_json(&dir.path().join(name), &from.join("expected").join(name));
    }
}

#[test]
fn coco_detection_to_panoptic_equals_panopticapi_but_for_random_colours() {
    let (from, dir) = (goldens("coco"), scratch());
    let categories_from = from.join("categories.json");
    let options = DetectionToPanoptic {
        json: from.join("instances.json"),
        out: dir.path().join("panoptic.json"),
        png_dir: None,
        categories: Categories::read(&categories_from).unwrap(),
        categories_from,
    };
    coco_detection_to_panoptic(&options, &quiet).unwrap();
    let stuff = |segment: &Value| segment["category_id"].as_f64().unwrap() > 90.0;
    same_panoptic(&options.out, &from.join("expected/panoptic.json"), stuff);
}

#[test]
fn cityscapes_equals_cityscapesscripts() {
    let (from, dir) = (goldens("cityscapes"), scratch());
    let gt_dir = from.join("gtFine");
    for (split, train_ids) in [("train", false), ("val", false), ("train", true), ("val", true)] {
        let out = Some(dir.path().to_owned());
        let options = CityscapesPanoptic { gt_dir: gt_dir.clone(), split: split.into(), out, train_ids };
        let done = cityscapes_panoptic(&options, &quiet).unwrap();
        same_panoptic(&done.out, &from.join("expected").join(done.out.file_name().unwrap()), always);
    }
    let out = dir.path().join("train_ids");
    cityscapes_train_ids(&CityscapesTrainIds { gt_dir, out: Some(out.clone()) }, &quiet).unwrap();
    for split in ["train", "val"] {
        same_labels(&out.join(split), &from.join("expected").join(split));
    }
}

#[test]
fn ade20k_equals_mask2former() {
    let (from, dir) = (goldens("ade20k"), scratch());
    let expected = from.join("expected");
    let (root, out) = (from.join("ADEChallengeData2016"), Some(dir.path().to_owned()));
    for split in [Split::Train, Split::Val] {
        let options = Ade20kOptions { root: root.clone(), split, out: out.clone() };
        let done = ade20k_semantic(&options, &quiet).unwrap();
        same_labels(&done.out, &expected.join(done.out.strip_prefix(dir.path()).unwrap()));
        let done = ade20k_instances(&options, &quiet).unwrap();
        same_json(&done.out, &expected.join(done.out.file_name().unwrap()));

        let done = ade20k_panoptic(&options, &quiet).unwrap();
        let official = expected.join(done.out.file_name().unwrap());
        // The class colours are fixed on both sides: of stuff, and of the first thing of a class.
        let colours: Vec<_> = smalti_datasets::benchmarks::ade20k::CLASSES
            .iter()
            .map(|row| f64::from(smalti_datasets::coco::rgb_to_id(row.color)))
            .collect();
        let fixed = |segment: &Value| colours.contains(&segment["id"].as_f64().unwrap());
        same_panoptic(&done.out, &official, fixed);
    }
    // The case that the goldens were made for: a stuff segment that no pixel of the PNG shows.
    let hidden = |segment: &Value| segment["category_id"] == 0.0 && segment["area"] == 9.0;
    let annotations = json(&dir.path().join("ade20k_panoptic_val.json"))["annotations"].clone();
    assert!(annotations[2]["segments_info"].as_array().unwrap().iter().any(hidden));
}

#[test]
fn results_do_not_depend_on_threads_and_running_again_changes_nothing() {
    let from = goldens("ade20k").join("ADEChallengeData2016");
    let dir = scratch();
    let run = |name: &str, threads: usize| {
        let options =
            Ade20kOptions { root: from.clone(), split: Split::Val, out: Some(dir.path().join(name)) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let done = pool.install(|| ade20k_panoptic(&options, &quiet)).unwrap();
        let mut bytes = vec![std::fs::read(&done.out).unwrap()];
        let folder = done.out.with_extension("");
        bytes.extend(pngs(&folder).iter().map(|png| std::fs::read(folder.join(png)).unwrap()));
        bytes
    };
    let one = run("one", 1);
    assert!(one == run("five", 5));
    assert!(one == run("one", 2));
}

fn sample(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [std::env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let found = bases.into_iter().flatten().map(|base| base.join(name)).find(|path| path.is_dir());
    if found.is_none() {
        println!("SKIPPED: no {name} below $SMALTI_DATA or ../../shared/data");
    }
    found
}

#[test]
fn coco_sample_gives_the_instances_that_were_made_from_it() {
    let Some(root) = sample("coco-sample/annotations") else { return };
    let dir = scratch();
    let out = dir.path().join("instances.json");
    let options = PanopticToDetection {
        json: root.join("panoptic_val2017.json"),
        png_dir: None,
        out: out.clone(),
        things_only: true,
        first_id: 1,
    };
    coco_panoptic_to_detection(&options, &quiet).unwrap();
    same_json(&out, &root.join("instances_val2017.json"));
}

#[test]
fn cityscapes_sample_equals_the_official_panoptic_set() {
    let Some(gt_dir) = sample("cityscapes-sample/gtFine") else { return };
    let dir = scratch();
    for split in ["train", "val"] {
        let out = Some(dir.path().to_owned());
        let options =
            CityscapesPanoptic { gt_dir: gt_dir.clone(), split: split.into(), out, train_ids: false };
        let done = cityscapes_panoptic(&options, &quiet).unwrap();
        same_panoptic(&done.out, &gt_dir.join(done.out.file_name().unwrap()), always);
    }
    let out = dir.path().join("train_ids");
    cityscapes_train_ids(&CityscapesTrainIds { gt_dir: gt_dir.clone(), out: Some(out.clone()) }, &quiet)
        .unwrap();
    let (mut a, mut b) = (LabelPng::new(), LabelPng::new());
    for name in pngs(&out) {
        assert!(
            a.labels(&out.join(&name)).unwrap() == b.labels(&gt_dir.join(&name)).unwrap(),
            "{}",
            name.display()
        );
    }
}
