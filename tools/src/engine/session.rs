//! What every verb of the engine begins with: device, recipe, classes, network, weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use smalti::cli::DeviceArg;
use smalti::output::InputError;
use smalti_backbones::{safetensors_io, weights};
use smalti_configs::RunConfig;
use smalti_datasets::recipe::Recipe;
use smalti_datasets::{ClassTable, DataRoot};
use smalti_heads::SemanticModel;
use tch::{Cuda, Device, nn};

/// Key of the recipe in a weights file's metadata.
pub const CONFIG_KEY: &str = "config";
/// Key of the class table in a weights file's metadata.
pub const CLASSES_KEY: &str = "classes";

/// The first GPU, else the CPU.
pub fn best_device() -> Device {
    if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
}

/// The device that the user named.
///
/// # Errors
/// An [`InputError`] if this libtorch sees no such GPU.
pub fn named_device(device: DeviceArg) -> Result<Device> {
    match device {
        DeviceArg::Auto => Ok(best_device()),
        DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda(index) => {
            let count = Cuda::device_count().max(0) as usize;
            if index >= count {
                let found = match count {
                    0 => "libtorch sees no GPU".to_owned(),
                    1 => "libtorch sees one GPU, cuda:0".to_owned(),
                    _ => format!("libtorch sees {count} GPUs, cuda:0 to cuda:{}", count - 1),
                };
                bail!(InputError::new(format!("`--device cuda:{index}`: {found}")));
            }
            Ok(Device::Cuda(index))
        }
    }
}

/// A network with its recipe, on a device.
pub struct Session {
    pub config: RunConfig,
    pub classes: ClassTable,
    pub device: Device,
    pub store: nn::VarStore,
    pub model: SemanticModel,
}

impl Session {
    /// A freshly initialised network; the seed of the recipe decides its weights.
    pub fn new(config: RunConfig, classes: ClassTable) -> Result<Self> {
        let device = best_device();
        tch::manual_seed(config.train.seed as i64);
        let store = nn::VarStore::new(device);
        let model = SemanticModel::new(&store.root(), &config.model, classes.len() as i64)?;
        if let Some(weights) = &config.loss.class_weights
            && weights.len() != classes.len()
        {
            let text = format!(
                "`loss.class_weights`: expected {} weights, one a class, got {}",
                classes.len(),
                weights.len()
            );
            bail!(InputError::new(text));
        }
        Ok(Self { config, classes, device, store, model })
    }

    /// A network with the weights of a file. Recipe and classes come from `config` if given, else from the file's own
    /// metadata, else from the run folder it lies in.
    pub fn with_weights(
        weights_path: &Path,
        config: Option<&Path>,
        overrides: &[String],
        data_root: Option<&Path>,
    ) -> Result<Self> {
        let (_, metadata) = safetensors_io::inspect(weights_path)?;
        let config = find_config(weights_path, config, &metadata, overrides)?;
        let classes = find_classes(weights_path, &metadata, &config, data_root)?;
        let session = Self::new(config, classes)?;
        weights::load(&session.store, weights_path)?;
        Ok(session)
    }

    /// Number of trainable parameters.
    pub fn parameters(&self) -> usize {
        self.store.trainable_variables().iter().map(tch::Tensor::numel).sum()
    }
}

/// `runs/x` of `runs/x/checkpoints/best.safetensors` and of `runs/x/checkpoints/step-n/model.safetensors`.
pub fn run_folder(weights: &Path) -> Option<PathBuf> {
    weights
        .ancestors()
        .skip(1)
        .take(3)
        .find(|folder| folder.join("config.toml").is_file())
        .map(Path::to_path_buf)
}

/// The recipe of weights: `given` if there is one, else that of the file's metadata, else that of the run folder around it.
pub fn find_config(
    weights: &Path,
    given: Option<&Path>,
    metadata: &BTreeMap<String, String>,
    overrides: &[String],
) -> Result<RunConfig> {
    if let Some(path) = given {
        return Ok(RunConfig::load(path, overrides)?);
    }
    if let Some(text) = metadata.get(CONFIG_KEY) {
        let config: RunConfig = Recipe::from_text(text.clone(), weights, overrides)?.parse()?;
        config.validate()?;
        return Ok(config);
    }
    match run_folder(weights) {
        Some(run) => Ok(RunConfig::load(&run.join("config.toml"), overrides)?),
        None => bail!(InputError::new(format!(
            "{}: says no recipe of its own, and no run folder is around it; pass --config FILE",
            weights.display()
        ))),
    }
}

fn find_classes(
    weights: &Path,
    metadata: &BTreeMap<String, String>,
    config: &RunConfig,
    data_root: Option<&Path>,
) -> Result<ClassTable> {
    if let Some(text) = metadata.get(CLASSES_KEY) {
        return serde_json::from_str(text).with_context(|| {
            InputError::new(format!(
                "{}: metadata `{CLASSES_KEY}`: expected a class table",
                weights.display()
            ))
        });
    }
    data_set_classes(config, data_root)
}

/// The class table of the recipe's data set.
pub fn data_set_classes(config: &RunConfig, data_root: Option<&Path>) -> Result<ClassTable> {
    let root = DataRoot::new(data_root).resolve(&config.data.root)?;
    Ok(ClassTable::load(&root.join(&config.data.classes))?)
}
