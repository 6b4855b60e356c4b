//! What a Mask2Former's checkpoint does not say: of which benchmark its classes are, and with it which of them are things; and the
//! recipe that its settings become.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use smalti::output::InputError;
use smalti_configs::Task;
use smalti_datasets::recipe::Recipe;
use smalti_datasets::segment_set::SegmentBenchmark;
use smalti_datasets::transform::segments::SegmentEvalConfig;
use smalti_datasets::{ClassInfo, ClassTable, SegmentTask};
use smalti_heads::MaskHeadConfig;
use smalti_heads::mask::MaskLossConfig;

use super::beside::Beside;
use super::recipe::CLASSES_FILE;
use crate::class_names::alike;

/// Settings of the loss in a `config.json`, and ours.
const LOSS: [(&str, &str); 7] = [
    ("class_weight", "class_weight"),
    ("mask_weight", "mask_weight"),
    ("dice_weight", "dice_weight"),
    ("no_object_weight", "no_object_weight"),
    ("train_num_points", "num_points"),
    ("oversample_ratio", "oversample_ratio"),
    ("importance_sample_ratio", "importance_sample_ratio"),
];

/// A benchmark's classes as models for one of its tasks have them.
#[derive(Debug, PartialEq)]
pub struct KnownSet {
    pub benchmark: SegmentBenchmark,
    pub task: SegmentTask,
    pub classes: ClassTable,
}

/// The benchmark and task whose classes these are, by their number and, if there are any, their names.
pub fn known(names: &[String], count: usize) -> Option<KnownSet> {
    let pairs = SegmentBenchmark::ALL
        .into_iter()
        .flat_map(|benchmark| [SegmentTask::Panoptic, SegmentTask::Instance].map(|task| (benchmark, task)));
    pairs
        .map(|(benchmark, task)| KnownSet { benchmark, task, classes: benchmark.classes(task) })
        .find(|set| set.classes.len() == count && (names.is_empty() || alike(names, &set.classes)))
}

/// Names that say something: transformers numbers classes for which nobody gave any.
pub fn telling(names: Vec<String>) -> Vec<String> {
    let numbered = names.iter().all(|name| name.starts_with("LABEL_"));
    if numbered { Vec::new() } else { names }
}

/// The classes with the things and stuff of their benchmark, and where the source does not name them (`named`) its names; of no
/// benchmark that is known all are things.
pub fn with_things(classes: &ClassTable, named: bool) -> Result<ClassTable> {
    let names: Vec<String> = classes.names().filter(|_| named).map(str::to_owned).collect();
    let set = match known(&names, classes.len()) {
        Some(set) if !named => return Ok(set.classes),
        set => set,
    };
    let entry = |(id, class): (usize, &ClassInfo)| {
        let official = set.as_ref().and_then(|set| set.classes.get(id));
        let (color, is_thing) =
            official.map_or((class.color, true), |official| (official.color, official.is_thing));
        json!({"name": class.name, "color": color, "is_thing": is_thing})
    };
    let classes: Vec<Json> = classes.iter().enumerate().map(entry).collect();
    serde_json::from_value(json!({"classes": classes})).context("a class table is one with other things too")
}

/// What the report says of the task, or of things and stuff.
pub fn about_classes(classes: &ClassTable, task: Task) -> String {
    match known_of(classes) {
        _ if task == Task::Semantic => {
            "the recipe is one of semantic segmentation; --set task=panoptic makes another".to_owned()
        }
        Some(set) => {
            format!("things and stuff are those of {} {}", set.benchmark, Task::from(set.task).name())
        }
        None => "nothing tells things from stuff: all classes are things".to_owned(),
    }
}

fn known_of(classes: &ClassTable) -> Option<KnownSet> {
    let names: Vec<String> = classes.names().map(str::to_owned).collect();
    known(&names, classes.len())
}

/// What is in names of checkpoints of models for one task.
const TASKS: [Task; 3] = [Task::Semantic, Task::Panoptic, Task::Instance];

/// The task that a file, its folder or its repository in the hub's cache is named after, as Hugging Face's are
/// (`mask2former-swin-tiny-ade-semantic`): a model for semantic segmentation has the classes and tensors of a panoptic one.
fn named_task(path: &Path) -> Option<Task> {
    let mut parts = path.iter().rev();
    let (file, folder) = (parts.next(), parts.next());
    let repository = parts.next().filter(|part| *part == "snapshots").and_then(|_| parts.next());
    let named = |part: &OsStr| {
        let part = part.to_string_lossy().to_lowercase();
        TASKS.into_iter().find(|task| part.contains(task.name()))
    };
    [file, folder, repository].into_iter().flatten().find_map(named)
}

/// The task of a model: what the recipe says, else what its path names if its classes allow it, else that of its classes'
/// benchmark.
pub fn task(recipe: &Recipe, path: &Path, classes: &ClassTable) -> Task {
    let of_classes = known_of(classes).map_or(Task::Panoptic, |set| Task::from(set.task));
    match recipe.value().get("task").and_then(toml::Value::as_str) {
        Some(told) => TASKS.into_iter().find(|task| task.name() == told).unwrap_or(of_classes),
        None if of_classes == Task::Panoptic && named_task(path) == Some(Task::Semantic) => Task::Semantic,
        None => of_classes,
    }
}

/// A recipe without a model: the source's images, its classes' benchmark, the settings of the loss.
pub fn recipe(beside: &Beside, classes: &ClassTable, task: Task) -> Result<(toml::Table, Vec<String>)> {
    let set = known_of(classes);
    let (normalize, eval, notes) = beside.segment_inputs(usual_view(set.as_ref()))?;
    let value =
        |value: Result<toml::Value, toml::ser::Error>| value.context("a config holds only what TOML has");
    let mut data = toml::Table::from_iter([
        ("normalize".to_owned(), value(toml::Value::try_from(normalize))?),
        ("eval".to_owned(), value(toml::Value::try_from(eval))?),
    ]);
    if let Some(set) = set {
        let name =
            if task == Task::Semantic { set.benchmark.label_maps().name() } else { set.benchmark.name() };
        data.insert("benchmark".to_owned(), name.into());
    } else {
        data.insert("root".to_owned(), ".".into());
        if task == Task::Semantic {
            data.insert("classes".to_owned(), CLASSES_FILE.into());
        }
    }
    let mut root = toml::Table::from_iter([
        ("task".to_owned(), task.name().into()),
        ("data".to_owned(), toml::Value::Table(data)),
    ]);
    let settings = beside.config_json();
    let told = |(theirs, ours): &(&str, &str)| {
        let number = settings?.get(*theirs)?;
        let whole = number.as_i64().filter(|_| *ours == "num_points").map(toml::Value::from);
        Some(((*ours).to_owned(), whole.or_else(|| number.as_f64().map(toml::Value::from))?))
    };
    let loss: toml::Table = LOSS.iter().filter_map(told).collect();
    if !loss.is_empty() {
        root.insert("loss".to_owned(), toml::Value::Table(loss));
    }
    Ok((root, notes))
}

/// The sizes at which the authors evaluate on a benchmark, on ADE20K but for small backbones; elsewhere images keep their own.
fn usual_view(set: Option<&KnownSet>) -> SegmentEvalConfig {
    let edges = set.map(|set| match set.benchmark {
        SegmentBenchmark::Coco => (800, 1333),
        SegmentBenchmark::Cityscapes => (1024, 2048),
        SegmentBenchmark::Ade20k => (640, 2560),
    });
    let (short_edge, max_long_edge) = edges.unzip();
    SegmentEvalConfig { short_edge, max_long_edge, ..SegmentEvalConfig::default() }
}

/// Of a recipe of any of Mask2Former's tasks its criterion.
#[derive(Deserialize)]
struct WithLoss {
    #[serde(default)]
    loss: MaskLossConfig,
}

/// Hugging Face's settings of the head and of the loss; the backbone's and the labels' are others'.
pub fn config_json(head: &MaskHeadConfig, recipe: &str) -> Result<Map<String, Json>> {
    let published = MaskHeadConfig::default();
    let fixed =
        [("points", head.points, published.points), ("norm_groups", head.norm_groups, published.norm_groups)];
    if let Some((name, got, only)) = fixed.into_iter().find(|(_, got, only)| got != only) {
        let text =
            format!("`model.head.{name}`: expected {only}, which is written into transformers, got {got}");
        return Err(InputError::new(text).into());
    }
    let WithLoss { loss } = toml::from_str(recipe).context("a recipe that was written just now")?;
    let loss = serde_json::to_value(&loss).context("numbers fit into JSON")?;
    let mut settings = json!({
        "model_type": "mask2former", "architectures": ["Mask2FormerForUniversalSegmentation"],
        "activation_function": "relu", "common_stride": 4, "feature_strides": [4, 8, 16, 32], "dropout": 0.0,
        "enforce_input_projection": false, "pre_norm": false, "use_auxiliary_loss": true, "ignore_value": 255,
        "feature_size": head.channels, "hidden_dim": head.channels, "mask_feature_size": head.mask_channels,
        "num_attention_heads": head.heads, "num_queries": head.queries,
        "encoder_layers": head.encoder_layers, "encoder_feedforward_dim": head.encoder_hidden,
        // The prediction before the first layer counts as one there.
        "decoder_layers": head.decoder_layers + 1, "dim_feedforward": head.decoder_hidden,
    });
    for (theirs, ours) in LOSS {
        settings[theirs] = loss[ours].clone();
    }
    Ok(settings.as_object().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: SegmentBenchmark, task: SegmentTask) -> Vec<String> {
        set.classes(task).names().map(str::to_owned).collect()
    }

    #[test]
    fn benchmarks_are_known_by_number_and_names() {
        for benchmark in SegmentBenchmark::ALL {
            for task in [SegmentTask::Panoptic, SegmentTask::Instance] {
                let classes = benchmark.classes(task);
                for names in [Vec::new(), names(benchmark, task)] {
                    let set = known(&names, classes.len()).unwrap();
                    assert_eq!((set.benchmark, set.task), (benchmark, task));
                }
                let numbered =
                    ClassTable::from_names((0..classes.len()).map(|id| format!("class {id}"))).unwrap();
                assert_eq!(with_things(&numbered, false).unwrap(), classes);
                assert_eq!(with_things(&classes, true).unwrap(), classes);
            }
        }
        let mut other = names(SegmentBenchmark::Coco, SegmentTask::Instance);
        other[3] = "Motor Cycle".into();
        assert_eq!(known(&other, 80).unwrap().benchmark, SegmentBenchmark::Coco);
        other.reverse();
        assert_eq!(known(&other, 80), None);
        assert_eq!(known(&[], 81), None);
    }

    #[test]
    fn semantic_models_are_told_by_their_names() {
        let plain = Recipe::from_text("", Path::new("a.toml"), &[]).unwrap();
        let told =
            |task: &str| Recipe::from_text(format!("task = \"{task}\""), Path::new("a.toml"), &[]).unwrap();
        let ade20k = SegmentBenchmark::Ade20k.classes(SegmentTask::Panoptic);
        let instances = SegmentBenchmark::Ade20k.classes(SegmentTask::Instance);
        let unknown = ClassTable::from_names(["a", "b"]).unwrap();
        let hub = Path::new(
            "models--facebook--mask2former-swin-tiny-ade-semantic/snapshots/0123/model.safetensors",
        );
        let other = Path::new("semantic/mask2former-swin-large-ade-panoptic/model.safetensors");
        for (recipe, path, classes, expected) in [
            (&plain, hub, &ade20k, Task::Semantic),
            (&plain, hub, &unknown, Task::Semantic),
            (&plain, hub, &instances, Task::Instance),
            (&plain, other, &ade20k, Task::Panoptic),
            (&plain, Path::new("model_final.pkl"), &unknown, Task::Panoptic),
            (&told("semantic"), other, &ade20k, Task::Semantic),
            (&told("panoptic"), hub, &ade20k, Task::Panoptic),
        ] {
            assert_eq!(task(recipe, path, classes), expected, "{}", path.display());
        }
    }

    #[test]
    fn the_source_s_names_stay_and_things_are_the_benchmark_s() {
        let mut told = names(SegmentBenchmark::Cityscapes, SegmentTask::Panoptic);
        "SKY".clone_into(&mut told[10]);
        let classes = with_things(&ClassTable::from_names(told).unwrap(), true).unwrap();
        assert_eq!(classes.get(10).unwrap().name, "SKY");
        assert_eq!(classes.iter().filter(|class| class.is_thing).count(), 8);
        assert_eq!(
            about_classes(&classes, Task::Panoptic),
            "things and stuff are those of cityscapes panoptic"
        );
        let unknown = with_things(&ClassTable::from_names(["a", "b"]).unwrap(), true).unwrap();
        assert!(unknown.iter().all(|class| class.is_thing));
        assert!(about_classes(&unknown, Task::Panoptic).contains("all classes are things"));
        assert_eq!(telling(vec!["LABEL_0".into(), "LABEL_1".into()]), Vec::<String>::new());
    }
}
