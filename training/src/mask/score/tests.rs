//! A set whose JSON and PNG disagree, scored in memory and by the scorer of files.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, array};
use smalti_datasets::coco::id_to_rgb;
use smalti_datasets::{EvalLoader, SegmentDataConfig, Shard, Split};
use smalti_evaluation::panoptic::{PanopticDirs, PanopticOptions, score_files};
use smalti_heads::mask::post::PanopticSegment;

use super::*;

const NAME: &str = "ADE_val_00000001";
const WALL: usize = 0;
const SKY: usize = 2;
const BED: usize = 7;

fn write_ids(path: &Path, ids: &Array2<u32>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let (height, width) = ids.dim();
    let pixel = |x: u32, y: u32| image::Rgb(id_to_rgb(ids[(y as usize, x as usize)]));
    let picture = image::RgbImage::from_fn(width as u32, height as u32, pixel);
    picture.save_with_format(path, image::ImageFormat::Png).unwrap();
}

fn write_json(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

/// In ADE20K's layout, as `data prepare` may write it: nothing is left of the wall, and the sky was larger than it is.
fn ground_truth(root: &Path, config: &SegmentDataConfig) {
    write_ids(&root.join(format!("images/validation/{NAME}.jpg")), &Array2::zeros((2, 4)));
    write_ids(&root.join(format!("ade20k_panoptic_val/{NAME}.png")), &array![[3, 3, 2, 0], [0, 0, 0, 2]]);
    let table = SegmentSet::class_table(config, SegmentTask::Panoptic, None).unwrap();
    let categories = [WALL, SKY, BED].map(|id| {
        let class = table.get(id).unwrap();
        json!({"id": id, "name": class.name, "isthing": u8::from(class.is_thing)})
    });
    let segment = |id: u32, category: usize, area: u32| json!({"id": id, "category_id": category, "area": area, "iscrowd": 0});
    let segments = [segment(1, WALL, 5), segment(2, SKY, 3), segment(3, BED, 2)];
    write_json(
        &root.join("ade20k_panoptic_val.json"),
        &json!({
            "images": [{"id": NAME, "file_name": format!("{NAME}.jpg"), "height": 2, "width": 4}],
            "categories": categories,
            "annotations": [{"image_id": NAME, "file_name": format!("{NAME}.png"), "segments_info": segments}],
        }),
    );
}

/// The set in a folder of its own, and its image.
fn set() -> (tempfile::TempDir, Arc<SegmentSet>, SegmentEvalSample) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config: SegmentDataConfig =
        toml::from_str(&format!("benchmark = \"ade20k\"\nroot = \"{}\"", root.display())).unwrap();
    ground_truth(root, &config);
    let set = Arc::new(SegmentSet::open(&config, SegmentTask::Panoptic, Split::Val, None).unwrap());
    let mut samples = EvalLoader::of_segments(Arc::clone(&set), &config, Shard::WHOLE).unwrap();
    let sample = samples.next().unwrap().unwrap();
    (folder, set, sample)
}

/// Every visible segment as it is, and wall on void.
fn predicted() -> Panoptic {
    let segment = |id, class| PanopticSegment { id, class, thing: class == BED, score: 0.9 };
    Panoptic {
        ids: array![[2, 2, 1, 3], [3, 0, 0, 1]],
        segments: vec![segment(1, SKY), segment(2, BED), segment(3, WALL)],
    }
}

#[test]
fn segments_and_areas_are_those_of_the_json_as_in_the_score_of_files() {
    let (folder, set, sample) = set();
    let root = folder.path();
    let mut scorer = MaskScorer::new(&set).unwrap();
    let results = MaskResults { panoptic: Some(predicted()), instances: Some(vec![]), semantic: None };
    scorer.add(&set.image_id(0), &sample, &results).unwrap();
    let scores = scorer.finish().unwrap().panoptic.unwrap();

    write_ids(&root.join(format!("predicted/{NAME}.png")), &predicted().ids);
    let segments: Vec<Value> = predicted()
        .segments
        .iter()
        .map(|segment| json!({"id": segment.id, "category_id": segment.class}))
        .collect();
    let entry = json!({"image_id": NAME, "file_name": format!("{NAME}.png"), "segments_info": segments});
    write_json(&root.join("predicted.json"), &json!({"annotations": [entry]}));
    let dirs = PanopticDirs {
        gt_json: root.join("ade20k_panoptic_val.json"),
        gt_dir: root.join("ade20k_panoptic_val"),
        pred_json: root.join("predicted.json"),
        pred_dir: root.join("predicted"),
    };
    let of_files = score_files(&dirs, PanopticOptions::default(), &|_, _| ()).unwrap().quality.finish();

    assert_eq!(scores.metrics, of_files.metrics);
    let of = |class: usize| {
        let scores = &scores.classes[class];
        (scores.pq, scores.tp, scores.fp, scores.fn_)
    };
    assert_eq!(of(SKY), (Some(2.0 / 3.0), 1, 0, 0), "2 pixels of a stated area of 3");
    assert_eq!(of(BED), (Some(1.0), 1, 0, 0));
    assert_eq!(of(WALL), (Some(0.0), 0, 0, 1), "listed, so missed; what was found is on void");
}

#[test]
fn parts_kept_as_text_add_up_to_one_count() {
    let (_folder, set, sample) = set();
    let bed = Rle::encode(&array![[1_u8, 1, 0, 0], [0, 0, 0, 0]]).unwrap();
    let instance = |score, mask: &Rle| Instance { class: BED, score, query: 0, mask: mask.clone() };
    let results = MaskResults {
        panoptic: Some(predicted()),
        instances: Some(vec![instance(1.0 / 3.0, &bed)]),
        semantic: Some(array![[7, 0, 2, 2], [0, 0, 0, 2]]),
    };
    let count = |names: &[&str]| {
        let mut scorer = MaskScorer::new(&set).unwrap();
        for name in names {
            scorer.add(&RecordId::Text((*name).into()), &sample, &results).unwrap();
        }
        scorer
    };
    let whole = count(&["a", "b", "c"]).finish().unwrap();
    assert!(whole.instance.metrics.ap.is_some_and(|ap| ap > 0.9), "{:?}", whole.instance.metrics);
    let mut sum = count(&[]);
    for shard in [&["c"][..], &[], &["b", "a"]] {
        let text = serde_json::to_string(&count(shard).part()).unwrap();
        sum.add_part(serde_json::from_str(&text).unwrap()).unwrap();
    }
    assert_eq!(sum.finish().unwrap(), whole);
    let mut merged = count(&["a"]);
    merged.merge(&count(&["b", "c"])).unwrap();
    assert_eq!(merged.finish().unwrap(), whole);
    assert!(merged.merge(&count(&["c"])).unwrap_err().to_string().contains("image c"));
}
