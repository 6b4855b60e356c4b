//! Panoptic segmentation.

use std::path::Path;
use std::sync::Arc;

use smalti_datasets::recipe::Recipe;
use smalti_datasets::synth::{SynthLayout, SynthOptions, generate};
use smalti_datasets::transform::segments::SegmentBatch;
use smalti_datasets::{Loader, SegmentDataConfig, SegmentSet, SegmentSource, SegmentTask};
use smalti_heads::mask::post::MaskInferenceConfig;
use smalti_heads::mask::{MaskCriterion, MaskLossConfig};
use smalti_heads::{MaskConfig, MaskHeadConfig, MaskModel};
use smalti_training::{MaskTask, Precision, TrainBatch, TrainError};
use tch::{Device, nn, no_grad};

use crate::support::{StopAt, Trained, assert_resumes, backbone, losses, train, turn};

/// Six images to train on and three to score, of 64x64, and a recipe with every transform.
fn data(root: &Path) -> SegmentDataConfig {
    let layout = SynthLayout::default();
    let options =
        SynthOptions { out: root.to_owned(), images: 6, val_images: 3, size: (64, 64), seed: 1, layout };
    generate(&options, &|_, _| ()).unwrap();
    let split = |split: &str| {
        format!(
            "{split} = {{ images = \"{split}\", annotations = \"annotations/panoptic_{split}.json\", labels = \"panoptic_{split}\" }}"
        )
    };
    let text = format!(
        r#"
        [data]
        root = "{}"
        {}
        {}
        loader = {{ batch_size = 2, workers = 2 }}
        augment = [
            {{ op = "flip" }},
            {{ op = "large_scale_jitter", size = [48, 64], scale = [0.8, 1.25] }},
            {{ op = "photometric" }},
        ]
        "#,
        root.display(),
        split("train"),
        split("val")
    );
    Recipe::from_text(text, Path::new("recipe.toml"), &[]).unwrap().table("data").unwrap()
}

pub fn model(store: &nn::VarStore, classes: usize) -> MaskModel {
    let head = MaskHeadConfig {
        channels: 16,
        mask_channels: 16,
        heads: 2,
        norm_groups: 4,
        encoder_layers: 1,
        encoder_hidden: 16,
        points: 2,
        queries: 8,
        decoder_layers: 2,
        decoder_hidden: 16,
        place_octaves: 3,
    };
    let config = MaskConfig { backbone: backbone(), head, recompute: [true, false, false, false] };
    MaskModel::new(&store.root(), &config, classes as i64).unwrap()
}

fn task<'a>(model: &'a MaskModel, data: &SegmentDataConfig, ignore_unlabelled: bool) -> MaskTask<'a> {
    let validation =
        SegmentSet::open(data, SegmentTask::Panoptic, smalti_datasets::Split::Val, None).unwrap();
    let loss = MaskLossConfig { num_points: 64, ignore_unlabelled, ..MaskLossConfig::default() };
    MaskTask {
        model,
        criterion: MaskCriterion::new(&loss, validation.classes().len() as i64).unwrap(),
        inference: MaskInferenceConfig { object_mask_threshold: 0.05, ..MaskInferenceConfig::default() },
        precision: Precision::F32,
        device: Device::Cpu,
        validation: Arc::new(validation),
        data: data.clone(),
    }
}

fn source(data: &SegmentDataConfig) -> SegmentSource<SegmentSet> {
    let set = SegmentSet::open(data, SegmentTask::Panoptic, smalti_datasets::Split::Train, None).unwrap();
    SegmentSource::new(Arc::new(set), &data.augment, &data.normalize)
}

/// One process's worth of training: a fresh model, the run's folder, then the trainer.
fn start(data: &SegmentDataConfig, out: &Path, resume: bool, watch: &mut StopAt) -> Trained {
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let model = model(&store, 14);
    let task = task(&model, data, true);
    let result = train(&task, &store, source(data), &data.loader, out, resume, watch);
    (result, store)
}

#[test]
fn a_mask_classifier_stopped_and_resumed_equals_one_never_stopped() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let (summary, lines) =
        assert_resumes(folder.path(), 2, |out, resume, watch| start(&data, out, resume, watch));
    assert_eq!(summary.last.metric, "PQ");
    let last = lines.last().unwrap();
    assert!(last["PQ"].is_number() && last["AP"].is_number() && last["mIoU"].is_number(), "{last}");
    assert!(last["classes"]["sky"].get("PQ").is_some(), "{last}");
}

#[test]
fn a_cost_that_is_not_finite_stops_with_the_batch_saved() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let store = nn::VarStore::new(Device::Cpu);
    let model = model(&store, 14);
    let mut bias = store.variables().remove("sem_seg_head.predictor.class_embed.bias").unwrap();
    let _ = no_grad(|| bias.fill_(f64::NAN));
    let task = task(&model, &data, false);
    let out = folder.path().join("run");
    let error =
        train(&task, &store, source(&data), &data.loader, &out, false, &mut StopAt::default()).unwrap_err();
    let TrainError::NonFinite { step: 1, what, names, dump } = &error else { panic!("{error}") };
    assert!(what.starts_with("the class cost of query 0 and target 0 (decoder layer 0"), "{what}");
    let saved = smalti_backbones::safetensors_io::read(dump).unwrap();
    assert_eq!(saved.metadata["names"], names.join("\n"));
    let size = |name: &str| {
        saved.tensors.iter().find(|(found, _)| found == name).map(|(_, tensor)| tensor.size()).unwrap()
    };
    assert_eq!(size("images"), [2, 3, 48, 64]);
    assert_eq!(size("masks.1")[1..], [48, 64]);
    assert_eq!(size("classes.1")[0], size("masks.1")[0]);
}

#[test]
fn parts_of_the_loss_add_up_and_empty_images_are_legal() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let model = model(&store, 14);
    for ignore_unlabelled in [false, true] {
        let task = task(&model, &data, ignore_unlabelled);
        let mut loader = Loader::over(Arc::new(source(&data)), &data.loader, 3, 0).unwrap();
        let mut batch: SegmentBatch = loader.next().unwrap();
        assert_eq!(batch.names().len(), 2);
        for empty in 0..3 {
            if empty > 0 {
                let targets = &mut batch.targets[empty - 1];
                targets.classes.clear();
                targets.masks = ndarray::Array3::zeros((0, 48, 64));
            }
            let losses = losses(&task, &batch);
            let part = |place: usize| losses.parts[place].1.double_value(&[]);
            let total = losses.total.double_value(&[]);
            assert!(((part(0) + part(1) + part(2)) / total - 1.0).abs() < 1e-5, "{empty}: {total}");
            let masks: usize = batch.targets.iter().map(|targets| targets.classes.len()).sum();
            assert_eq!((losses.parts[3].0, part(3)), ("num_masks", masks as f64));
            assert_eq!(empty == 2, part(1) == 0.0, "no object, no mask loss");
            losses.total.backward();
            for parameter in store.trainable_variables() {
                let gradient = parameter.grad();
                assert!(!gradient.defined() || gradient.isfinite().all().int64_value(&[]) == 1);
            }
        }
    }
}
