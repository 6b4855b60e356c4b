//! `data.eval`: how validation images and images to predict enter a mask classifier.
//!
//! Reference code: facebookresearch/detectron2, `ResizeShortestEdge` (Apache-2.0), and facebookresearch/Mask2Former 9b0651c,
//! `maskformer_model.py` (MIT), which pads to multiples of 32. Scores are taken at the images' own size in any case.

use std::borrow::Cow;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::shortest_edge;
use crate::DataError;
use crate::config::edges;
use crate::sample::Image;
use crate::transform::normalize::Normalizer;
use crate::transform::resize::Region;
use crate::transform::resize_filter::ResizeFilter;

/// The `[data.eval]` table of a recipe with Mask2Former: sizes at which images enter the network. Default: their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentEvalConfig {
    /// Length that the shorter edge is resized to, in pixels. Default: its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_edge: Option<u32>,
    /// Images whose longer edge would exceed this are resized to it, in pixels. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_long_edge: Option<u32>,
    /// Images are padded at the bottom and on the right until height and width are multiples of this. Default 32.
    pub size_divisor: u32,
    /// `pil` (the default), `opencv`, `torch` or `torch_antialias`.
    pub filter: ResizeFilter,
}

impl Default for SegmentEvalConfig {
    fn default() -> Self {
        Self { short_edge: None, max_long_edge: None, size_divisor: 32, filter: ResizeFilter::default() }
    }
}

/// An image as it enters the network.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalView {
    /// `[3, H, W]`, RGB, `(value - mean) / std`; padding is exactly 0.
    pub image: Array3<f32>,
    /// Height and width of the part at the upper left that is no padding.
    pub valid: [usize; 2],
}

impl SegmentEvalConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the full dotted name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        for (name, edge) in [("short_edge", self.short_edge), ("max_long_edge", self.max_long_edge)] {
            if let Some(edge) = edge {
                edges("data.eval", name, [edge, edge])?;
            }
        }
        if !(32..=1024).contains(&self.size_divisor) {
            let got = self.size_divisor;
            return Err(DataError::invalid("data.eval.size_divisor", "32 to 1024 pixels", got));
        }
        Ok(())
    }

    /// Height and width of an image of `size` after it is resized, before it is padded. Takes a validated table.
    pub fn resized(&self, size: [usize; 2]) -> [usize; 2] {
        let short_edge = self.short_edge.unwrap_or(size[0].min(size[1]) as u32);
        shortest_edge::resized(size, short_edge, self.max_long_edge.unwrap_or(u32::MAX))
    }

    /// Height and width that an image of `size` has in its view, and those of the view with its padding. Takes a validated table.
    pub fn sizes(&self, size: [usize; 2]) -> ([usize; 2], [usize; 2]) {
        let valid = self.resized(size);
        (valid, valid.map(|edge| edge.next_multiple_of(self.size_divisor as usize)))
    }

    /// Resizes, normalises and pads an image. Takes a validated table.
    pub fn view(&self, image: &Image, normalizer: &Normalizer) -> EvalView {
        let (height, width, _) = image.dim();
        let (valid, padded) = self.sizes([height, width]);
        let resized = if valid == [height, width] {
            Cow::Borrowed(image)
        } else {
            Cow::Owned(self.filter.image(image, valid, Region::whole(valid)))
        };
        EvalView { image: normalizer.image(&resized, padded), valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NormalizeConfig;

    fn sizes(config: &SegmentEvalConfig, size: [usize; 2]) -> ([usize; 2], (usize, usize, usize)) {
        let image = Image::from_elem((size[0], size[1], 3), 200);
        let view = config.view(&image, &Normalizer::new(&NormalizeConfig::default()));
        for ((_, y, x), value) in view.image.indexed_iter() {
            assert_eq!(*value != 0.0, y < view.valid[0] && x < view.valid[1], "{y}, {x}");
        }
        (view.valid, view.image.dim())
    }

    #[test]
    fn images_keep_their_size_unless_told_otherwise() {
        let own = SegmentEvalConfig::default();
        assert_eq!(sizes(&own, [48, 75]), ([48, 75], (3, 64, 96)));
        assert_eq!(sizes(&own, [5, 64]), ([5, 64], (3, 32, 64)));
        let long = SegmentEvalConfig { max_long_edge: Some(50), ..own.clone() };
        assert_eq!(sizes(&long, [50, 100]), ([25, 50], (3, 32, 64)));
        assert_eq!(sizes(&long, [40, 50]), ([40, 50], (3, 64, 64)));
        let both = SegmentEvalConfig { short_edge: Some(64), ..long };
        assert_eq!(sizes(&both, [32, 32]), ([50, 50], (3, 64, 64)));
        assert_eq!(
            sizes(&SegmentEvalConfig { short_edge: Some(64), ..own }, [32, 48]),
            ([64, 96], (3, 64, 96))
        );
    }

    #[test]
    fn errors_name_the_field() {
        let refused = |text: &str| {
            toml::from_str::<SegmentEvalConfig>(text).unwrap().validate().unwrap_err().to_string()
        };
        assert_eq!(refused("short_edge = 0"), "`data.eval.short_edge`: expected 1 to 16384 pixels, got 0");
        assert_eq!(
            refused("size_divisor = 16"),
            "`data.eval.size_divisor`: expected 32 to 1024 pixels, got 16"
        );
        assert!(toml::from_str::<SegmentEvalConfig>("short_edges = 3").is_err());
        SegmentEvalConfig::default().validate().unwrap();
    }
}
