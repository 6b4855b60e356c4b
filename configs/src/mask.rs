//! A recipe of panoptic or instance segmentation.

use serde::{Deserialize, Serialize};
use smalti_datasets::transform::segments::crop_size;
use smalti_datasets::{SegmentDataConfig, SegmentTask};
use smalti_heads::MaskConfig;
use smalti_heads::mask::MaskLossConfig;
use smalti_heads::mask::post::MaskInferenceConfig;
use smalti_training::TrainConfig;

use crate::{ConfigError, Task};

/// Everything that decides a run of panoptic or instance segmentation with Mask2Former.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskRun {
    /// `panoptic` or `instance`: which segments of the set are learned and scored.
    pub task: Task,
    /// Data set, loader, augmentation, what is evaluated.
    pub data: SegmentDataConfig,
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
    pub inference: MaskInferenceConfig,
}

impl MaskRun {
    /// Checks every value, and values against each other.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first key that is out of range, or two that do not fit each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Some(segments) = self.task.segments() else {
            let got = format!("\"{}\"", self.task.name());
            return Err(across("task", "\"panoptic\" or \"instance\"", got));
        };
        self.data.validate(segments)?;
        self.model.backbone.validate()?;
        self.model.head.validate()?;
        self.loss.validate()?;
        self.train.validate()?;
        self.inference.validate()?;
        if let Some(size) = crop_size(&self.data.augment)
            && size.iter().any(|&side| side < 32)
        {
            let expected = "a last crop of 32 pixels or more, the coarsest stride";
            return Err(across("data.augment", expected, format!("{size:?}")));
        }
        if self.loss.ignore_unlabelled && segments == SegmentTask::Instance {
            let expected = "false: sets of instances do not say which pixels nobody labelled";
            return Err(across("loss.ignore_unlabelled", expected, "true".into()));
        }
        Ok(())
    }

    /// Which segments of the set are learned and scored.
    pub fn segments(&self) -> SegmentTask {
        self.task.segments().unwrap_or(SegmentTask::Panoptic)
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("config structs hold only what TOML has")
    }
}

fn across(field: &'static str, expected: &str, got: String) -> ConfigError {
    ConfigError::Across { field, expected: expected.into(), got }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smalti_datasets::recipe::Recipe;

    use super::*;
    use crate::AnyRun;

    const RECIPE: &str = "task = \"panoptic\"\ndata = { benchmark = \"coco\" }\nmodel.backbone = { family = \"nat\", variant = \"nano\" }\n";

    fn read(overrides: &[&str]) -> Result<MaskRun, String> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let recipe = Recipe::from_text(RECIPE, Path::new("a.toml"), &overrides).expect("TOML");
        match AnyRun::from_recipe(&recipe).map_err(|error| error.to_string())? {
            AnyRun::Mask(run) => Ok(*run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_tasks_read_and_are_shown_as_they_are_read() {
        for (name, task, segments) in [
            ("panoptic", Task::Panoptic, SegmentTask::Panoptic),
            ("instance", Task::Instance, SegmentTask::Instance),
        ] {
            let run = read(&[&format!("task={name}")]).expect("a valid recipe");
            assert_eq!((run.task, run.segments(), run.task.name()), (task, segments, name));
            let shown = Recipe::from_text(run.to_toml(), Path::new("b.toml"), &[]).expect("TOML");
            assert_eq!(AnyRun::from_recipe(&shown).expect("valid"), AnyRun::Mask(Box::new(run)));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |overrides: &[&str]| read(overrides).expect_err("refused");
        assert_eq!(
            refused(&["data.augment=[{ op = \"random_crop\", size = [16, 64] }]"]),
            "`data.augment`: expected a last crop of 32 pixels or more, the coarsest stride, got [16, 64]"
        );
        assert_eq!(
            refused(&["task=instance", "loss.ignore_unlabelled=true"]),
            "`loss.ignore_unlabelled`: expected false: sets of instances do not say which pixels nobody labelled, got true"
        );
        read(&["loss.ignore_unlabelled=true"]).expect("panoptic sets do");
        assert!(refused(&["model.head.heads=7"]).contains("model.head.heads"));
        assert!(refused(&["inference.overlap_threshold=2"]).contains("inference.overlap_threshold"));
        assert!(refused(&["loss.num_points=0"]).contains("loss.num_points"));
        assert!(refused(&["task=instances"]).contains("instance"));
    }
}
