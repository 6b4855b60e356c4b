//! Image files to plain arrays.
//!
//! Photographs (JPEG, PNG) become `[H, W, 3]` RGB of 8 bits: 16 bits are scaled down, alpha is dropped, grey is repeated,
//! palettes are expanded. Label maps (PNG) become `[H, W]` raw values: 1, 2, 4 and 8-bit grey unscaled, palette indices as
//! they are, 16-bit grey where all values fit into 8 bits.
//!
//! An EXIF orientation is **not** applied: labels are drawn on the pixels as stored, and turning the image alone would
//! part the two. The format is told from the content, never from the file name.

use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;
use ndarray::{Array2, Array3};
use png::{BitDepth, ColorType, Transformations};

use crate::sample::{Image, LabelMap};
use crate::{DataError, stage};

/// Larger images are refused: 2^28 pixels are 805 MB as RGB.
pub(crate) const MAX_PIXELS: u64 = 1 << 28;

/// Larger files are refused unread.
const MAX_FILE: u64 = 1 << 30;

/// Decodes a photograph to `[H, W, 3]` RGB.
///
/// # Errors
/// A file that is missing, empty, truncated, damaged, too large, or neither JPEG nor PNG.
pub fn image(path: &Path) -> Result<Image, DataError> {
    stage::enter!(DECODE);
    image_of(path, &read(path)?)
}

/// Height and width of a photograph, of which only the header is looked at.
///
/// # Errors
/// A file that is missing, empty, or neither JPEG nor PNG; a damaged header.
pub fn size(path: &Path) -> Result<[usize; 2], DataError> {
    let bytes = read(path)?;
    let (width, height) = match Format::of(&bytes) {
        Some(Format::Png) => {
            let mut decoder = png::Decoder::new(Cursor::new(&bytes));
            let info = decoder.read_header_info().map_err(|err| damaged(path, "PNG", &err))?;
            (info.width, info.height)
        }
        Some(Format::Jpeg) => {
            JpegDecoder::new(Cursor::new(&bytes)).map_err(|err| damaged(path, "JPEG", &err))?.dimensions()
        }
        None => return Err(unknown_format(path, &bytes, "JPEG or PNG")),
    };
    Ok([height as usize, width as usize])
}

/// [`image()`] of a file in memory; `path` is for messages.
pub(crate) fn image_of(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    match Format::of(bytes) {
        Some(Format::Png) => png_image(path, bytes),
        Some(Format::Jpeg) => jpeg_image(path, bytes),
        None => Err(unknown_format(path, bytes, "JPEG or PNG")),
    }
}

/// Decodes a label map to its raw values, `[H, W]`.
///
/// # Errors
/// As for [`image()`]; also JPEG (it changes values), colour images and 16-bit values above 255.
pub fn labels(path: &Path) -> Result<LabelMap, DataError> {
    let bytes = read(path)?;
    expect_png(path, &bytes)?;
    png_labels(path, &bytes)
}

/// Refuses what is not a PNG.
pub(crate) fn expect_png(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    match Format::of(bytes) {
        Some(Format::Png) => Ok(()),
        Some(Format::Jpeg) => Err(DataError::image(
            path,
            "expected a PNG label map, got a JPEG, whose compression changes label values",
        )),
        None => Err(unknown_format(path, bytes, "a PNG label map")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
}

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(&[0xFF, 0xD8]) {
            Some(Self::Jpeg)
        } else {
            None
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    read_into(path, &mut bytes)?;
    Ok(bytes)
}

/// Reads a file that may be an image, in place of what was in `bytes`.
pub(crate) fn read_into(path: &Path, bytes: &mut Vec<u8>) -> Result<(), DataError> {
    bytes.clear();
    let mut file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            DataError::Missing { path: path.to_owned(), wanted_by: "image file".into() }
        }
        _ => DataError::Io { path: path.to_owned(), action: "opening", source },
    })?;
    let meta = file.metadata().map_err(DataError::io(path, "reading"))?;
    if meta.is_dir() {
        return Err(DataError::image(path, "expected an image file, got a folder"));
    }
    if meta.len() > MAX_FILE {
        return Err(DataError::image(path, format!("expected at most {MAX_FILE} bytes, got {}", meta.len())));
    }
    bytes.reserve(meta.len() as usize);
    file.read_to_end(bytes).map_err(DataError::io(path, "reading"))?;
    if bytes.is_empty() {
        return Err(DataError::image(path, "the file is empty (0 bytes)"));
    }
    Ok(())
}

fn unknown_format(path: &Path, bytes: &[u8], expected: &str) -> DataError {
    let got = match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "WebP",
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'B', b'M', ..] => "BMP",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "TIFF",
        [b'<' | b'{' | b'[', ..] => "text",
        _ => "an unknown format",
    };
    let start = &bytes[..bytes.len().min(8)];
    DataError::image(path, format!("expected {expected}, got {got} (first bytes {start:02x?})"))
}

/// Refuses sizes that are absurd, or that a file of this length cannot hold however well it compresses; so a damaged
/// header never leads to a large allocation. `max_ratio` is the most pixels that one byte can stand for.
fn check_size(
    path: &Path,
    width: u32,
    height: u32,
    file_len: usize,
    max_ratio: u64,
) -> Result<(), DataError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(DataError::image(path, format!("the image is empty: {height}x{width} (HxW)")));
    }
    if pixels > MAX_PIXELS {
        return Err(DataError::image(
            path,
            format!("expected at most {MAX_PIXELS} pixels, got {height}x{width} (HxW)"),
        ));
    }
    if pixels > (file_len as u64 + 64) * max_ratio {
        let reason =
            format!("truncated or damaged: {file_len} bytes cannot hold {height}x{width} pixels (HxW)");
        return Err(DataError::image(path, reason));
    }
    Ok(())
}

fn damaged(path: &Path, kind: &str, err: &dyn std::fmt::Display) -> DataError {
    DataError::image(path, format!("truncated or damaged {kind}: {err}"))
}

/// A decoded PNG frame: rows of `line` bytes.
pub(crate) struct PngFrame {
    pub(crate) pixels: Vec<u8>,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) line: usize,
    pub(crate) color: ColorType,
    pub(crate) depth: BitDepth,
}

/// Decodes a PNG to its samples as they are stored.
pub(crate) fn raw_frame(path: &Path, bytes: &[u8]) -> Result<PngFrame, DataError> {
    png_frame(path, bytes, Transformations::IDENTITY)
}

fn png_frame(path: &Path, bytes: &[u8], transform: Transformations) -> Result<PngFrame, DataError> {
    let bad = |err: png::DecodingError| damaged(path, "PNG", &err);
    let limits = png::Limits { bytes: MAX_PIXELS as usize * 8 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(transform);
    let info = decoder.read_header_info().map_err(bad)?;
    // Deflate shrinks to 1/1032 at best.
    check_size(path, info.width, info.height, bytes.len(), 1032 * 8 / info.bits_per_pixel() as u64)?;
    let mut reader = decoder.read_info().map_err(bad)?;
    let size = reader.output_buffer_size().ok_or_else(|| DataError::image(path, "the image is too large"))?;
    let mut pixels = vec![0; size];
    let out = reader.next_frame(&mut pixels).map_err(bad)?;
    let (height, width) = (out.height as usize, out.width as usize);
    // The first frame of an animation may be smaller than the image.
    let (whole_height, whole_width) = (reader.info().height as usize, reader.info().width as usize);
    if (height, width) != (whole_height, whole_width) {
        let reason = format!(
            "expected one whole picture, got a frame of {height}x{width} (HxW) of {whole_height}x{whole_width}"
        );
        return Err(DataError::image(path, reason));
    }
    Ok(PngFrame { pixels, height, width, line: out.line_size, color: out.color_type, depth: out.bit_depth })
}

fn png_image(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    let frame = png_frame(path, bytes, Transformations::EXPAND)?;
    let (height, width) = (frame.height, frame.width);
    let wide = frame.depth == BitDepth::Sixteen;
    let pixels = if wide { scale_16(&frame.pixels) } else { frame.pixels };
    let rgb = match frame.color {
        ColorType::Rgb => pixels,
        ColorType::Rgba => pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::Grayscale => pixels.iter().flat_map(|&v| [v; 3]).collect(),
        ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        ColorType::Indexed => {
            return Err(DataError::image(path, "the PNG has a palette image without a palette"));
        }
    };
    to_image(path, height, width, rgb)
}

fn to_image(path: &Path, height: usize, width: usize, rgb: Vec<u8>) -> Result<Image, DataError> {
    let len = rgb.len();
    Array3::from_shape_vec((height, width, 3), rgb).map_err(|_| {
        DataError::image(path, format!("damaged: expected {height}x{width}x3 bytes, the decoder gave {len}"))
    })
}

/// Big-endian 16-bit values to 8 bits, rounded: 65535 becomes 255.
fn scale_16(pixels: &[u8]) -> Vec<u8> {
    pixels
        .chunks_exact(2)
        .map(|p| ((u32::from(u16::from_be_bytes([p[0], p[1]])) * 255 + 32_767) / 65_535) as u8)
        .collect()
}

fn png_labels(path: &Path, bytes: &[u8]) -> Result<LabelMap, DataError> {
    let frame = raw_frame(path, bytes)?;
    let values = match (frame.color, frame.depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => frame.pixels,
        (ColorType::Grayscale, BitDepth::Sixteen) => narrow_16(path, &frame.pixels)?,
        (ColorType::Grayscale | ColorType::Indexed, depth) => unpack(&frame, depth as usize),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => frame.pixels.chunks_exact(2).map(|p| p[0]).collect(),
        (color, depth) => {
            let reason = format!(
                "expected a label map (one channel or a palette, values = class ids), got {color:?} of {} bits a channel; \
                 convert colours to class ids first",
                depth as u8
            );
            return Err(DataError::image(path, reason));
        }
    };
    let len = values.len();
    Array2::from_shape_vec((frame.height, frame.width), values).map_err(|_| {
        let (h, w) = (frame.height, frame.width);
        DataError::image(path, format!("damaged: expected {h}x{w} bytes, the decoder gave {len}"))
    })
}

/// Big-endian 16-bit values that all fit into 8 bits.
fn narrow_16(path: &Path, pixels: &[u8]) -> Result<Vec<u8>, DataError> {
    let values = pixels.chunks_exact(2).map(|p| u16::from_be_bytes([p[0], p[1]]));
    if let Some(max) = values.clone().max().filter(|&max| max > 255) {
        let reason =
            format!("expected label values 0 to 255, got a 16-bit label map with values up to {max}");
        return Err(DataError::image(path, reason));
    }
    Ok(values.map(|v| v as u8).collect())
}

/// Samples of 1, 2 or 4 bits, most significant first, rows starting at whole bytes.
fn unpack(frame: &PngFrame, bits: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let mask = 0xFF >> (8 - bits);
    let mut values = Vec::with_capacity(frame.height * frame.width);
    for row in frame.pixels.chunks_exact(frame.line) {
        values
            .extend((0..frame.width).map(|x| (row[x / per_byte] >> (8 - bits - x % per_byte * bits)) & mask));
    }
    values
}

fn jpeg_image(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    check_jpeg_end(path, bytes)?;
    // The decoder is a large state machine of others; a panic in it must stay one bad file.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_jpeg(path, bytes)));
    decoded.unwrap_or_else(|_| Err(DataError::image(path, "damaged JPEG: the decoder gave up")))
}

fn decode_jpeg(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    let bad = |err: image::ImageError| damaged(path, "JPEG", &err);
    let decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(bad)?;
    let (width, height) = decoder.dimensions();
    // A block of 64 pixels takes at least one bit.
    check_size(path, width, height, bytes.len(), 64 * 8)?;
    let color = decoder.color_type();
    let mut pixels = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut pixels).map_err(bad)?;
    let rgb = match color {
        image::ColorType::Rgb8 => pixels,
        image::ColorType::L8 => pixels.iter().flat_map(|&v| [v; 3]).collect(),
        other => {
            return Err(DataError::image(
                path,
                format!("expected grey, RGB or CMYK, got a JPEG of {other:?}"),
            ));
        }
    };
    to_image(path, height as usize, width as usize, rgb)
}

/// Finds the end-of-image marker by walking the segments. The decoder fills what a cut file lacks with grey and says
/// nothing; training on that would go unnoticed.
fn check_jpeg_end(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut at = 2; // behind the start-of-image marker
    while let Some(offset) = bytes[at..].iter().position(|&b| b == 0xFF) {
        at += offset + 1;
        match bytes.get(at) {
            Some(0xD9) => return Ok(()),
            // Stuffed data byte, restart marker, fill byte: no length follows. A fill byte may be the next marker's 0xFF.
            Some(0x00 | 0x01 | 0xD0..=0xD8) => at += 1,
            Some(0xFF) => {}
            Some(_) => {
                let Some(len) = bytes.get(at + 1..at + 3) else { break };
                at += 1 + usize::from(u16::from_be_bytes([len[0], len[1]]));
                if at >= bytes.len() {
                    break;
                }
            }
            None => break,
        }
    }
    Err(DataError::image(path, format!("truncated JPEG: no end-of-image marker in {} bytes", bytes.len())))
}
