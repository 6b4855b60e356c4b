//! The `[data]` table of a recipe: where a set lies, how its labels read, how training samples are made.

mod files;
mod mix;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::sample::Image;
use crate::transform::normalize::Normalizer;
use crate::transform::segments::{EvalView, ResizeShortestEdgeConfig, SegmentEvalConfig};

pub use files::{BenchmarkFiles, OwnFiles, SetFiles, SplitConfig};
pub use mix::{Mix, Mixed};

/// The `[data]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConfig {
    /// Where the set is and how its labels read: the keys `benchmark` and `root`, or those of [`OwnFiles`].
    pub files: SetFiles,
    /// `data.weight` and `[[data.mix]]`: further sets to train on.
    pub mix: Mix<SetFiles>,
    /// `data.loader`: batches and threads.
    pub loader: LoaderConfig,
    /// `data.normalize`: pixel statistics.
    pub normalize: NormalizeConfig,
    /// `data.augment`: training transforms, in order.
    pub augment: Vec<AugmentConfig>,
    /// `data.eval`: sizes of images in evaluation and prediction, of recipes with Mask2Former.
    pub eval: Option<SegmentEvalConfig>,
}

/// Which part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// `[data.train]`.
    Train,
    /// `[data.val]`.
    Val,
}

impl Split {
    /// The table's dotted name in a recipe.
    pub fn key(self) -> &'static str {
        match self {
            Self::Train => "data.train",
            Self::Val => "data.val",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Train { "train" } else { "val" })
    }
}

/// The `[data.loader]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// Samples a batch. Default 4.
    pub batch_size: usize,
    /// Loader threads; 0 (the default) takes one per core.
    pub workers: usize,
    /// Batches ready ahead of the trainer. Default 2.
    pub prefetch: usize,
    /// `stop` (the default) or `skip`: what happens at a training file that is damaged or does not fit its annotation.
    pub on_corrupt: OnCorrupt,
}

/// What a training does about a file that can not be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// Stops with the file's name.
    #[default]
    Stop,
    /// Takes the next image of the set instead, warns once and counts.
    Skip,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { batch_size: 4, workers: 0, prefetch: 2, on_corrupt: OnCorrupt::Stop }
    }
}

impl LoaderConfig {
    /// Number of threads to start, at least 1.
    pub fn threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}

/// The `[data.normalize]` table: RGB, in units of 0..255. Defaults are ImageNet's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NormalizeConfig {
    /// Subtracted from the pixel values.
    pub mean: [f32; 3],
    /// The difference is divided by this.
    pub std: [f32; 3],
}

impl Default for NormalizeConfig {
    fn default() -> Self {
        Self { mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] }
    }
}

/// One `[[data.augment]]` table; `op` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum AugmentConfig {
    /// `op = "random_resize"`.
    RandomResize(RandomResizeConfig),
    /// `op = "resize_shortest_edge"`.
    ResizeShortestEdge(ResizeShortestEdgeConfig),
    /// `op = "random_crop"`.
    RandomCrop(RandomCropConfig),
    /// `op = "flip"`.
    Flip(FlipConfig),
    /// `op = "photometric"`.
    Photometric(PhotometricConfig),
}

/// Resize by a random factor, keeping the aspect. Factor 1 means `scale`, or `short_edge`, or the image's own size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizeConfig {
    /// Longest and shortest edge, in pixels, that the image must fit at factor 1 (mmseg's `scale`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<[u32; 2]>,
    /// Shortest edge, in pixels, at factor 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_edge: Option<u32>,
    /// Limits of the factor, drawn uniformly. Default 0.5 to 2.
    #[serde(default = "default_ratio_range")]
    pub ratio_range: [f64; 2],
}

/// Cut out a window; what an image is too small for becomes padding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCropConfig {
    /// Height and width of the window, in pixels.
    pub size: [u32; 2],
    /// Draw again, up to 10 times, while one class covers at least this share of the labelled pixels. Default 1 (off).
    #[serde(default = "default_cat_max_ratio")]
    pub cat_max_ratio: f64,
    /// Probability to centre the window on a random pixel of a uniformly drawn class of the image; such a window is not
    /// drawn again. Default 0.
    #[serde(default)]
    pub class_balanced: f64,
}

/// Mirror.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlipConfig {
    /// Probability. Default 0.5.
    pub prob: f64,
    /// Default `"horizontal"`, left to right.
    #[serde(skip_serializing_if = "FlipDirection::is_default")]
    pub direction: FlipDirection,
}

impl Default for FlipConfig {
    fn default() -> Self {
        Self { prob: 0.5, direction: FlipDirection::default() }
    }
}

/// What changes places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlipDirection {
    /// Left and right.
    #[default]
    Horizontal,
    /// Top and bottom: for pictures without an upper side, of a microscope or from the air.
    Vertical,
}

impl FlipDirection {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Random brightness, contrast, saturation and hue, each with probability one half (mmseg's `PhotoMetricDistortion`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhotometricConfig {
    /// Added to all values: uniform in `-brightness..brightness`. Default 32.
    pub brightness: f64,
    /// Limits of the factor on all values. Default 0.5 to 1.5.
    pub contrast: [f64; 2],
    /// Limits of the factor on the saturation. Default 0.5 to 1.5.
    pub saturation: [f64; 2],
    /// Hue shift in steps of 2 degrees: uniform whole number in `-hue..hue`, upper end excluded. Default 18.
    pub hue: u32,
}

impl Default for PhotometricConfig {
    fn default() -> Self {
        Self { brightness: 32.0, contrast: [0.5, 1.5], saturation: [0.5, 1.5], hue: 18 }
    }
}

fn default_ratio_range() -> [f64; 2] {
    [0.5, 2.0]
}

fn default_cat_max_ratio() -> f64 {
    1.0
}

/// Largest edge that a recipe may ask for, in pixels.
const MAX_EDGE: u32 = 16_384;

impl DataConfig {
    /// Checks all values; touches no file.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the full dotted name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        self.files.validate()?;
        self.mix.validate(SetFiles::validate_mixed)?;
        self.loader.validate()?;
        self.normalize.validate()?;
        self.augment.iter().enumerate().try_for_each(|(i, op)| op.validate(&format!("data.augment.{i}")))?;
        self.eval.iter().try_for_each(SegmentEvalConfig::validate)
    }

    /// An image `[H, W, 3]` as it enters a network in evaluation and prediction, at its own size without `data.eval`. Takes a
    /// validated table.
    pub fn eval_view(&self, image: &Image, normalizer: &Normalizer) -> EvalView {
        let (height, width, _) = image.dim();
        match &self.eval {
            Some(eval) => eval.view(image, normalizer),
            None => EvalView { image: normalizer.image(image, [1, 1]), valid: [height, width] },
        }
    }

    /// The further training sets, each as a table of its own under its dotted name.
    pub fn mixed(&self) -> impl Iterator<Item = (String, Self)> {
        self.mix.sets.iter().enumerate().map(|(i, set)| {
            let alone = Self { files: set.files.clone(), mix: Mix::default(), ..self.clone() };
            (Mix::<SetFiles>::key(i), alone)
        })
    }

    /// Height and width that every training sample is padded to at least: the size of the last crop, if there is one.
    pub fn crop_size(&self) -> Option<[usize; 2]> {
        self.augment.iter().rev().find_map(|op| match op {
            AugmentConfig::RandomCrop(crop) => Some(crop.size.map(|edge| edge as usize)),
            _ => None,
        })
    }
}

impl LoaderConfig {
    pub(crate) fn validate(&self) -> Result<(), DataError> {
        let within = |name: &str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(DataError::invalid(format!("data.loader.{name}"), format!("{low} to {high}"), value))
        };
        within("batch_size", self.batch_size, 1, 4096)?;
        within("workers", self.workers, 0, 1024)?;
        within("prefetch", self.prefetch, 1, 1024)
    }
}

impl NormalizeConfig {
    pub(crate) fn validate(&self) -> Result<(), DataError> {
        if !self.mean.iter().all(|v| v.is_finite()) {
            return Err(DataError::invalid(
                "data.normalize.mean",
                "three finite numbers",
                format!("{:?}", self.mean),
            ));
        }
        if !self.std.iter().all(|v| v.is_finite() && *v > 0.0) {
            let expected = "three numbers above 0";
            return Err(DataError::invalid("data.normalize.std", expected, format!("{:?}", self.std)));
        }
        Ok(())
    }
}

impl AugmentConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        match self {
            Self::RandomResize(cfg) => cfg.validate(key),
            Self::ResizeShortestEdge(cfg) => cfg.validate(key),
            Self::RandomCrop(cfg) => cfg.validate(key),
            Self::Flip(cfg) => probability(key, "prob", cfg.prob),
            Self::Photometric(cfg) => cfg.validate(key),
        }
    }
}

impl RandomResizeConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        match (self.scale, self.short_edge) {
            (Some(_), Some(_)) => return Err(DataError::invalid(key, "`scale` or `short_edge`", "both")),
            (Some(scale), None) => edges(key, "scale", scale)?,
            (None, Some(edge)) => edges(key, "short_edge", [edge, edge])?,
            (None, None) => {}
        }
        range(key, "ratio_range", self.ratio_range, 0.01, 100.0)
    }
}

impl RandomCropConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        edges(key, "size", self.size)?;
        probability(key, "cat_max_ratio", self.cat_max_ratio)?;
        probability(key, "class_balanced", self.class_balanced)
    }
}

impl PhotometricConfig {
    pub(crate) fn validate(&self, key: &str) -> Result<(), DataError> {
        if !(0.0..=255.0).contains(&self.brightness) {
            return Err(DataError::invalid(format!("{key}.brightness"), "0 to 255", self.brightness));
        }
        if self.hue > 90 {
            return Err(DataError::invalid(format!("{key}.hue"), "0 to 90", self.hue));
        }
        range(key, "contrast", self.contrast, 0.0, 100.0)?;
        range(key, "saturation", self.saturation, 0.0, 100.0)
    }
}

pub(crate) fn probability(key: &str, name: &str, value: f64) -> Result<(), DataError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(DataError::invalid(format!("{key}.{name}"), "a number from 0 to 1", value))
}

pub(crate) fn edges(key: &str, name: &str, value: [u32; 2]) -> Result<(), DataError> {
    if value.iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
        return Ok(());
    }
    let got = if value[0] == value[1] { value[0].to_string() } else { format!("{value:?}") };
    Err(DataError::invalid(format!("{key}.{name}"), format!("1 to {MAX_EDGE} pixels"), got))
}

pub(crate) fn range(
    key: &str,
    name: &str,
    [low, high]: [f64; 2],
    min: f64,
    max: f64,
) -> Result<(), DataError> {
    if min <= low && low <= high && high <= max {
        return Ok(());
    }
    let expected = format!("two rising numbers from {min} to {max}");
    Err(DataError::invalid(format!("{key}.{name}"), expected, format!("[{low}, {high}]")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const RECIPE: &str = r#"
root = "camvid"
ignore_label = 11
[train]
list = "train.txt"
[val]
images = "images/val"
labels = "labels/val"
[[augment]]
op = "random_resize"
ratio_range = [0.5, 1]
[[augment]]
op = "random_crop"
size = [240, 320]
[[augment]]
op = "flip"
[[augment]]
op = "photometric"
"#;

    fn config() -> DataConfig {
        toml::from_str(RECIPE).unwrap()
    }

    fn invalid(change: impl FnOnce(&mut DataConfig)) -> String {
        let mut cfg = config();
        change(&mut cfg);
        cfg.validate().unwrap_err().to_string()
    }

    #[test]
    fn defaults_and_round_trip() {
        let cfg = config();
        cfg.validate().unwrap();
        let SetFiles::Own(files) = &cfg.files else { panic!("no benchmark") };
        assert_eq!((files.classes.as_path(), files.reduce_zero_label), (Path::new("classes.json"), false));
        let loader = LoaderConfig { batch_size: 4, workers: 0, prefetch: 2, on_corrupt: OnCorrupt::Stop };
        assert_eq!(cfg.loader, loader);
        assert_eq!(cfg.crop_size(), Some([240, 320]));
        assert_eq!(cfg.augment[3], AugmentConfig::Photometric(PhotometricConfig::default()));
        let written = toml::to_string(&cfg).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&written).unwrap(), cfg, "{written}");
    }

    #[test]
    fn validation_names_the_field() {
        let loader = invalid(|c| c.loader.batch_size = 0);
        assert_eq!(loader, "`data.loader.batch_size`: expected 1 to 4096, got 0");
        let flip = invalid(|c| {
            c.augment[2] = AugmentConfig::Flip(FlipConfig { prob: 1.5, ..FlipConfig::default() });
        });
        assert_eq!(flip, "`data.augment.2.prob`: expected a number from 0 to 1, got 1.5");
        let split = invalid(|c| {
            let SetFiles::Own(files) = &mut c.files else { panic!("no benchmark") };
            files.train.images = Some("x".into());
        });
        assert_eq!(
            split,
            "`data.train`: expected `list`, or `images` and `labels`, got `list` together with folders"
        );
        let std = invalid(|c| c.normalize.std[1] = 0.0);
        assert!(std.starts_with("`data.normalize.std`: expected three numbers above 0"), "{std}");
        let nan = invalid(|c| {
            c.augment[2] = AugmentConfig::Flip(FlipConfig { prob: f64::NAN, ..FlipConfig::default() });
        });
        assert!(nan.contains("got NaN"), "{nan}");
        let resize = RandomResizeConfig { scale: None, short_edge: Some(0), ratio_range: [2.0, 0.5] };
        let edge = invalid(|c| c.augment[0] = AugmentConfig::RandomResize(resize.clone()));
        assert_eq!(edge, "`data.augment.0.short_edge`: expected 1 to 16384 pixels, got 0");
        let resize = RandomResizeConfig { short_edge: None, ..resize };
        let ratio = invalid(|c| c.augment[0] = AugmentConfig::RandomResize(resize));
        assert!(ratio.contains("`data.augment.0.ratio_range`: expected two rising numbers"), "{ratio}");
    }
}
