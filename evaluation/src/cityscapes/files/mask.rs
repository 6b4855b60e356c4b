//! Mask PNGs, read so that a pixel is not 0 exactly where the official script sees the object.
//!
//! The script converts every picture to 8-bit grey first. Grey values stay what they are (those of 16 bits are cut to
//! 255), colours and palettes become their luma, so a palette entry other than 0 can be background and a dark blue, too.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use smalti_datasets::label_png::{LabelPng, PixelMap};
use smalti_datasets::{DataError, decode};

/// Decoder of masks that keeps its buffers from file to file.
#[derive(Debug, Default)]
pub(super) struct MaskPng {
    png: LabelPng,
    converted: Vec<u8>,
}

impl MaskPng {
    /// The mask: 0 = background.
    pub(super) fn read(&mut self, path: &Path) -> Result<PixelMap<'_, u8>, DataError> {
        match depth_and_color(path) {
            Some((16, 0)) => {
                let PixelMap { height, width, pixels } = self.png.labels16(path)?;
                self.converted.clear();
                self.converted.extend(pixels.iter().map(|&value| u8::from(value != 0)));
                Ok(PixelMap { height, width, pixels: &self.converted })
            }
            Some((_, 2 | 3 | 6)) => {
                let image = decode::image(path)?;
                let (height, width, _) = image.dim();
                self.converted.clear();
                let (pixels, _) = image.as_slice().unwrap_or_default().as_chunks::<3>();
                self.converted.extend(pixels.iter().map(|&rgb| u8::from(luma(rgb) != 0)));
                Ok(PixelMap { height, width, pixels: &self.converted })
            }
            _ => self.png.labels(path),
        }
    }
}

/// Brightness by ITU-R 601 in the fixed-point arithmetic of Pillow's conversion to `L`.
fn luma([r, g, b]: [u8; 3]) -> u32 {
    (u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7471 + 0x8000) >> 16
}

/// Bits a sample and colour type from the header of a PNG; `None` leaves it to the decoder to say what is wrong.
fn depth_and_color(path: &Path) -> Option<(u8, u8)> {
    let mut header = [0; 26];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    header.starts_with(b"\x89PNG").then_some((header[24], header[25]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dark_colours_are_background() {
        assert_eq!([[0, 0, 4], [0, 0, 5], [1, 0, 0], [2, 0, 0], [0, 1, 0]].map(luma), [0, 1, 0, 1, 1]);
        assert_eq!(luma([255; 3]), 255);
    }
}
