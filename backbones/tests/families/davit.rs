//! `DaViT`: fields, names and numbers of parameters.

use smalti_backbones::davit::ChannelAttentionVersion;
use smalti_backbones::{BackboneConfig, DavitConfig, DavitVariant};

use crate::config::{NEITHER, refused};
use crate::parameters::{assert_builds_what_it_counts, assert_key_snapshots};

/// Parameters of the ImageNet classifiers (1000 classes), counted in timm 1.0.31 (scripts/goldens/make_davit.py prints them).
const CLASSIFIERS: [(DavitVariant, i64); 8] = [
    (DavitVariant::Tiny, 28_360_168),
    (DavitVariant::Small, 49_745_896),
    (DavitVariant::Base, 87_954_408),
    (DavitVariant::Large, 196_811_752),
    (DavitVariant::Huge, 348_922_856),
    (DavitVariant::Giant, 1_406_470_120),
    (DavitVariant::BaseFl, 91_395_048),
    (DavitVariant::HugeFl, 362_685_416),
];

fn davit(variant: DavitVariant) -> DavitConfig {
    DavitConfig { variant: Some(variant), ..DavitConfig::default() }
}

#[test]
fn classifiers_have_the_published_sizes() {
    for (variant, count) in CLASSIFIERS {
        assert_eq!(davit(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    assert_eq!(CLASSIFIERS.map(|(variant, _)| variant), DavitVariant::ALL);
}

#[test]
fn networks_have_the_parameters_they_count() {
    for (variant, depths, qkv_bias) in
        [(DavitVariant::Tiny, [1, 2, 1, 1], true), (DavitVariant::BaseFl, [1, 1, 2, 1], false)]
    {
        let depths = Some(depths.to_vec());
        let config = DavitConfig { depths, qkv_bias: Some(qkv_bias), ..davit(variant) };
        let arch = config.arch().unwrap();
        let counts = [arch.backbone_parameters(), arch.classifier_parameters(1000)];
        assert_builds_what_it_counts(&BackboneConfig::Davit(config), counts);
    }
}

#[test]
fn names_and_shapes_equal_the_snapshots() {
    let depths = || Some(vec![1, 2, 1, 1]); // shapes of further blocks repeat
    for (name, variant) in [("davit_tiny", DavitVariant::Tiny), ("davit_base_fl", DavitVariant::BaseFl)] {
        let config = DavitConfig { depths: depths(), ..davit(variant) };
        assert_key_snapshots(name, &BackboneConfig::Davit(config));
    }
}

#[test]
fn fields() {
    let refused = |config: DavitConfig| refused(&BackboneConfig::Davit(config));
    let tiny = || davit(DavitVariant::Tiny);
    assert_eq!(refused(DavitConfig::default()), format!("embed_dim: {NEITHER}"));
    for window in [0, -7, 65] {
        assert_eq!(
            refused(DavitConfig { window: Some(window), ..tiny() }),
            format!("window: expected 1 to 64, got {window}")
        );
    }
    for kernel in [1, 4] {
        assert_eq!(
            refused(DavitConfig { downsample_kernel: Some(kernel), ..tiny() }),
            format!("downsample_kernel: expected 2 or 3, got {kernel}")
        );
    }
    assert_eq!(
        refused(DavitConfig { heads: Some(vec![3, 6, 11, 24]), ..tiny() }),
        "heads: expected a divisor of stage 2's 384 channels, got 11"
    );
    assert_eq!(
        refused(DavitConfig { depths: Some(vec![1, 1, 0, 1]), ..tiny() }),
        "depths: expected 1 to 1000 blocks a stage, got [1, 1, 0, 1]"
    );
    assert_eq!(
        refused(DavitConfig { mlp_ratio: Some(0.0), ..tiny() }),
        "mlp_ratio: expected 1 / embed_dim to 64, got 0"
    );
    assert_eq!(
        refused(DavitConfig { drop_path_rate: -0.5, ..tiny() }),
        "drop_path_rate: expected 0 <= rate < 1, got -0.5"
    );
}

#[test]
fn florence_differs_in_three_fields_that_may_be_set() {
    use ChannelAttentionVersion::{V1, V2};
    let three = |config: DavitConfig| {
        let arch = config.arch().unwrap();
        (arch.window, arch.downsample_kernel, arch.channel_attention)
    };
    assert_eq!(three(davit(DavitVariant::Base)), (7, 2, V1));
    assert_eq!(three(davit(DavitVariant::BaseFl)), (12, 3, V2));
    let base = DavitConfig {
        window: Some(12),
        downsample_kernel: Some(3),
        channel_attention: Some(V2),
        ..davit(DavitVariant::Base)
    };
    assert_eq!(base.arch().unwrap(), davit(DavitVariant::BaseFl).arch().unwrap());
}

#[test]
fn recipes_parse_strictly_and_come_back() {
    let text = r#"{"family":"davit","variant":"huge_fl","channel_attention":"v1","drop_path_rate":0.1}"#;
    let config = BackboneConfig::Davit(DavitConfig {
        channel_attention: Some(ChannelAttentionVersion::V1),
        drop_path_rate: 0.1,
        ..davit(DavitVariant::HugeFl)
    });
    assert_eq!(serde_json::from_str::<BackboneConfig>(text).unwrap(), config);
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    for variant in DavitVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), format!("\"{}\"", variant.name()));
    }
    let error = serde_json::from_str::<BackboneConfig>(r#"{"family":"davit","widow":7}"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `widow`, expected one of `variant`"), "{error}");
}
