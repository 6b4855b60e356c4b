//! A row of samples to the pixel type that was asked for.

use png::{BitDepth, ColorType};

use super::chunks::Header;

/// How the samples of a row lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 1, 2 or 4 bits a pixel, most significant first.
    Packed(usize),
    /// A byte a pixel.
    Byte,
    /// Two bytes a pixel, big-endian.
    Wide,
    /// A byte of grey and a byte of alpha.
    GreyAlpha,
    Rgb,
    Rgba,
}

/// A type that label maps are read to.
pub trait Pixel: Copy + Default {
    /// How a row is to be read, or what is wrong with this kind of PNG.
    fn layout(header: &Header) -> Result<Layout, String>;

    /// Reads a row; fails on a value that does not fit the type.
    fn row(layout: Layout, row: &[u8], out: &mut [Self]) -> Result<(), String>;

    /// [`row`](Self::row) where the samples and values of the row above may be of use.
    fn row_below(
        layout: Layout,
        row: &[u8],
        _above: (&[u8], &[Self]),
        out: &mut [Self],
    ) -> Result<(), String> {
        Self::row(layout, row, out)
    }
}

impl Pixel for u8 {
    fn layout(header: &Header) -> Result<Layout, String> {
        one_channel(header)
    }

    fn row(layout: Layout, row: &[u8], out: &mut [Self]) -> Result<(), String> {
        match layout {
            Layout::Byte => out.copy_from_slice(row),
            Layout::Wide => {
                let values = row.as_chunks().0;
                if let Some(max) =
                    values.iter().map(|&v| u16::from_be_bytes(v)).max().filter(|&max| max > 255)
                {
                    return Err(format!(
                        "expected label values 0 to 255, got a 16-bit label map with a value of {max}"
                    ));
                }
                out.iter_mut().zip(values).for_each(|(out, &[_, low])| *out = low);
            }
            _ => narrow(layout, row, out),
        }
        Ok(())
    }
}

impl Pixel for u16 {
    fn layout(header: &Header) -> Result<Layout, String> {
        one_channel(header)
    }

    fn row(layout: Layout, row: &[u8], out: &mut [Self]) -> Result<(), String> {
        if layout == Layout::Wide {
            out.iter_mut().zip(row.as_chunks().0).for_each(|(out, &value)| *out = u16::from_be_bytes(value));
        } else {
            narrow(layout, row, out);
        }
        Ok(())
    }
}

impl Pixel for u32 {
    fn layout(header: &Header) -> Result<Layout, String> {
        match (header.color, header.depth) {
            (ColorType::Rgb, BitDepth::Eight) => Ok(Layout::Rgb),
            (ColorType::Rgba, BitDepth::Eight) => Ok(Layout::Rgba),
            (color, depth) => Err(format!(
                "expected segment ids as 8-bit RGB (id = R + 256 G + 65536 B), got {color:?} of {} bits a channel",
                depth as u8
            )),
        }
    }

    fn row(layout: Layout, row: &[u8], out: &mut [Self]) -> Result<(), String> {
        if layout == Layout::Rgba {
            out.iter_mut().zip(row.as_chunks().0).for_each(|(out, &p)| *out = u32::from_le_bytes(p) & ID);
        } else {
            rgb(row, out);
        }
        Ok(())
    }

    fn row_below(
        layout: Layout,
        row: &[u8],
        (above, values): (&[u8], &[Self]),
        out: &mut [Self],
    ) -> Result<(), String> {
        if layout != Layout::Rgb {
            return Self::row(layout, row, out);
        }
        // Comparing and copying takes half as long as putting ids together, and most pixels equal the one above.
        let (blocks, tail) = row.as_chunks::<{ 3 * BLOCK }>();
        let (outs, out_tail) = out.as_chunks_mut::<BLOCK>();
        let above = above.as_chunks::<{ 3 * BLOCK }>().0.iter().zip(values.as_chunks::<BLOCK>().0);
        for ((out, block), (above, values)) in outs.iter_mut().zip(blocks).zip(above) {
            if same(block, above) {
                *out = *values;
            } else {
                rgb(block, out);
            }
        }
        rgb(tail, out_tail);
        Ok(())
    }
}

const ID: u32 = 0x00FF_FFFF;
/// Pixels that are compared together.
const BLOCK: usize = 16;

/// In words, as a call to compare memory takes longer than so few bytes.
fn same(block: &[u8; 3 * BLOCK], above: &[u8; 3 * BLOCK]) -> bool {
    let words = block.as_chunks().0.iter().zip(above.as_chunks().0);
    words.fold(0, |all, (&a, &b)| all | (u64::from_ne_bytes(a) ^ u64::from_ne_bytes(b))) == 0
}

fn rgb(row: &[u8], out: &mut [u32]) {
    // Four pixels are three words.
    let (blocks, tail) = row.as_chunks::<12>();
    let (outs, out_tail) = out.as_chunks_mut::<4>();
    for (out, &[a, b, c, d, e, f, g, h, i, j, k, l]) in outs.iter_mut().zip(blocks) {
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes);
        *out = [
            words[0] & ID,
            (words[0] >> 24 | words[1] << 8) & ID,
            (words[1] >> 16 | words[2] << 16) & ID,
            words[2] >> 8,
        ];
    }
    for (out, &[r, g, b]) in out_tail.iter_mut().zip(tail.as_chunks().0) {
        *out = u32::from_le_bytes([r, g, b, 0]);
    }
}

fn one_channel(header: &Header) -> Result<Layout, String> {
    match (header.color, header.depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => Ok(Layout::Byte),
        (ColorType::Grayscale, BitDepth::Sixteen) => Ok(Layout::Wide),
        (ColorType::Grayscale | ColorType::Indexed, depth) => Ok(Layout::Packed(depth as usize)),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Ok(Layout::GreyAlpha),
        (color, depth) => Err(format!(
            "expected a label map (one channel or a palette, values = class ids), got {color:?} of {} bits a channel; \
             convert colours to class ids first",
            depth as u8
        )),
    }
}

/// The layouts of one channel of at most 8 bits.
fn narrow<T: From<u8>>(layout: Layout, row: &[u8], out: &mut [T]) {
    match layout {
        Layout::Packed(bits) => {
            let mask = 0xFF >> (8 - bits);
            for (out, &byte) in out.chunks_mut(8 / bits).zip(row) {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = T::from(byte >> (8 - bits - i * bits) & mask);
                }
            }
        }
        Layout::GreyAlpha => {
            out.iter_mut().zip(row.as_chunks().0).for_each(|(out, &[grey, _])| *out = T::from(grey));
        }
        _ => out.iter_mut().zip(row).for_each(|(out, &byte)| *out = T::from(byte)),
    }
}
