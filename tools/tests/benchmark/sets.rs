//! Benchmarks in their official layouts with a few small pictures a split; and parts of the real ones.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
use serde_json::{Value, json};
use smalti_datasets::benchmarks::ade20k::INSTANCE_CLASSES;
use smalti_datasets::benchmarks::{ClassRow, coco};

pub const WIDTH: u32 = 64;
pub const HEIGHT: u32 = 48;

/// A map of 16-bit ids.
pub type Ids = ImageBuffer<Luma<u16>, Vec<u16>>;

/// Pictures of a split by number: shards of three can have one each.
fn numbers(split: &str) -> std::ops::RangeInclusive<u32> {
    1..=if split.starts_with("val") { 3 } else { 2 }
}

/// A box of another colour on a gradient.
fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let shade = |factor: u32| ((x * 3 + y * factor + seed * 40) % 256) as u8;
        if in_box(x, y) { Rgb([200, 30, shade(2)]) } else { Rgb([shade(1), shade(3), 90]) }
    })
}

fn in_box(x: u32, y: u32) -> bool {
    (12..40).contains(&x) && (10..36).contains(&y)
}

fn save(path: &Path, save: impl FnOnce(&Path) -> image::ImageResult<()>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    save(path).unwrap();
}

pub fn write_json(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// `coco` below `data`: a person on grass.
pub fn coco(data: &Path) {
    for split in ["train", "val"] {
        let root = data.join("coco");
        let (mut images, mut instances, mut panoptic) = (vec![], vec![], vec![]);
        for id in numbers(split) {
            let name = format!("{id:012}");
            let image = picture(id);
            save(&root.join(format!("{split}2017/{name}.jpg")), |path| image.save(path));
            let ids = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([if in_box(x, y) { 1 } else { 2 }, 0, 0]));
            save(&root.join(format!("annotations/panoptic_{split}2017/{name}.png")), |path| ids.save(path));
            images.push(
                json!({"id": id, "file_name": format!("{name}.jpg"), "height": HEIGHT, "width": WIDTH}),
            );
            let area = 28 * 26;
            instances.push(json!({
                "id": id, "image_id": id, "category_id": 1, "iscrowd": 0, "area": area, "bbox": [12, 10, 28, 26],
                "segmentation": [[12, 10, 40, 10, 40, 36, 12, 36]],
            }));
            let segment = |id: u32, category: u32, area: u32| json!({"id": id, "category_id": category, "area": area, "bbox": [0, 0, WIDTH, HEIGHT], "iscrowd": 0});
            let segments = [segment(1, 1, area), segment(2, 193, WIDTH * HEIGHT - area)];
            panoptic
                .push(json!({"image_id": id, "file_name": format!("{name}.png"), "segments_info": segments}));
        }
        let categories = |rows: &mut dyn Iterator<Item = &ClassRow>| -> Vec<Value> {
            rows.map(|row| serde_json::to_value(row.to_category()).unwrap()).collect()
        };
        let things = categories(&mut coco::CLASSES.iter().filter(|row| row.isthing));
        let set = json!({"images": images, "annotations": instances, "categories": things});
        write_json(&root.join(format!("annotations/instances_{split}2017.json")), &set);
        let all = categories(&mut coco::CLASSES.iter());
        let set = json!({"images": images, "annotations": panoptic, "categories": all});
        write_json(&root.join(format!("annotations/panoptic_{split}2017.json")), &set);
    }
}

/// `ADEChallengeData2016` below `data`: a bed before a wall, and an edge that nobody labelled.
pub fn ade20k(data: &Path) {
    for split in ["training", "validation"] {
        for number in numbers(split) {
            let file = |kind: &str, extension: &str| {
                data.join(format!("ADEChallengeData2016/{kind}/{split}/ADE_{number:08}.{extension}"))
            };
            save(&file("images", "jpg"), |path| picture(number).save(path));
            let value = |x, y| match (y, in_box(x, y)) {
                (0, _) => 0,
                (_, true) => 8,
                (_, false) => 1,
            };
            let labels = GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([value(x, y)]));
            save(&file("annotations", "png"), |path| labels.save(path));
            save(&file("annotations_instance", "png"), |path| instances(&labels).save(path));
        }
    }
}

/// Instance labels of ADE20K for its semantic ones: all pixels of a class with instances are one.
fn instances(labels: &GrayImage) -> RgbImage {
    let class = |label: u8| {
        let category = u32::from(label).checked_sub(1)?;
        INSTANCE_CLASSES.iter().position(|&(id, _)| id == category).map(|place| place as u8 + 1)
    };
    let pixel = |&Luma([label]): &Luma<u8>| class(label).map_or(Rgb([0; 3]), |class| Rgb([class, class, 0]));
    RgbImage::from_fn(labels.width(), labels.height(), |x, y| pixel(labels.get_pixel(x, y)))
}

/// The first frame of [`cityscapes`].
pub const FRAME: &str = "ulm_000000_000001";

/// `cityscapes` below `data`: a car on a road.
pub fn cityscapes(data: &Path) {
    for split in ["train", "val"] {
        for number in numbers(split) {
            let file = |folder: &str, kind: &str| {
                let frame = format!("ulm_000000_{number:06}");
                data.join(format!("cityscapes/{folder}/{split}/ulm/{frame}_{kind}.png"))
            };
            save(&file("leftImg8bit", "leftImg8bit"), |path| picture(number).save(path));
            let labels = GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([if in_box(x, y) { 26 } else { 7 }]));
            save(&file("gtFine", "gtFine_labelIds"), |path| labels.save(path));
            let ids = Ids::from_fn(WIDTH, HEIGHT, |x, y| Luma([if in_box(x, y) { 26_000 } else { 7 }]));
            save(&file("gtFine", "gtFine_instanceIds"), |path| ids.save(path));
        }
    }
}

/// A folder of data sets with the real samples under their official names, where they can be had; of COCO two images, of ADE20K
/// with [`instances`].
pub fn samples(at: &Path) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bases = [std::env::var_os("SMALTI_DATA").map(PathBuf::from), Some(beside)];
    let Some(base) = bases.into_iter().flatten().find(|base| base.join("coco-sample").is_dir()) else {
        println!("SKIPPED: no coco-sample below $SMALTI_DATA or ../../shared/data");
        return None;
    };
    let (base, data) = (base.canonicalize().unwrap(), at.join("samples"));
    fs::create_dir_all(data.join("coco/annotations")).unwrap();
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(base.join(from), data.join(to)).unwrap();
    link("cityscapes-sample", "cityscapes");
    fs::create_dir(data.join("ADEChallengeData2016")).unwrap();
    for kind in ["images", "annotations"] {
        link(&format!("ade20k-sample/ADEChallengeData2016/{kind}"), &format!("ADEChallengeData2016/{kind}"));
    }
    for entry in fs::read_dir(data.join("ADEChallengeData2016/annotations/validation")).unwrap() {
        let path = entry.unwrap().path();
        let labels = image::open(&path).unwrap().to_luma8();
        let file = data.join("ADEChallengeData2016/annotations_instance/validation");
        save(&file.join(path.file_name().unwrap()), |path| instances(&labels).save(path));
    }
    link("coco-sample/val2017", "coco/val2017");
    link("coco-sample/annotations/panoptic_val2017", "coco/annotations/panoptic_val2017");
    for name in ["instances_val2017.json", "panoptic_val2017.json"] {
        let mut set = read_json(&base.join("coco-sample/annotations").join(name));
        let images: Vec<Value> = set["images"].as_array().unwrap()[..2].to_vec();
        let kept = |entry: &Value| images.iter().any(|image| image["id"] == entry["image_id"]);
        let annotations: Vec<Value> =
            set["annotations"].as_array().unwrap().iter().filter(|entry| kept(entry)).cloned().collect();
        set["annotations"] = annotations.into();
        set["images"] = images.into();
        write_json(&data.join("coco/annotations").join(name), &set);
    }
    Some(data)
}
