//! Small sets in temporary folders.

use std::fs;
use std::path::PathBuf;

use smalti_datasets::{DataConfig, OwnFiles, SetFiles, Split};
use tempfile::TempDir;

/// A folder with `classes.txt` (4 classes: a, b, c, d) that disappears with this value.
pub struct Folder {
    dir: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("classes.txt"), "a\nb\nc\nd\n").unwrap();
        Self { dir }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `images/NAME.png`, every pixel different, and `labels/NAME.png` with `class(y, x)`.
    pub fn pair(&self, name: &str, height: u32, width: u32, class: impl Fn(u32, u32) -> u8) {
        let shift = name.bytes().map(u32::from).sum::<u32>();
        let rgb = (0..height * width)
            .flat_map(|i| [i as u8, (i >> 3) as u8, (i * 7 + shift) as u8])
            .collect::<Vec<_>>();
        self.write(
            &format!("images/{name}.png"),
            png(height, width, png::ColorType::Rgb, png::BitDepth::Eight, &rgb),
        );
        self.labels(name, height, width, class);
    }

    pub fn labels(&self, name: &str, height: u32, width: u32, class: impl Fn(u32, u32) -> u8) {
        let ids = (0..height * width).map(|i| class(i / width, i % width)).collect::<Vec<_>>();
        let file = png(height, width, png::ColorType::Grayscale, png::BitDepth::Eight, &ids);
        self.write(&format!("labels/{name}.png"), file);
    }

    /// A configuration of the folder pair, with more lines of the `[data]` table.
    pub fn config(&self, more: &str) -> DataConfig {
        let cfg: DataConfig = toml::from_str(&format!(
            "root = {:?}\nclasses = \"classes.txt\"\n{more}\n[train]\nimages = \"images\"\nlabels = \"labels\"",
            self.dir.path()
        ))
        .unwrap();
        cfg.validate().unwrap();
        cfg
    }

    /// A configuration of `list.txt` with this content.
    pub fn list_config(&self, list: &str) -> DataConfig {
        self.write("list.txt", list);
        let text =
            format!("root = {:?}\nclasses = \"classes.txt\"\n[train]\nlist = \"list.txt\"", self.dir.path());
        toml::from_str(&text).unwrap()
    }

    pub fn open(&self, cfg: &DataConfig) -> Result<smalti_datasets::SemanticSet, String> {
        smalti_datasets::SemanticSet::open(cfg, Split::Train, None)
            .map_err(|err| self.shorten(&err.full_message()))
    }

    /// The text with this folder's path taken out.
    pub fn shorten(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// A PNG file of raw rows.
pub fn png(height: u32, width: u32, color: png::ColorType, depth: png::BitDepth, rows: &[u8]) -> Vec<u8> {
    png_with(height, width, color, depth, rows, |_| {})
}

pub fn png_with(
    height: u32,
    width: u32,
    color: png::ColorType,
    depth: png::BitDepth,
    rows: &[u8],
    set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    set(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    file
}

/// A JPEG file of a smooth picture.
pub fn jpeg(height: u32, width: u32, grey: bool) -> Vec<u8> {
    let mut file = vec![];
    let encoder = &mut image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 95);
    if grey {
        let pixels: Vec<u8> = (0..height * width).map(|i| (i / width * 2 + i % width) as u8).collect();
        encoder.encode(&pixels, width, height, image::ExtendedColorType::L8).unwrap();
    } else {
        let pixels: Vec<u8> =
            (0..height * width).flat_map(|i| [(i / width) as u8, (i % width) as u8, 90]).collect();
        encoder.encode(&pixels, width, height, image::ExtendedColorType::Rgb8).unwrap();
    }
    file
}

/// The files of a configuration that names no benchmark.
pub fn own(cfg: &mut DataConfig) -> &mut OwnFiles {
    match &mut cfg.files {
        SetFiles::Own(files) => files,
        SetFiles::Benchmark(files) => panic!("the benchmark {}", files.benchmark),
    }
}

/// The shared CamVid folder, if this machine has it.
pub fn camvid() -> Option<PathBuf> {
    shared("camvid")
}

#[path = "../common/shared_data.rs"]
mod shared_data;
pub use shared_data::shared;
