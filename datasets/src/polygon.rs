//! Polygons to masks, pixel for pixel as the COCO mask API draws them.
//!
//! Reference code: cocoapi `common/maskApi.c`, function `rleFrPoly`, as of pycocotools 2.0.11. It walks every edge on a
//! grid five times as fine and keeps the points where the walk passes the middle of a pixel column; between two of those
//! in one column lies the inside (even-odd rule). That is no scanline fill with pixel centres, and areas differ
//! from one. Differs from the reference: only the steps that pass the middle of a column are computed, so the cost does
//! not grow with the length of an edge, and coordinates that overflow its integers are refused.
//! Checked by: `tests/polygons.rs` against masks that pycocotools drew.

use crate::error::DataError;
use crate::rle::{Rle, Span, Spans, rle_error};

/// Steps of the fine grid in one pixel.
const SCALE: i64 = 5;

/// Fine steps left of the middle of a pixel column: a walk from step `5 c + 2` to `5 c + 3` passes column `c`.
const MIDDLE: i64 = 2;

/// Largest coordinate in pixels, on either side of 0. The reference computes with 32-bit integers.
const MAX_COORDINATE: f64 = 1e8;

/// The mask of an object that is given as outlines `x, y, x, y, ...` in pixels: the union of its parts. `size` is `[H, W]`.
///
/// ```
/// let rle = smalti_datasets::polygon::rasterize([4, 4], &[vec![1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]])?;
/// assert_eq!((rle.area(), rle.bbox()), (4, [1, 1, 2, 2]));
/// # Ok::<(), smalti_datasets::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::Rle`] if there is no part, the first has fewer than three points (the reference takes four numbers for a
/// box), a coordinate is not finite or beyond 10^8, or the image is larger than [`crate::rle::MAX_PIXELS`].
pub fn rasterize(size: [u32; 2], parts: &[Vec<f64>]) -> Result<Rle, DataError> {
    let mut spans = Spans::new();
    check(parts.first().map(Vec::len))?;
    spans.read_polygons(size, parts.iter().map(Vec::as_slice))?;
    Ok(spans.to_rle())
}

/// Whether an object with so many numbers in its first part can be drawn.
///
/// # Errors
/// [`DataError::Rle`] where the reference fails as well.
pub fn check(first_part: Option<usize>) -> Result<(), DataError> {
    match first_part {
        None => Err(rle_error("a polygon without parts, expected at least one".into())),
        Some(n) if n < 5 => Err(rle_error(format!("a polygon of {n} numbers, expected at least 3 points"))),
        Some(_) => Ok(()),
    }
}

/// Whether an object with these parts can be drawn, on an image that is not too large.
///
/// # Errors
/// [`DataError::Rle`] as of [`rasterize`].
pub(crate) fn check_parts(parts: &[Vec<f64>]) -> Result<(), DataError> {
    check(parts.first().map(Vec::len))?;
    parts.iter().try_for_each(|xy| check_coordinates(xy.as_chunks::<2>().0.as_flattened()))
}

fn check_coordinates(coordinates: &[f64]) -> Result<(), DataError> {
    match coordinates.iter().find(|v| v.is_nan() || v.abs() > MAX_COORDINATE) {
        Some(bad) => Err(rle_error(format!("a polygon with the coordinate {bad}, expected at most 10^8"))),
        None => Ok(()),
    }
}

/// Draws one part of a polygon; keeps its buffer from part to part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outline {
    /// Where inside and outside change, as positions down the columns.
    changes: Vec<u32>,
}

impl Outline {
    /// Adds the spans of one part; a last number without a partner is dropped, as the reference does.
    pub(crate) fn draw(&mut self, size: [u32; 2], xy: &[f64], out: &mut Vec<Span>) -> Result<(), DataError> {
        self.changes.clear();
        let (points, _) = xy.as_chunks::<2>();
        check_coordinates(points.as_flattened())?;
        let Some(last) = points.last() else { return Ok(()) };
        let mut from = fine(*last);
        // Which edge comes first does not matter: the changes are sorted.
        for point in points {
            let to = fine(*point);
            self.edge(size, from, to);
            from = to;
        }
        self.changes.sort_unstable();
        let end = size[0] * size[1]; // fits: the caller checked it
        let (pairs, rest) = self.changes.as_chunks::<2>();
        out.extend(pairs.iter().filter(|[start, end]| start < end));
        out.extend(rest.iter().filter(|&&start| start < end).map(|&start| [start, end]));
        Ok(())
    }

    /// Walks one edge from its end with the smaller coordinate along the longer axis, as the reference does.
    fn edge(&mut self, [height, width]: [u32; 2], a: [i64; 2], b: [i64; 2]) {
        let [dx, dy] = [(a[0] - b[0]).abs(), (a[1] - b[1]).abs()];
        let steep = dx < dy;
        let flip = a[usize::from(steep)] > b[usize::from(steep)];
        let ([xs, ys], [xe, ye]) = if flip { (b, a) } else { (a, b) };
        let columns = columns(xs.min(xe), xs.max(xe), width);
        if columns.is_empty() {
            return;
        }
        let mut change =
            |column: i64, v: i64| self.changes.push((column * i64::from(height) + row(v, height)) as u32);
        if steep {
            let slope = (xe - xs) as f64 / dy as f64;
            let x_at = |t: i64| (xs as f64 + slope * t as f64 + 0.5) as i64;
            for column in columns {
                // The first step on the far side of the middle.
                let middle = column * SCALE + MIDDLE;
                let passed = |t| if slope > 0.0 { x_at(t) > middle } else { x_at(t) <= middle };
                let mut t = (((middle as f64 + 0.5 - xs as f64) / slope) as i64).clamp(1, dy);
                while t > 1 && passed(t - 1) {
                    t -= 1;
                }
                while t < dy && !passed(t) {
                    t += 1;
                }
                change(column, t - 1 + ys);
            }
        } else {
            let slope = (ye - ys) as f64 / dx as f64;
            let y_at = |t: i64| (ys as f64 + slope * t as f64 + 0.5) as i64;
            for column in columns {
                let t = column * SCALE + MIDDLE - xs;
                change(column, y_at(t).min(y_at(t + 1)));
            }
        }
    }
}

/// A point on the fine grid; the cast goes towards zero, so negative coordinates are rounded otherwise than positive ones.
fn fine(point: [f64; 2]) -> [i64; 2] {
    point.map(|v| (SCALE as f64 * v + 0.5) as i64)
}

/// Columns of the image whose middle lies between two fine x.
fn columns(low: i64, high: i64, width: u32) -> std::ops::Range<i64> {
    let first = (low - MIDDLE).div_euclid(SCALE) + i64::from((low - MIDDLE).rem_euclid(SCALE) > 0);
    let end = (high - MIDDLE - 1).div_euclid(SCALE) + 1;
    first.max(0)..end.min(i64::from(width))
}

/// The row at which a change at fine y starts to count, `0..=height`: the reference's `ceil((v + .5) / 5 - .5)`.
fn row(v: i64, height: u32) -> i64 {
    (v - MIDDLE + SCALE - 1).div_euclid(SCALE).clamp(0, i64::from(height))
}
