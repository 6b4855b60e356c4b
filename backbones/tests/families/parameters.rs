//! Names, shapes and numbers of parameters.

use std::path::Path;

use smalti_backbones::{
    BackboneConfig, Classifier, ConvNextConfig, ConvNextVariant, Purpose, ResNetConfig, ResNetVariant,
    SwinConfig, SwinVariant, weights,
};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::{build, convnext, swin};

/// Parameters of the ImageNet classifiers (1000 classes), counted in transformers 5.23.0.
const SWIN: [(SwinVariant, i64); 6] = [
    (SwinVariant::Tiny, 28_288_354),
    (SwinVariant::Small, 49_606_258),
    (SwinVariant::Base, 87_768_224),
    (SwinVariant::Base384, 87_903_584),
    (SwinVariant::Large, 196_532_476),
    (SwinVariant::Large384, 196_735_516),
];

/// The same, of ConvNeXt.
const CONVNEXT: [(ConvNextVariant, i64); 5] = [
    (ConvNextVariant::Tiny, 28_589_128),
    (ConvNextVariant::Small, 50_223_688),
    (ConvNextVariant::Base, 88_591_464),
    (ConvNextVariant::Large, 197_767_336),
    (ConvNextVariant::XLarge, 350_196_968),
];

/// The same, of ResNet, counted in torchvision 0.26.0.
const RESNET: [(ResNetVariant, i64); 2] =
    [(ResNetVariant::R50, 25_557_032), (ResNetVariant::R101, 44_549_160)];

fn resnet(variant: ResNetVariant) -> ResNetConfig {
    ResNetConfig { variant: Some(variant), ..ResNetConfig::default() }
}

#[test]
fn classifiers_have_the_published_sizes() {
    for (variant, count) in SWIN {
        assert_eq!(swin(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    for (variant, count) in CONVNEXT {
        assert_eq!(convnext(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    for (variant, count) in RESNET {
        assert_eq!(resnet(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    assert_eq!(SWIN.map(|(variant, _)| variant), SwinVariant::ALL);
    assert_eq!(CONVNEXT.map(|(variant, _)| variant), ConvNextVariant::ALL);
    assert_eq!(RESNET.map(|(variant, _)| variant), ResNetVariant::ALL);
}

/// The real tensors number what the architecture counts for the backbone and for the classifier of 1000.
pub fn assert_builds_what_it_counts(config: &BackboneConfig, [backbone, classifier]: [i64; 2]) {
    let count = |tensors: Vec<Tensor>| tensors.iter().map(|tensor| tensor.numel() as i64).sum::<i64>();
    let (store, _backbone) = build(config, Purpose::Dense);
    assert_eq!(count(store.trainable_variables()), backbone, "{config:?}");
    let store = VarStore::new(Device::Cpu);
    let _classifier = Classifier::new(&store.root(), config, 1000).expect("a valid config");
    assert_eq!(count(store.trainable_variables()), classifier, "{config:?}");
}

/// With one or two blocks a stage; deeper stages repeat blocks.
#[test]
fn networks_have_the_parameters_they_count() {
    let check = |config: BackboneConfig, backbone: i64, classifier: i64| {
        assert_builds_what_it_counts(&config, [backbone, classifier]);
    };
    for depths in [[1, 2, 1, 1], [1, 1, 2, 1]] {
        let depths = Some(depths.to_vec());
        let config = SwinConfig { depths: depths.clone(), ..swin(SwinVariant::Tiny) };
        let arch = config.arch().unwrap();
        check(BackboneConfig::Swin(config), arch.backbone_parameters(), arch.classifier_parameters(1000));
        let config = ConvNextConfig { depths: depths.clone(), ..convnext(ConvNextVariant::Tiny) };
        let arch = config.arch().unwrap();
        check(BackboneConfig::ConvNext(config), arch.backbone_parameters(), arch.classifier_parameters(1000));
        let config = ResNetConfig { depths, frozen_norms: Some(false), ..resnet(ResNetVariant::R50) };
        let arch = config.arch().unwrap();
        check(BackboneConfig::ResNet(config), arch.backbone_parameters(), arch.classifier_parameters(1000));
    }
}

/// Frozen norms are constants: present, loaded, never trained.
#[test]
fn frozen_norms_keep_their_names() {
    let names = |frozen: Option<bool>, purpose| {
        let config = ResNetConfig {
            depths: Some(vec![1, 1, 1, 1]),
            width: Some(2),
            frozen_norms: frozen,
            ..ResNetConfig::default()
        };
        let (store, _backbone) = build(&BackboneConfig::ResNet(config), purpose);
        let all: Vec<_> = weights::named_tensors(&store).into_iter().map(|(name, _)| name).collect();
        (all, store.trainable_variables().len())
    };
    // Convolutions: stem, 3 a block, 4 shortcuts; as many norms with 2 trained tensors each.
    let convolutions = 1 + 4 * 3 + 4;
    let (frozen, trained_frozen) = names(Some(true), Purpose::Dense);
    let (free, trained_free) = names(Some(false), Purpose::Dense);
    assert_eq!(frozen, free);
    assert_eq!((trained_frozen, trained_free), (convolutions, 3 * convolutions));
    assert_eq!(names(None, Purpose::Dense).1, trained_frozen, "dense prediction freezes by default");
    assert_eq!(names(None, Purpose::Classify).1, trained_free, "classification trains by default");
}

/// Committed lists of names and shapes: weights written today must load tomorrow. `UPDATE_KEYS=1` rewrites them.
#[test]
fn names_and_shapes_equal_the_snapshot() {
    let depths = || Some(vec![1, 2, 1, 1]); // shapes of further blocks repeat
    let swin = BackboneConfig::Swin(SwinConfig { depths: depths(), ..swin(SwinVariant::Tiny) });
    let convnext =
        BackboneConfig::ConvNext(ConvNextConfig { depths: depths(), ..convnext(ConvNextVariant::Tiny) });
    let resnet = BackboneConfig::ResNet(ResNetConfig { depths: depths(), ..resnet(ResNetVariant::R50) });
    for (name, config) in [("swin_tiny", swin), ("convnext_tiny", convnext), ("resnet_50", resnet)] {
        assert_key_snapshots(name, &config);
    }
}

/// Names and shapes of the dense network and of the classifier of 1000, in `keys/<name>_{dense,classifier}.txt`.
pub fn assert_key_snapshots(name: &str, config: &BackboneConfig) {
    let (store, _backbone) = build(config, Purpose::Dense);
    assert_equals_snapshot(&format!("{name}_dense"), &store);
    let store = VarStore::new(Device::Cpu);
    let _classifier = Classifier::new(&store.root(), config, 1000).expect("a valid config");
    assert_equals_snapshot(&format!("{name}_classifier"), &store);
}

fn assert_equals_snapshot(name: &str, store: &VarStore) {
    let line = |(name, tensor): &(String, Tensor)| format!("{name} {:?}", tensor.size());
    let lines: Vec<_> = weights::named_tensors(store).iter().map(line).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_KEYS").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("a writable folder");
    }
    let snapshot = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (number, (ours, committed)) in lines.iter().zip(snapshot.lines()).enumerate() {
        assert_eq!(ours, committed, "{name}, line {}", number + 1);
    }
    assert_eq!(lines.len(), snapshot.lines().count(), "{name}");
}
