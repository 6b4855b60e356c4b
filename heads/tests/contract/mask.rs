//! Mask2Former: shapes on every backbone, gradients, names, errors.

use std::collections::BTreeMap;

use smalti_backbones::transfer::{self, Request};
use smalti_backbones::{
    BackboneConfig, ConvNextConfig, ConvNextVariant, DatConfig, DavitConfig, DavitVariant, Dilations,
    DinatSConfig, DinatSVariant, Level, ResNetConfig, ResNetVariant, SwinConfig, SwinVariant, safetensors_io,
    weights,
};
use smalti_heads::mask::MaskHead;
use smalti_heads::{MaskConfig, MaskHeadConfig, MaskModel};
use smalti_ops::runtime::Autocast;
use smalti_ops::without_data::WithoutData;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::{CLASSES, image};

const QUERIES: i64 = 3;
const LAYERS: usize = 4;

fn head() -> MaskHeadConfig {
    MaskHeadConfig {
        channels: 8,
        mask_channels: 6,
        heads: 2,
        norm_groups: 4,
        encoder_layers: 2,
        encoder_hidden: 12,
        points: 3,
        queries: QUERIES,
        decoder_layers: LAYERS as i64,
        decoder_hidden: 10,
        place_octaves: 0,
    }
}

fn on(backbone: BackboneConfig) -> MaskConfig {
    MaskConfig { backbone, head: head(), recompute: [false; 4] }
}

/// The head on the backbone of the semantic model.
fn config() -> MaskConfig {
    on(crate::config().backbone)
}

fn build(config: &MaskConfig) -> (VarStore, MaskModel) {
    let store = VarStore::new(Device::Cpu);
    let model = MaskModel::new(&store.root(), config, CLASSES).unwrap_or_else(|error| panic!("{error}"));
    (store, model)
}

/// A small network of every family.
fn backbones() -> Vec<BackboneConfig> {
    let (depths, heads) = (Some(vec![1, 1, 1, 1]), Some(vec![1, 1, 2, 2]));
    vec![
        crate::config().backbone,
        BackboneConfig::Swin(SwinConfig {
            variant: Some(SwinVariant::Tiny),
            embed_dim: Some(4),
            depths: depths.clone(),
            heads: heads.clone(),
            ..SwinConfig::default()
        }),
        BackboneConfig::ConvNext(ConvNextConfig {
            variant: Some(ConvNextVariant::Tiny),
            embed_dim: Some(4),
            depths: depths.clone(),
            ..ConvNextConfig::default()
        }),
        BackboneConfig::ResNet(ResNetConfig {
            variant: Some(ResNetVariant::R50),
            depths: depths.clone(),
            width: Some(4),
            ..ResNetConfig::default()
        }),
        BackboneConfig::DinatS(DinatSConfig {
            variant: Some(DinatSVariant::Tiny),
            embed_dim: Some(8),
            depths: depths.clone(),
            heads: heads.clone(),
            dilations: Some(Dilations::Lists(vec![vec![1]; 4])),
            window: Some(3),
            ..DinatSConfig::default()
        }),
        BackboneConfig::Davit(DavitConfig {
            variant: Some(DavitVariant::Tiny),
            embed_dim: Some(8),
            depths,
            heads,
            ..DavitConfig::default()
        }),
        BackboneConfig::Dat(DatConfig {
            embed_dim: Some(8),
            depths: Some(vec![2, 2, 1, 1]),
            heads: Some(vec![1, 2, 4, 4]),
            groups: Some(vec![1, 1, 2, 4]),
            image_size: Some(64),
            ..DatConfig::default()
        }),
    ]
}

#[test]
fn every_backbone_carries_the_head_at_odd_sizes() {
    for backbone in backbones() {
        let (_store, model) = build(&on(backbone.clone()));
        assert_eq!(model.num_classes(), CLASSES);
        for (height, width) in [(33, 47), (64, 40)] {
            let trace = no_grad(|| model.trace(&image(2, height, width))).unwrap();
            let finest = trace.levels[0].size();
            let masks = [2, QUERIES, finest[2], finest[3]];
            assert_eq!(trace.output.mask_logits.size(), masks, "{backbone:?}");
            assert_eq!(trace.output.class_logits.size(), [2, QUERIES, CLASSES + 1]);
            assert_eq!(trace.output.aux.len(), LAYERS);
            for layer in &trace.output.aux {
                assert_eq!(layer.mask_logits.size(), masks);
                assert_eq!(layer.class_logits.size(), [2, QUERIES, CLASSES + 1]);
            }
            assert_eq!(trace.features.mask_features.size(), [2, 6, finest[2], finest[3]]);
            for (memory, level) in trace.features.memory.iter().zip(trace.levels.iter().rev()) {
                assert_eq!(memory.size(), [&[2, 8], &level.size()[2..]].concat());
            }
            assert_eq!(trace.output.mask_logits.isfinite().all().int64_value(&[]), 1, "{backbone:?}");
        }
    }
}

#[test]
fn a_trace_and_training_predict_what_evaluation_does() {
    let (_store, model) = build(&config());
    let images = image(2, 45, 70);
    let evaluated = no_grad(|| model.forward_t(&images, false)).unwrap();
    assert!(evaluated.aux.is_empty(), "only the last layer predicts in evaluation");
    assert!(evaluated.mask_logits.equal(&no_grad(|| model.forward_t(&images, false)).unwrap().mask_logits));
    let traced = no_grad(|| model.trace(&images)).unwrap().output;
    assert!(evaluated.class_logits.equal(&traced.class_logits));
    assert!(evaluated.mask_logits.equal(&traced.mask_logits));
    let trained = no_grad(|| model.forward_t(&images, true)).unwrap();
    assert_eq!(trained.aux.len(), LAYERS);
    assert!(evaluated.mask_logits.equal(&trained.mask_logits), "nothing is dropped at random");
}

/// Images of a batch do not see each other.
#[test]
fn a_batch_is_its_images() {
    let (_store, model) = build(&config());
    let images = image(2, 45, 70);
    let both = no_grad(|| model.forward_t(&images, false)).unwrap().mask_logits;
    for i in 0..2 {
        let alone = no_grad(|| model.forward_t(&images.narrow(0, i, 1), false)).unwrap().mask_logits;
        let off = (both.narrow(0, i, 1) - &alone).abs().max().double_value(&[]);
        assert!(off < 1e-4 * alone.abs().max().double_value(&[]), "image {i}: {off}");
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    let (store, model) = build(&config());
    // Untrained, these are 0, and no token depends on its place.
    for (name, mut weight) in weights::named_tensors(&store) {
        if ["sampling_offsets.weight", "attention_weights.weight"].iter().any(|end| name.ends_with(end)) {
            no_grad(|| weight.copy_(&(weight.randn_like() * 0.1)));
        }
    }
    let output = model.forward_t(&image(2, 65, 40), true).unwrap();
    let square = |logits: &Tensor| (logits * logits.sin()).sum(Kind::Float);
    let mut loss = square(&output.class_logits) + square(&output.mask_logits);
    for layer in &output.aux {
        loss += square(&layer.class_logits) + square(&layer.mask_logits);
    }
    loss.backward();
    for (name, parameter) in weights::named_tensors(&store) {
        let gradient = parameter.grad();
        assert!(gradient.defined(), "{name} has no gradient");
        let norm = gradient.norm().double_value(&[]);
        assert!(norm > 0.0 && norm.is_finite(), "gradient of {name} has norm {norm}");
    }
}

#[test]
fn the_pixel_decoder_keeps_f32_inside_autocast() {
    let (_store, model) = build(&config());
    let full = no_grad(|| model.trace(&image(1, 45, 70))).unwrap();
    let half = {
        let _autocast = Autocast::bf16(Device::Cpu).unwrap();
        let trace = no_grad(|| model.trace(&image(1, 45, 70))).unwrap();
        let product = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        assert_eq!(product.matmul(&product).kind(), Kind::BFloat16, "autocast is on again");
        trace
    };
    assert_eq!(half.features.mask_features.kind(), Kind::Float);
    assert!(half.features.memory.iter().all(|memory| memory.kind() == Kind::Float));
    assert_eq!(half.output.class_logits.kind(), Kind::BFloat16);
    let off = (half.features.mask_features - &full.features.mask_features).abs().max().double_value(&[]);
    assert!(off < 0.2 * full.features.mask_features.abs().max().double_value(&[]), "{off}");
}

/// The published sizes, built and run for shapes and numbers of parameters only; scripts/goldens/make_mask2former.py counts the
/// reference's.
#[test]
fn the_published_network_has_the_published_shapes() {
    let _mode = WithoutData::enter().unwrap();
    let store = VarStore::new(Device::Cpu);
    let swin = SwinConfig { variant: Some(SwinVariant::Tiny), ..SwinConfig::default() };
    let config = MaskConfig {
        backbone: BackboneConfig::Swin(swin),
        head: MaskHeadConfig::default(),
        recompute: [false; 4],
    };
    let model = MaskModel::new(&store.root(), &config, 133).unwrap();
    let count: usize = store
        .variables()
        .iter()
        .filter(|(name, _)| name.starts_with("sem_seg_head."))
        .map(|(_, parameter)| parameter.numel())
        .sum();
    assert_eq!(count, 19_914_566);

    let images = Tensor::zeros([2, 3, 800, 1344], (Kind::Float, Device::Cpu));
    let output = no_grad(|| model.forward_t(&images, true)).unwrap();
    assert_eq!(output.class_logits.size(), [2, 100, 134]);
    assert_eq!(output.mask_logits.size(), [2, 100, 200, 336]);
    assert_eq!(output.aux.len(), 9);
}

/// The last three levels go through the encoder, all finer ones into the pyramid.
#[test]
fn heads_follow_the_levels() {
    let sizes = [(5, [13, 9]), (7, [11, 10]), (3, [2, 4]), (4, [5, 1]), (6, [1, 1])];
    let levels = sizes.map(|(channels, _)| Level { channels, stride: 1 });
    let maps = sizes.map(|(channels, [h, w])| Tensor::randn([2, channels, h, w], (Kind::Float, Device::Cpu)));
    let store = VarStore::new(Device::Cpu);
    let new = |count: usize| MaskHead::new(&(store.root() / count), &head(), &levels[..count], CLASSES);
    for count in 3..=5 {
        let (features, output) = new(count).unwrap().forward(&maps[..count], false).unwrap();
        assert_eq!(output.mask_logits.size(), [2, QUERIES, 13, 9]);
        let [height, width] = sizes[count - 1].1;
        assert_eq!(features.memory[0].size(), [2, 8, height, width]);
    }
    let message = new(2).unwrap_err().to_string();
    assert_eq!(message, "model.backbone: expected a backbone with 3 feature levels or more, got 2");
}

#[test]
fn images_of_other_shapes_are_refused() {
    let (_store, model) = build(&config());
    for shape in [[0, 3, 64, 64], [1, 4, 64, 64], [1, 3, 0, 64]] {
        let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let expected = format!("images: expected [B, 3, H, W] with one image or more, got {shape:?}");
        assert_eq!(model.forward_t(&images, false).unwrap_err().to_string(), expected);
        assert_eq!(model.trace(&images).unwrap_err().to_string(), expected);
    }
}

#[test]
fn config_errors_name_the_field() {
    let refused = |change: fn(&mut MaskHeadConfig)| {
        let mut config = config();
        change(&mut config.head);
        let store = VarStore::new(Device::Cpu);
        MaskModel::new(&store.root(), &config, CLASSES).expect_err("a config error").to_string()
    };
    assert_eq!(refused(|c| c.queries = 0), "model.head.queries: expected 1 to 10000, got 0");
    assert_eq!(refused(|c| c.points = 65), "model.head.points: expected 1 to 64, got 65");
    assert_eq!(refused(|c| c.decoder_layers = -1), "model.head.decoder_layers: expected 1 to 100, got -1");
    assert_eq!(refused(|c| c.channels = 10), "model.head.channels: expected a multiple of 4, got 10");
    assert_eq!(refused(|c| c.heads = 3), "model.head.heads: expected a divisor of channels = 8, got 3");
    assert_eq!(
        refused(|c| c.norm_groups = 32),
        "model.head.norm_groups: expected a divisor of channels = 8, got 32"
    );
    assert_eq!(
        refused(|c| (c.channels, c.heads) = (2048, 1)),
        "model.head.heads: expected at most 1024 of 2048 channels a head, got 1"
    );
    MaskHeadConfig::default().validate().unwrap();
}

/// The authors' names (`backbone.` is checked in the backbones crate). `UPDATE_KEYS=1` rewrites the list.
/// Weights of other numbers of classes and queries: both are named, without the row of "no object"; asked for what fits, all else is
/// loaded.
#[test]
fn other_numbers_of_classes_and_queries_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    let mut bytes = Vec::new();
    let tensors = weights::named_tensors(&build(&config()).0);
    safetensors_io::write(&path, &mut bytes, &tensors, &BTreeMap::new()).expect("safetensors");
    std::fs::write(&path, bytes).expect("a file");

    let mut other = config();
    other.head.queries = QUERIES + 4;
    let store = VarStore::new(Device::Cpu);
    let model = MaskModel::new(&store.root(), &other, CLASSES + 2).expect("a network");
    let load = |partial| transfer::load(&store, &model.anatomy(), &path, Request { part: None, partial });
    let error = load(false).expect_err("other sizes").to_string();
    let classes = format!("class_embed`: expected {} classes, got {CLASSES}", CLASSES + 2);
    let queries = format!("query_feat`: expected {} queries, got {QUERIES}", QUERIES + 4);
    assert!(error.contains(&classes) && error.contains(&queries) && error.contains("--partial"), "{error}");
    let done = load(true).expect("all else fits");
    let initial: Vec<&str> =
        done.initial.iter().flat_map(|skipped| &skipped.names).map(String::as_str).collect();
    let predictor = ["class_embed.bias", "class_embed.weight", "query_embed.weight", "query_feat.weight"]
        .map(|name| format!("sem_seg_head.predictor.{name}"));
    assert_eq!(initial, predictor);
    assert_eq!(done.loaded.len() + initial.len(), tensors.len());
}

#[test]
fn names_and_shapes_equal_the_snapshot() {
    let (store, _model) = build(&config());
    crate::keys_equal_the_snapshot(&store, "mask.txt");
}
