//! A recipe of whatever task it names.

use std::path::Path;

use serde::Deserialize;
use smalti_datasets::recipe::Recipe;

use crate::{ClassificationRun, ConfigError, MaskRun, RunConfig, Task};

/// A recipe of any task.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyRun {
    /// `task = "semantic"`, or no task.
    Semantic(Box<RunConfig>),
    /// `task = "classification"`.
    Classification(Box<ClassificationRun>),
    /// `task = "panoptic"` or `task = "instance"`.
    Mask(Box<MaskRun>),
}

/// What is read first: it decides how the rest reads.
#[derive(Deserialize)]
struct TaskOnly {
    #[serde(default)]
    task: Task,
}

impl AnyRun {
    /// Reads a recipe, applies `path=value` overrides and checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, key, expected and got; for an unknown key the nearest valid one.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::from_recipe(&Recipe::load(path, overrides)?)
    }

    /// The same of a recipe that is read already.
    ///
    /// # Errors
    /// As [`AnyRun::load`].
    pub fn from_recipe(recipe: &Recipe) -> Result<Self, ConfigError> {
        match recipe.parse::<TaskOnly>()?.task {
            Task::Semantic => {
                let run: RunConfig = recipe.parse()?;
                run.validate()?;
                Ok(Self::Semantic(Box::new(run)))
            }
            Task::Classification => {
                let run: ClassificationRun = recipe.parse()?;
                run.validate()?;
                Ok(Self::Classification(Box::new(run)))
            }
            Task::Panoptic | Task::Instance => {
                let run: MaskRun = recipe.parse()?;
                run.validate()?;
                Ok(Self::Mask(Box::new(run)))
            }
        }
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match self {
            Self::Semantic(_) => Task::Semantic,
            Self::Classification(_) => Task::Classification,
            Self::Mask(run) => run.task,
        }
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Semantic(run) => run.to_toml(),
            Self::Classification(run) => run.to_toml(),
            Self::Mask(run) => run.to_toml(),
        }
    }
}
