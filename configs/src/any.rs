//! A recipe of whatever task it names.

use std::path::Path;

use serde::Deserialize;
use smalti_datasets::recipe::Recipe;

use crate::{ClassificationRun, ConfigError, MaskRun, RunConfig, SemanticMaskRun, Task};

/// A recipe of any task.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyRun {
    /// `task = "semantic"`, or no task: UperNet.
    Semantic(Box<RunConfig>),
    /// The same with a `[model.head]`: Mask2Former.
    SemanticMask(Box<SemanticMaskRun>),
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
            Task::Semantic if has_mask_head(recipe) => {
                let mut run: SemanticMaskRun = recipe.parse()?;
                run.data.eval.get_or_insert_default();
                run.validate()?;
                Ok(Self::SemanticMask(Box::new(run)))
            }
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
            Self::Semantic(_) | Self::SemanticMask(_) => Task::Semantic,
            Self::Classification(_) => Task::Classification,
            Self::Mask(run) => run.task,
        }
    }

    /// The recipe with every default written out.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Semantic(run) => run.to_toml(),
            Self::SemanticMask(run) => run.to_toml(),
            Self::Classification(run) => run.to_toml(),
            Self::Mask(run) => run.to_toml(),
        }
    }
}

/// Whether `[model]` has the table that says Mask2Former; UperNet's are `decode` and `auxiliary`.
fn has_mask_head(recipe: &Recipe) -> bool {
    recipe.value().get("model").is_some_and(|model| model.get("head").is_some())
}
