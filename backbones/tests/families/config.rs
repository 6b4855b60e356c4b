//! Every field that no network can be built from is named, with what it may be and what it was.

use smalti_backbones::{
    BackboneConfig, ConvNextConfig, ConvNextVariant, Purpose, ResNetConfig, ResNetVariant, SwinConfig,
    SwinVariant,
};
use tch::Device;
use tch::nn::VarStore;

use crate::{convnext, swin};

/// The message of building `config`; nothing may have been built.
pub fn refused(config: &BackboneConfig) -> String {
    let store = VarStore::new(Device::Cpu);
    let message = config.build(&store.root(), Purpose::Dense).expect_err("a config error").to_string();
    assert!(store.is_empty(), "{message}: built {} tensors first", store.len());
    let validated = config.validate().expect_err("a config error").to_string();
    assert_eq!(validated, message, "validate and build agree");
    message.strip_prefix("model.backbone.").expect("the field's full path").to_owned()
}

pub const NEITHER: &str = "expected a value, or a `variant` to take it from, got neither";

#[test]
fn swin_fields() {
    let refused = |config: SwinConfig| refused(&BackboneConfig::Swin(config));
    let tiny = || swin(SwinVariant::Tiny);
    let bare = || SwinConfig { embed_dim: Some(8), depths: Some(vec![1; 4]), ..SwinConfig::default() };
    assert_eq!(refused(SwinConfig::default()), format!("embed_dim: {NEITHER}"));
    assert_eq!(refused(bare()), format!("heads: {NEITHER}"));
    for window in [1, 0, -7, 65] {
        assert_eq!(
            refused(SwinConfig { window: Some(window), ..tiny() }),
            format!("window: expected 2 to 64, got {window}")
        );
    }
    assert_eq!(
        refused(SwinConfig { embed_dim: Some(0), ..tiny() }),
        "embed_dim: expected a number from 1 to 4096, got 0"
    );
    assert_eq!(
        refused(SwinConfig { heads: Some(vec![3, 5, 12, 24]), ..tiny() }),
        "heads: expected a divisor of stage 1's 192 channels, got 5"
    );
    assert_eq!(
        refused(SwinConfig { depths: Some(vec![2, 2, 6]), ..tiny() }),
        "depths: expected 4 numbers, one a stage, got [2, 2, 6]"
    );
    assert_eq!(
        refused(SwinConfig { mlp_ratio: Some(f64::NAN), ..tiny() }),
        "mlp_ratio: expected 1 / embed_dim to 64, got NaN"
    );
    assert_eq!(
        refused(SwinConfig { drop_path_rate: 1.0, ..tiny() }),
        "drop_path_rate: expected 0 <= rate < 1, got 1"
    );
    let arch = SwinConfig { window: Some(5), ..swin(SwinVariant::Large384) }.arch().unwrap();
    assert_eq!((arch.embed_dim, arch.window, arch.mlp_ratio), (192, 5, 4.0), "fields win over the variant");
    assert_eq!(swin(SwinVariant::Large384).arch().unwrap().window, 12);
}

#[test]
fn convnext_fields() {
    let refused = |config: ConvNextConfig| refused(&BackboneConfig::ConvNext(config));
    let tiny = || convnext(ConvNextVariant::Tiny);
    assert_eq!(refused(ConvNextConfig::default()), format!("embed_dim: {NEITHER}"));
    assert_eq!(
        refused(ConvNextConfig { embed_dim: Some(8), ..ConvNextConfig::default() }),
        format!("depths: {NEITHER}")
    );
    assert_eq!(
        refused(ConvNextConfig { depths: Some(vec![3, 0, 9, 3]), ..tiny() }),
        "depths: expected 1 to 1000 blocks a stage, got [3, 0, 9, 3]"
    );
    assert_eq!(
        refused(ConvNextConfig { layer_scale: Some(-1.0), ..tiny() }),
        "layer_scale: expected 0 (none) or a positive number, got -1"
    );
    assert_eq!(
        refused(ConvNextConfig { drop_path_rate: -0.1, ..tiny() }),
        "drop_path_rate: expected 0 <= rate < 1, got -0.1"
    );
    assert_eq!(tiny().arch().unwrap().layer_scale, Some(1e-6));
    assert_eq!(ConvNextConfig { layer_scale: Some(0.0), ..tiny() }.arch().unwrap().layer_scale, None);
}

#[test]
fn resnet_fields() {
    let refused = |config: ResNetConfig| refused(&BackboneConfig::ResNet(config));
    let depths = || ResNetConfig { depths: Some(vec![1; 4]), ..ResNetConfig::default() };
    assert_eq!(refused(ResNetConfig::default()), format!("depths: {NEITHER}"));
    for width in [0, 1025] {
        assert_eq!(
            refused(ResNetConfig { width: Some(width), ..depths() }),
            format!("width: expected 1 to 1024, got {width}")
        );
    }
    assert_eq!(depths().arch().unwrap().width, 64);
}

#[test]
fn recipes_parse_strictly_and_come_back() {
    let swin = BackboneConfig::Swin(SwinConfig { drop_path_rate: 0.2, ..swin(SwinVariant::Base384) });
    let resnet = BackboneConfig::ResNet(ResNetConfig {
        variant: Some(ResNetVariant::R101),
        frozen_norms: Some(false),
        ..ResNetConfig::default()
    });
    for (text, config) in [
        (r#"{"family":"swin","variant":"base_384","drop_path_rate":0.2}"#, swin),
        (
            r#"{"family":"convnext","variant":"xlarge","drop_path_rate":0.0}"#,
            BackboneConfig::ConvNext(convnext(ConvNextVariant::XLarge)),
        ),
        (r#"{"family":"resnet","variant":"101","frozen_norms":false}"#, resnet),
    ] {
        assert_eq!(serde_json::from_str::<BackboneConfig>(text).unwrap(), config);
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
    }
    for family in ["swin", "convnext", "resnet"] {
        let text = format!(r#"{{"family":"{family}","widow":7}}"#);
        let error = serde_json::from_str::<BackboneConfig>(&text).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `widow`, expected one of `variant`"), "{error}");
    }
}

#[test]
fn names_are_those_of_configs() {
    let quoted = |name: &str| format!("\"{name}\"");
    for variant in SwinVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), quoted(variant.name()));
    }
    for variant in ConvNextVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), quoted(variant.name()));
    }
    for variant in ResNetVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), quoted(variant.name()));
    }
}
