//! What every verb of the engine begins with: device, recipe, classes, network, weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use smalti::cli::DeviceArg;
use smalti::output::{self, InputError};
use smalti_backbones::{Classifier, safetensors_io, weights};
use smalti_configs::{AnyRun, ClassificationRun, MaskRun, RunConfig, SemanticMaskRun, Task};
use smalti_datasets::image_folder::ClassFolders;
use smalti_datasets::recipe::Recipe;
use smalti_datasets::{ClassTable, ImageFolder, SegmentSet, SemanticSet, Split};
use smalti_heads::{MaskModel, SemanticModel};
use smalti_training::TrainConfig;
use tch::{Cuda, Device, nn};

/// Key of the recipe in a weights file's metadata.
pub const CONFIG_KEY: &str = "config";
/// Key of the class table in a weights file's metadata.
pub const CLASSES_KEY: &str = "classes";

/// The GPU that a launcher means for this process by `LOCAL_RANK`, else the first; the CPU if there is none.
pub fn best_device() -> Device {
    let count = if Cuda::is_available() { Cuda::device_count().max(0) as usize } else { 0 };
    let local_rank = std::env::var("LOCAL_RANK").ok().and_then(|rank| rank.parse().ok()).unwrap_or(0_usize);
    // Launchers may also show each process its own GPU only.
    local_rank.checked_rem(count).map_or(Device::Cpu, Device::Cuda)
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

/// A recipe whose network the engine can build.
pub trait Run: Sized {
    /// What tells the classes apart.
    type Classes: Serialize + DeserializeOwned;
    type Model;

    /// The recipe if it is of this task.
    ///
    /// # Errors
    /// An [`InputError`] if it is of another.
    fn of(run: AnyRun) -> Result<Self>;
    fn train(&self) -> &TrainConfig;
    fn to_toml(&self) -> String;
    /// The classes of the recipe's data set.
    fn classes(&self, data_root: Option<&Path>) -> Result<Self::Classes>;
    fn build(&self, root: &nn::Path<'_>, classes: &Self::Classes) -> Result<Self::Model>;
}

impl Run for RunConfig {
    type Classes = ClassTable;
    type Model = SemanticModel;

    fn of(run: AnyRun) -> Result<Self> {
        match run {
            AnyRun::Semantic(run) => Ok(*run),
            AnyRun::SemanticMask(_) => bail!(other_head("no such table: UperNet", "one")),
            other => bail!(other_task(Task::Semantic.name(), other.task())),
        }
    }

    fn train(&self) -> &TrainConfig {
        &self.train
    }

    fn to_toml(&self) -> String {
        Self::to_toml(self)
    }

    fn classes(&self, data_root: Option<&Path>) -> Result<ClassTable> {
        Ok(SemanticSet::class_table(&self.data, data_root)?)
    }

    fn build(&self, root: &nn::Path<'_>, classes: &ClassTable) -> Result<SemanticModel> {
        if let Some(weights) = &self.loss.class_weights
            && weights.len() != classes.len()
        {
            let text = format!(
                "`loss.class_weights`: expected {} weights, one a class, got {}",
                classes.len(),
                weights.len()
            );
            bail!(InputError::new(text));
        }
        Ok(SemanticModel::new(root, &self.model, classes.len() as i64)?)
    }
}

impl Run for SemanticMaskRun {
    type Classes = ClassTable;
    type Model = MaskModel;

    fn of(run: AnyRun) -> Result<Self> {
        match run {
            AnyRun::SemanticMask(run) => Ok(*run),
            AnyRun::Semantic(_) => bail!(other_head("one: Mask2Former", "none")),
            other => bail!(other_task(Task::Semantic.name(), other.task())),
        }
    }

    fn train(&self) -> &TrainConfig {
        &self.train
    }

    fn to_toml(&self) -> String {
        Self::to_toml(self)
    }

    fn classes(&self, data_root: Option<&Path>) -> Result<ClassTable> {
        Ok(SemanticSet::class_table(&self.data, data_root)?)
    }

    fn build(&self, root: &nn::Path<'_>, classes: &ClassTable) -> Result<MaskModel> {
        Ok(MaskModel::new(root, &self.model, classes.len() as i64)?)
    }
}

impl Run for ClassificationRun {
    type Classes = ClassFolders;
    type Model = Classifier;

    fn of(run: AnyRun) -> Result<Self> {
        match run {
            AnyRun::Classification(run) => Ok(*run),
            other => bail!(other_task(Task::Classification.name(), other.task())),
        }
    }

    fn train(&self) -> &TrainConfig {
        &self.train
    }

    fn to_toml(&self) -> String {
        Self::to_toml(self)
    }

    fn classes(&self, data_root: Option<&Path>) -> Result<ClassFolders> {
        Ok(ImageFolder::open(&self.data, Split::Val, data_root)?.classes().clone())
    }

    fn build(&self, root: &nn::Path<'_>, classes: &ClassFolders) -> Result<Classifier> {
        Ok(self.model.build(root, classes.len() as i64)?)
    }
}

impl Run for MaskRun {
    type Classes = ClassTable;
    type Model = MaskModel;

    fn of(run: AnyRun) -> Result<Self> {
        match run {
            AnyRun::Mask(run) => Ok(*run),
            other => bail!(other_task("panoptic\" or \"instance", other.task())),
        }
    }

    fn train(&self) -> &TrainConfig {
        &self.train
    }

    fn to_toml(&self) -> String {
        Self::to_toml(self)
    }

    fn classes(&self, data_root: Option<&Path>) -> Result<ClassTable> {
        Ok(SegmentSet::class_table(&self.data, self.segments(), data_root)?)
    }

    fn build(&self, root: &nn::Path<'_>, classes: &ClassTable) -> Result<MaskModel> {
        Ok(MaskModel::new(root, &self.model, classes.len() as i64)?)
    }
}

fn other_task(expected: &str, got: Task) -> InputError {
    InputError::new(format!("`task`: expected \"{expected}\", got \"{}\"", got.name()))
}

fn other_head(expected: &str, got: &str) -> InputError {
    InputError::new(format!("`model.head`: expected {expected}, got {got}"))
}

/// A network with its recipe, on a device.
pub struct TaskSession<R: Run> {
    pub config: R,
    pub classes: R::Classes,
    pub device: Device,
    pub store: nn::VarStore,
    pub model: R::Model,
}

/// A session of semantic segmentation.
pub type Session = TaskSession<RunConfig>;

impl<R: Run> TaskSession<R> {
    /// A freshly initialised network; the seed of the recipe decides its weights.
    pub fn new(config: R, classes: R::Classes) -> Result<Self> {
        let device = best_device();
        tch::manual_seed(config.train().seed as i64);
        let store = nn::VarStore::new(device);
        let model = config.build(&store.root(), &classes)?;
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
        Self::with_recipe(weights_path, find_config(weights_path, config, overrides)?, data_root)
    }

    /// The same by a recipe that was found before.
    pub fn with_recipe(weights_path: &Path, recipe: AnyRun, data_root: Option<&Path>) -> Result<Self> {
        let config = R::of(recipe)?;
        let classes = find_classes(weights_path, &config, data_root)?;
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

/// The recipe of a weights file: `given`, else the one in its metadata, else that of the run folder it lies in.
pub fn find_config(weights: &Path, given: Option<&Path>, overrides: &[String]) -> Result<AnyRun> {
    let (_, metadata) = safetensors_io::inspect(weights)?;
    if let Some(path) = given {
        return Ok(AnyRun::load(path, overrides)?);
    }
    if let Some(text) = metadata.get(CONFIG_KEY) {
        return Ok(AnyRun::from_recipe(&Recipe::from_text(text.clone(), weights, overrides)?)?);
    }
    match run_folder(weights) {
        Some(run) => Ok(AnyRun::load(&run.join("config.toml"), overrides)?),
        None => bail!(InputError::new(format!(
            "{}: says no recipe of its own, and no run folder is around it; pass --config FILE",
            weights.display()
        ))),
    }
}

fn find_classes<R: Run>(weights: &Path, config: &R, data_root: Option<&Path>) -> Result<R::Classes> {
    let (_, metadata) = safetensors_io::inspect(weights)?;
    if let Some(text) = metadata.get(CLASSES_KEY) {
        return serde_json::from_str(text).with_context(|| {
            InputError::new(format!(
                "{}: metadata `{CLASSES_KEY}`: expected a class table",
                weights.display()
            ))
        });
    }
    config.classes(data_root)
}

/// Refuses a validation set with other classes than the network has. `ids` are what the set's files call its classes. Where there are
/// as many and each name that both know is in the same place, the others have been renamed, of which is only warned.
///
/// # Errors
/// An [`InputError`] naming the weights and the classes that either lacks, or one that is in another place.
pub fn compare_classes(
    of_set: &ClassTable,
    ids: &[u32],
    of_model: &ClassTable,
    weights: &Path,
) -> Result<()> {
    let place = |table: &ClassTable, name: &str| table.names().position(|other| other == name);
    if of_set.len() != of_model.len() {
        let lacking = of_set.names().zip(ids).filter(|(name, _)| place(of_model, name).is_none());
        let lacking: Vec<String> = lacking.map(|(name, id)| format!("{id} {name:?}")).collect();
        let surplus = of_model.names().filter(|name| place(of_set, name).is_none());
        let surplus: Vec<String> = surplus.map(|name| format!("{name:?}")).collect();
        let lacks = |who: &str, classes: &[String]| {
            if classes.is_empty() { String::new() } else { format!("; {who} lacks {}", first_few(classes)) }
        };
        let lacks = lacks("the network", &lacking) + &lacks("the set", &surplus);
        let text = format!(
            "{}: expected a network for {} classes, as the validation set has, got one for {}{lacks}",
            weights.display(),
            of_set.len(),
            of_model.len()
        );
        bail!(InputError::new(text));
    }
    for (id, name) in of_set.names().enumerate() {
        if let Some(other) = place(of_model, name).filter(|&other| other != id) {
            bail!(InputError::new(format!(
                "{}: expected {name:?} as class {id}, as the validation set has it, got it as class {other}",
                weights.display()
            )));
        }
    }
    let mut differing = of_set.names().zip(of_model.names()).enumerate().filter(|(_, (a, b))| a != b);
    if let Some((id, (set, model))) = differing.next() {
        let others = match differing.count() {
            0 => String::new(),
            more => format!("; {more} other names differ too"),
        };
        output::warning(&format!(
            "class {id} is {set:?} in the validation set, {model:?} in the network{others}"
        ));
    }
    Ok(())
}

/// The first of many, and how many more there are.
fn first_few(words: &[String]) -> String {
    const FEW: usize = 8;
    let shown = words[..words.len().min(FEW)].join(", ");
    match words.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
