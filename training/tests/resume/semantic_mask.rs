//! Semantic segmentation by Mask2Former.

use std::path::Path;
use std::sync::Arc;

use smalti_datasets::transform::segments::{ResizeShortestEdgeConfig, SegmentEvalConfig};
use smalti_datasets::{AugmentConfig, Batch, DataConfig, IGNORE, Loader, SemanticSet, SemanticSource, Split};
use smalti_heads::MaskModel;
use smalti_heads::mask::post::SemanticMaskInferenceConfig;
use smalti_heads::mask::{MaskCriterion, MaskLossConfig};
use smalti_training::{Precision, SemanticMaskTask};
use tch::{Device, nn};

use crate::mask::model;
use crate::semantic;
use crate::support::{StopAt, Trained, assert_resumes, losses, train, turn};

/// The set of semantic segmentation, resized as Mask2Former does: 48x40 images are seen as 58x48, padded to 64x64.
fn data(root: &Path) -> DataConfig {
    let mut data = semantic::data(root);
    let resize = ResizeShortestEdgeConfig {
        short_edges: vec![32, 40, 50],
        max_long_edge: 56,
        filter: smalti_datasets::transform::resize_filter::ResizeFilter::default(),
    };
    data.augment[0] = AugmentConfig::ResizeShortestEdge(resize);
    data.eval = Some(SegmentEvalConfig { short_edge: Some(48), ..SegmentEvalConfig::default() });
    data
}

fn open(data: &DataConfig, split: Split) -> Arc<SemanticSet> {
    Arc::new(SemanticSet::open(data, split, None).unwrap())
}

fn task<'a>(model: &'a MaskModel, data: &DataConfig, ignore_unlabelled: bool) -> SemanticMaskTask<'a> {
    let loss = MaskLossConfig { num_points: 64, ignore_unlabelled, ..MaskLossConfig::default() };
    SemanticMaskTask {
        model,
        criterion: MaskCriterion::new(&loss, 2).unwrap(),
        inference: SemanticMaskInferenceConfig::default(),
        precision: Precision::F32,
        device: Device::Cpu,
        validation: open(data, Split::Val),
        data: data.clone(),
    }
}

/// One process's worth of training: a fresh model, the run's folder, then the trainer.
fn start(data: &DataConfig, out: &Path, resume: bool, watch: &mut StopAt) -> Trained {
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let model = model(&store, 2);
    let task = task(&model, data, false);
    let source = SemanticSource::new(open(data, Split::Train), data);
    let result = train(&task, &store, source, &data.loader, out, resume, watch);
    (result, store)
}

#[test]
fn a_mask_classifier_of_label_maps_stopped_and_resumed_equals_one_never_stopped() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let (summary, lines) =
        assert_resumes(folder.path(), 3, |out, resume, watch| start(&data, out, resume, watch));
    assert_eq!(summary.last.metric, "mIoU");
    let last = lines.last().unwrap();
    assert!(last["mIoU"].is_number() && last["classes"]["light"]["IoU"].is_number(), "{last}");
}

#[test]
fn classes_are_targets_and_maps_without_one_are_legal() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let model = model(&store, 2);
    let source = Arc::new(SemanticSource::new(open(&data, Split::Train), &data));
    for ignore_unlabelled in [false, true] {
        let task = task(&model, &data, ignore_unlabelled);
        let mut batch: Batch = Loader::over(Arc::clone(&source), &data.loader, 3, 0).unwrap().next().unwrap();
        for (masks, fill) in [(4, None), (3, Some(1)), (2, Some(IGNORE))] {
            if let Some(label) = fill {
                batch.labels.index_axis_mut(ndarray::Axis(0), 1).fill(label);
            }
            check_losses(&task, &batch, masks, &store);
        }
        batch.labels.fill(IGNORE);
        check_losses(&task, &batch, 0, &store);
    }
}

/// Parts make up the loss, every class of every image is a mask, and all gradients are finite.
fn check_losses(task: &SemanticMaskTask<'_>, batch: &Batch, masks: usize, store: &nn::VarStore) {
    let losses = losses(task, batch);
    let part = |place: usize| losses.parts[place].1.double_value(&[]);
    let total = losses.total.double_value(&[]);
    assert!(((part(0) + part(1) + part(2)) / total - 1.0).abs() < 1e-5, "{total}");
    assert_eq!((losses.parts[3].0, part(3)), ("num_masks", masks as f64));
    assert_eq!(masks == 0, part(1) == 0.0, "no class, no mask loss");
    losses.total.backward();
    for parameter in store.trainable_variables() {
        let gradient = parameter.grad();
        assert!(!gradient.defined() || gradient.isfinite().all().int64_value(&[]) == 1);
    }
}
