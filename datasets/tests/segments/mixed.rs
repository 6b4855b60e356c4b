//! Several sets as one: ids of classes that differ from file to file, kinds that do, Cityscapes behind a set of one's own.

use serde_json::json;
use smalti_datasets::sample::SegmentMasks;
use smalti_datasets::{DataError, Mixture, SegmentDataConfig, SegmentSet, SegmentTask, Split};

use crate::support::{Folder, instance_set, panoptic_set, picture, png};

const FILES: &str = "images = \"images\", annotations = \"a.json\"";

fn config(first: &Folder, second: &str) -> SegmentDataConfig {
    first.config(&format!("train = {{ {FILES} }}\nmix = [{{ {second}, weight = 3 }}]"))
}

fn own(folder: &Folder) -> String {
    format!("root = \"{}\", {FILES}", folder.path("").display())
}

fn mixture(cfg: &SegmentDataConfig, task: SegmentTask) -> Result<Mixture<SegmentSet>, DataError> {
    cfg.validate(task).unwrap();
    SegmentSet::open(cfg, task, Split::Train, None).unwrap().mix(cfg, None)
}

#[test]
fn classes_are_matched_by_name() {
    let (first, _) = instance_set();
    let (second, mut json) = instance_set();
    // The first set's order of ids is ant, cat; here it is cat, ant.
    json["categories"] = json!([{"id": 1, "name": "cat"}, {"id": 2, "name": "ant"}]);
    json["annotations"][0]["category_id"] = 1.into();
    json["annotations"][1]["category_id"] = 2.into();
    second.write("a.json", json.to_string());
    let mixture = mixture(&config(&first, &own(&second)), SegmentTask::Instance).unwrap();
    assert_eq!(mixture.len(), 4);
    let load = |index| {
        let (set, index) = mixture.at(index);
        assert_eq!(set.classes().names().collect::<Vec<_>>(), ["ant", "cat"]);
        set.load(index).unwrap().segments
    };
    assert_eq!(load(1).len(), 2);
    assert_eq!(load(3), load(1));
    let times: Vec<f64> = mixture.shares().iter().map(|share| share.times).collect();
    assert_eq!(times, [1.0, 3.0]);
}

#[test]
fn what_does_not_mix_is_named() {
    let (first, _) = panoptic_set();
    let (second, json) = panoptic_set();
    let cfg = config(&first, &own(&second));
    let error = || {
        let message = mixture(&cfg, SegmentTask::Panoptic).unwrap_err().to_string();
        first.shorten(&second.shorten(&message))
    };
    let mut other = json.clone();
    other["categories"][1]["isthing"] = 0.into();
    second.write("a.json", other.to_string());
    assert_eq!(error(), "`data.mix.0`: expected \"ant\" to be a thing as in a.json, got stuff of a.json");
    let mut other = json;
    other["categories"][0]["name"] = "moose".into();
    second.write("a.json", other.to_string());
    assert_eq!(
        error(),
        "`data.mix.0`: expected classes that the first set, a.json, has too, got \"moose\" of a.json"
    );
}

#[test]
fn cityscapes_takes_the_ids_of_the_first_set() {
    // Its things in another order, as a file of one's own may list them: car 0, person 1, and so on.
    let names = ["car", "person", "truck", "bus", "train", "motorcycle", "bicycle", "rider"];
    let first = Folder::new();
    first.write("images/1.png", picture(2, 3));
    let categories: Vec<_> =
        (1..).zip(names).map(|(id, name): (u32, &str)| json!({"id": id, "name": name})).collect();
    let images = json!([{"id": 1, "file_name": "1.png", "height": 2, "width": 3}]);
    first.write("a.json", json!({"images": images, "annotations": [], "categories": categories}).to_string());
    let second = Folder::new();
    second.write("leftImg8bit/train/aachen/aachen_0_0_leftImg8bit.png", picture(1, 2));
    // Label ids 24 and 26 are person and car.
    let values: Vec<u8> = [24_000u16, 26_001].iter().flat_map(|value| value.to_be_bytes()).collect();
    let labels = png([1, 2], ::png::ColorType::Grayscale, ::png::BitDepth::Sixteen, &values);
    second.write("gtFine/train/aachen/aachen_0_0_gtFine_instanceIds.png", labels);
    let benchmark = format!("benchmark = \"cityscapes\", root = \"{}\"", second.path("").display());
    let mixture = mixture(&config(&first, &benchmark), SegmentTask::Instance).unwrap();
    let (set, index) = mixture.at(1);
    let sample = set.load(index).unwrap();
    assert_eq!(sample.segments.iter().map(|segment| segment.class).collect::<Vec<_>>(), [1, 0]);
    assert!(matches!(sample.masks, SegmentMasks::Map(_)));
    assert_eq!(set.classes().get(1).unwrap().name, "person");
}
