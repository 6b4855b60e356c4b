//! Semantic segmentation.

use std::path::Path;
use std::sync::Arc;

use smalti_backbones::{Anatomy, ClassifierEnd};
use smalti_datasets::recipe::Recipe;
use smalti_datasets::{Batch, DataConfig, SemanticSet, SemanticSource, Split};
use smalti_heads::{FcnConfig, InferenceConfig, SemanticConfig, SemanticLoss, SemanticModel, UperConfig};
use smalti_ops::copies::HostArray;
use smalti_training::task::{EvalProgress, Losses, Task};
use smalti_training::{Evaluation, OnNonFinite, Precision, SemanticTask, TrainError};
use tch::{Device, nn};

use crate::support::{StopAt, Trained, assert_resumes, assert_same, backbone, log, train, turn};

/// Six 48x40 images whose label is their colour, and a recipe over them.
pub fn data(root: &Path) -> DataConfig {
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("classes.txt"), "dark\nlight\n").unwrap();
    for i in 0..6u32 {
        let light = |x: u32, y: u32| (x / 8 + y / 8 + i) % 2 == 1;
        let image = image::RgbImage::from_fn(48, 40, |x, y| {
            let value = if light(x, y) { 200 } else { 40 };
            image::Rgb([value, value.wrapping_add((x + i) as u8), (y * 3) as u8])
        });
        let labels = image::GrayImage::from_fn(48, 40, |x, y| image::Luma([u8::from(light(x, y))]));
        image.save(root.join(format!("images/{i}.png"))).unwrap();
        labels.save(root.join(format!("labels/{i}.png"))).unwrap();
    }
    let text = format!(
        r#"
        [data]
        root = "{}"
        classes = "classes.txt"
        train = {{ images = "images", labels = "labels" }}
        val = {{ images = "images", labels = "labels" }}
        loader = {{ batch_size = 2, workers = 2 }}
        augment = [
            {{ op = "random_resize", ratio_range = [0.8, 1.2] }},
            {{ op = "random_crop", size = [32, 32] }},
            {{ op = "flip" }},
            {{ op = "photometric" }},
        ]
        "#,
        root.display()
    );
    Recipe::from_text(text, Path::new("recipe.toml"), &[]).unwrap().table("data").unwrap()
}

fn model_config() -> SemanticConfig {
    SemanticConfig {
        backbone: backbone(),
        decode: UperConfig { channels: 8, ..UperConfig::default() },
        auxiliary: Some(FcnConfig { channels: 8, ..FcnConfig::default() }),
        recompute: [false; 4],
    }
}

fn source(data: &DataConfig) -> SemanticSource {
    SemanticSource::new(Arc::new(SemanticSet::open(data, Split::Train, None).unwrap()), data)
}

/// One process's worth of training: a fresh model, the run's folder, then the trainer.
fn start(data: &DataConfig, out: &Path, resume: bool, watch: &mut StopAt) -> Trained {
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let model = SemanticModel::new(&store.root(), &model_config(), 2).unwrap();
    let open = |split| Arc::new(SemanticSet::open(data, split, None).unwrap());
    let task = SemanticTask {
        model: &model,
        loss: SemanticLoss::new(0.4, None, Device::Cpu),
        inference: InferenceConfig::default(),
        precision: Precision::F32,
        device: Device::Cpu,
        validation: open(Split::Val),
        data: data.clone(),
    };
    let result = train(&task, &store, source(data), &data.loader, out, resume, watch);
    (result, store)
}

#[test]
fn stopped_and_resumed_equals_never_stopped() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let _ = assert_resumes(folder.path(), 3, |out, resume, watch| start(&data, out, resume, watch));
}

/// A file that can not be read stops the run at its batch, not at the one before, whose step is done and saved.
#[test]
fn an_error_of_a_batch_read_ahead_waits_for_its_turn() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let run = |ahead: bool| {
        let root = folder.path().join(format!("set-{ahead}"));
        let data = data(&root);
        let source = source(&data);
        // In the six images of an epoch, two a batch, it comes in one of the first three steps.
        std::fs::write(root.join("images/3.png"), "no image").unwrap();
        let store = nn::VarStore::new(Device::Cpu);
        let weight = store.root().var("weight", &[2], nn::Init::Const(1.0));
        let task = Poisoned { steps: std::cell::Cell::default(), broken: false, weight };
        let out = folder.path().join(format!("run-{ahead}"));
        let mut watch = StopAt { ahead, ..StopAt::default() };
        let error = train(&task, &store, source, &data.loader, &out, false, &mut watch).unwrap_err();
        assert!(matches!(error, TrainError::Data(_)), "{error}");
        (task.steps.get(), out.join("checkpoints/step-0000002").is_dir(), store)
    };
    let ((steps, saved, store), (steps_ahead, saved_ahead, store_ahead)) = (run(false), run(true));
    assert!(steps > 0, "the seed has the file in a later batch than the first");
    assert_eq!((steps, saved), (steps_ahead, saved_ahead));
    assert_same(&store, &store_ahead);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said_so() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let (_, whole) = start(&data, &folder.path().join("whole"), false, &mut StopAt::default());
    let out = folder.path().join("killed");
    let _ = start(&data, &out, false, &mut StopAt { after_step: Some(6), ..StopAt::default() });
    let newest = out.join("checkpoints/step-0000006/model.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();

    let mut watch = StopAt::default();
    let (resumed, store) = start(&data, &out, true, &mut watch);
    resumed.unwrap();
    assert!(watch.notes[0].contains("step-0000006 is damaged (model.safetensors"), "{:?}", watch.notes);
    assert!(watch.notes[0].contains("using step-0000004"), "{:?}", watch.notes);
    assert_same(&store, &whole);
    assert_eq!(log(&out), log(&folder.path().join("whole")));
}

#[test]
fn a_run_folder_is_not_overwritten() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let out = folder.path().join("run");
    let _ = start(&data, &out, false, &mut StopAt { after_step: Some(1), ..StopAt::default() });
    let (again, _) = start(&data, &out, false, &mut StopAt::default());
    assert!(again.unwrap_err().to_string().contains("pass --resume"));
}

/// Its loss is NaN at the third step, and if it is broken at all later ones.
struct Poisoned {
    steps: std::cell::Cell<u32>,
    broken: bool,
    weight: tch::Tensor,
}

impl Task for Poisoned {
    type Source = SemanticSource;

    fn anatomy(&self) -> Anatomy {
        Anatomy::new(ClassifierEnd::Pool { head: "fc" }, vec![])
    }

    fn arrays(_: &Batch) -> Vec<HostArray<'_>> {
        vec![]
    }

    fn losses(&self, _: &Batch, _: Vec<tch::Tensor>) -> Result<Losses, TrainError> {
        self.steps.set(self.steps.get() + 1);
        let step = self.steps.get();
        let factor = if step == 3 || (self.broken && step > 3) { f64::NAN } else { 1.0 };
        let total = (&self.weight * factor).sum(tch::Kind::Float);
        Ok(Losses { parts: vec![("loss_decode", total.shallow_clone())], total })
    }

    fn evaluate(&self, _: &mut EvalProgress<'_>) -> Result<Option<Evaluation>, TrainError> {
        Ok(Some(Evaluation { metric: "mIoU", score: 0.5, record: serde_json::Map::new() }))
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_with_the_batch_saved() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let store = nn::VarStore::new(Device::Cpu);
    let weight = store.root().var("weight", &[2], nn::Init::Const(1.0));
    let task = Poisoned { steps: std::cell::Cell::default(), broken: false, weight };
    let out = folder.path().join("run");
    let error =
        train(&task, &store, source(&data), &data.loader, &out, false, &mut StopAt::default()).unwrap_err();
    let TrainError::NonFinite { step: 3, what, names, dump } = &error else { panic!("{error}") };
    assert_eq!((what.as_str(), names.len()), ("loss_decode", 2));
    let saved = smalti_backbones::safetensors_io::read(dump).unwrap();
    assert_eq!(saved.metadata["names"], names.join("\n"));
    assert_eq!(saved.tensors[0].1.size(), [2, 3, 32, 32]);
    assert_eq!(error.exit_code(), 1);
    // Nothing of the bad step reached a checkpoint.
    assert!(out.join("checkpoints/step-0000002").is_dir());
    assert!(!out.join("checkpoints/step-0000003").exists());
}

#[test]
fn a_loss_that_is_not_finite_may_be_skipped() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let run = |broken: bool, name: &str, watch: &mut StopAt| {
        let store = nn::VarStore::new(Device::Cpu);
        let weight = store.root().var("weight", &[2], nn::Init::Const(1.0));
        let task = Poisoned { steps: std::cell::Cell::default(), broken, weight };
        train(&task, &store, source(&data), &data.loader, &folder.path().join(name), false, watch)
    };
    let skipping = || StopAt { on_non_finite: OnNonFinite::SkipBatch, ..StopAt::default() };
    let mut watch = skipping();
    run(false, "once", &mut watch).unwrap();
    assert_eq!(watch.notes.len(), 1, "{:?}", watch.notes);
    assert!(watch.notes[0].starts_with("step 3: loss_decode is not finite, the batch is skipped; images: "));
    // Four in a row are borne, the fifth stops the run.
    let mut watch = skipping();
    let error = run(true, "broken", &mut watch).unwrap_err();
    assert_eq!(watch.notes.len(), 4, "{:?}", watch.notes);
    assert!(matches!(error, TrainError::NonFinite { step: 7, .. }), "{error}");
}
