//! Small sets in temporary folders.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array2, array};
use serde_json::{Value, json};
use smalti_datasets::sample::{NO_SEGMENT, SegmentMasks};
use smalti_datasets::synth::{SynthLayout, SynthOptions, generate};
use smalti_datasets::{IndexCache, SegmentDataConfig, SegmentSet, SegmentTask, Split};
use tempfile::TempDir;

/// A folder that disappears with this value.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The text without this folder's path.
    pub fn shorten(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }

    /// The configuration of this folder as a set of one's own.
    pub fn config(&self, files: &str) -> SegmentDataConfig {
        toml::from_str(&format!("root = \"{}\"\n{files}", self.0.path().display())).unwrap()
    }

    /// Opens the training images of `a.json`.
    pub fn open(&self, task: SegmentTask) -> Result<SegmentSet, String> {
        let cfg = self.config("train = { images = \"images\", annotations = \"a.json\" }");
        cfg.validate(task).unwrap();
        open(&cfg, task, Split::Train, None).map_err(|error| self.shorten(&error))
    }
}

/// Opens a set whose index is kept nowhere.
pub fn open(
    cfg: &SegmentDataConfig,
    task: SegmentTask,
    split: Split,
    data_root: Option<&Path>,
) -> Result<SegmentSet, String> {
    SegmentSet::open_with(cfg, task, split, data_root, &IndexCache::none())
        .map_err(|error| error.full_message())
}

/// A PNG file of raw rows.
pub fn png(size: [u32; 2], color: png::ColorType, depth: png::BitDepth, rows: &[u8]) -> Vec<u8> {
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, size[1], size[0]);
    encoder.set_color(color);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    file
}

/// A panoptic PNG.
pub fn ids(map: &Array2<u32>) -> Vec<u8> {
    let pixels: Vec<u8> = map.iter().flat_map(|id| id.to_le_bytes().into_iter().take(3)).collect();
    png([map.nrows() as u32, map.ncols() as u32], png::ColorType::Rgb, png::BitDepth::Eight, &pixels)
}

/// A picture without content.
pub fn picture(height: u32, width: u32) -> Vec<u8> {
    png([height, width], png::ColorType::Rgb, png::BitDepth::Eight, &vec![90; (height * width * 3) as usize])
}

/// Two images of 2x3 pixels, ids 9 and "b"; two instances on the first, one of them a crowd, none on the second.
pub fn instance_set() -> (Folder, Value) {
    let folder = Folder::new();
    folder.write("images/x/9.png", picture(2, 3));
    folder.write("images/b.png", picture(2, 3));
    let json = json!({
        "info": {"year": 2026},
        "annotations": [
            {"id": 70, "image_id": 9, "category_id": 8, "iscrowd": 0, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]],
             "area": 4, "bbox": [0, 0, 2, 2]},
            {"id": 12, "image_id": 9, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [2, 3], "counts": [0, 1, 5]}},
        ],
        "images": [
            {"id": "b", "file_name": "b.png", "height": 2, "width": 3},
            {"id": 9, "file_name": "x/9.png", "height": 2, "width": 3, "license": 1},
        ],
        "categories": [{"id": 8, "name": "cat"}, {"id": 3, "name": "ant"}],
    });
    folder.write("a.json", json.to_string());
    (folder, json)
}

/// Two images of 2x3 pixels, ids 9 and 25: a crowd of cars, an ant and void; grass alone.
pub fn panoptic_set() -> (Folder, Value) {
    let folder = Folder::new();
    for name in ["9", "25"] {
        folder.write(&format!("images/{name}.png"), picture(2, 3));
    }
    folder.write("a/9.png", ids(&array![[0, 70_000, 70_000], [258, 258, 0]]));
    folder.write("a/25.png", ids(&array![[5, 5, 5], [5, 5, 5]]));
    let segment = |id: u32, category: u32, crowd: u8| json!({"id": id, "category_id": category, "iscrowd": crowd, "area": 1, "bbox": [0, 0, 1, 1]});
    let json = json!({
        "images": [
            {"id": 9, "file_name": "9.png", "height": 2, "width": 3},
            {"id": 25, "file_name": "25.png", "height": 2, "width": 3},
        ],
        "annotations": [
            {"image_id": 25, "file_name": "25.png", "segments_info": [segment(5, 2, 0)]},
            {"image_id": 9, "file_name": "9.png", "segments_info": [segment(70_000, 8, 1), segment(258, 3, 0)]},
        ],
        "categories": [
            {"id": 8, "name": "car", "isthing": 1}, {"id": 3, "name": "ant", "isthing": 1, "color": [1, 2, 3]},
            {"id": 2, "name": "grass", "isthing": 0},
        ],
    });
    folder.write("a.json", json.to_string());
    (folder, json)
}

/// A generated set of 4 training and 2 validation images.
pub fn synth() -> Folder {
    let folder = Folder::new();
    let options = SynthOptions {
        out: folder.path("set"),
        images: 4,
        val_images: 2,
        size: (96, 128),
        seed: 7,
        layout: SynthLayout::Panoptic,
    };
    generate(&options, &|_, _| ()).unwrap();
    folder
}

/// `[H, W]` which pixels each segment has.
pub fn drawn(masks: &SegmentMasks, size: (usize, usize), count: usize) -> Vec<Array2<bool>> {
    match masks {
        SegmentMasks::Each(masks) => {
            assert_eq!(masks.len(), count);
            let draw = |mask: &smalti_datasets::coco::Segmentation| {
                mask.to_rle([size.0 as u32, size.1 as u32]).unwrap().decode().mapv(|set| set == 1)
            };
            masks.iter().map(draw).collect()
        }
        SegmentMasks::Map(map) => {
            assert!(map.iter().all(|&number| number == NO_SEGMENT || usize::from(number) < count));
            (0..count as u16).map(|number| map.mapv(|of| of == number)).collect()
        }
    }
}

#[path = "../common/shared_data.rs"]
mod shared_data;
pub use shared_data::shared;
