//! Sliding windows: maps of a large image made of those of its parts.
//!
//! Reference code: open-mmlab/mmsegmentation 1.2, `EncoderDecoder.slide_inference`, Apache-2.0.
//! Shapes: parts of an image `[1, 3, H, W]`, their scores `[K, h, w]` -> scores `[K, H, W]`.
//! Checked by: the tests below (averages by hand) and `heads/tests/contract/inference.rs` (a whole network).

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use tch::{Device, Kind, Tensor};

/// Sliding windows; the last of a row or column is shifted back to the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlideConfig {
    /// Window height and width in pixels.
    pub crop: [i64; 2],
    /// Steps between windows in pixels, at most the window.
    pub stride: [i64; 2],
}

/// A part of a map, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Row and column of its upper left corner.
    pub start: (i64, i64),
    /// Height and width.
    pub size: (i64, i64),
}

impl Window {
    /// That part of a map `[.., H, W]`, which it shares its memory with.
    pub fn of(self, map: &Tensor) -> Tensor {
        map.narrow(-2, self.start.0, self.size.0).narrow(-1, self.start.1, self.size.1)
    }
}

impl SlideConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the table `inference.slide`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let Self { crop, stride } = self;
        for axis in 0..2 {
            if crop[axis] < 32 || stride[axis] < 1 || stride[axis] > crop[axis] {
                return Err(ModelError::config(
                    "inference.slide",
                    "crop of 32 or more and 1 <= stride <= crop",
                    format!("crop {crop:?}, stride {stride:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Height and width of the windows of a map of `size`: they are not larger than it.
    pub fn window_size(&self, (height, width): (i64, i64)) -> (i64, i64) {
        (self.crop[0].min(height), self.crop[1].min(width))
    }

    /// The windows of a map of `size` (height, width), row by row.
    pub fn windows(&self, size: (i64, i64)) -> Vec<Window> {
        let columns = window_starts(size.1, self.crop[1], self.stride[1]);
        let window_size = self.window_size(size);
        let row = |y: i64| columns.iter().map(move |&x| Window { start: (y, x), size: window_size });
        window_starts(size.0, self.crop[0], self.stride[0]).into_iter().flat_map(row).collect()
    }

    /// Scores of a map of `size` (height, width), averaged over the windows that cover a pixel, `[K, H, W]` in f32. `add` adds
    /// those of a window `[K, h, w]` to its part of the sum.
    ///
    /// # Errors
    /// The first of `add`.
    pub fn average<E>(
        &self,
        num_classes: i64,
        size: (i64, i64),
        device: Device,
        mut add: impl FnMut(Window, &mut Tensor) -> Result<(), E>,
    ) -> Result<Tensor, E> {
        let (height, width) = size;
        let mut sum = Tensor::zeros([num_classes, height, width], (Kind::Float, device));
        let count = Tensor::zeros([height, width], (Kind::Float, device));
        for window in self.windows(size) {
            add(window, &mut window.of(&sum))?;
            let _ = window.of(&count).g_add_scalar_(1.0);
        }
        Ok(sum.g_div_(&count))
    }
}

/// Starts of windows along one axis: steps of `stride`, the last window flush with the border.
fn window_starts(size: i64, crop: i64, stride: i64) -> Vec<i64> {
    let steps = ((size - crop).max(0) + stride - 1) / stride;
    (0..=steps).map(|step| (step * stride).min((size - crop).max(0))).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn windows_cover_the_axis_and_end_at_the_border() {
        assert_eq!(window_starts(10, 4, 3), [0, 3, 6]);
        assert_eq!(window_starts(11, 4, 3), [0, 3, 6, 7]);
        assert_eq!(window_starts(4, 4, 3), [0]);
        assert_eq!(window_starts(3, 4, 3), [0]);
    }

    const SLIDE: SlideConfig = SlideConfig { crop: [4, 4], stride: [4, 3] };

    fn averaged(num_classes: i64, size: (i64, i64), scores_of: impl Fn(Window) -> Tensor) -> Tensor {
        let Ok(mean) = SLIDE.average(num_classes, size, Device::Cpu, |window, sum| {
            let _ = sum.g_add_(&scores_of(window));
            Ok::<(), Infallible>(())
        });
        mean
    }

    #[test]
    fn a_network_that_copies_its_input_gives_the_image_back() {
        let image = Tensor::arange(3 * 5 * 8, (Kind::Float, Device::Cpu)).reshape([3, 5, 8]);
        let slid = averaged(3, (5, 8), |window| window.of(&image));
        assert!(
            (slid - image).abs().max().double_value(&[]) < 1e-5,
            "the average of equal values is the value"
        );
    }

    #[test]
    fn overlaps_are_averaged_over_the_windows_that_cover_them() {
        // The n-th window says n everywhere.
        let windows = SLIDE.windows((5, 8));
        let numbered = |window: Window| {
            assert_eq!(window.size, (4, 4));
            let number = windows.iter().position(|other| *other == window).unwrap() + 1;
            Tensor::full([1, 4, 4], number as f64, (Kind::Float, Device::Cpu))
        };
        let slid = averaged(1, (5, 8), numbered);
        // Columns start at 0, 3, 4; rows at 0 and 1, where windows 4 to 6 lie. Both rows cover lines 1 to 3.
        let first = [1.0, 1.0, 1.0, 1.5, 2.5, 2.5, 2.5, 3.0];
        let middle = first.map(|value| value + 1.5);
        let last = first.map(|value| value + 3.0);
        let expected: Vec<f64> = [first, middle, middle, middle, last].concat();
        assert_eq!(Vec::<f64>::try_from(slid.reshape([-1]).to_kind(Kind::Double)).unwrap(), expected);
        assert_eq!(windows.len(), 6);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut calls = 0;
        let refused = SLIDE.average(1, (5, 8), Device::Cpu, |_, _| {
            calls += 1;
            if calls == 2 { Err("the second window") } else { Ok(()) }
        });
        assert_eq!((refused.unwrap_err(), calls), ("the second window", 2));
    }
}
