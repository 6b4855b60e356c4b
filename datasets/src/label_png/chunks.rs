//! The chunks of a PNG file up to the end of its pixel data.

use png::{BitDepth, ColorType};

use crate::decode::{MAX_PIXELS, PngFrame};

/// What the header says of the pixels.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub height: usize,
    pub width: usize,
    pub color: ColorType,
    pub depth: BitDepth,
    pub interlaced: bool,
    /// Bytes of a row without its filter byte.
    pub line: usize,
    /// Bytes from a sample to the same sample of the pixel before, 1 where pixels are smaller than a byte.
    pub pixel_bytes: usize,
}

/// Deflate shrinks to 1/1032 at best: 258 bytes in two bits.
const MAX_RATIO: usize = 1032;

impl Header {
    fn new(
        height: usize,
        width: usize,
        color: ColorType,
        depth: BitDepth,
        interlaced: bool,
    ) -> Result<Self, String> {
        let pixels = height as u64 * width as u64; // both at most 2^32 - 1
        if pixels == 0 {
            return Err(format!("the image is empty: {height}x{width} (HxW)"));
        }
        if pixels > MAX_PIXELS {
            return Err(format!("expected at most {MAX_PIXELS} pixels, got {height}x{width} (HxW)"));
        }
        let bits = color.samples() * depth as usize;
        Ok(Self {
            height,
            width,
            color,
            depth,
            interlaced,
            line: (width * bits).div_ceil(8),
            pixel_bytes: bits.div_ceil(8),
        })
    }

    /// The header of what the `png` crate has decoded.
    pub fn of_frame(frame: &PngFrame) -> Result<Self, String> {
        Self::new(frame.height, frame.width, frame.color, frame.depth, false)
    }

    /// Reads the 13 bytes of an `IHDR` chunk.
    fn read(data: &[u8]) -> Result<Self, String> {
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, color, 0, 0, interlace @ (0 | 1)] = data else {
            return Err(format!("damaged PNG: unexpected header {data:02x?}"));
        };
        let [width, height] = [[w0, w1, w2, w3], [h0, h1, h2, h3]].map(|b| u32::from_be_bytes(b) as usize);
        let (Some(color_type), Some(bit_depth)) = (ColorType::from_u8(color), BitDepth::from_u8(depth))
        else {
            return Err(format!("damaged PNG: unknown colour type {color} or bit depth {depth}"));
        };
        let allowed = match color_type {
            ColorType::Grayscale => true,
            ColorType::Indexed => bit_depth != BitDepth::Sixteen,
            ColorType::Rgb | ColorType::GrayscaleAlpha | ColorType::Rgba => depth >= 8,
        };
        if !allowed {
            return Err(format!("damaged PNG: {color_type:?} does not come with {depth} bits a channel"));
        }
        Self::new(height, width, color_type, bit_depth, interlace == 1)
    }
}

/// One chunk whose checksum is right.
struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
}

/// Splits off the first chunk. Only the chunks that carry pixels have their checksum verified.
fn next<'a>(bytes: &mut &'a [u8], at: usize) -> Result<Chunk<'a>, String> {
    let truncated = || format!("truncated PNG: the chunk at byte {at} is cut off");
    let (&[l0, l1, l2, l3, k0, k1, k2, k3], rest) = bytes.split_first_chunk::<8>().ok_or_else(truncated)?;
    let kind = [k0, k1, k2, k3];
    if !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(format!("damaged PNG: no chunk starts at byte {at}"));
    }
    let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let (data, rest) = rest.split_at_checked(len).ok_or_else(truncated)?;
    let (sum, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    if matches!(&kind, b"IHDR" | b"IDAT") {
        let mut crc = libdeflater::Crc::new();
        crc.update(&kind);
        crc.update(data);
        if crc.sum() != u32::from_be_bytes(*sum) {
            let kind = kind.escape_ascii();
            return Err(format!("damaged PNG: wrong checksum of the {kind} chunk at byte {at}"));
        }
    }
    *bytes = rest;
    Ok(Chunk { kind, data })
}

/// The header, and the compressed pixel data: a part of `bytes`, or put together in `joined`.
pub fn parse<'a>(bytes: &'a [u8], joined: &'a mut Vec<u8>) -> Result<(Header, &'a [u8]), String> {
    let mut rest = bytes.get(8..).unwrap_or_default(); // behind the signature
    let first = next(&mut rest, 8)?;
    if &first.kind != b"IHDR" {
        return Err(format!("damaged PNG: expected the header first, got {}", first.kind.escape_ascii()));
    }
    let header = Header::read(first.data)?;
    let mut data: Option<&[u8]> = None;
    joined.clear();
    loop {
        let at = bytes.len() - rest.len();
        if data.is_some() && rest.is_empty() {
            break; // no end chunk, but all the pixel data there can be
        }
        let mut after = rest;
        let chunk = match next(&mut after, at) {
            Ok(chunk) => chunk,
            // What follows complete pixel data is of no interest; cut or damaged pixel data is.
            Err(_) if data.is_some() && rest.get(4..8) != Some(b"IDAT") => break,
            Err(reason) => return Err(reason),
        };
        rest = after;
        match (&chunk.kind, data) {
            (b"IDAT", None) => data = Some(chunk.data),
            (b"IDAT", Some(first)) => {
                if joined.is_empty() {
                    joined.extend_from_slice(first);
                }
                joined.extend_from_slice(chunk.data);
            }
            (_, Some(_)) => break,
            (b"IEND", None) => return Err("damaged PNG: it ends without pixel data".into()),
            (b"PLTE", None) => {}
            (kind, None) if kind[0].is_ascii_uppercase() => {
                return Err(format!("unknown PNG chunk {} that must not be skipped", kind.escape_ascii()));
            }
            (_, None) => {}
        }
    }
    let data = if joined.is_empty() { data.unwrap_or_default() } else { joined };
    let needed = header.height * (header.line + 1);
    if needed / MAX_RATIO > data.len() {
        let (height, width, len) = (header.height, header.width, data.len());
        return Err(format!(
            "truncated or damaged PNG: {len} compressed bytes cannot hold {height}x{width} pixels (HxW)"
        ));
    }
    Ok((header, data))
}
