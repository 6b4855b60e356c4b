//! The five row filters of PNG, undone in place.
//!
//! Label maps are mostly regions of one value, so most filtered bytes are 0. Runs of zeros are looked for in blocks of
//! pixels and written without arithmetic; other blocks take the plain way, so noise costs little more.

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfiltered {
    /// The row now holds its samples.
    Row,
    /// Its samples are those of the row above; the row itself was left as it is.
    SameAsAbove,
    /// No such filter.
    UnknownFilter,
}

/// Pixels that are looked at together.
const BLOCK: usize = 16;

/// Undoes the filter of a row. `above` is the row above, zeros for the first row, and as long as `row`.
/// `pixel_bytes` is 1 to 4: label maps have no larger pixels.
pub fn unfilter(pixel_bytes: usize, filter: u8, row: &mut [u8], above: &[u8]) -> Unfiltered {
    match pixel_bytes {
        1 => by_filter::<1>(filter, row, above),
        2 => by_filter::<2>(filter, row, above),
        3 => by_filter::<3>(filter, row, above),
        _ => by_filter::<4>(filter, row, above),
    }
}

fn by_filter<const B: usize>(filter: u8, row: &mut [u8], above: &[u8]) -> Unfiltered {
    match filter {
        0 => {}
        1 => sub::<B>(row),
        // Without a difference both predict the value above: Paeth because at the left edge, where the pixels left and
        // above left are equal, it takes the one above, and so they are equal for the next pixel, too.
        2 | 4 if is_zero_row(row) => return Unfiltered::SameAsAbove,
        2 => row.iter_mut().zip(above).for_each(|(value, &up)| *value = value.wrapping_add(up)),
        3 => average::<B>(row, above),
        4 => paeth::<B>(row, above),
        _ => return Unfiltered::UnknownFilter,
    }
    Unfiltered::Row
}

fn is_zero_row(row: &[u8]) -> bool {
    let (blocks, tail) = row.as_chunks::<64>();
    blocks.iter().all(|block| is_zero(block)) && tail.iter().all(|&byte| byte == 0)
}

/// Whether all of a multiple of 8 bytes are 0. In words, as a call to compare memory takes longer than so few bytes.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.as_chunks().0.iter().fold(0, |all, &word| all | u64::from_ne_bytes(word)) == 0
}

/// Whole blocks have a length that is known here, which spares a loop.
fn is_zero_block<const B: usize>(pixels: &[[u8; B]]) -> bool {
    match <&[[u8; B]; BLOCK]>::try_from(pixels) {
        Ok(block) => is_zero(block.as_flattened()),
        Err(_) => false, // the last few pixels of a row: the plain way does
    }
}

/// Value minus the pixel to the left.
fn sub<const B: usize>(row: &mut [u8]) {
    let mut left = [0u8; B];
    for pixels in row.as_chunks_mut::<B>().0.chunks_mut(BLOCK) {
        if is_zero_block(pixels) {
            pixels.fill(left);
            continue;
        }
        for pixel in pixels {
            for (value, left) in pixel.iter_mut().zip(&mut left) {
                *value = value.wrapping_add(*left);
                *left = *value;
            }
        }
    }
}

/// Value minus the mean of the pixels to the left and above, rounded down.
fn average<const B: usize>(row: &mut [u8], above: &[u8]) {
    let mut left = [0u8; B];
    for (pixel, above) in row.as_chunks_mut::<B>().0.iter_mut().zip(above.as_chunks::<B>().0) {
        for ((value, &up), left) in pixel.iter_mut().zip(above).zip(&mut left) {
            *value = value.wrapping_add(left.midpoint(up));
            *left = *value;
        }
    }
}

/// Value minus the one of left, above, above left that is nearest to left + above - above left.
fn paeth<const B: usize>(row: &mut [u8], above: &[u8]) {
    let (mut left, mut corner) = ([0u8; B], [0u8; B]);
    let above = above.as_chunks::<B>().0.chunks(BLOCK);
    for (pixels, above) in row.as_chunks_mut::<B>().0.chunks_mut(BLOCK).zip(above) {
        // Where left and above left are equal, the prediction is the value above (see `by_filter`).
        if left == corner && is_zero_block(pixels) {
            pixels.copy_from_slice(above);
            left = above.last().copied().unwrap_or(left);
            corner = left;
            continue;
        }
        for (pixel, above) in pixels.iter_mut().zip(above) {
            for i in 0..B {
                pixel[i] = pixel[i].wrapping_add(nearest(left[i], above[i], corner[i]));
            }
            (left, corner) = (*pixel, *above);
        }
    }
}

fn nearest(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let (from_left, from_up, from_corner) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if from_left <= from_up && from_left <= from_corner {
        left
    } else if from_up <= from_corner {
        up
    } else {
        corner
    }
}
