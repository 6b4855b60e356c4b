//! PNG label maps read fast: whole files inflated at once, buffers kept from file to file.
//!
//! A scorer spends most of its time here. What a general decoder must do in small steps is done in one: the header tells
//! the exact size, libdeflate fills one buffer of that size, and each row goes through its filter and into the wanted
//! type while it is in the first-level cache. Rows that equal the row above, most of them in a label map, are copied.
//! Interlaced files and files with surplus pixel data take the way through the `png` crate.
//!
//! The checksums of the header and of the pixel data are verified: a damaged file is an error, never other numbers.
//! What follows the pixel data is not looked at. Source: Portable Network Graphics, third edition (W3C, 2025).

mod chunks;
mod rows;
mod unfilter;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;

use libdeflater::{DecompressionError, Decompressor};

use crate::DataError;
use crate::decode;
use chunks::Header;
use rows::Pixel;
use unfilter::Unfiltered;

/// Label values of one image, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelMap<'a, T> {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// `[H, W]`, row-major.
    pub pixels: &'a [T],
}

impl PixelMap<'_, u32> {
    /// The value that `value_of` gives to every id, row by row. Ids without one become `void`; they are returned with their
    /// pixels.
    pub(crate) fn relabel<T: Copy>(
        &self,
        void: T,
        value_of: impl Fn(u32) -> Option<T>,
    ) -> (Vec<T>, BTreeMap<u32, u64>) {
        let mut unlisted = BTreeMap::new();
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for run in self.pixels.chunk_by(|a, b| a == b) {
            let value = value_of(run[0]).unwrap_or_else(|| {
                *unlisted.entry(run[0]).or_insert(0) += run.len() as u64;
                void
            });
            pixels.resize(pixels.len() + run.len(), value);
        }
        (pixels, unlisted)
    }
}

/// Decoder of PNG label maps that keeps its buffers from file to file; one for every worker thread and every map that
/// is needed at the same time.
///
/// ```
/// use smalti_datasets::label_png::LabelPng;
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("panoptic.png");
/// let mut encoder = png::Encoder::new(std::fs::File::create(&path)?, 2, 1);
/// encoder.set_color(png::ColorType::Rgb);
/// encoder.write_header()?.write_image_data(&[7, 1, 0, 0, 0, 2])?;
///
/// let mut decoder = LabelPng::new();
/// let map = decoder.ids(&path)?;
/// assert_eq!((map.height, map.width, map.pixels), (1, 2, &[7 + 256, 2 * 65536][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct LabelPng {
    file: Vec<u8>,
    inflate: Inflate,
    labels: Vec<u8>,
    labels16: Vec<u16>,
    ids: Vec<u32>,
}

impl Debug for LabelPng {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelPng").finish_non_exhaustive()
    }
}

impl LabelPng {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads grey or palette values of 1 to 8 bits as they are, 16-bit grey where all values fit into 8 bits; an alpha
    /// channel beside 8-bit grey is dropped.
    ///
    /// # Errors
    /// [`DataError`], naming the file: it is missing, too large, not a PNG, damaged, or of another kind.
    pub fn labels(&mut self, path: &Path) -> Result<PixelMap<'_, u8>, DataError> {
        decode::read_into(path, &mut self.file)?;
        self.inflate.decode(path, &self.file, &mut self.labels)
    }

    /// Reads grey or palette values of 1 to 16 bits as they are.
    ///
    /// # Errors
    /// As for [`labels`](Self::labels).
    pub fn labels16(&mut self, path: &Path) -> Result<PixelMap<'_, u16>, DataError> {
        decode::read_into(path, &mut self.file)?;
        self.inflate.decode(path, &self.file, &mut self.labels16)
    }

    /// Reads segment ids, `R + 256 G + 65536 B` of 8-bit RGB or RGBA, alpha ignored.
    ///
    /// # Errors
    /// As for [`labels`](Self::labels).
    pub fn ids(&mut self, path: &Path) -> Result<PixelMap<'_, u32>, DataError> {
        decode::read_into(path, &mut self.file)?;
        self.inflate.decode(path, &self.file, &mut self.ids)
    }

    /// [`labels`](Self::labels) of a file in memory; `name` is for messages.
    ///
    /// # Errors
    /// As for [`labels`](Self::labels).
    pub fn labels_of(&mut self, name: &Path, bytes: &[u8]) -> Result<PixelMap<'_, u8>, DataError> {
        self.inflate.decode(name, bytes, &mut self.labels)
    }

    /// [`labels16`](Self::labels16) of a file in memory; `name` is for messages.
    ///
    /// # Errors
    /// As for [`labels`](Self::labels).
    pub fn labels16_of(&mut self, name: &Path, bytes: &[u8]) -> Result<PixelMap<'_, u16>, DataError> {
        self.inflate.decode(name, bytes, &mut self.labels16)
    }

    /// [`ids`](Self::ids) of a file in memory; `name` is for messages.
    ///
    /// # Errors
    /// As for [`labels`](Self::labels).
    pub fn ids_of(&mut self, name: &Path, bytes: &[u8]) -> Result<PixelMap<'_, u32>, DataError> {
        self.inflate.decode(name, bytes, &mut self.ids)
    }
}

/// What all three kinds of map share.
struct Inflate {
    decompressor: Decompressor,
    /// The pixel data where a file has it in several chunks.
    joined: Vec<u8>,
    /// Filter byte and samples of every row.
    raw: Vec<u8>,
}

impl Default for Inflate {
    fn default() -> Self {
        Self { decompressor: Decompressor::new(), joined: Vec::new(), raw: Vec::new() }
    }
}

impl Inflate {
    fn decode<'a, T: Pixel>(
        &mut self,
        path: &Path,
        bytes: &[u8],
        out: &'a mut Vec<T>,
    ) -> Result<PixelMap<'a, T>, DataError> {
        decode::expect_png(path, bytes)?;
        let fail = |reason: String| DataError::image(path, reason);
        let (header, data) = chunks::parse(bytes, &mut self.joined).map_err(fail)?;
        let Header { height, width, line, .. } = header;
        let layout = T::layout(&header).map_err(fail)?;
        if header.interlaced {
            return decode_slowly(path, bytes, out);
        }
        let size = height * (line + 1);
        // One that is only ever longer is not cleared again for every file; every byte is written by the inflation.
        if self.raw.len() < size {
            self.raw.resize(size, 0);
        }
        let raw = &mut self.raw[..size];
        match self.decompressor.zlib_decompress(data, raw) {
            Ok(got) if got == size => {}
            Ok(got) => {
                let reason = format!(
                    "truncated: expected {size} bytes of pixel data for {height}x{width} (HxW), got {got}"
                );
                return Err(fail(reason));
            }
            Err(DecompressionError::InsufficientSpace) => return decode_slowly(path, bytes, out),
            Err(DecompressionError::BadData) => {
                return Err(fail("truncated or damaged PNG: its pixel data does not inflate".into()));
            }
        }
        resize(out, height * width);
        let pixels = &mut out[..height * width];
        let zeros = vec![0; line];
        let mut above: &[u8] = &zeros;
        for (y, row) in raw.chunks_exact_mut(line + 1).enumerate() {
            let Some((&mut filter, row)) = row.split_first_mut() else { continue };
            let unfiltered = unfilter::unfilter(header.pixel_bytes, filter, row, above);
            match unfiltered {
                Unfiltered::SameAsAbove if y > 0 => {
                    pixels.copy_within((y - 1) * width..y * width, y * width);
                }
                Unfiltered::SameAsAbove => T::row(layout, above, &mut pixels[..width]).map_err(fail)?,
                Unfiltered::Row => {
                    let (done, rest) = pixels.split_at_mut(y * width);
                    let out = &mut rest[..width];
                    match y.checked_sub(1) {
                        Some(last) => T::row_below(layout, row, (above, &done[last * width..]), out),
                        None => T::row(layout, row, out),
                    }
                    .map_err(fail)?;
                    above = row;
                }
                Unfiltered::UnknownFilter => {
                    return Err(fail(format!("damaged PNG: row {y} has filter {filter}, expected 0 to 4")));
                }
            }
        }
        Ok(PixelMap { height, width, pixels })
    }
}

/// Through the `png` crate.
fn decode_slowly<'a, T: Pixel>(
    path: &Path,
    bytes: &[u8],
    out: &'a mut Vec<T>,
) -> Result<PixelMap<'a, T>, DataError> {
    let frame = decode::raw_frame(path, bytes)?;
    let header = Header::of_frame(&frame).map_err(|reason| DataError::image(path, reason))?;
    let layout = T::layout(&header).map_err(|reason| DataError::image(path, reason))?;
    let Header { height, width, .. } = header;
    resize(out, height * width);
    let pixels = &mut out[..height * width];
    for (row, out) in frame.pixels.chunks_exact(frame.line).zip(pixels.chunks_exact_mut(width)) {
        T::row(layout, row, out).map_err(|reason| DataError::image(path, reason))?;
    }
    Ok(PixelMap { height, width, pixels })
}

/// Makes room without clearing what will be written anyway.
fn resize<T: Pixel>(out: &mut Vec<T>, len: usize) {
    if out.len() < len {
        out.resize(len, T::default());
    }
}
