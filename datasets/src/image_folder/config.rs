//! The `[data]` table of a classification recipe: where the images lie, how training and evaluation see them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::config::{FlipConfig, LoaderConfig, NormalizeConfig, Split, edges, probability, range};
use crate::transform::antialias::{Filter, Interpolation};

/// The `[data]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDataConfig {
    /// Folder of the set: absolute, or below `--data-root`, else `$SMALTI_DATA`, else `./data`.
    pub root: PathBuf,
    /// Folder of the training images below `root`; each folder in it is a class. Default `train`.
    #[serde(default = "default_train")]
    pub train: PathBuf,
    /// Folder of the validation images below `root`, with the same classes. Default `val`.
    #[serde(default = "default_val")]
    pub val: PathBuf,
    /// File below `root` with the classes' display names: lines `FOLDER NAME`. Default: the folders' names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<PathBuf>,
    /// Batches and threads.
    #[serde(default)]
    pub loader: LoaderConfig,
    /// Pixel statistics.
    #[serde(default)]
    pub normalize: NormalizeConfig,
    /// Training transforms, in order; the first is `random_resized_crop`.
    pub augment: Vec<ImageAugmentConfig>,
    /// Mixup and CutMix of training batches; absent = neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixConfig>,
    /// What of an image is evaluated.
    #[serde(default)]
    pub eval: EvalViewConfig,
}

/// One `[[data.augment]]` table of a classification recipe; `op` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ImageAugmentConfig {
    /// `op = "random_resized_crop"`.
    RandomResizedCrop(RandomResizedCropConfig),
    /// `op = "flip"`.
    Flip(FlipConfig),
    /// `op = "color_jitter"`.
    ColorJitter(ColorJitterConfig),
    /// `op = "rand_augment"`.
    RandAugment(RandAugmentConfig),
    /// `op = "random_erasing"`.
    RandomErasing(RandomErasingConfig),
}

/// A window of random area and aspect, resized to a square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomResizedCropConfig {
    /// Height and width of the result, in pixels. Default 224.
    pub size: u32,
    /// Limits of the window's share of the image. Default 0.08 to 1.
    pub scale: [f64; 2],
    /// Limits of the window's width over its height. Default 3/4 to 4/3.
    pub ratio: [f64; 2],
    /// `bilinear`, `bicubic`, or `random` (the default): either.
    pub interpolation: Interpolation,
}

impl Default for RandomResizedCropConfig {
    fn default() -> Self {
        Self { size: 224, scale: [0.08, 1.0], ratio: [0.75, 4.0 / 3.0], interpolation: Interpolation::Random }
    }
}

/// Random brightness, contrast, saturation and hue, in random order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitterConfig {
    /// The factor is drawn from `1 - brightness` to `1 + brightness`, 0 at least. Default 0.4.
    pub brightness: f64,
    /// The same for the distance from the mean grey. Default 0.4.
    pub contrast: f64,
    /// The same for the distance from grey. Default 0.4.
    pub saturation: f64,
    /// Hues turn by `-hue` to `hue` of the circle, at most 0.5. Default 0.
    pub hue: f64,
}

impl Default for ColorJitterConfig {
    fn default() -> Self {
        Self { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.0 }
    }
}

/// A few random changes of one strength; the default is timm's `rand-m9-mstd0.5-inc1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugmentConfig {
    /// Mean strength, 0 to 10. Default 9.
    pub magnitude: f64,
    /// Standard deviation of the strength. Default 0.5.
    pub std: f64,
    /// Changes drawn an image. Default 2.
    pub layers: u32,
    /// Probability that a change drawn is made. Default 0.5.
    pub prob: f64,
    /// How moved pixels are looked up: `bilinear`, `bicubic`, or `random` (the default): either.
    pub interpolation: Interpolation,
}

impl Default for RandAugmentConfig {
    fn default() -> Self {
        Self { magnitude: 9.0, std: 0.5, layers: 2, prob: 0.5, interpolation: Interpolation::Random }
    }
}

/// A box of the normalised image becomes noise; the last transform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasingConfig {
    /// Probability. Default 0.25.
    pub prob: f64,
    /// Limits of the box's share of the image. Default 0.02 to 1/3.
    pub area: [f64; 2],
    /// Limits of the box's height over its width. Default 0.3 to 1/0.3.
    pub ratio: [f64; 2],
}

impl Default for RandomErasingConfig {
    fn default() -> Self {
        Self { prob: 0.25, area: [0.02, 1.0 / 3.0], ratio: [0.3, 1.0 / 0.3] }
    }
}

/// The `[data.mix]` table: images of a batch are mixed in pairs, and so are their labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// Mixup's share is drawn from the beta distribution with this parameter twice; 0 = no mixup. Default 0.8.
    pub mixup: f64,
    /// The same of CutMix's box. Default 1.
    pub cutmix: f64,
    /// Probability that a batch is mixed. Default 1.
    pub prob: f64,
    /// Probability of CutMix where both are on. Default 0.5.
    pub switch_prob: f64,
}

impl Default for MixConfig {
    fn default() -> Self {
        Self { mixup: 0.8, cutmix: 1.0, prob: 1.0, switch_prob: 0.5 }
    }
}

/// The `[data.eval]` table: the shorter edge is resized to `size / crop_ratio`, the middle `size` by `size` is evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalViewConfig {
    /// Height and width, in pixels. Default 224.
    pub size: u32,
    /// Share of the resized shorter edge that is kept. Default 0.875.
    pub crop_ratio: f64,
    /// `bicubic` (the default) or `bilinear`.
    pub filter: Filter,
}

impl Default for EvalViewConfig {
    fn default() -> Self {
        Self { size: 224, crop_ratio: 0.875, filter: Filter::Bicubic }
    }
}

fn default_train() -> PathBuf {
    PathBuf::from("train")
}

fn default_val() -> PathBuf {
    PathBuf::from("val")
}

impl ImageDataConfig {
    /// Checks all values; touches no file.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the full dotted name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        if self.root.as_os_str().is_empty() {
            return Err(DataError::invalid("data.root", "a folder", "an empty path"));
        }
        if self.train == self.val {
            let both = self.train.display();
            return Err(DataError::invalid("data.val", "another folder than data.train", both));
        }
        self.loader.validate()?;
        self.normalize.validate()?;
        self.validate_augment()?;
        if let Some(mix) = &self.mix {
            mix.validate()?;
        }
        self.eval.validate()
    }

    fn validate_augment(&self) -> Result<(), DataError> {
        let Some(ImageAugmentConfig::RandomResizedCrop(_)) = self.augment.first() else {
            let got = self.augment.first().map_or("nothing", ImageAugmentConfig::op);
            return Err(DataError::invalid("data.augment.0", "op = \"random_resized_crop\" first", got));
        };
        for (i, op) in self.augment.iter().enumerate() {
            let key = format!("data.augment.{i}");
            if matches!(op, ImageAugmentConfig::RandomErasing(_)) && i + 1 < self.augment.len() {
                return Err(DataError::invalid(key, "random_erasing last", "another transform behind it"));
            }
            op.validate(&key)?;
        }
        Ok(())
    }

    /// Folder of a split below the root.
    pub fn folder(&self, split: Split) -> &Path {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }

    /// Height and width of training images: those of the last crop.
    pub fn train_size(&self) -> u32 {
        let crop = |op: &ImageAugmentConfig| match op {
            ImageAugmentConfig::RandomResizedCrop(crop) => Some(crop.size),
            _ => None,
        };
        self.augment.iter().rev().find_map(crop).unwrap_or(self.eval.size)
    }
}

impl ImageAugmentConfig {
    /// The name in recipes.
    fn op(&self) -> &'static str {
        match self {
            Self::RandomResizedCrop(_) => "random_resized_crop",
            Self::Flip(_) => "flip",
            Self::ColorJitter(_) => "color_jitter",
            Self::RandAugment(_) => "rand_augment",
            Self::RandomErasing(_) => "random_erasing",
        }
    }

    fn validate(&self, key: &str) -> Result<(), DataError> {
        match self {
            Self::RandomResizedCrop(cfg) => {
                edges(key, "size", [cfg.size, cfg.size])?;
                range(key, "scale", cfg.scale, 1e-4, 1.0)?;
                range(key, "ratio", cfg.ratio, 0.01, 100.0)
            }
            Self::Flip(cfg) => probability(key, "prob", cfg.prob),
            Self::ColorJitter(cfg) => cfg.validate(key),
            Self::RandAugment(cfg) => cfg.validate(key),
            Self::RandomErasing(cfg) => {
                probability(key, "prob", cfg.prob)?;
                range(key, "area", cfg.area, 1e-4, 1.0)?;
                range(key, "ratio", cfg.ratio, 0.01, 100.0)
            }
        }
    }
}

impl ColorJitterConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        let amounts =
            [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)];
        for (name, amount) in amounts {
            within(&format!("{key}.{name}"), amount, 0.0, 10.0)?;
        }
        within(&format!("{key}.hue"), self.hue, 0.0, 0.5)
    }
}

impl RandAugmentConfig {
    fn validate(&self, key: &str) -> Result<(), DataError> {
        within(&format!("{key}.magnitude"), self.magnitude, 0.0, 10.0)?;
        within(&format!("{key}.std"), self.std, 0.0, 10.0)?;
        if !(1..=16).contains(&self.layers) {
            return Err(DataError::invalid(format!("{key}.layers"), "1 to 16", self.layers));
        }
        probability(key, "prob", self.prob)
    }
}

impl MixConfig {
    fn validate(&self) -> Result<(), DataError> {
        within("data.mix.mixup", self.mixup, 0.0, 100.0)?;
        within("data.mix.cutmix", self.cutmix, 0.0, 100.0)?;
        probability("data.mix", "prob", self.prob)?;
        probability("data.mix", "switch_prob", self.switch_prob)
    }
}

impl EvalViewConfig {
    fn validate(&self) -> Result<(), DataError> {
        edges("data.eval", "size", [self.size, self.size])?;
        within("data.eval.crop_ratio", self.crop_ratio, 0.1, 1.0)
    }
}

fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), DataError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(DataError::invalid(field, format!("a number from {low} to {high}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
root = "imagenet"
augment = [
  { op = "random_resized_crop" },
  { op = "flip" },
  { op = "rand_augment" },
  { op = "color_jitter", hue = 0.1 },
  { op = "random_erasing" },
]
[mix]
"#;

    fn config() -> ImageDataConfig {
        toml::from_str(TABLE).unwrap()
    }

    #[test]
    fn defaults_are_the_papers() {
        let cfg = config();
        cfg.validate().unwrap();
        assert_eq!((cfg.train.as_path(), cfg.val.as_path()), (Path::new("train"), Path::new("val")));
        assert_eq!(cfg.mix, Some(MixConfig { mixup: 0.8, cutmix: 1.0, prob: 1.0, switch_prob: 0.5 }));
        assert_eq!((cfg.eval.size, cfg.eval.crop_ratio, cfg.train_size()), (224, 0.875, 224));
        assert_eq!(toml::from_str::<ImageDataConfig>(&toml::to_string(&cfg).unwrap()).unwrap(), cfg);
    }

    #[test]
    fn values_out_of_range_name_their_field() {
        let refuse = |change: &dyn Fn(&mut ImageDataConfig)| {
            let mut cfg = config();
            change(&mut cfg);
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refuse(&|c| c.val = "train".into()).contains("`data.val`"));
        let first = refuse(&|c| c.augment.clear());
        assert!(first.contains("`data.augment.0`") && first.contains("got nothing"), "{first}");
        assert!(refuse(&|c| c.augment.rotate_left(1)).contains("got flip"));
        assert!(refuse(&|c| c.augment.swap(3, 4)).contains("`data.augment.3`: expected random_erasing last"));
        assert!(refuse(&|c| c.mix.as_mut().unwrap().prob = 1.5).contains("`data.mix.prob`"));
        assert!(refuse(&|c| c.mix.as_mut().unwrap().mixup = -1.0).contains("`data.mix.mixup`"));
        assert!(refuse(&|c| c.eval.crop_ratio = 0.0).contains("`data.eval.crop_ratio`"));
        assert!(refuse(&|c| c.eval.size = 0).contains("`data.eval.size`"));
        let magnitude = |c: &mut ImageDataConfig| {
            c.augment[2] = ImageAugmentConfig::RandAugment(RandAugmentConfig {
                magnitude: 11.0,
                ..RandAugmentConfig::default()
            });
        };
        assert!(
            refuse(&magnitude).contains("`data.augment.2.magnitude`: expected a number from 0 to 10, got 11")
        );
    }

    #[test]
    fn unknown_keys_are_errors() {
        let refuse = |more: &str| {
            toml::from_str::<ImageDataConfig>(&format!("{TABLE}{more}")).unwrap_err().to_string()
        };
        assert!(refuse("mixupp = 1.0").contains("mixupp"));
        assert!(refuse("[eval]\ncrop = 1.0").contains("crop"));
    }
}
