//! Sets of one's own, and what is wrong with them.

use std::fs;

use ndarray::{Array2, array};
use serde_json::{Value, json};
use smalti_datasets::coco::Segmentation;
use smalti_datasets::sample::{NO_SEGMENT, Segment, SegmentMasks};
use smalti_datasets::segment_set::RecordId;
use smalti_datasets::{SegmentSet, SegmentTask, Split};

use crate::support::{Folder, drawn, ids, instance_set, open, panoptic_set, picture, synth};

const ANT: u16 = 0;
const CAT: u16 = 1;

#[test]
fn instances_keep_their_form() {
    let (folder, _) = instance_set();
    let set = folder.open(SegmentTask::Instance).unwrap();
    assert_eq!(set.classes().names().collect::<Vec<_>>(), ["ant", "cat"]);
    assert!(set.classes().iter().all(|class| class.is_thing));
    assert_eq!((set.len(), set.name(0), set.name(1)), (2, "images/b".into(), "images/x/9".into()));
    assert_eq!([set.image_id(0), set.image_id(1)], [RecordId::Text("b".into()), RecordId::Number(9)]);

    let empty = set.load(0).unwrap();
    assert_eq!((empty.segments, empty.masks), (vec![], SegmentMasks::Each(vec![])));
    let sample = set.load(1).unwrap();
    assert_eq!((sample.image.dim(), sample.name.as_str()), ((2, 3, 3), "images/x/9"));
    let segment = |class, crowd| Segment { class, thing: true, crowd };
    assert_eq!(sample.segments, [segment(CAT, false), segment(ANT, true)]);
    assert_eq!(set.segments(1).unwrap(), sample.segments);
    let polygon = vec![vec![0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0]];
    let runs = Segmentation::Uncompressed { size: [2, 3], counts: vec![0, 1, 5] };
    assert_eq!(sample.masks, SegmentMasks::Each(vec![Segmentation::Polygons(polygon), runs]));
}

#[test]
fn the_first_images_alone() {
    let (folder, _) = instance_set();
    let cfg = |first: u32| {
        folder
            .config(&format!("train = {{ images = \"images\", annotations = \"a.json\", first = {first} }}"))
    };
    let task = SegmentTask::Instance;
    let (one, many) = [1, 9].map(|first| open(&cfg(first), task, Split::Train, None).unwrap()).into();
    assert_eq!((one.len(), many.len()), (1, 2));
    assert_eq!((one.name(0), one.classes()), (many.name(0), many.classes()));
}

#[test]
fn panoptic_pixels_have_the_number_of_their_segment() {
    let (folder, _) = panoptic_set();
    let set = folder.open(SegmentTask::Panoptic).unwrap();
    assert_eq!(set.classes().names().collect::<Vec<_>>(), ["grass", "ant", "car"]);
    assert_eq!(set.classes().get(1).unwrap().color, [1, 2, 3]);
    let sample = set.load(0).unwrap();
    let crowd = Segment { class: 2, thing: true, crowd: true };
    assert_eq!(sample.segments, [crowd, Segment { class: 1, thing: true, crowd: false }]);
    assert_eq!(sample.masks, SegmentMasks::Map(array![[NO_SEGMENT, 0, 0], [1, 1, NO_SEGMENT]]));
    let sample = set.load(1).unwrap();
    assert_eq!(sample.segments, [Segment { class: 0, thing: false, crowd: false }]);
    assert_eq!(sample.masks, SegmentMasks::Map(Array2::zeros((2, 3))));
}

#[test]
fn both_forms_of_a_generated_set_agree() {
    let folder = synth();
    for split in [Split::Train, Split::Val] {
        let panoptic = open_synth(&folder, SegmentTask::Panoptic, split);
        let instances = open_synth(&folder, SegmentTask::Instance, split);
        assert_eq!(panoptic.len(), if split == Split::Train { 4 } else { 2 });
        assert_eq!((panoptic.classes().len(), instances.classes().len()), (14, 8));
        for i in 0..panoptic.len() {
            assert_same_things(&panoptic, &instances, i);
        }
    }
}

/// A split of a generated set.
fn open_synth(folder: &Folder, task: SegmentTask, split: Split) -> SegmentSet {
    let (kind, labels) = match task {
        SegmentTask::Instance => ("instances", String::new()),
        SegmentTask::Panoptic => ("panoptic", format!(", labels = \"set/panoptic_{split}\"")),
    };
    let annotations = format!("set/annotations/{kind}_{split}.json");
    let files = format!("{split} = {{ images = \"set/{split}\", annotations = \"{annotations}\"{labels} }}");
    let cfg = folder.config(&files);
    cfg.validate(task).unwrap();
    open(&cfg, task, split, None).unwrap()
}

/// The things of a panoptic sample are the instances of the other, with the same names and pixels.
fn assert_same_things(panoptic: &SegmentSet, instances: &SegmentSet, i: usize) {
    let things = |set: &SegmentSet| {
        let sample = set.load(i).unwrap();
        let (height, width, _) = sample.image.dim();
        let masks = drawn(&sample.masks, (height, width), sample.segments.len());
        assert_eq!(sample.segments, set.segments(i).unwrap());
        let name = |segment: &Segment| set.classes().get(segment.class.into()).unwrap().name.clone();
        let mut found: Vec<_> = sample
            .segments
            .iter()
            .zip(masks)
            .filter(|(segment, _)| segment.thing)
            .map(|(segment, mask)| (name(segment), segment.crowd, mask.into_raw_vec_and_offset().0))
            .collect();
        found.sort();
        assert!(found.iter().all(|(_, _, mask)| mask.contains(&true)), "{}", set.name(i));
        found
    };
    let expected = things(panoptic);
    assert!(!expected.is_empty() && expected == things(instances), "{}", panoptic.name(i));
}

#[test]
fn both_splits_have_the_same_classes() {
    let (folder, json) = instance_set();
    let cfg = folder.config(
        "train = { images = \"images\", annotations = \"a.json\" }\nval = { images = \"images\", annotations = \"b.json\" }",
    );
    folder.write("b.json", json.to_string());
    let [train, val] = SegmentSet::open_both(&cfg, SegmentTask::Instance, None).unwrap();
    assert_eq!((train.split(), val.split(), train.classes()), (Split::Train, Split::Val, val.classes()));
    let mut other = json;
    other["categories"].as_array_mut().unwrap().push(json!({"id": 5, "name": "bee"}));
    folder.write("b.json", other.to_string());
    let error = SegmentSet::open_both(&cfg, SegmentTask::Instance, None).unwrap_err().to_string();
    assert_eq!(folder.shorten(&error), "b.json: class 1: expected \"cat\" as in a.json, got \"bee\"");
}

type Change = fn(&mut Value);

#[test]
fn instance_files_that_do_not_fit_together() {
    let (folder, good) = instance_set();
    let changes: [(Change, &str); 9] = [
        (
            |json| json["annotations"][1]["id"] = 70.into(),
            "a.json: annotation 1 (id 70, image 9, byte 149): expected an id once, got it twice",
        ),
        (
            |json| json["annotations"][0]["image_id"] = 10.into(),
            "a.json: annotation 0 (id 70, image 10, byte 37): expected an `image_id` of the 2 in `images`, got 10",
        ),
        (
            |json| json["annotations"][0]["category_id"] = 4.into(),
            "a.json: annotation 0 (id 70, image 9, byte 37): expected a `category_id` of the 2 in `categories`, got 4",
        ),
        (
            |json| json["annotations"][0]["segmentation"] = json!([]),
            "a.json: annotation 0 (byte 37): not of the expected form: `segmentation`: expected polygons or run lengths, \
             got an empty list",
        ),
        (
            |json| json["images"][1]["id"] = "b".into(),
            "a.json: image \"b\": expected an id once in `images`, got it twice",
        ),
        (
            |json| json["categories"][1]["id"] = 8.into(),
            "a.json: category 8 \"ant\": expected an id once, got it twice",
        ),
        (
            |json| json["categories"][1]["name"] = "cat".into(),
            "a.json: class 1 \"cat\": class 0 has the same name",
        ),
        (
            |json| json["images"][0]["file_name"] = "c.png".into(),
            "images/c.png: no such file or folder (image of image \"b\" of a.json)",
        ),
        (|json| json["images"] = json!([]), "an `image_id` of the 0 in `images`, got 9"),
    ];
    for (change, expected) in changes {
        let mut json = good.clone();
        change(&mut json);
        folder.write("a.json", json.to_string());
        let error = folder.open(SegmentTask::Instance).unwrap_err();
        assert!(error.ends_with(expected), "{error}");
    }
    folder.write(
        "a.json",
        json!({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}).to_string(),
    );
    let none = folder.open(SegmentTask::Instance).unwrap_err();
    assert!(none.starts_with("`data.train`: expected at least one image, got none in "), "{none}");
    fs::remove_file(folder.path("a.json")).unwrap();
    assert_eq!(
        folder.open(SegmentTask::Instance).unwrap_err(),
        "a.json: no such file or folder (data.train)"
    );
}

#[test]
fn instance_samples_that_do_not_fit_together() {
    let (folder, good) = instance_set();
    let changes: [(Change, &str); 6] = [
        (
            |json| json["annotations"][1]["segmentation"]["size"] = json!([3, 2]),
            "(id 12, image 9): `segmentation`: expected a mask of 2x3 (HxW) as its image, got 3x2",
        ),
        (
            |json| json["annotations"][1]["segmentation"]["counts"] = json!([0, 1]),
            "(id 12, image 9): `segmentation`: run-length encoded mask: runs cover 1 pixels or more, expected 6 for 2x3 (HxW)",
        ),
        (
            |json| json["annotations"][0]["segmentation"] = json!([[0, 0, 2, 2]]),
            "(id 70, image 9): `segmentation`: run-length encoded mask: a polygon of 4 numbers, expected at least 3 points",
        ),
        (
            |json| json["annotations"][0]["segmentation"][0][3] = json!(1e9),
            "a polygon with the coordinate 1000000000, expected at most 10^8",
        ),
        (
            |json| json["annotations"][0]["segmentation"] = json!([["x"]]),
            "(id 70, image 9): invalid type: string \"x\", expected f64",
        ),
        (
            |json| json["images"][1]["height"] = 5.into(),
            "a.json: image 9: expected 5x3 (HxW) as listed, got images/x/9.png of 2x3",
        ),
    ];
    for (change, expected) in changes {
        let mut json = good.clone();
        change(&mut json);
        folder.write("a.json", json.to_string());
        let set = folder.open(SegmentTask::Instance).unwrap();
        assert!(set.load(0).is_ok());
        let error = folder.shorten(&set.load(1).unwrap_err().full_message());
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn an_annotation_file_that_changes_meanwhile_is_noticed() {
    let (folder, good) = instance_set();
    let text = good.to_string();
    let set = folder.open(SegmentTask::Instance).unwrap();
    assert!(set.load(1).is_ok());
    folder.write("a.json", text.replace("\"image_id\":9", "\"image_id\":8"));
    let error = folder.shorten(&set.load(1).unwrap_err().to_string());
    assert_eq!(
        error,
        "a.json: annotation at byte 37 (id 70, image 9): the file has changed since it was opened: now of image 8"
    );
    folder.write("a.json", text.replacen("\"category_id\":8", "\"category_id\":3", 1));
    let error = set.load(1).unwrap_err().to_string();
    assert!(error.ends_with("the file has changed since it was opened: now of category 3"), "{error}");
    folder.write("a.json", text.replace("\"annotations\"", "\"annotations\"   "));
    let error = set.load(1).unwrap_err().to_string();
    assert!(error.contains("(image 9): the file has changed since it was opened: "), "{error}");
    folder.write("a.json", "{}");
    let error = set.load(1).unwrap_err().full_message();
    assert!(error.contains("a.json: reading a mask failed"), "{error}");
}

#[test]
fn panoptic_files_that_do_not_fit_together() {
    let (folder, good) = panoptic_set();
    let changes: [(Change, &str); 10] = [
        (
            |json| json["annotations"][1]["image_id"] = 10.into(),
            "expected an `image_id` of the 2 in `images`, got 10",
        ),
        (
            |json| json["annotations"][1]["image_id"] = 25.into(),
            "expected one annotation of this image, got several",
        ),
        (
            |json| drop(json["annotations"].as_array_mut().unwrap().pop()),
            "a.json: image 9: expected one entry in `annotations`, got none",
        ),
        (
            |json| json["annotations"][1]["segments_info"][0]["category_id"] = 12.into(),
            "expected a `category_id` of the 3 in `categories`, got 12",
        ),
        (
            |json| json["annotations"][1]["segments_info"][0]["id"] = 258.into(),
            "expected a segment id once, got 258 twice",
        ),
        (
            |json| json["annotations"][1]["segments_info"][0]["id"] = 0.into(),
            "expected segment ids from 1 up, got 0, which is void",
        ),
        (
            |json| {
                for at in 0..2 {
                    json["annotations"][1]["segments_info"][at]["category_id"] = 2.into();
                }
            },
            "expected one segment of stuff category 2, got several",
        ),
        (
            |json| drop(json["categories"][1].as_object_mut().unwrap().remove("isthing")),
            "a.json: category 3 \"ant\": `isthing`: expected 1 for things or 0 for stuff, got none",
        ),
        (
            |json| json["annotations"][0]["file_name"] = "26.png".into(),
            "a/26.png: no such file or folder (panoptic PNG of image 25 of a.json)",
        ),
        (
            |json| json["images"][0]["file_name"] = "8.png".into(),
            "images/8.png: no such file or folder (image of image 9 of a.json)",
        ),
    ];
    for (change, expected) in changes {
        let mut json = good.clone();
        change(&mut json);
        folder.write("a.json", json.to_string());
        let error = folder.open(SegmentTask::Panoptic).unwrap_err();
        assert!(error.ends_with(expected), "{error}");
    }
    fs::rename(folder.path("a"), folder.path("b")).unwrap();
    assert_eq!(folder.open(SegmentTask::Panoptic).unwrap_err(), "a: no such file or folder (data.train)");
}

#[test]
fn panoptic_pngs_that_do_not_fit() {
    let (folder, _) = panoptic_set();
    let set = folder.open(SegmentTask::Panoptic).unwrap();
    let error = |folder: &Folder| folder.shorten(&set.load(0).unwrap_err().full_message());
    folder.write("a/9.png", ids(&array![[0, 7, 7], [258, 258, 70_000]]));
    assert_eq!(
        error(&folder),
        "a/9.png: segment id 7 in 2 pixels, expected 0 or one of the 2 that the JSON lists for this image"
    );
    folder.write("a/9.png", ids(&array![[0, 0, 0], [70_000, 70_000, 70_000]]));
    assert_eq!(error(&folder), "a/9.png: expected pixels of segment id 258, which the JSON lists, got none");
    folder.write("a/9.png", ids(&array![[70_000, 258]]));
    assert_eq!(error(&folder), "a/9.png: label map is 1x2 (HxW), its image images/9.png is 2x3");
    folder.write("images/9.png", picture(3, 2));
    assert_eq!(error(&folder), "a.json: image 9: expected 2x3 (HxW) as listed, got images/9.png of 3x2");
    fs::remove_file(folder.path("images/9.png")).unwrap();
    assert!(error(&folder).starts_with("images/9.png: no such file"));
}
