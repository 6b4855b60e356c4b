//! Benchmarks as they lie on disk: made-up trees of every layout, and the shared samples where they are at hand.

use std::path::Path;
use std::sync::Arc;

use ndarray::array;
use serde_json::{Value, json};
use smalti_datasets::benchmarks::coco;
use smalti_datasets::prepare::{PanopticToSemantic, SemanticIds, SemanticOutput, coco_panoptic_to_semantic};
use smalti_datasets::{
    Benchmark, CheckReport, DataConfig, Loader, Problem, SemanticSet, Split, check, decode, stats,
};

use crate::support::{Folder, jpeg, png, shared};

fn config(benchmark: Benchmark) -> DataConfig {
    let cfg: DataConfig = toml::from_str(&format!("benchmark = \"{benchmark}\"")).unwrap();
    cfg.validate().unwrap();
    cfg
}

/// A configuration with the benchmark's folder written out.
fn config_at(benchmark: Benchmark, root: &Path) -> DataConfig {
    toml::from_str(&format!("benchmark = \"{benchmark}\"\nroot = {root:?}")).unwrap()
}

fn open(folder: &Folder, benchmark: Benchmark, split: Split) -> Result<SemanticSet, String> {
    SemanticSet::open(&config(benchmark), split, Some(&folder.path("")))
        .map_err(|err| folder.shorten(&err.full_message()))
}

/// The message of the first image that does not load.
fn load_error(folder: &Folder, benchmark: Benchmark) -> String {
    let set = open(folder, benchmark, Split::Train).unwrap();
    let failed = (0..set.len()).find_map(|i| set.load(i).err()).unwrap();
    folder.shorten(&failed.full_message())
}

fn report(folder: &Folder, benchmark: Benchmark) -> CheckReport {
    let set = SemanticSet::scan(&config(benchmark), Split::Train, Some(&folder.path(""))).unwrap();
    check(&set, &|| {})
}

fn grey(height: u32, width: u32, values: &[u8]) -> Vec<u8> {
    png(height, width, png::ColorType::Grayscale, png::BitDepth::Eight, values)
}

fn rgb(height: u32, width: u32, value: u8) -> Vec<u8> {
    let pixels = vec![value; (height * width * 3) as usize];
    png(height, width, png::ColorType::Rgb, png::BitDepth::Eight, &pixels)
}

/// A training image of ADE20K, 1 pixel high, with its label map.
fn ade20k_pair(folder: &Folder, number: u32, values: &[u8]) {
    let width = values.len() as u32;
    let at =
        |kind: &str, ext: &str| format!("ADEChallengeData2016/{kind}/training/ADE_train_{number:08}.{ext}");
    folder.write(&at("images", "jpg"), jpeg(1, width, false));
    folder.write(&at("annotations", "png"), grey(1, width, values));
}

#[test]
fn ade20k_counts_its_classes_from_one() {
    let folder = Folder::new();
    ade20k_pair(&folder, 2, &[0, 1, 150, 255]);
    ade20k_pair(&folder, 1, &[7, 0]);
    folder.write("ADEChallengeData2016/images/validation/ADE_val_00000001.jpg", jpeg(1, 2, false));
    folder.write("ADEChallengeData2016/annotations/validation/ADE_val_00000001.png", grey(1, 2, &[3, 3]));
    folder.write("ADEChallengeData2016/sceneCategories.txt", "ADE_train_00000001 x\n");
    let set = open(&folder, Benchmark::Ade20k, Split::Train).unwrap();
    assert_eq!((set.len(), set.classes().len(), set.benchmark()), (2, 150, Some(Benchmark::Ade20k)));
    assert_eq!(
        (set.name(0), set.name(1)),
        ("images/training/ADE_train_00000001", "images/training/ADE_train_00000002")
    );
    assert_eq!(set.load(0).unwrap().labels, array![[6, 255]]);
    assert_eq!(set.load(1).unwrap().labels, array![[255, 0, 149, 255]]);
    let val = open(&folder, Benchmark::Ade20k, Split::Val).unwrap();
    assert_eq!((val.len(), val.load(0).unwrap().labels), (1, array![[2, 2]]));

    let report = report(&folder, Benchmark::Ade20k);
    assert!(report.trainable() && report.hints.is_empty(), "{report:?}");
    assert_eq!(report.raw_values.iter().map(|raw| raw.value).collect::<Vec<_>>(), [0, 1, 7, 150, 255]);
}

#[test]
fn ade20k_says_what_is_missing() {
    let folder = Folder::new();
    let error = |folder: &Folder| open(folder, Benchmark::Ade20k, Split::Train).unwrap_err();
    let nowhere = error(&folder);
    let expected =
        "`data.benchmark`: expected the folder of ade20k at ADEChallengeData2016 or ade/ADEChallengeData2016";
    assert!(nowhere.starts_with(expected) && nowhere.contains("DETECTRON2_DATASETS=DIR"), "{nowhere}");
    folder.write("ADEChallengeData2016/objectInfo150.txt", "");
    let none = "ADEChallengeData2016/images/training: no such file or folder (images of ade20k)";
    assert_eq!(error(&folder), none);
    folder.write("ADEChallengeData2016/images/training/readme.txt", "");
    let none = "ADEChallengeData2016/annotations/training: no such file or folder (annotations of ade20k)";
    assert_eq!(error(&folder), none);
    folder.write("ADEChallengeData2016/annotations/training/readme.txt", "");
    assert_eq!(
        error(&folder),
        "`data.benchmark`: expected at least one image, got none in ADEChallengeData2016"
    );

    ade20k_pair(&folder, 1, &[1, 2]);
    folder.write("ADEChallengeData2016/annotations/training/ADE_train_00000009.png", grey(1, 1, &[1]));
    assert_eq!(
        open(&folder, Benchmark::Ade20k, Split::Train).unwrap().len(),
        1,
        "labels without an image do no harm"
    );
    folder.write("ADEChallengeData2016/images/training/ADE_train_00000008.jpg", jpeg(1, 1, false));
    assert_eq!(
        error(&folder),
        "ADEChallengeData2016/annotations/training/ADE_train_00000008.png: no such file or folder \
         (label map of ADEChallengeData2016/images/training/ADE_train_00000008.jpg)"
    );
}

#[test]
fn ade20k_refuses_label_maps_that_do_not_fit() {
    let folder = Folder::new();
    ade20k_pair(&folder, 1, &[151, 151, 2]);
    let labels = "ADEChallengeData2016/annotations/training/ADE_train_00000001.png";
    assert_eq!(
        load_error(&folder, Benchmark::Ade20k),
        format!("{labels}: label value 151 in 2 pixels, expected 1..=150 (150 classes) or 255"),
        "and nothing to set in the recipe"
    );
    let outside = report(&folder, Benchmark::Ade20k);
    assert_eq!((outside.trainable(), outside.outside[0].value, outside.hints.len()), (false, 151, 0));
    folder.write(labels, grey(2, 3, &[1; 6]));
    let size = load_error(&folder, Benchmark::Ade20k);
    assert!(size.starts_with(&format!("{labels}: label map is 2x3 (HxW), its image ")), "{size}");
    folder.write(labels, rgb(1, 3, 4));
    let colour = load_error(&folder, Benchmark::Ade20k);
    assert!(colour.starts_with(&format!("{labels}: expected a label map")), "{colour}");
}

/// A training image of Cityscapes, 1 pixel high, with its label ids.
fn cityscapes_pair(folder: &Folder, city: &str, frame: u32, values: &[u8]) {
    let width = values.len() as u32;
    let stem = format!("train/{city}/{city}_{frame:06}_000019");
    folder.write(&format!("cityscapes/leftImg8bit/{stem}_leftImg8bit.png"), rgb(1, width, 90));
    folder.write(&format!("cityscapes/gtFine/{stem}_gtFine_labelIds.png"), grey(1, width, values));
}

#[test]
fn cityscapes_label_ids_become_train_ids() {
    let folder = Folder::new();
    cityscapes_pair(&folder, "ulm", 0, &[0, 7, 8, 33]);
    cityscapes_pair(&folder, "aachen", 1, &[26, 29, 11]);
    // What lies beside them in a full set is left alone.
    for other in
        ["gtFine_instanceIds.png", "gtFine_labelTrainIds.png", "gtFine_color.png", "gtFine_polygons.json"]
    {
        folder.write(&format!("cityscapes/gtFine/train/ulm/ulm_000000_000019_{other}"), "x");
    }
    folder.write("cityscapes/gtFine/cityscapes_panoptic_train.json", "{}");
    let set = open(&folder, Benchmark::Cityscapes, Split::Train).unwrap();
    assert_eq!((set.len(), set.classes().len()), (2, 19));
    assert_eq!(set.name(0), "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit");
    assert_eq!(set.load(0).unwrap().labels, array![[13, 255, 2]]);
    assert_eq!(set.load(1).unwrap().labels, array![[255, 0, 1, 18]]);
}

#[test]
fn cityscapes_says_what_is_missing_or_wrong() {
    let folder = Folder::new();
    let error = |folder: &Folder| open(folder, Benchmark::Cityscapes, Split::Train).unwrap_err();
    std::fs::create_dir_all(folder.path("cityscapes/leftImg8bit/train/ulm")).unwrap();
    let none = error(&folder);
    assert!(none.starts_with("cityscapes/leftImg8bit/train/*_leftImg8bit.png: no such file"), "{none}");
    folder.write("cityscapes/leftImg8bit/train/ulm/ulm_000003_000019_leftImg8bit.png", rgb(1, 2, 1));
    let none = error(&folder);
    assert!(none.starts_with("cityscapes/gtFine/train: no such file"), "{none}");
    cityscapes_pair(&folder, "ulm", 0, &[255, 255, 7]);
    assert!(error(&folder).starts_with(
        "cityscapes/gtFine/train/ulm/ulm_000003_000019_gtFine_labelIds.png: no such file or folder (label map of "
    ));
    std::fs::remove_file(folder.path("cityscapes/leftImg8bit/train/ulm/ulm_000003_000019_leftImg8bit.png"))
        .unwrap();
    folder.write("cityscapes/gtFine/train/ulm/ulm_000004_000019_gtFine_labelIds.png", grey(1, 1, &[7]));
    assert_eq!(
        load_error(&folder, Benchmark::Cityscapes),
        "cityscapes/gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png: \
         label value 255 in 2 pixels, expected label ids 0..=33"
    );
    let found = report(&folder, Benchmark::Cityscapes);
    assert!(matches!(&found.listing[..], [Problem::LabelsWithoutImage { .. }]), "{:?}", found.listing);
    assert!(!found.trainable() && found.hints[0].reason.contains("train ids"), "{:?}", found.hints);
}

/// Two images of COCO, ids 9 and 25, 2x3 pixels; the first has a car (3), a crowd of persons (1) and void, the second sky.
fn coco_set(folder: &Folder, png_folder: &str) -> Value {
    let segments = |ids: [u32; 6]| {
        let pixels: Vec<u8> =
            ids.iter().flat_map(|id| [*id as u8, (id >> 8) as u8, (id >> 16) as u8]).collect();
        png(2, 3, png::ColorType::Rgb, png::BitDepth::Eight, &pixels)
    };
    for id in [9, 25] {
        folder.write(&format!("coco/train2017/{id:012}.jpg"), jpeg(2, 3, id == 25));
    }
    folder.write(&format!("coco/{png_folder}/000000000009.png"), segments([0, 70_000, 70_000, 258, 258, 0]));
    folder.write(&format!("coco/{png_folder}/000000000025.png"), segments([5; 6]));
    let segment = |id: u32, category: u32, crowd: u8| json!({"id": id, "category_id": category, "iscrowd": crowd, "area": 1, "bbox": [0, 0, 1, 1]});
    let image = |id: u64| json!({"id": id, "file_name": format!("{id:012}.jpg"), "height": 2, "width": 3});
    let categories: Vec<_> = coco::CLASSES.iter().map(|row| row.to_category()).collect();
    json!({
        "images": [image(9), image(25)],
        "annotations": [
            {"image_id": 25, "file_name": "000000000025.png", "segments_info": [segment(5, 187, 0)]},
            {"image_id": 9, "file_name": "000000000009.png",
             "segments_info": [segment(70_000, 3, 0), segment(258, 1, 1)]},
        ],
        "categories": categories,
    })
}

const COCO_JSON: &str = "coco/annotations/panoptic_train2017.json";
const BESIDE: &str = "annotations/panoptic_train2017";

#[test]
fn coco_pixels_have_the_class_of_their_segment() {
    // The PNGs beside the JSON, and where detectron2 wants them.
    for pngs in [BESIDE, "panoptic_train2017"] {
        let folder = Folder::new();
        let json = coco_set(&folder, pngs);
        folder.write(COCO_JSON, json.to_string());
        let set = open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap();
        assert_eq!((set.len(), set.classes().len(), set.name(1)), (2, 133, "train2017/000000000009"));
        // Sky-other-merged is the 120th class; crowds count like any segment.
        assert_eq!(set.classes().get(119).unwrap().name, "sky-other-merged");
        assert_eq!(set.load(0).unwrap().labels, array![[119, 119, 119], [119, 119, 119]]);
        assert_eq!(set.load(1).unwrap().labels, array![[255, 2, 2], [0, 0, 255]]);
        let report = report(&folder, Benchmark::CocoPanoptic);
        assert!(report.trainable() && report.hints.is_empty(), "{report:?}");
        let categories: Vec<_> = report.raw_values.iter().map(|raw| (raw.value, raw.pixels)).collect();
        assert_eq!(categories, [(0, 2), (1, 2), (3, 2), (187, 6)]);
    }
}

/// The label maps of a set equal those that `data prepare` writes with contiguous ids.
fn assert_as_prepared(set: &SemanticSet, json: &Path) {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("semantic");
    let output = SemanticOutput::Pngs { folder: folder.clone(), ids: SemanticIds::Contiguous };
    let options = PanopticToSemantic { json: json.to_owned(), png_dir: None, output, things_other: false };
    assert_eq!(coco_panoptic_to_semantic(&options, &|_| ()).unwrap().images, set.len() as u64);
    for i in 0..set.len() {
        let prepared = decode::labels(&folder.join(set.paths(i).1.file_name().unwrap())).unwrap();
        assert!(set.load(i).unwrap().labels == prepared, "{}", set.name(i));
    }
}

#[test]
fn coco_labels_are_those_of_the_conversion() {
    let folder = Folder::new();
    let json = coco_set(&folder, BESIDE);
    folder.write(COCO_JSON, json.to_string());
    let set = open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap();
    assert_as_prepared(&set, &folder.path(COCO_JSON));
}

#[test]
fn coco_files_that_do_not_pair_are_named() {
    let folder = Folder::new();
    let good = coco_set(&folder, BESIDE);
    let error = |change: &dyn Fn(&mut Value)| {
        let mut json = good.clone();
        change(&mut json);
        folder.write(COCO_JSON, json.to_string());
        open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap_err()
    };
    let unknown = error(&|json| json["annotations"][1]["image_id"] = 10.into());
    let more = "(and 1 more such problems)"; // image 9 then has no annotation
    assert_eq!(
        unknown,
        format!("{COCO_JSON}: image 10: expected an image with this id in `images`, got none {more}")
    );
    let twice = error(&|json| json["annotations"][1]["image_id"] = 25.into());
    assert!(twice.contains("image 25: expected one annotation of this image, got several"), "{twice}");
    let none = error(&|json| drop(json["annotations"].as_array_mut().unwrap().pop()));
    assert_eq!(none, format!("{COCO_JSON}: image 9: expected one entry in `annotations`, got none"));
    let class = error(&|json| json["annotations"][1]["segments_info"][0]["category_id"] = 12.into());
    assert_eq!(class, format!("{COCO_JSON}: image 9: expected a category_id of the 133 categories, got 12"));
    let id = error(&|json| json["annotations"][1]["segments_info"][0]["id"] = 258.into());
    assert_eq!(id, format!("{COCO_JSON}: image 9: expected a segment id once, got 258 twice"));
    let other = error(&|json| json["categories"][2]["name"] = "lorry".into());
    assert_eq!(other, format!("{COCO_JSON}: categories[2]: expected \"car\", got \"lorry\" with the id 3"));
    let field = error(&|json| drop(json.as_object_mut().unwrap().remove("images")));
    assert_eq!(field, format!("{COCO_JSON}: `images`: expected this field, got a file without it"));

    folder.write(COCO_JSON, good.to_string());
    folder.write("coco/train2017/000000000030.jpg", jpeg(1, 1, false));
    let set = open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap();
    assert!(matches!(set.problems(), [Problem::ImageNotListed { .. }]), "no harm: {:?}", set.problems());
    assert_eq!(
        folder.shorten(&set.problems()[0].to_string()),
        format!("coco/train2017/000000000030.jpg: {COCO_JSON} does not list this image")
    );
    std::fs::remove_file(folder.path("coco/train2017/000000000009.jpg")).unwrap();
    let error = open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap_err();
    assert_eq!(
        error,
        format!("coco/train2017/000000000009.jpg: no such file or folder (image 9 of {COCO_JSON})")
    );
    std::fs::remove_file(folder.path("coco/annotations/panoptic_train2017/000000000025.png")).unwrap();
    let error = open(&folder, Benchmark::CocoPanoptic, Split::Train).unwrap_err();
    assert!(
        error.starts_with("coco/annotations/panoptic_train2017/000000000025.png: no such file"),
        "{error}"
    );
    assert!(error.contains("label map of coco/train2017/000000000025.jpg"), "{error}");
}

#[test]
fn coco_says_what_is_missing_or_wrong() {
    let folder = Folder::new();
    let error = |folder: &Folder| open(folder, Benchmark::CocoPanoptic, Split::Train).unwrap_err();
    std::fs::create_dir(folder.path("coco")).unwrap();
    assert_eq!(error(&folder), "coco/train2017: no such file or folder (coco_panoptic)");
    std::fs::create_dir(folder.path("coco/train2017")).unwrap();
    assert_eq!(error(&folder), format!("{COCO_JSON}: no such file or folder (coco_panoptic)"));
    folder.write(COCO_JSON, "{");
    assert_eq!(
        error(&folder),
        "coco/annotations/panoptic_train2017: no such file or folder \
         (label maps of coco_panoptic; nor is coco/panoptic_train2017)"
    );
    let json = coco_set(&folder, BESIDE);
    assert!(error(&folder).starts_with(&format!("{COCO_JSON}: not the expected JSON: ")));
    folder.write(COCO_JSON, json.to_string());

    let labels = "coco/annotations/panoptic_train2017/000000000025.png";
    folder.write(labels, rgb(2, 3, 7));
    assert_eq!(
        load_error(&folder, Benchmark::CocoPanoptic),
        format!(
            "{labels}: segment id 460551 in 6 pixels, expected 0 or one of the 1 that the JSON lists for this image"
        )
    );
    let found = report(&folder, Benchmark::CocoPanoptic);
    assert_eq!((found.trainable(), found.good, found.unreadable.len()), (false, 1, 1));
    folder.write(labels, grey(2, 3, &[5; 6]));
    let kind = load_error(&folder, Benchmark::CocoPanoptic);
    assert!(kind.starts_with(&format!("{labels}: expected")), "{kind}");
    folder.write(labels, rgb(3, 3, 0));
    let size = load_error(&folder, Benchmark::CocoPanoptic);
    assert!(size.starts_with(&format!("{labels}: label map is 3x3 (HxW), its image ")), "{size}");
}

#[test]
fn the_loader_knows_nothing_of_benchmarks() {
    let folder = Folder::new();
    folder.write(COCO_JSON, coco_set(&folder, BESIDE).to_string());
    let text = "benchmark = \"coco_panoptic\"\nloader = { batch_size = 2, workers = 1 }\n\
                augment = [{ op = \"random_crop\", size = [4, 4] }, { op = \"flip\" }]";
    let cfg: DataConfig = toml::from_str(text).unwrap();
    let set = Arc::new(SemanticSet::open(&cfg, Split::Train, Some(&folder.path(""))).unwrap());
    let batch = Loader::new(set, &cfg, 0, 0).unwrap().next().unwrap();
    assert_eq!((batch.images.dim(), batch.labels.dim()), ((2, 3, 4, 4), (2, 4, 4)));
    let count = |class: u8| batch.labels.iter().filter(|label| **label == class).count();
    assert_eq!((count(119), count(0), count(2), count(255)), (6, 2, 2, 22));
}

#[test]
fn ade20k_sample_has_the_labels_of_its_readme() {
    let Some(root) = shared("ade20k-sample/ADEChallengeData2016") else { return };
    let set = SemanticSet::open(&config_at(Benchmark::Ade20k, &root), Split::Val, None).unwrap();
    let report = check(&set, &|| {});
    assert!(report.trainable());
    assert_eq!((report.images, report.good), (3, 3));
    let values: Vec<u8> = report.raw_values.iter().map(|raw| raw.value).collect();
    assert_eq!(values, [0, 1, 2, 3, 5, 7, 10, 12, 14, 18, 21, 44, 81, 88, 97, 103]);
    let first = set.load(0).unwrap();
    assert_eq!(first.labels.dim(), (512, 683));
}

#[test]
fn cityscapes_sample_equals_its_train_ids() {
    let Some(root) = shared("cityscapes-sample") else { return };
    for (split, images) in [(Split::Train, 6), (Split::Val, 1)] {
        let set = SemanticSet::open(&config_at(Benchmark::Cityscapes, &root), split, None).unwrap();
        assert_eq!(set.len(), images);
        for i in 0..images {
            let ids = set.paths(i).1.to_str().unwrap().replace("_labelIds", "_labelTrainIds");
            let expected = decode::labels(Path::new(&ids)).unwrap();
            assert!(set.load(i).unwrap().labels == expected, "{ids}");
        }
    }
}

#[test]
fn coco_sample_agrees_with_its_readme_and_the_conversion() {
    let Some(root) = shared("coco-sample") else { return };
    for (split, images) in [(Split::Train, 100), (Split::Val, 80)] {
        let set = SemanticSet::open(&config_at(Benchmark::CocoPanoptic, &root), split, None).unwrap();
        assert_eq!((set.len(), set.problems().len()), (images, 0));
        let found = stats(&set, &|| {}).unwrap();
        let void = 100.0 * found.ignored_pixels as f64 / found.pixels as f64;
        assert!((void - 9.98).abs() < 0.006, "{split}: {void}");
        assert_eq!(found.classes.iter().filter(|class| class.images > 0).count(), 119, "{split}");
        assert_as_prepared(&set, &root.join(format!("annotations/panoptic_{split}2017.json")));
    }
}
