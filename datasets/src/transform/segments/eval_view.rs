//! `data.eval`: how validation images and images to predict enter a mask classifier.
//!
//! Reference code: facebookresearch/detectron2, `ResizeShortestEdge` and `DatasetMapperTTA` (Apache-2.0), and
//! facebookresearch/Mask2Former 9b0651c, `maskformer_model.py` (MIT), which pads to multiples of 32. Scores are taken at the
//! images' own size in any case.
//! Differs from the reference: at another scale the limit of the longer edge is scaled too, where `DatasetMapperTTA` has one for
//! all sizes; in the authors' recipes it tells only for images more than four times as long as wide (ADE20K).

use std::borrow::Cow;

use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

use super::shortest_edge;
use crate::DataError;
use crate::config::{FlipDirection, edges};
use crate::sample::Image;
use crate::transform::flip;
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

impl EvalView {
    fn window(&self, [y, x]: [usize; 2], valid: [usize; 2], padded: [usize; 2]) -> Self {
        let mut image = Array3::zeros((3, padded[0], padded[1]));
        let [height, width] = valid;
        let part = self.image.slice(s![.., y..y + height, x..x + width]);
        image.slice_mut(s![.., ..height, ..width]).assign(&part);
        Self { image, valid }
    }
}

/// One of several ways to look at an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Factor of the size that `data.eval` gives.
    pub scale: f64,
    /// Whether the image is mirrored left and right.
    pub flipped: bool,
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
        (valid, self.padded(valid))
    }

    /// The same of an image of `size` as it is looked at, at a scale.
    pub fn sizes_at(&self, size: [usize; 2], scale: f64) -> ([usize; 2], [usize; 2]) {
        let valid = self.scaled(self.resized(size), scale);
        (valid, self.padded(valid))
    }

    /// Resizes, normalises and pads an image. Takes a validated table.
    pub fn view(&self, image: &Image, normalizer: &Normalizer) -> EvalView {
        self.normalized(&self.resize(image), normalizer)
    }

    /// An image `[H, W, 3]` at the size of [`SegmentEvalConfig::resized`]: what looks at it start from.
    pub fn resize<'a>(&self, image: &'a Image) -> Cow<'a, Image> {
        let (height, width, _) = image.dim();
        self.fit(image, self.resized([height, width]))
    }

    /// One look at an image that [`SegmentEvalConfig::resize`] has made, which is resized once more, as in the reference.
    /// At scale 1 and unmirrored it is [`SegmentEvalConfig::view`]. Takes a validated table.
    pub fn look(&self, resized: &Image, look: Look, normalizer: &Normalizer) -> EvalView {
        let (height, width, _) = resized.dim();
        let mut image = self.fit(resized, self.scaled([height, width], look.scale));
        if look.flipped {
            flip::image(FlipDirection::Horizontal, image.to_mut());
        }
        self.normalized(&image, normalizer)
    }

    /// A window of a view, of `size` (height, width) from row and column `start` on, padded as an image of its own. Takes a
    /// validated table.
    pub fn window(&self, view: &EvalView, start: [usize; 2], size: [usize; 2]) -> EvalView {
        view.window(start, size, self.padded(size))
    }

    /// The size of a resized image at a scale: both limits are scaled and cut to whole pixels.
    fn scaled(&self, resized: [usize; 2], scale: f64) -> [usize; 2] {
        let limit = |edge: u32| ((f64::from(edge) * scale) as u32).max(1);
        let short_edge = self.short_edge.unwrap_or(resized[0].min(resized[1]) as u32);
        shortest_edge::resized(resized, limit(short_edge), self.max_long_edge.map_or(u32::MAX, limit))
    }

    /// Height and width of an image of `size` with its padding. Takes a validated table.
    pub fn padded(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|edge| edge.next_multiple_of(self.size_divisor as usize))
    }

    fn fit<'a>(&self, image: &'a Image, size: [usize; 2]) -> Cow<'a, Image> {
        let (height, width, _) = image.dim();
        if size == [height, width] {
            return Cow::Borrowed(image);
        }
        Cow::Owned(self.filter.image(image, size, Region::whole(size)))
    }

    fn normalized(&self, image: &Image, normalizer: &Normalizer) -> EvalView {
        let (height, width, _) = image.dim();
        let valid = [height, width];
        EvalView { image: normalizer.image(image, self.padded(valid)), valid }
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

    /// Bytes that tell rows, columns and channels apart.
    fn numbered(height: usize, width: usize) -> Image {
        Image::from_shape_fn((height, width, 3), |(y, x, c)| ((7 * y + 13 * x + 29 * c) % 251) as u8 + 1)
    }

    #[test]
    fn scales_are_factors_of_the_size_in_evaluation() {
        let ade = SegmentEvalConfig {
            short_edge: Some(512),
            max_long_edge: Some(2048),
            ..SegmentEvalConfig::default()
        };
        let sizes = |size| [0.5, 0.75, 1.0, 1.25, 1.5, 1.75].map(|scale| ade.sizes_at(size, scale).0);
        // The sizes of the authors' test. 683 / 512 of each: 341.5, 512.25, 853.75, 1024.5, 1195.25.
        let expected = [[256, 342], [384, 512], [512, 683], [640, 854], [768, 1025], [896, 1195]];
        assert_eq!(sizes([768, 1024]), expected);
        // The limit of the longer edge is scaled with it: 205x2048 is what 100x1000 is at scale 1.
        assert_eq!(sizes([100, 1000])[1..4], [[154, 1536], [205, 2048], [256, 2560]]);
        assert_eq!(ade.sizes_at([768, 1024], 0.75), ([384, 512], [384, 512]));
        // Without limits the shorter edge is scaled and cut to whole pixels: 45 / 2 = 22.5, 70 * 22 / 45 = 34.2.
        let own = SegmentEvalConfig::default();
        assert_eq!(own.sizes_at([45, 70], 0.5), ([22, 34], [32, 64]));
        assert_eq!(own.sizes_at([3, 70], 0.1).0, [1, 23]);
        assert_eq!(own.sizes_at([45, 70], 1.0), own.sizes([45, 70]));
    }

    #[test]
    fn a_look_is_resized_then_mirrored_then_padded() {
        let normalizer = Normalizer::new(&NormalizeConfig::default());
        let config = SegmentEvalConfig { short_edge: Some(30), ..SegmentEvalConfig::default() };
        let image = numbered(45, 70);
        let resized = config.resize(&image);
        let look = |scale, flipped| config.look(&resized, Look { scale, flipped }, &normalizer);
        assert_eq!(look(1.0, false), config.view(&image, &normalizer));
        for scale in [0.5, 1.0, 1.5] {
            let (plain, mirrored) = (look(scale, false), look(scale, true));
            assert_eq!((plain.valid, plain.image.dim()), (mirrored.valid, mirrored.image.dim()));
            let [height, width] = plain.valid;
            assert_eq!(height, (30.0 * scale) as usize);
            let valid = |view: &EvalView| view.image.slice(s![.., ..height, ..width]).to_owned();
            assert_eq!(
                valid(&plain).slice(s![.., .., ..;-1]),
                valid(&mirrored),
                "mirrored within its own size"
            );
            assert_ne!(valid(&plain), valid(&mirrored));
            assert!(mirrored.image.slice(s![.., .., width..]).iter().all(|&value| value == 0.0));
        }
        let twice = config.filter.image(&resized, [45, 71], Region::whole([45, 71]));
        assert_eq!(look(1.5, false), SegmentEvalConfig::default().view(&twice, &normalizer));
    }

    #[test]
    fn a_window_is_padded_as_an_image_of_its_own() {
        let normalizer = Normalizer::new(&NormalizeConfig::default());
        let (config, image) = (SegmentEvalConfig::default(), numbered(45, 70));
        let view = config.view(&image, &normalizer);
        assert_eq!(config.window(&view, [0, 0], [45, 70]), view);
        let part = image.slice(s![5..40, 9..70, ..]).as_standard_layout().into_owned();
        assert_eq!(config.window(&view, [5, 9], [35, 61]), config.view(&part, &normalizer));
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
