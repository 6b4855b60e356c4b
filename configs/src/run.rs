//! The whole recipe.

use std::path::Path;

use serde::{Deserialize, Serialize};
use smalti_backbones::ModelError;
use smalti_datasets::{DataConfig, DataError, SegmentTask};
use smalti_heads::{InferenceConfig, SemanticConfig, SemanticLossConfig};
use smalti_training::{TrainConfig, TrainError};

use crate::AnyRun;

/// What the model predicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A class for every pixel.
    #[default]
    Semantic,
    /// A class for an image.
    Classification,
    /// Segments that cover the image: every countable object on its own, every material as one.
    Panoptic,
    /// Every countable object, with a score.
    Instance,
}

impl From<SegmentTask> for Task {
    fn from(task: SegmentTask) -> Self {
        match task {
            SegmentTask::Panoptic => Self::Panoptic,
            SegmentTask::Instance => Self::Instance,
        }
    }
}

impl Task {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Semantic => "semantic",
            Self::Classification => "classification",
            Self::Panoptic => "panoptic",
            Self::Instance => "instance",
        }
    }

    /// Which segments of a set it is about; of semantic segmentation and classification none.
    pub fn segments(self) -> Option<SegmentTask> {
        match self {
            Self::Semantic | Self::Classification => None,
            Self::Panoptic => Some(SegmentTask::Panoptic),
            Self::Instance => Some(SegmentTask::Instance),
        }
    }

    /// Refuses any other task.
    pub(crate) fn expect(self, expected: Self) -> Result<(), ConfigError> {
        if self == expected { Ok(()) } else { Err(self.instead_of(expected)) }
    }

    fn instead_of(self, expected: Self) -> ConfigError {
        let (expected, got) = (format!("\"{}\"", expected.name()), format!("\"{}\"", self.name()));
        ConfigError::Across { field: "task", expected, got }
    }
}

/// A recipe of semantic segmentation: everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What the model predicts. Default `semantic`.
    #[serde(default)]
    pub task: Task,
    /// Data set, loader, augmentation.
    pub data: DataConfig,
    /// Backbone and heads.
    pub model: SemanticConfig,
    /// Criterion.
    #[serde(default)]
    pub loss: SemanticLossConfig,
    /// Steps, optimiser, schedule.
    #[serde(default)]
    pub train: TrainConfig,
    /// How predictions are made.
    #[serde(default)]
    pub inference: InferenceConfig,
}

/// A recipe that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, its syntax, its keys or the types of its values; or the `[data]` table's values.
    #[error(transparent)]
    Recipe(#[from] DataError),
    /// A value of `[model]` or `[inference]`.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A value of `[train]`.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Values that do not fit each other.
    #[error("`{field}`: expected {expected}, got {got}")]
    Across {
        /// Dotted path.
        field: &'static str,
        /// What would fit.
        expected: String,
        /// What it is.
        got: String,
    },
}

impl RunConfig {
    /// Reads a recipe, applies `path=value` overrides and checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, key, expected and got; for an unknown key the nearest valid one.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        match AnyRun::load(path, overrides)? {
            AnyRun::Semantic(run) => Ok(*run),
            AnyRun::SemanticMask(_) => Err(ConfigError::Across {
                field: "model.head",
                expected: "no such table in a recipe with UperNet".into(),
                got: "one, which is Mask2Former's".into(),
            }),
            other => Err(other.task().instead_of(Task::Semantic)),
        }
    }

    /// Checks every value, and values against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.task.expect(Task::Semantic)?;
        self.data.validate()?;
        if self.data.eval.is_some() {
            return Err(ConfigError::Across {
                field: "data.eval",
                expected: "no such table in a recipe with UperNet, whose sizes are those of [inference]"
                    .into(),
                got: "one".into(),
            });
        }
        self.model.backbone.validate()?;
        self.model.decode.validate()?;
        self.inference.validate()?;
        self.train.validate()?;
        self.validate_loss()?;
        if let Some(size) = self.data.crop_size()
            && size.iter().any(|&side| side < 32)
        {
            return Err(ConfigError::Across {
                field: "data.augment",
                expected: "random_crop of 32 pixels or more, the coarsest stride".into(),
                got: format!("{size:?}"),
            });
        }
        Ok(())
    }

    fn validate_loss(&self) -> Result<(), ConfigError> {
        let bad = |field: &'static str, expected: &str, got: String| {
            Err(ConfigError::Across { field, expected: expected.into(), got })
        };
        let (power, auxiliary) = (self.loss.balance_power, self.loss.auxiliary_weight);
        if !(0.0..=1.0).contains(&power) {
            return bad("loss.balance_power", "a number from 0 to 1", power.to_string());
        }
        if !(auxiliary >= 0.0 && auxiliary.is_finite()) {
            return bad("loss.auxiliary_weight", "0 or more", auxiliary.to_string());
        }
        if let Some(weights) = &self.loss.class_weights {
            if weights.iter().any(|weight| !(*weight >= 0.0 && weight.is_finite())) {
                return bad("loss.class_weights", "numbers of 0 or more", format!("{weights:?}"));
            }
            if power != 0.0 {
                return bad(
                    "loss.balance_power",
                    "0 where `loss.class_weights` are given",
                    power.to_string(),
                );
            }
        }
        Ok(())
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("config structs hold only what TOML has")
    }
}
