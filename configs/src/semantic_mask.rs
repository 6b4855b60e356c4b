//! A recipe of semantic segmentation with Mask2Former.

use serde::{Deserialize, Serialize};
use smalti_datasets::DataConfig;
use smalti_heads::MaskConfig;
use smalti_heads::mask::MaskLossConfig;
use smalti_heads::mask::post::SemanticMaskInferenceConfig;
use smalti_training::TrainConfig;

use crate::{ConfigError, Task};

/// Everything that decides a run of semantic segmentation with Mask2Former: the data of any semantic recipe, the network of a
/// panoptic one. A `[model.head]`, be it empty, tells it from a recipe with UperNet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticMaskRun {
    /// `semantic`.
    #[serde(default)]
    pub task: Task,
    /// Data set, loader, augmentation, sizes in evaluation.
    pub data: DataConfig,
    /// Backbone and head.
    pub model: MaskConfig,
    /// Criterion.
    #[serde(default)]
    pub loss: MaskLossConfig,
    /// Steps, optimiser, schedule.
    #[serde(default)]
    pub train: TrainConfig,
    /// How predictions are made.
    #[serde(default)]
    pub inference: SemanticMaskInferenceConfig,
}

impl SemanticMaskRun {
    /// Checks every value, and values against each other.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first key that is out of range, or two that do not fit each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.task.expect(Task::Semantic)?;
        self.data.validate()?;
        self.model.backbone.validate()?;
        self.model.head.validate()?;
        self.loss.validate()?;
        self.train.validate()?;
        self.inference.validate()?;
        match self.data.crop_size() {
            Some(size) if size.iter().any(|&side| side < 32) => Err(ConfigError::Across {
                field: "data.augment",
                expected: "random_crop of 32 pixels or more, the coarsest stride".into(),
                got: format!("{size:?}"),
            }),
            _ => Ok(()),
        }
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("config structs hold only what TOML has")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smalti_datasets::recipe::Recipe;
    use smalti_heads::SlideConfig;

    use super::*;
    use crate::AnyRun;

    const RECIPE: &str = "task = \"semantic\"\ndata = { benchmark = \"ade20k\" }\n[model]\nhead = {}\n\
                          backbone = { family = \"nat\", variant = \"nano\" }\n";

    fn read(overrides: &[&str]) -> Result<AnyRun, String> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let recipe = Recipe::from_text(RECIPE, Path::new("a.toml"), &overrides).expect("TOML");
        AnyRun::from_recipe(&recipe).map_err(|error| error.to_string())
    }

    #[test]
    fn a_head_makes_it_a_mask2former_and_it_is_shown_as_it_is_read() {
        let read = read(&["data.eval.short_edge=640", "model.head.queries=50"]).expect("a valid recipe");
        let AnyRun::SemanticMask(run) = &read else { panic!("{read:?}") };
        assert_eq!((read.task(), run.model.head.queries), (Task::Semantic, 50));
        assert_eq!(run.data.eval.as_ref().and_then(|eval| eval.short_edge), Some(640));
        let shown = Recipe::from_text(run.to_toml(), Path::new("b.toml"), &[]).expect("TOML");
        assert_eq!(AnyRun::from_recipe(&shown).expect("valid"), read);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |overrides: &[&str]| read(overrides).expect_err("refused");
        assert_eq!(
            refused(&["data.augment=[{ op = \"random_crop\", size = [16, 64] }]"]),
            "`data.augment`: expected random_crop of 32 pixels or more, the coarsest stride, got [16, 64]"
        );
        assert!(refused(&["model.decode.channels=64"]).contains("unknown key `model.decode`"));
        // Sizes are those of `data.eval`, thresholds are for segments.
        assert!(refused(&["inference.short_edge=512"]).contains("unknown key `inference.short_edge`"));
        assert!(refused(&["inference.max_instances=9"]).contains("unknown key `inference.max_instances`"));
        assert_eq!(refused(&["inference.scales=[]"]), "inference.scales: expected 1 to 16 numbers, got 0");
        assert_eq!(
            refused(&["inference.scales=[1.0, 4.5]"]),
            "inference.scales.1: expected 0.1 to 4, got 4.5"
        );
        assert_eq!(
            refused(&["inference.slide={ crop = [64, 64], stride = [64, 65] }"]),
            "inference.slide: expected crop of 32 or more and 1 <= stride <= crop, got crop [64, 64], stride [64, 65]"
        );
        assert!(refused(&["model.head.heads=7"]).contains("model.head.heads"));
        assert!(refused(&["data.eval.short_edge=0"]).contains("`data.eval.short_edge`"));
        assert!(
            refused(&[
                "data.augment=[{ op = \"resize_shortest_edge\", short_edges = [], max_long_edge = 9 }]"
            ])
            .contains("`data.augment.0.short_edges`: expected one length at least")
        );
        read(&["loss.ignore_unlabelled=true"]).expect("label maps say which pixels nobody labelled");
    }

    #[test]
    fn views_and_windows_are_read_and_shown() {
        let read = read(&[
            "inference.scales=[0.5, 1.0]",
            "inference.flip=true",
            "inference.slide={ crop = [512, 1024], stride = [256, 512] }",
        ])
        .expect("valid");
        let AnyRun::SemanticMask(run) = &read else { panic!("{read:?}") };
        let slide = Some(SlideConfig { crop: [512, 1024], stride: [256, 512] });
        let expected = SemanticMaskInferenceConfig { scales: vec![0.5, 1.0], flip: true, slide };
        assert_eq!(run.inference, expected);
        let shown = Recipe::from_text(run.to_toml(), Path::new("b.toml"), &[]).expect("TOML");
        assert_eq!(AnyRun::from_recipe(&shown).expect("valid"), read);
    }

    #[test]
    fn the_sizes_of_upernet_are_elsewhere() {
        let text = RECIPE.replace("head = {}\n", "");
        let overrides = ["data.eval.short_edge=512".to_owned()];
        let recipe = Recipe::from_text(text, Path::new("a.toml"), &overrides).expect("TOML");
        let error = AnyRun::from_recipe(&recipe).expect_err("refused").to_string();
        assert!(error.starts_with("`data.eval`: expected no such table in a recipe with UperNet"), "{error}");
    }
}
