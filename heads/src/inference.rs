//! From an image to class logits at the image's size: whole or by sliding windows.

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use tch::{Kind, Tensor, no_grad};

use crate::{SemanticModel, resize};

/// The `[inference]` table of a recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Resize the image so that its shorter side has this many pixels (aspect kept) before it enters the network; predictions
    /// are resized back. Absent = the image's own size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_edge: Option<i64>,
    /// With `short_edge`: limit of the longer side, which wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_edge: Option<i64>,
    /// Predict by overlapping windows instead of the whole image at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slide: Option<SlideConfig>,
}

/// Sliding windows; the last of a row or column is shifted back to the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlideConfig {
    /// Window height and width in pixels.
    pub crop: [i64; 2],
    /// Steps between windows in pixels, at most the window.
    pub stride: [i64; 2],
}

impl InferenceConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), ModelError> {
        for (field, value) in [("short_edge", self.short_edge), ("max_edge", self.max_edge)] {
            if value.is_some_and(|value| value < 32) {
                let got = value.unwrap_or_default();
                return Err(ModelError::config(format!("inference.{field}"), "32 pixels or more", got));
            }
        }
        if let (None, Some(max)) = (self.short_edge, self.max_edge) {
            let got = format!("only inference.max_edge = {max}");
            return Err(ModelError::config("inference.short_edge", "a value beside inference.max_edge", got));
        }
        if let Some(SlideConfig { crop, stride }) = self.slide {
            for axis in 0..2 {
                if crop[axis] < 32 || stride[axis] < 1 || stride[axis] > crop[axis] {
                    return Err(ModelError::config(
                        "inference.slide",
                        "crop of 32 or more and 1 <= stride <= crop",
                        format!("crop {crop:?}, stride {stride:?}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The size (height, width) at which an image of this size enters the network.
    pub(crate) fn network_size(&self, (height, width): (i64, i64)) -> (i64, i64) {
        let Some(short) = self.short_edge else { return (height, width) };
        let mut scale = short as f64 / height.min(width) as f64;
        if let Some(max) = self.max_edge {
            scale = scale.min(max as f64 / height.max(width) as f64);
        }
        // As mmcv: rounded half up, never below one pixel.
        let scaled = |edge: i64| ((edge as f64 * scale + 0.5) as i64).max(1);
        (scaled(height), scaled(width))
    }

    /// Class of every pixel: `image` `[1, 3, H, W]` (normalised) -> `[H, W]`, u8 ids of `0..K`, K at most 255.
    pub fn predict(&self, model: &SemanticModel, image: &Tensor) -> Tensor {
        no_grad(|| {
            let size = image.size();
            let original = (size[2], size[3]);
            let network = self.network_size(original);
            let input = resize(image, network);
            let logits_of = |input: &Tensor| model.forward_t(input, false).logits.to_kind(Kind::Float);
            // As mmsegmentation: logits are resized to the network's input first, also without windows.
            let logits = match self.slide {
                Some(slide) => slide_logits(logits_of, model.num_classes(), &input, slide),
                None => resize(&logits_of(&input), network),
            };
            let full = resize(&logits, original); // [1, K, H, W]
            full.argmax(1, false).squeeze_dim(0).to_kind(Kind::Uint8)
        })
    }
}

/// Starts of windows along one axis: steps of `stride`, the last window flush with the border.
fn window_starts(size: i64, crop: i64, stride: i64) -> Vec<i64> {
    let steps = ((size - crop).max(0) + stride - 1) / stride;
    (0..=steps).map(|step| (step * stride).min((size - crop).max(0))).collect()
}

// [1, 3, H, W] -> [1, K, H, W]: logits of windows, resized to them, averaged where windows overlap
fn slide_logits(
    logits_of: impl Fn(&Tensor) -> Tensor,
    num_classes: i64,
    image: &Tensor,
    slide: SlideConfig,
) -> Tensor {
    let size = image.size();
    let (height, width) = (size[2], size[3]);
    let options = (Kind::Float, image.device());
    let sum = Tensor::zeros([1, num_classes, height, width], options);
    let count = Tensor::zeros([1, 1, height, width], options);
    for y in window_starts(height, slide.crop[0], slide.stride[0]) {
        for x in window_starts(width, slide.crop[1], slide.stride[1]) {
            let (rows, columns) = (slide.crop[0].min(height), slide.crop[1].min(width));
            let window = |t: &Tensor| t.narrow(2, y, rows).narrow(3, x, columns);
            let logits = logits_of(&window(image));
            let _ = window(&sum).g_add_(&resize(&logits, (rows, columns)));
            let _ = window(&count).g_add_scalar_(1.0);
        }
    }
    sum / count
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn windows_cover_the_axis_and_end_at_the_border() {
        assert_eq!(window_starts(10, 4, 3), [0, 3, 6]);
        assert_eq!(window_starts(11, 4, 3), [0, 3, 6, 7]);
        assert_eq!(window_starts(4, 4, 3), [0]);
        assert_eq!(window_starts(3, 4, 3), [0]);
    }

    #[test]
    fn network_size_keeps_the_aspect_and_obeys_the_limit() {
        let config = InferenceConfig { short_edge: Some(512), max_edge: Some(2048), slide: None };
        assert_eq!(config.network_size((256, 400)), (512, 800));
        // 512 / 100 would make 1000 -> 5120; the limit gives 2048 / 1000 = 2.048: 100 * 2.048 = 204.8
        assert_eq!(config.network_size((100, 1000)), (205, 2048));
        assert_eq!(InferenceConfig::default().network_size((37, 41)), (37, 41));
    }

    const SLIDE: SlideConfig = SlideConfig { crop: [4, 4], stride: [4, 3] };

    #[test]
    fn a_network_that_copies_its_input_gives_the_image_back() {
        let image = Tensor::arange(3 * 5 * 8, (Kind::Float, tch::Device::Cpu)).reshape([1, 3, 5, 8]);
        let slid = slide_logits(Tensor::copy, 3, &image, SLIDE);
        assert!(
            (slid - image).abs().max().double_value(&[]) < 1e-5,
            "the average of equal values is the value"
        );
    }

    #[test]
    fn overlaps_are_averaged_over_the_windows_that_cover_them() {
        // The n-th window says n everywhere, at a quarter of its size: it must be resized first.
        let calls = Cell::new(0.0);
        let numbered = |window: &Tensor| {
            assert_eq!(window.size(), [1, 3, 4, 4]);
            calls.set(calls.get() + 1.0);
            Tensor::full([1, 1, 1, 1], calls.get(), (Kind::Float, tch::Device::Cpu))
        };
        let image = Tensor::zeros([1, 3, 5, 8], (Kind::Float, tch::Device::Cpu));
        let slid = slide_logits(numbered, 1, &image, SLIDE);
        // Columns start at 0, 3, 4; rows at 0 and 1, where windows 4 to 6 lie. Both rows cover lines 1 to 3.
        let first = [1.0, 1.0, 1.0, 1.5, 2.5, 2.5, 2.5, 3.0];
        let middle = first.map(|value| value + 1.5);
        let last = first.map(|value| value + 3.0);
        let expected: Vec<f64> = [first, middle, middle, middle, last].concat();
        assert_eq!(Vec::<f64>::try_from(slid.reshape([-1]).to_kind(Kind::Double)).unwrap(), expected);
        assert_eq!(calls.get(), 6.0);
    }
}
