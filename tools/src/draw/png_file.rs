//! PNG files: RGB pictures, and label maps whose palette shows the classes while the indices stay the labels.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use ndarray::Array2;
use smalti_datasets::{ClassTable, Image, LabelMap};

use super::label_colors;
use crate::output;

/// An RGB picture as PNG.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>> {
    let (height, width, _) = image.dim();
    let pixels: Vec<u8> = image.iter().copied().collect();
    encode((height, width), png::ColorType::Rgb, None, &pixels)
}

/// 8-bit values `[H, W]` as a grey PNG.
pub fn grey_png_bytes(values: &Array2<u8>) -> Result<Vec<u8>> {
    let pixels: Vec<u8> = values.iter().copied().collect();
    encode(values.dim(), png::ColorType::Grayscale, None, &pixels)
}

/// Writes an RGB picture atomically.
pub fn write_png(path: &Path, image: &Image) -> Result<()> {
    output::write_atomic(path, &png_bytes(image)?)
}

/// Writes a label map as an 8-bit palette PNG, atomically and with the folders above it: any viewer shows the class
/// colours, and every label reader gets the class ids back.
pub fn write_label_png(path: &Path, labels: &LabelMap, classes: &ClassTable) -> Result<()> {
    let palette: Vec<u8> = label_colors(classes).concat();
    let pixels: Vec<u8> = labels.iter().copied().collect();
    if let Some(folder) = path.parent() {
        output::create_dir(folder)?;
    }
    output::write_atomic(path, &encode(labels.dim(), png::ColorType::Indexed, Some(palette), &pixels)?)
}

fn encode(
    (height, width): (usize, usize),
    color: png::ColorType,
    palette: Option<Vec<u8>>,
    pixels: &[u8],
) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().context("encoding a PNG")?;
    writer.write_image_data(pixels).context("encoding a PNG")?;
    writer.finish().context("encoding a PNG")?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_maps_read_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.png");
        let classes = ClassTable::from_names(["x", "y"]).unwrap();
        let labels = LabelMap::from_shape_fn((5, 7), |(y, x)| if y == 0 { 255 } else { (x % 2) as u8 });
        write_label_png(&path, &labels, &classes).unwrap();
        assert_eq!(smalti_datasets::decode::labels(&path).unwrap(), labels);
    }
}
