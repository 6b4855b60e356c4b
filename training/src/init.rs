//! `[train.init]`: a training that starts from weights instead of random values.
//!
//! The file is read once, before the first step. A run that goes on from a checkpoint has its weights there and reads the file no
//! more; its recipe still names it, so that `config.toml` and `init.json` tell where the run comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use smalti_backbones::transfer::{self, Request};
use smalti_backbones::{Anatomy, Part, Transfer};
use tch::nn::VarStore;

use crate::TrainError;
use crate::checkpoint::{Digest, digest_of};

/// The `[train.init]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitConfig {
    /// A safetensors file with smalti's names, as runs and `smalti weights convert` write them; relative to the working folder.
    pub weights: PathBuf,
    /// `all`, `all_but_classes` (all layers but those whose rows are classes) or `backbone`. Default: `all` of a file whose heads
    /// are the model's, else `backbone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Take what fits and keep the initial values of the rest, such as queries and classes of another number; `init.json` and the log
    /// list them. Default false: a file of which anything does not fit is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What `init.json` holds.
#[derive(Debug, Serialize)]
pub struct Started {
    #[serde(flatten)]
    file: Digest,
    /// What was loaded and what was not.
    #[serde(flatten)]
    pub transfer: Transfer,
}

impl InitConfig {
    /// Checks every field. Whether there is such a file is asked when a training starts: a recipe outlives it.
    pub(crate) fn validate(&self) -> Result<(), TrainError> {
        if self.weights.as_os_str().is_empty() {
            return Err(TrainError::config("train.init.weights", "a safetensors file", "an empty path"));
        }
        Ok(())
    }

    fn request(&self) -> Request {
        Request { part: self.part, partial: self.partial }
    }

    /// What [`load`](Self::load) would do, told by the file's header alone.
    ///
    /// # Errors
    /// A file that can not be read or does not fit.
    pub fn plan(&self, store: &VarStore, anatomy: &Anatomy) -> Result<Transfer, TrainError> {
        Ok(transfer::plan(store, anatomy, &self.weights, self.request())?)
    }

    /// Gives the network its weights.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); the network is unchanged then.
    pub fn load(&self, store: &VarStore, anatomy: &Anatomy) -> Result<Started, TrainError> {
        let transfer = transfer::load(store, anatomy, &self.weights, self.request())?;
        let file = digest_of(&self.weights).map_err(TrainError::io(&self.weights, "reading"))?;
        let weights = std::path::absolute(&self.weights).unwrap_or_else(|_| self.weights.clone());
        Ok(Started { file, transfer: Transfer { weights, ..transfer } })
    }
}
