//! From an image to the class of every pixel: whole or by sliding windows, of one view of it or averaged over several.

pub mod views;
pub mod windows;

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use tch::{Kind, Tensor, no_grad};

use crate::{SemanticModel, map_size, resize};
use views::{View, average, each_view, validate_scales};
pub use windows::{SlideConfig, Window};

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

impl Default for InferenceConfig {
    fn default() -> Self {
        Self { short_edge: None, max_edge: None, scales: vec![1.0], flip: false, slide: None }
    }
}

/// Smallest edge that a scale below 1 leads to, in pixels: the coarsest stride of the networks.
const MIN_EDGE: i64 = 32;

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
        validate_scales(&self.scales)?;
        self.slide.iter().try_for_each(SlideConfig::validate)
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
        let view = |(scale, flipped)| View { size: self.network_size(size, scale), flipped };
        each_view(&self.scales, self.flip).map(view).collect()
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
        // As mmsegmentation: logits are resized to the network's input first, also without windows.
        let logits_of = |input: &Tensor| {
            resize(&model.forward_t(input, false).logits.to_kind(Kind::Float), map_size(input))
        };
        let logits = match self.slide {
            Some(slide) => {
                let add = |window: Window, sum: &mut Tensor| {
                    let _ = sum.g_add_(&logits_of(&window.of(view)).squeeze_dim(0));
                    Ok::<(), Infallible>(())
                };
                let Ok(mean) = slide.average(model.num_classes(), map_size(view), view.device(), add);
                mean.unsqueeze(0)
            }
            None => logits_of(view),
        };
        resize(&logits, original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
