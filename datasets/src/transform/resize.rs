//! Resampling of an image and its labels, whole or only a window of the result.
//!
//! Images: bilinear between pixel centres without antialiasing, as OpenCV's `INTER_LINEAR`. Labels: the nearest one by
//! `floor(target * scale)`, as OpenCV's `INTER_NEAREST`. mmsegmentation resizes this way.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array2, Array3, s};

use crate::sample::{Image, LabelMap};
use crate::stage;

/// A window of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Height and width.
    pub size: [usize; 2],
}

impl Region {
    /// All of an image of this height and width.
    pub fn whole(size: [usize; 2]) -> Self {
        Self { top: 0, left: 0, size }
    }
}

/// The window `region` of `image` resized to `target` (height, width): `[H, W, 3]` -> `[region H, region W, 3]`.
pub fn image(image: &Image, target: [usize; 2], region: Region) -> Image {
    window(image, target, region, ResizeAlg::Interpolation(FilterType::Bilinear))
}

/// [`image`] by any algorithm; a filter that is wider than the window's edge reads beyond it.
pub(super) fn window(image: &Image, target: [usize; 2], region: Region, algorithm: ResizeAlg) -> Image {
    let (height, width, _) = image.dim();
    let [out_height, out_width] = region.size;
    if target == [height, width] {
        let window = s![region.top..region.top + out_height, region.left..region.left + out_width, ..];
        return image.slice(window).as_standard_layout().into_owned();
    }
    // Source pixels of the window; rounding must not push it over the edge.
    let (step_y, step_x) = (height as f64 / target[0] as f64, width as f64 / target[1] as f64);
    let (top, left) = (region.top as f64 * step_y, region.left as f64 * step_x);
    let crop_height = (out_height as f64 * step_y).min(height as f64 - top);
    let crop_width = (out_width as f64 * step_x).min(width as f64 - left);
    let options =
        ResizeOptions::new().resize_alg(algorithm).crop(left, top, crop_width, crop_height).use_alpha(false);
    resample(image, region.size, &options)
}

/// An image resampled to `size` (height, width) by `options`.
pub(super) fn resample(image: &Image, size: [usize; 2], options: &ResizeOptions) -> Image {
    stage::enter!(RESIZE);
    let (height, width, _) = image.dim();
    let [out_height, out_width] = size;
    let source = image.as_standard_layout();
    let mut out = Array3::zeros((out_height, out_width, 3));
    let resized = source.as_slice().zip(out.as_slice_mut()).map(|(from, to)| {
        let from = TypedImageRef::<U8x3>::from_buffer(width as u32, height as u32, from)
            .map_err(|e| e.to_string())?;
        let mut to = TypedImage::<U8x3>::from_buffer(out_width as u32, out_height as u32, to)
            .map_err(|e| e.to_string())?;
        Resizer::new().resize_typed(&from, &mut to, options).map_err(|e| e.to_string())
    });
    // Both arrays are contiguous and a crop lies inside: an error here is a defect of the caller.
    assert_eq!(resized, Some(Ok(())), "resize {height}x{width} to {size:?} by {options:?}");
    out
}

/// The window `region` of `labels` resized to `target` (height, width): `[H, W]` -> `[region H, region W]`.
pub fn labels(labels: &LabelMap, target: [usize; 2], region: Region) -> LabelMap {
    stage::enter!(MASKS);
    let (height, width) = labels.dim();
    let [out_height, out_width] = region.size;
    if target == [height, width] {
        let window = s![region.top..region.top + out_height, region.left..region.left + out_width];
        return labels.slice(window).as_standard_layout().into_owned();
    }
    let columns = nearest(width, target[1], region.left, out_width);
    let rows = nearest(height, target[0], region.top, out_height);
    look_up(labels, &rows, &columns)
}

/// The labels at these rows and columns: `[H, W]` -> `[rows, columns]`.
pub(super) fn look_up(labels: &LabelMap, rows: &[usize], columns: &[usize]) -> LabelMap {
    let (out_height, out_width) = (rows.len(), columns.len());
    let mut out = Vec::with_capacity(out_height * out_width);
    let mut previous = None;
    for &row in rows {
        if previous == Some(row) {
            out.extend_from_within(out.len() - out_width..); // enlarging repeats rows
        } else {
            let source = labels.row(row);
            match source.as_slice() {
                Some(source) => out.extend(columns.iter().map(|&x| source[x])),
                None => out.extend(columns.iter().map(|&x| source[x])),
            }
            previous = Some(row);
        }
    }
    Array2::from_shape_vec((out_height, out_width), out)
        .unwrap_or_else(|_| Array2::zeros((out_height, out_width)))
}

/// Source positions of the targets `from..from + count`, of an edge of `source` resized to `target` pixels.
fn nearest(source: usize, target: usize, from: usize, count: usize) -> Vec<usize> {
    let step = source as f64 / target as f64;
    (from..from + count).map(|at| ((at as f64 * step) as usize).min(source - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn labels_follow_opencv_nearest() {
        let row = array![[10, 20, 30, 40]];
        let to = |width| labels(&row, [1, width], Region::whole([1, width])).into_raw_vec_and_offset().0;
        assert_eq!(to(8), [10, 10, 20, 20, 30, 30, 40, 40]);
        assert_eq!(to(2), [10, 30]); // floor(0 * 2), floor(1 * 2)
        assert_eq!(to(3), [10, 20, 30]); // floor of 0, 1.33, 2.67
        assert_eq!(to(5), [10, 10, 20, 30, 40]); // floor of 0, .8, 1.6, 2.4, 3.2
        let tall = labels(&row, [3, 4], Region { top: 1, left: 1, size: [2, 2] });
        assert_eq!(tall, array![[20, 30], [20, 30]]);
    }

    #[test]
    fn images_follow_opencv_bilinear() {
        let row = Array3::from_shape_fn((1, 4, 3), |(_, x, c)| [0u8, 100, 200, 60][x] + c as u8);
        let to = |width| {
            let out = image(&row, [1, width], Region::whole([1, width]));
            out.slice(s![0, .., 0]).to_vec()
        };
        // Target centre t lies at source (t + 0.5) * 4 / width - 0.5, clamped at both ends.
        assert_eq!(to(8), [0, 25, 75, 125, 175, 165, 95, 60]);
        assert_eq!(to(2), [50, 130]); // between 0 and 1, between 2 and 3: no antialiasing
        let third: Vec<i16> = to(3).into_iter().map(i16::from).collect(); // at 1/6, 1.5, 2 + 5/6
        assert!(third.iter().zip([17, 150, 83]).all(|(a, b)| (a - b).abs() <= 1), "{third:?}");
    }

    #[test]
    fn both_axes_match_opencv() {
        // cv2.resize of 5x7 noise to 3x4 and, first two rows, to 9x11, OpenCV 5.
        let noise = array![
            [172, 140, 196, 166, 192, 216, 78],
            [82, 195, 139, 229, 164, 211, 159],
            [89, 214, 36, 112, 43, 60, 216],
            [14, 178, 205, 58, 98, 72, 125],
            [39, 207, 101, 200, 88, 145, 141]
        ];
        let noise = Array3::from_shape_fn((5, 7, 3), |(y, x, _)| noise[[y, x]]);
        let check = |target: [usize; 2], expected: Array2<u8>| {
            let out = image(&noise, target, Region::whole(target));
            for ((y, x), want) in expected.indexed_iter() {
                let got = out[[y, x, 2]];
                assert!(got.abs_diff(*want) <= 1, "{target:?} at {y}, {x}: expected {want}, got {got}");
            }
        };
        check([3, 4], array![[148, 178, 183, 146], [136, 46, 52, 158], [93, 138, 99, 130]]);
        let enlarged = array![
            [172, 157, 145, 181, 185, 166, 182, 198, 214, 141, 78],
            [142, 149, 160, 172, 181, 187, 184, 191, 211, 155, 105]
        ];
        check([9, 11], enlarged);
    }
}
