//! Every kind of file that is handled, and every kind that is refused.

use std::fs;
use std::path::Path;

use ndarray::array;
use png::{BitDepth, ColorType};
use proptest::prelude::*;
use smalti_datasets::{Image, LabelMap, decode};

use crate::support::{jpeg, png, png_with};

fn with_file<T>(bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.any");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

fn image(bytes: &[u8]) -> Result<Image, String> {
    with_file(bytes, |path| decode::image(path).map_err(|err| err.full_message()))
}

fn labels(bytes: &[u8]) -> Result<LabelMap, String> {
    with_file(bytes, |path| decode::labels(path).map_err(|err| err.full_message()))
}

/// The error text of an image file.
fn refused(bytes: &[u8]) -> String {
    let text = image(bytes).unwrap_err();
    assert!(text.contains("file.any: "), "the file is named: {text}");
    text
}

#[test]
fn images_of_every_png_kind() {
    let rgb = array![[[1, 2, 3], [4, 5, 6]]];
    assert_eq!(image(&png(1, 2, ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6])).unwrap(), rgb);
    let rgba = png(1, 2, ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0, 4, 5, 6, 128]);
    assert_eq!(image(&rgba).unwrap(), rgb, "alpha is dropped, not blended");
    let grey = array![[[7, 7, 7], [9, 9, 9]]];
    assert_eq!(image(&png(1, 2, ColorType::Grayscale, BitDepth::Eight, &[7, 9])).unwrap(), grey);
    assert_eq!(image(&png(1, 2, ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 9, 255])).unwrap(), grey);
    let bits = png(1, 2, ColorType::Grayscale, BitDepth::One, &[0b0100_0000]);
    assert_eq!(image(&bits).unwrap(), array![[[0, 0, 0], [255, 255, 255]]]);
    // 16 bits are scaled: 257 * v is v, and 257 * 7 + 129 rounds up.
    let deep = png(1, 2, ColorType::Grayscale, BitDepth::Sixteen, &[7, 7, 7, 136]);
    assert_eq!(image(&deep).unwrap(), array![[[7, 7, 7], [8, 8, 8]]]);
    let deep = png(1, 1, ColorType::Rgba, BitDepth::Sixteen, &[0, 0, 255, 255, 128, 128, 1, 1]);
    assert_eq!(image(&deep).unwrap(), array![[[0, 255, 128]]]);
    let palette = png_with(1, 2, ColorType::Indexed, BitDepth::Eight, &[1, 0], |png| {
        png.set_palette(vec![4, 5, 6, 1, 2, 3]);
        png.set_trns(vec![9, 0]);
    });
    assert_eq!(image(&palette).unwrap(), rgb);
}

#[test]
fn images_from_jpeg() {
    let colour = image(&jpeg(40, 50, false)).unwrap();
    assert_eq!(colour.dim(), (40, 50, 3));
    let pixel = [colour[[30, 10, 0]], colour[[30, 10, 1]], colour[[30, 10, 2]]];
    assert!(pixel.iter().zip([30, 10, 90]).all(|(a, b)| a.abs_diff(b) <= 6), "{pixel:?}");
    let grey = image(&jpeg(20, 30, true)).unwrap();
    assert_eq!(grey[[5, 5, 0]], grey[[5, 5, 2]]);
    assert!(grey[[5, 5, 1]].abs_diff(15) <= 4);
}

#[test]
fn labels_of_every_kind() {
    let expected = array![[0, 1, 3], [2, 2, 0]];
    let bytes = png(2, 3, ColorType::Grayscale, BitDepth::Eight, &[0, 1, 3, 2, 2, 0]);
    assert_eq!(labels(&bytes).unwrap(), expected);
    let two_bits = png(2, 3, ColorType::Grayscale, BitDepth::Two, &[0b0001_1100, 0b1010_0000]);
    assert_eq!(labels(&two_bits).unwrap(), expected, "not scaled to 0..255");
    let four_bits = png(2, 3, ColorType::Grayscale, BitDepth::Four, &[0x01, 0x30, 0x22, 0x00]);
    assert_eq!(labels(&four_bits).unwrap(), expected);
    let palette = png_with(2, 3, ColorType::Indexed, BitDepth::Two, &[0b0001_1100, 0b1010_0000], |png| {
        png.set_palette(vec![9; 12]);
    });
    assert_eq!(labels(&palette).unwrap(), expected, "indices, not colours");
    let palette = png_with(2, 3, ColorType::Indexed, BitDepth::Eight, &[0, 1, 3, 2, 2, 0], |png| {
        png.set_palette(vec![9; 12]);
        png.set_trns(vec![0]);
    });
    assert_eq!(labels(&palette).unwrap(), expected);
    let wide = png(1, 2, ColorType::Grayscale, BitDepth::Sixteen, &[0, 7, 0, 255]);
    assert_eq!(labels(&wide).unwrap(), array![[7, 255]]);
    let alpha = png(1, 2, ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 9, 255]);
    assert_eq!(labels(&alpha).unwrap(), array![[7, 9]]);
}

#[test]
fn labels_without_a_clear_meaning_are_refused() {
    let wide = labels(&png(1, 1, ColorType::Grayscale, BitDepth::Sixteen, &[1, 4])).unwrap_err();
    assert!(
        wide.contains("expected label values 0 to 255, got a 16-bit label map with values up to 260"),
        "{wide}"
    );
    let colour = labels(&png(1, 1, ColorType::Rgb, BitDepth::Eight, &[1, 2, 3])).unwrap_err();
    assert!(
        colour.contains("expected a label map (one channel or a palette") && colour.contains("Rgb"),
        "{colour}"
    );
    let lossy = labels(&jpeg(8, 8, true)).unwrap_err();
    assert!(lossy.contains("expected a PNG label map, got a JPEG"), "{lossy}");
}

#[test]
fn missing_empty_foreign_and_cut_files() {
    let missing = decode::image(Path::new("no/such.png")).unwrap_err().to_string();
    assert_eq!(missing, "no/such.png: no such file or folder (image file)");
    let folder = decode::image(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err().to_string();
    assert!(folder.contains("expected an image file, got a folder"), "{folder}");
    assert!(refused(b"").contains("the file is empty"));
    assert!(refused(b"RIFF\x10\0\0\0WEBPVP8 ").contains("expected JPEG or PNG, got WebP"));
    assert!(refused(b"<html>404").contains("got text"));

    let whole = jpeg(64, 64, false);
    for cut in [whole.len() / 2, whole.len() - 2, 200, 30, 3, 2] {
        let text = refused(&whole[..cut]);
        assert!(text.contains("truncated") || text.contains("damaged"), "cut to {cut}: {text}");
    }
    let noise: Vec<u8> = (0u32..64 * 64 * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = png(64, 64, ColorType::Rgb, BitDepth::Eight, &noise);
    for cut in [whole.len() / 2, whole.len() - 40, 60, 20, 9] {
        let text = refused(&whole[..cut]);
        assert!(text.contains("truncated or damaged"), "cut to {cut}: {text}");
    }
}

#[test]
fn absurd_sizes_are_refused_before_memory_is_taken() {
    let mut huge = png(1, 1, ColorType::Rgb, BitDepth::Eight, &[1, 2, 3]);
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]); // 16384 x 16384 in 70 bytes
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    let text = refused(&huge);
    assert!(text.contains("bytes cannot hold 16384x16384 pixels"), "{text}");
    huge[16..24].copy_from_slice(&[0x7F, 0, 0, 0, 0x7F, 0, 0, 0]);
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    let text = refused(&huge);
    assert!(text.contains("expected at most 268435456 pixels"), "{text}");

    let mut wide = jpeg(16, 16, false);
    let frame = wide.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    wide[frame + 5..frame + 9].copy_from_slice(&[0x3F, 0xFF, 0x3F, 0xFF]);
    let text = refused(&wide);
    assert!(text.contains("bytes cannot hold 16383x16383 pixels"), "{text}");
}

/// CRC-32 as PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Valid files of several kinds to damage.
fn seeds() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..2000u32).map(|i| ((i * i) >> 3) as u8).collect();
    let palette = png_with(20, 24, ColorType::Indexed, BitDepth::Four, &noise[..240], |png| {
        png.set_palette(noise[..48].to_vec());
    });
    vec![
        jpeg(33, 47, false),
        jpeg(16, 16, true),
        png(20, 24, ColorType::Rgb, BitDepth::Eight, &noise[..1440]),
        png(20, 24, ColorType::Grayscale, BitDepth::Sixteen, &noise[..960]),
        palette,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to a file, reading it ends in an array or an error.
    #[test]
    fn damaged_files_never_panic(
        seed in 0usize..5,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(image) = image(&bytes) {
            prop_assert!(image.dim().2 == 3 && !image.is_empty());
        }
        if let Ok(labels) = labels(&bytes) {
            prop_assert!(!labels.is_empty());
        }
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(image(&bytes).is_err());
    }
}
