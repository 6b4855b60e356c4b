//! From an image to the class of every pixel: whole or by sliding windows, of one view of it or averaged over several.

pub mod views;

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use tch::{Kind, Tensor, no_grad};

use crate::{SemanticModel, map_size, resize};
use views::{View, average};

/// The `[inference]` table of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Resize the image so that its shorter side has this many pixels (aspect kept) before it enters the network; predictions
    /// are resized back. Absent = the image's own size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_edge: Option<i64>,
    /// With `short_edge`: limit of the longer side, which wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_edge: Option<i64>,
    /// Sizes at which the image is seen, as factors of the one that `short_edge` and `max_edge` give; class probabilities are
    /// averaged. Default: 1 alone. mmsegmentation's multi-scale test is 0.5, 0.75, 1, 1.25, 1.5, 1.75 with `flip`.
    pub scales: Vec<f64>,
    /// Whether the image is also seen mirrored at every scale. Default: no.
    pub flip: bool,
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

impl Default for InferenceConfig {
    fn default() -> Self {
        Self { short_edge: None, max_edge: None, scales: vec![1.0], flip: false, slide: None }
    }
}

/// Smallest edge that a scale below 1 leads to, in pixels: the coarsest stride of the networks.
const MIN_EDGE: i64 = 32;
/// More scales than anyone averages over are a mistake.
const MAX_SCALES: usize = 16;

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
        if !(1..=MAX_SCALES).contains(&self.scales.len()) {
            let expected = format!("1 to {MAX_SCALES} numbers");
            return Err(ModelError::config("inference.scales", expected, self.scales.len()));
        }
        for (i, scale) in self.scales.iter().enumerate() {
            if !(0.1..=4.0).contains(scale) {
                return Err(ModelError::config(format!("inference.scales.{i}"), "0.1 to 4", scale));
            }
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
    fn network_size(&self, (height, width): (i64, i64), scale: f64) -> (i64, i64) {
        // As mmsegmentation: the limits are scaled and cut to whole pixels; without any, the image is scaled.
        let limit = |edge: i64| (edge as f64 * scale).floor();
        let mut factor = self.short_edge.map_or(scale, |short| limit(short) / height.min(width) as f64);
        if let (Some(_), Some(max)) = (self.short_edge, self.max_edge) {
            factor = factor.min(limit(max) / height.max(width) as f64);
        }
        let least = if scale < 1.0 { MIN_EDGE } else { 1 };
        // As mmcv: rounded half up.
        let scaled = |edge: i64| ((edge as f64 * factor + 0.5) as i64).max(least);
        (scaled(height), scaled(width))
    }

    /// How an image of this size (height, width) is looked at: at every scale, plain and, with `flip`, mirrored behind it.
    pub fn views(&self, size: (i64, i64)) -> Vec<View> {
        let flips: &[bool] = if self.flip { &[false, true] } else { &[false] };
        let at = |&scale: &f64| {
            let size = self.network_size(size, scale);
            flips.iter().map(move |&flipped| View { size, flipped })
        };
        self.scales.iter().flat_map(at).collect()
    }

    /// Class of every pixel: `image` `[1, 3, H, W]` (normalised) -> `[H, W]`, u8 ids of `0..K`, K at most 255.
    pub fn predict(&self, model: &SemanticModel, image: &Tensor) -> Tensor {
        no_grad(|| {
            let original = map_size(image);
            let views = self.views(original);
            let scores = if let [view] = views[..] {
                self.logits(model, &resize(image, view.size), original)
            } else {
                // As mmsegmentation: probabilities of the logits at the image's size.
                let probabilities =
                    |view: &Tensor| self.logits(model, view, original).softmax(1, Kind::Float);
                average(image, &views, model.num_classes(), probabilities)
            };
            scores.argmax(1, false).squeeze_dim(0).to_kind(Kind::Uint8)
        })
    }

    /// Logits of a view `[1, 3, h, w]` at the size (height, width) of the image: `[1, K, H, W]`.
    fn logits(&self, model: &SemanticModel, view: &Tensor, original: (i64, i64)) -> Tensor {
        let logits_of = |input: &Tensor| model.forward_t(input, false).logits.to_kind(Kind::Float);
        // As mmsegmentation: logits are resized to the network's input first, also without windows.
        let logits = match self.slide {
            Some(slide) => slide_logits(logits_of, model.num_classes(), view, slide),
            None => resize(&logits_of(view), map_size(view)),
        };
        resize(&logits, original)
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
        let config =
            InferenceConfig { short_edge: Some(512), max_edge: Some(2048), ..InferenceConfig::default() };
        assert_eq!(config.network_size((256, 400), 1.0), (512, 800));
        // 512 / 100 would make 1000 -> 5120; the limit gives 2048 / 1000 = 2.048: 100 * 2.048 = 204.8
        assert_eq!(config.network_size((100, 1000), 1.0), (205, 2048));
        assert_eq!(InferenceConfig::default().network_size((37, 41), 1.0), (37, 41));
    }

    #[test]
    fn views_scale_the_limits_and_come_plain_before_mirrored() {
        let ade = InferenceConfig {
            short_edge: Some(512),
            max_edge: Some(2048),
            scales: vec![0.75, 1.0, 1.3],
            flip: true,
            slide: None,
        };
        let sizes = |config: &InferenceConfig, size| {
            config.views(size).iter().map(|view| (view.size, view.flipped)).collect::<Vec<_>>()
        };
        // 512 * 0.75 = 384; 384 / 100 would make 1000 -> 3840, the limit is 1536, so 1.536 * 100 = 153.6. At 1.3 the limits
        // are 665 (of 665.6) and 2662 (of 2662.4): 2.662 * 100 = 266.2.
        let expected = [(154, 1536), (205, 2048), (266, 2662)];
        let expected: Vec<_> = expected.into_iter().flat_map(|size| [(size, false), (size, true)]).collect();
        assert_eq!(sizes(&ade, (100, 1000)), expected);
        // 665 / 256 * 400 = 1039.06: the short edge is cut to whole pixels before the long one follows from it.
        assert_eq!(sizes(&ade, (256, 400))[4].0, (665, 1039));
        // Without limits the image is scaled, rounded half up, and no edge gets below 32.
        let own = InferenceConfig { scales: vec![0.5, 1.0, 1.5], ..InferenceConfig::default() };
        let expected = [(32, 36), (51, 71), (77, 107)].map(|size| (size, false));
        assert_eq!(sizes(&own, (51, 71)), expected);
        assert_eq!(sizes(&InferenceConfig::default(), (9, 71)), [((9, 71), false)]);
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
