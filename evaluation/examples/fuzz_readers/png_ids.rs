//! Id PNGs: the fast reader against the `png` crate.

use std::path::Path;

use smalti_datasets::label_png::LabelPng;

use crate::{Target, Verdict};

/// An input is a PNG file.
#[derive(Default)]
pub struct PngIds {
    fast: LabelPng,
}

impl Target for PngIds {
    fn corpus(&self) -> Vec<Vec<u8>> {
        use png::ColorType::{Grayscale, Indexed, Rgb, Rgba};
        let mut files = Vec::new();
        for (color, depth) in [
            (Rgb, png::BitDepth::Eight),
            (Rgba, png::BitDepth::Eight),
            (Rgb, png::BitDepth::Sixteen),
            (Grayscale, png::BitDepth::Eight),
            (Grayscale, png::BitDepth::Sixteen),
            (Grayscale, png::BitDepth::One),
            (Indexed, png::BitDepth::Four),
        ] {
            for filter in [png::Filter::NoFilter, png::Filter::Paeth, png::Filter::Adaptive] {
                files.extend(encoded(color, depth, filter));
            }
        }
        files
    }

    fn words(&self) -> &'static [&'static [u8]] {
        &[
            b"IDAT",
            b"IHDR",
            b"IEND",
            b"PLTE",
            b"tRNS",
            b"\0\0\0\0",
            b"\xff\xff\xff\xff",
            b"\x7f\xff\xff\xff",
            b"\x80\0\0\0",
        ]
    }

    fn check(&mut self, input: &[u8]) -> Result<Verdict, String> {
        // Changed bytes nearly always break a checksum, which ends the test before it has begun: they are made right.
        let input = &with_checksums(input);
        let name = Path::new("fuzz.png");
        // The fast reader may refuse what the crate reads: it wants the compressed data to be whole.
        let Ok(fast) = self.fast.ids_of(name, input) else { return Ok(Verdict::Refused) };
        let slow = plainly(input);
        if let Some(Map { height, width, ids: Some(ids) }) = slow
            && (fast.height, fast.width, fast.pixels) != (height, width, &ids[..])
        {
            return Err(format!("other ids than the png crate, {height}x{width}"));
        }
        // The same file for grey readers: whatever they say, they must not break.
        let labels = self.fast.labels_of(name, input).map(|map| map.pixels.to_vec()).ok();
        let labels16 = self.fast.labels16_of(name, input).map(|map| map.pixels.to_vec()).ok();
        if let (Some(narrow), Some(wide)) = (labels, labels16)
            && narrow.iter().map(|&v| u16::from(v)).ne(wide)
        {
            return Err("8-bit and 16-bit labels differ".into());
        }
        Ok(Verdict::Read)
    }
}

struct Map {
    height: usize,
    width: usize,
    /// `None` where the file is a PNG, but not of 8-bit RGB or RGBA.
    ids: Option<Vec<u32>>,
}

/// What the `png` crate makes of the file.
fn plainly(input: &[u8]) -> Option<Map> {
    let limits = png::Limits { bytes: 64 << 20 };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(input), limits);
    decoder.ignore_checksums(false);
    let mut reader = decoder.read_info().ok()?;
    let mut buffer = vec![0; reader.output_buffer_size().filter(|&size| size < 64 << 20)?];
    let frame = reader.next_frame(&mut buffer).ok()?;
    reader.finish().ok()?;
    let pixels = &buffer[..frame.buffer_size()];
    let channels = frame.color_type.samples();
    let ids = (frame.bit_depth == png::BitDepth::Eight && matches!(channels, 3 | 4) && !interlaced(input))
        .then(|| {
            pixels
                .chunks_exact(channels)
                .map(|p| u32::from(p[0]) | u32::from(p[1]) << 8 | u32::from(p[2]) << 16)
                .collect()
        });
    Some(Map { height: frame.height as usize, width: frame.width as usize, ids })
}

fn interlaced(input: &[u8]) -> bool {
    input.get(28) == Some(&1)
}

fn encoded(color: png::ColorType, depth: png::BitDepth, filter: png::Filter) -> Option<Vec<u8>> {
    let (width, height) = (13u32, 9u32);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_filter(filter);
    if color == png::ColorType::Indexed {
        encoder.set_palette((0..48).collect::<Vec<u8>>());
    }
    let row = (width as usize * color.samples() * depth as usize).div_ceil(8);
    let data: Vec<u8> = (0..row * height as usize).map(|i| (i / 29 * 7 + i % 3) as u8 & 0x77).collect();
    encoder.write_header().ok()?.write_image_data(&data).ok()?;
    Some(file)
}

/// The file with every chunk's checksum made right, as far as its chunks can be followed.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes) {
        let Some(end) = (at + 8).checked_add(length as usize).filter(|end| end + 4 <= bytes.len()) else {
            break;
        };
        let sum = !bytes[at + 4..end].iter().fold(u32::MAX, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |s, _| if s & 1 == 1 { s >> 1 ^ 0xEDB8_8320 } else { s >> 1 })
        });
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    bytes
}
