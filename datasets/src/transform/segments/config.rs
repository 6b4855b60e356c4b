//! The `[[data.augment]]` tables of instance and panoptic recipes.

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::config::{FlipConfig, PhotometricConfig, edges, probability, range};
use crate::transform::resize_filter::ResizeFilter;

/// One `[[data.augment]]` table of an instance or panoptic recipe; `op` says which.
///
/// ```
/// use smalti_datasets::transform::segments::{SegmentAugmentConfig, validate};
/// #[derive(serde::Deserialize)]
/// struct Data { augment: Vec<SegmentAugmentConfig> }
/// let data: Data = toml::from_str(r#"
///     [[augment]]
///     op = "flip"
///     [[augment]]
///     op = "large_scale_jitter"
///     size = [1024, 1024]
/// "#)?;
/// validate(&data.augment)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum SegmentAugmentConfig {
    /// `op = "large_scale_jitter"`.
    LargeScaleJitter(LargeScaleJitterConfig),
    /// `op = "resize_shortest_edge"`.
    ResizeShortestEdge(ResizeShortestEdgeConfig),
    /// `op = "random_crop"`.
    RandomCrop(SegmentCropConfig),
    /// `op = "flip"`: mirror left and right.
    Flip(FlipConfig),
    /// `op = "photometric"`.
    Photometric(PhotometricConfig),
}

/// Resize by a random factor of a fixed size, then crop or pad to that size (detectron2's `ResizeScale` and
/// `FixedSizeCrop`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LargeScaleJitterConfig {
    /// Height and width of the result, in pixels.
    pub size: [u32; 2],
    /// Limits of the factor, drawn uniformly; at 1 the image fits `size` exactly. Default 0.1 to 2.
    #[serde(default = "default_scale")]
    pub scale: [f64; 2],
    /// `pil` (the default), `opencv`, `torch` or `torch_antialias`.
    #[serde(default)]
    pub filter: ResizeFilter,
}

/// Resize the shorter edge to one of several lengths, keeping the aspect (detectron2's `ResizeShortestEdge`, style
/// `choice`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeShortestEdgeConfig {
    /// Lengths to draw from, in pixels, each as likely.
    pub short_edges: Vec<u32>,
    /// Images whose longer edge would exceed this are resized to it, in pixels.
    pub max_long_edge: u32,
    /// `pil` (the default), `opencv`, `torch` or `torch_antialias`.
    #[serde(default)]
    pub filter: ResizeFilter,
}

/// Cut out a window; what an image is too small for becomes padding (detectron2's `RandomCrop_CategoryAreaConstraint`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentCropConfig {
    /// Height and width of the window, in pixels.
    pub size: [u32; 2],
    /// Draw again, up to 10 times, while one class covers at least this share of the labelled pixels. Needs panoptic
    /// maps: instances overlap and leave pixels out, so sets of instances are cut anywhere. Default 1 (off).
    #[serde(default = "default_max_category_area")]
    pub max_category_area: f64,
}

fn default_scale() -> [f64; 2] {
    [0.1, 2.0]
}

fn default_max_category_area() -> f64 {
    1.0
}

/// Checks all tables of `data.augment`.
///
/// # Errors
/// [`DataError::Invalid`] with the full dotted name of the first field that is out of range.
pub fn validate(ops: &[SegmentAugmentConfig]) -> Result<(), DataError> {
    ops.iter().enumerate().try_for_each(|(i, op)| op.validate(&format!("data.augment.{i}")))
}

/// Height and width that training samples are padded to at least: the size of the last crop, if there is one.
pub fn crop_size(ops: &[SegmentAugmentConfig]) -> Option<[usize; 2]> {
    ops.iter().rev().find_map(|op| match op {
        SegmentAugmentConfig::LargeScaleJitter(LargeScaleJitterConfig { size, .. })
        | SegmentAugmentConfig::RandomCrop(SegmentCropConfig { size, .. }) => {
            Some(size.map(|edge| edge as usize))
        }
        _ => None,
    })
}

impl SegmentAugmentConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        match self {
            Self::LargeScaleJitter(cfg) => {
                edges(key, "size", cfg.size)?;
                range(key, "scale", cfg.scale, 0.01, 10.0)
            }
            Self::ResizeShortestEdge(cfg) => cfg.validate(key),
            Self::RandomCrop(cfg) => {
                edges(key, "size", cfg.size)?;
                probability(key, "max_category_area", cfg.max_category_area)
            }
            Self::Flip(cfg) => probability(key, "prob", cfg.prob),
            Self::Photometric(cfg) => cfg.validate(key),
        }
    }
}

impl ResizeShortestEdgeConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), DataError> {
        if self.short_edges.is_empty() {
            return Err(DataError::invalid(format!("{key}.short_edges"), "one length at least", "none"));
        }
        self.short_edges.iter().try_for_each(|&edge| edges(key, "short_edges", [edge, edge]))?;
        edges(key, "max_long_edge", [self.max_long_edge, self.max_long_edge])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Data {
        augment: Vec<SegmentAugmentConfig>,
    }

    fn parse(text: &str) -> Result<Vec<SegmentAugmentConfig>, toml::de::Error> {
        toml::from_str::<Data>(text).map(|data| data.augment)
    }

    fn invalid(text: &str) -> String {
        validate(&parse(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn defaults_and_round_trip() {
        let text =
            "[[augment]]\nop = \"flip\"\n[[augment]]\nop = \"large_scale_jitter\"\nsize = [1024, 768]\n";
        let augment = parse(text).unwrap();
        validate(&augment).unwrap();
        let jitter =
            LargeScaleJitterConfig { size: [1024, 768], scale: [0.1, 2.0], filter: ResizeFilter::Pil };
        assert_eq!(augment[1], SegmentAugmentConfig::LargeScaleJitter(jitter));
        assert_eq!(crop_size(&augment), Some([1024, 768]));
        assert_eq!(crop_size(&augment[..1]), None);
        let data = Data { augment };
        let written = toml::to_string(&data).unwrap();
        assert_eq!(toml::from_str::<Data>(&written).unwrap(), data, "{written}");
    }

    #[test]
    fn errors_name_the_field() {
        let jitter = "[[augment]]\nop = \"flip\"\n[[augment]]\nop = \"large_scale_jitter\"\nsize = [0, 9]\n";
        assert_eq!(invalid(jitter), "`data.augment.1.size`: expected 1 to 16384 pixels, got [0, 9]");
        let scale = "augment = [{ op = \"large_scale_jitter\", size = [9, 9], scale = [2.0, 0.1] }]";
        assert!(invalid(scale).starts_with("`data.augment.0.scale`: expected two rising numbers"));
        let none = "augment = [{ op = \"resize_shortest_edge\", short_edges = [], max_long_edge = 9 }]";
        assert_eq!(invalid(none), "`data.augment.0.short_edges`: expected one length at least, got none");
        let area = "augment = [{ op = \"random_crop\", size = [9, 9], max_category_area = 1.5 }]";
        assert_eq!(
            invalid(area),
            "`data.augment.0.max_category_area`: expected a number from 0 to 1, got 1.5"
        );
        let filter = "augment = [{ op = \"large_scale_jitter\", size = [9, 9], filter = \"cubic\" }]";
        let message = parse(filter).unwrap_err().to_string();
        assert!(message.contains("torch_antialias"), "{message}");
    }
}
