//! What the files beside a checkpoint tell: the network's settings, and what images it takes. Hugging Face's `config.json` and
//! `preprocessor_config.json`, timm's `config.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value as Json};
use smalti::output::InputError;
use smalti_backbones::{BackboneConfig, ModelError, catalog};
use smalti_datasets::NormalizeConfig;
use smalti_datasets::image_folder::EvalViewConfig;
use smalti_datasets::transform::antialias::Filter;
use smalti_datasets::transform::segments::SegmentEvalConfig;

/// Files beside a checkpoint, where they are there.
pub struct Beside {
    config: Option<Settings>,
    preprocessor: Option<Settings>,
}

/// What images a classifier takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    pub normalize: NormalizeConfig,
    pub eval: EvalViewConfig,
    /// What the source does to images that a recipe can not say.
    pub notes: Vec<String>,
}

impl Beside {
    pub fn read(weights: &Path) -> Result<Self> {
        let read = |name| Settings::read(weights.with_file_name(name));
        Ok(Self { config: read("config.json")?, preprocessor: read("preprocessor_config.json")? })
    }

    /// Hugging Face's settings of the network. timm's file of this name tells nothing of it that sizes do not.
    pub fn config_json(&self) -> Option<&Map<String, Json>> {
        self.config
            .as_ref()
            .map(|settings| &settings.values)
            .filter(|values| values.contains_key("model_type"))
    }

    /// The images that a classifier takes: those of its settings, else of the size that its network is published for, with
    /// ImageNet's statistics.
    pub fn inputs(&self, backbone: &BackboneConfig) -> Result<Inputs> {
        let eval = EvalViewConfig { size: usual_size(backbone)?, ..EvalViewConfig::default() };
        let mut inputs = Inputs { normalize: NormalizeConfig::default(), eval, notes: Vec::new() };
        if let Some(config) = &self.config {
            let size = config.values.get("image_size").and_then(Json::as_u64);
            if let Some(size) = size.and_then(|size| u32::try_from(size).ok()).filter(|&size| size >= 32) {
                inputs.eval.size = size;
            }
            if let Some(timm) = config.inner("pretrained_cfg") {
                inputs.follow_timm(&timm)?;
            }
        }
        if let Some(preprocessor) = &self.preprocessor {
            inputs.normalize = preprocessor.statistics()?;
            inputs.follow_transformers(preprocessor)?;
        }
        Ok(inputs)
    }
}

/// How images enter a Mask2Former: statistics, sizes, and what of the source's settings a recipe can not say.
pub type SegmentInputs = (NormalizeConfig, SegmentEvalConfig, Vec<String>);

impl Beside {
    /// The images that a Mask2Former takes: those of `preprocessor_config.json`, else at the sizes of `usual` with ImageNet's
    /// statistics.
    pub fn segment_inputs(&self, usual: SegmentEvalConfig) -> Result<SegmentInputs> {
        let (mut eval, mut notes) = (usual, Vec::new());
        let Some(settings) = &self.preprocessor else {
            return Ok((NormalizeConfig::default(), eval, notes));
        };
        if let Some(other) = settings.number("resample")?.filter(|&filter| filter != 2.0) {
            notes.push(settings.differs(&format!("has resample {other}"), "bilinear"));
        }
        let resizes = settings.flag("do_resize", true)?;
        match settings.side("size")? {
            _ if !resizes => (eval.short_edge, eval.max_long_edge) = (None, None),
            Some((edge, false)) => {
                let longest =
                    settings.inner("size").map(|size| size.number("longest_edge")).transpose()?.flatten();
                let longest = longest.or(settings.number("max_size")?);
                eval.short_edge = Some(edge);
                eval.max_long_edge = longest.map(|longest| longest as u32);
            }
            Some((_, true)) => {
                notes.push(
                    settings.differs("squeezes images to a square", "the sizes of the authors' evaluation"),
                );
            }
            None => {}
        }
        if let Some(divisor) = settings.number("size_divisor")?.filter(|&divisor| resizes && divisor >= 1.0) {
            eval.size_divisor = divisor as u32;
            let what = format!("resizes to multiples of {divisor}");
            notes.push(settings.differs(&what, "padding to them, as the authors do"));
        }
        Ok((settings.statistics()?, eval, notes))
    }
}

/// Side of the images that a network is published for.
fn usual_size(backbone: &BackboneConfig) -> Result<u32, ModelError> {
    let size = match backbone {
        BackboneConfig::Dat(config) => config.arch()?.image_size,
        other => {
            let named = catalog::variants().into_iter().find(|variant| variant.config == *other);
            named.map_or(224, |variant| variant.image_size())
        }
    };
    Ok(u32::try_from(size).unwrap_or(224))
}

impl Inputs {
    /// timm's view is ours: the shorter edge resized to `size / crop_pct`, the middle of the image.
    fn follow_timm(&mut self, settings: &Settings) -> Result<()> {
        if let Some(mean) = settings.three("mean")? {
            self.normalize.mean = mean.map(|value| (value * 255.0) as f32);
        }
        if let Some(std) = settings.three("std")? {
            self.normalize.std = std.map(|value| (value * 255.0) as f32);
        }
        if let Some([_, height, _]) = settings.three("input_size")? {
            self.eval.size = height as u32;
        }
        if let Some(share) = settings.number("crop_pct")? {
            self.eval.crop_ratio = share;
        }
        match settings.text("interpolation") {
            Some("bilinear") => self.eval.filter = Filter::Bilinear,
            Some("bicubic") | None => {}
            Some(other) => self.note(settings, &format!("resizes by \"{other}\""), "bicubic"),
        }
        match settings.text("crop_mode") {
            Some("center") | None => {}
            Some(other) => self.note(settings, &format!("has crop_mode \"{other}\""), MIDDLE),
        }
        Ok(())
    }

    /// Of transformers' ways to a square: ConvNeXt's below 384 pixels, and resizing before a cut of the middle, are ours; the
    /// others squeeze the whole image.
    fn follow_transformers(&mut self, settings: &Settings) -> Result<()> {
        match settings.number("resample")? {
            Some(2.0) => self.eval.filter = Filter::Bilinear,
            Some(3.0) | None => {}
            Some(other) => self.note(settings, &format!("has resample {other}"), "bicubic"),
        }
        let Some((edge, square)) = settings.side("size")? else { return Ok(()) };
        let kind = settings.text("image_processor_type").or(settings.text("feature_extractor_type"));
        let convnext = kind.is_some_and(|kind| kind.contains("ConvNext"));
        let crop = if settings.flag("do_center_crop", false)? { settings.side("crop_size")? } else { None };
        let squeezes = match crop {
            _ if convnext && edge < 384 => {
                self.eval.size = edge;
                self.eval.crop_ratio = settings.number("crop_pct")?.unwrap_or(224.0 / 256.0);
                false
            }
            Some((middle, _)) => {
                self.eval.size = middle;
                self.eval.crop_ratio = f64::from(middle) / f64::from(edge.max(middle));
                square
            }
            None => {
                self.eval.size = edge;
                if convnext {
                    self.eval.crop_ratio = 1.0;
                }
                true
            }
        };
        if squeezes {
            self.note(settings, "squeezes images to a square", MIDDLE);
        }
        Ok(())
    }

    fn note(&mut self, settings: &Settings, what: &str, here: &str) {
        self.notes.push(settings.differs(what, here));
    }
}

/// What a recipe's evaluation looks at.
const MIDDLE: &str = "the shorter edge resized, and the middle square";

/// A JSON object of settings, from a file.
struct Settings {
    path: PathBuf,
    values: Map<String, Json>,
}

impl Settings {
    fn read(path: PathBuf) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let wrong = || InputError::new(format!("{}: expected a JSON object of settings", path.display()));
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{}: reading failed", path.display()))?;
        let values = serde_json::from_str(&text).with_context(wrong)?;
        Ok(Some(Self { path, values }))
    }

    /// A remark about what a recipe can not say.
    fn differs(&self, what: &str, here: &str) -> String {
        let name = self.path.file_name().unwrap_or_default().display();
        format!("{name} {what}; data.eval has {here}")
    }

    fn inner(&self, key: &str) -> Option<Self> {
        let values = self.values.get(key)?.as_object()?.clone();
        Some(Self { path: self.path.clone(), values })
    }

    /// A value, if it is there and not null, as `read` reads it.
    fn value<T>(&self, key: &str, expected: &str, read: impl Fn(&Json) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.values.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let wrong =
            || InputError::new(format!("{}: `{key}`: expected {expected}, got {value}", self.path.display()));
        Ok(Some(read(value).ok_or_else(wrong)?))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(Json::as_str)
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.value(key, "true or false", Json::as_bool)?.unwrap_or(default))
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.value(key, "a number", Json::as_f64)
    }

    fn three(&self, key: &str) -> Result<Option<[f64; 3]>> {
        self.value(key, "three numbers", |value| serde_json::from_value(value.clone()).ok())
    }

    /// The side of an image: `224`, `{"shortest_edge": 224}`, or, with `true` beside it, `{"height": 224, "width": 224}`.
    fn side(&self, key: &str) -> Result<Option<(u32, bool)>> {
        let number = |value: &Json| value.as_u64().and_then(|side| u32::try_from(side).ok());
        self.value(key, "a number of pixels, or the same for height and width", |value| match value {
            Json::Object(sides) => {
                match (sides.get("shortest_edge"), sides.get("height"), sides.get("width")) {
                    (Some(edge), None, None) => Some((number(edge)?, false)),
                    (None, Some(height), Some(width)) if height == width => Some((number(height)?, true)),
                    _ => None,
                }
            }
            side => Some((number(side)?, false)),
        })
    }

    /// Mean and deviation in units of 0..255: transformers scales pixels by a factor before.
    fn statistics(&self) -> Result<NormalizeConfig> {
        let scales = self.flag("do_rescale", true)?;
        let factor = self.number("rescale_factor")?.filter(|_| scales);
        let factor = factor.unwrap_or(if scales { 1.0 / 255.0 } else { 1.0 });
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        if self.flag("do_normalize", true)? {
            mean = self.three("image_mean")?.unwrap_or(IMAGENET_MEAN);
            std = self.three("image_std")?.unwrap_or(IMAGENET_STD);
        }
        let pixels = |values: [f64; 3]| values.map(|value| (value / factor) as f32);
        Ok(NormalizeConfig { mean: pixels(mean), std: pixels(std) })
    }
}

/// Of pixels in 0..1: what transformers' processors have where a file names none.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smalti_backbones::{SwinConfig, SwinVariant};

    use super::*;

    fn settings(values: &Json) -> Option<Settings> {
        Some(Settings { path: "there/preprocessor_config.json".into(), values: values.as_object()?.clone() })
    }

    fn inputs(config: &Json, preprocessor: &Json) -> Result<Inputs> {
        let swin = SwinConfig { variant: Some(SwinVariant::Base384), ..SwinConfig::default() };
        let beside = Beside { config: settings(config), preprocessor: settings(preprocessor) };
        beside.inputs(&BackboneConfig::Swin(swin))
    }

    fn view(inputs: &Inputs) -> (u32, f64, Filter, usize) {
        (inputs.eval.size, inputs.eval.crop_ratio, inputs.eval.filter, inputs.notes.len())
    }

    #[test]
    fn the_network_tells_the_size_where_nothing_else_does() {
        let plain = inputs(&Json::Null, &Json::Null).unwrap();
        assert_eq!(
            (view(&plain), &plain.normalize),
            ((384, 0.875, Filter::Bicubic, 0), &NormalizeConfig::default())
        );
        assert_eq!(view(&inputs(&json!({"image_size": 256}), &Json::Null).unwrap()).0, 256);
    }

    #[test]
    fn transformers_ways_to_a_square() {
        let square = |side: u32| json!({"height": side, "width": side});
        let cases = [
            // Whole images squeezed.
            (json!({"size": square(224), "resample": 3}), (224, 0.875, Filter::Bicubic, 1)),
            // The shorter edge to 256, the middle 224.
            (
                json!({
                    "size": {"shortest_edge": 256}, "do_center_crop": true, "crop_size": square(224), "resample": 2,
                }),
                (224, 0.875, Filter::Bilinear, 0),
            ),
            // ConvNeXt below 384 and not.
            (
                json!({
                    "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.95,
                }),
                (224, 0.95, Filter::Bicubic, 0),
            ),
            (
                json!({
                    "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "crop_pct": null,
                }),
                (384, 1.0, Filter::Bicubic, 1),
            ),
            (json!({"size": 224, "resample": 1}), (224, 0.875, Filter::Bicubic, 2)),
        ];
        for (preprocessor, expected) in cases {
            assert_eq!(view(&inputs(&Json::Null, &preprocessor).unwrap()), expected, "{preprocessor}");
        }
        for wrong in [
            json!({"size": {"height": 1, "width": 2}}),
            json!({"image_mean": [1.0]}),
            json!({"do_rescale": 1}),
        ] {
            let error = inputs(&Json::Null, &wrong).unwrap_err().to_string();
            let key = wrong.as_object().unwrap().keys().next().unwrap();
            assert!(error.contains(&format!("preprocessor_config.json: `{key}`: expected ")), "{error}");
        }
    }

    #[test]
    fn statistics_are_of_pixels_from_0_to_255() {
        let of = |preprocessor: &Json| inputs(&Json::Null, preprocessor).unwrap().normalize;
        let imagenet = json!({
            "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD, "rescale_factor": 0.003_921_568_627_450_98,
        });
        assert_eq!(of(&imagenet), NormalizeConfig::default());
        assert_eq!(of(&json!({"do_normalize": false})), NormalizeConfig { mean: [0.0; 3], std: [255.0; 3] });
        let raw = json!({"do_rescale": false, "image_mean": [1.0, 2.0, 3.0], "image_std": [4.0, 5.0, 6.0]});
        assert_eq!(of(&raw), NormalizeConfig { mean: [1.0, 2.0, 3.0], std: [4.0, 5.0, 6.0] });
    }

    #[test]
    fn a_mask2former_s_sizes() {
        let of = |preprocessor: &Json| {
            let beside = Beside { config: None, preprocessor: settings(preprocessor) };
            let usual = SegmentEvalConfig { short_edge: Some(640), ..SegmentEvalConfig::default() };
            let (_, eval, notes) = beside.segment_inputs(usual).unwrap();
            (eval.short_edge, eval.max_long_edge, eval.size_divisor, notes.len())
        };
        let edges = json!({"shortest_edge": 800, "longest_edge": 1333});
        assert_eq!(of(&Json::Null), (Some(640), None, 32, 0));
        assert_eq!(of(&json!({"size": edges, "resample": 2})), (Some(800), Some(1333), 32, 0));
        assert_eq!(
            of(&json!({"size": 512, "max_size": 2048, "size_divisor": 64})),
            (Some(512), Some(2048), 64, 1)
        );
        assert_eq!(
            of(&json!({"size": {"height": 384, "width": 384}, "resample": 3})),
            (Some(640), None, 32, 2)
        );
        assert_eq!(of(&json!({"size": edges, "do_resize": false, "size_divisor": 64})), (None, None, 32, 0));
    }

    #[test]
    fn timm_s_settings() {
        let timm = json!({"architecture": "swin", "pretrained_cfg": {
            "input_size": [3, 256, 256], "crop_pct": 0.9, "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_mode": "squash",
        }});
        let found = inputs(&timm, &Json::Null).unwrap();
        assert_eq!(view(&found), (256, 0.9, Filter::Bilinear, 1));
        assert_eq!(found.normalize, NormalizeConfig { mean: [127.5; 3], std: [127.5; 3] });
        assert!(found.notes[0].contains("crop_mode \"squash\""), "{:?}", found.notes);
    }
}
