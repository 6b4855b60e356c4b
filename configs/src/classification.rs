//! A recipe of image classification.

use serde::{Deserialize, Serialize};
use smalti_datasets::ImageDataConfig;
use smalti_heads::{ClassificationConfig, ClassificationLossConfig};
use smalti_training::TrainConfig;

use crate::{ConfigError, Task};

/// Everything that decides a run of image classification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationRun {
    /// `classification`.
    pub task: Task,
    /// Data set, loader, augmentation, mixing, what is evaluated.
    pub data: ImageDataConfig,
    /// Backbone.
    pub model: ClassificationConfig,
    /// Criterion.
    #[serde(default)]
    pub loss: ClassificationLossConfig,
    /// Steps, optimiser, schedule.
    #[serde(default)]
    pub train: TrainConfig,
}

impl ClassificationRun {
    /// Checks every value, and values against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.task.expect(Task::Classification)?;
        self.data.validate()?;
        self.model.backbone.validate()?;
        self.loss.validate()?;
        self.train.validate()?;
        let sizes = [("data.augment", self.data.train_size()), ("data.eval.size", self.data.eval.size)];
        match sizes.into_iter().find(|(_, size)| *size < 32) {
            Some((field, size)) => Err(ConfigError::Across {
                field,
                expected: "images of 32 pixels or more, the coarsest stride".into(),
                got: size.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("config structs hold only what TOML has")
    }
}
