//! `DiNAT_s`: fields, names and numbers of parameters.

use smalti_backbones::{BackboneConfig, DilationPreset, Dilations, DinatSConfig, DinatSVariant};

use crate::config::{NEITHER, refused};
use crate::parameters::{assert_builds_what_it_counts, assert_key_snapshots};

/// Parameters of the ImageNet classifiers, counted in the authors' own classes (scripts/goldens/make_dinat_s.py prints them).
const CLASSIFIERS: [(DinatSVariant, i64); 4] = [
    (DinatSVariant::Tiny, 28_288_354),
    (DinatSVariant::Small, 49_606_258),
    (DinatSVariant::Base, 87_768_224),
    (DinatSVariant::Large, 196_532_476),
];

fn dinat_s(variant: DinatSVariant) -> DinatSConfig {
    DinatSConfig { variant: Some(variant), ..DinatSConfig::default() }
}

#[test]
fn classifiers_have_the_published_sizes() {
    for (variant, count) in CLASSIFIERS {
        assert_eq!(dinat_s(variant).arch().unwrap().classifier_parameters(1000), count, "{variant:?}");
    }
    assert_eq!(CLASSIFIERS.map(|(variant, _)| variant), DinatSVariant::ALL);
}

#[test]
fn networks_have_the_parameters_they_count() {
    for (depths, window) in [([1, 2, 1, 1], 7), ([1, 1, 2, 1], 5)] {
        let (depths, window) = (Some(depths.to_vec()), Some(window));
        let config = DinatSConfig { depths, window, ..dinat_s(DinatSVariant::Tiny) };
        let arch = config.arch().unwrap();
        let counts = [arch.backbone_parameters(), arch.classifier_parameters(1000)];
        assert_builds_what_it_counts(&BackboneConfig::DinatS(config), counts);
    }
}

#[test]
fn names_and_shapes_equal_the_snapshots() {
    let config = DinatSConfig { depths: Some(vec![1, 2, 1, 1]), ..dinat_s(DinatSVariant::Tiny) };
    assert_key_snapshots("dinat_s_tiny", &BackboneConfig::DinatS(config));
}

#[test]
fn fields() {
    let refused = |config: DinatSConfig| refused(&BackboneConfig::DinatS(config));
    let tiny = || dinat_s(DinatSVariant::Tiny);
    assert_eq!(refused(DinatSConfig::default()), format!("embed_dim: {NEITHER}"));
    for window in [1, 8, 15] {
        assert_eq!(
            refused(DinatSConfig { window: Some(window), ..tiny() }),
            format!("window: expected an odd number from 3 to 13, got {window}")
        );
    }
    assert_eq!(
        refused(DinatSConfig { heads: Some(vec![3, 6, 12]), ..tiny() }),
        "heads: expected 4 numbers, one a stage, got [3, 6, 12]"
    );
    assert_eq!(
        refused(DinatSConfig { dilations: Some(Dilations::Lists(vec![vec![1, 2]; 4])), ..tiny() }),
        "dilations: expected a list a stage with as many dilations of 1 to 256 as blocks, [2, 2, 6, 2], got [[1, 2], \
         [1, 2], [1, 2], [1, 2]]"
    );
    assert_eq!(
        refused(DinatSConfig { dilations: Some(Dilations::Preset(DilationPreset::Mask2former)), ..tiny() }),
        "dilations: expected lists, or one of classification_224, classification_384, uper_512, uper_640, got mask2former"
    );
    assert_eq!(
        refused(DinatSConfig { depths: Some(vec![2, 3, 6, 2]), ..tiny() }),
        "dilations: expected lists: classification_224 has dilations for at most [2, 2, 18, 2] blocks, got \
         classification_224 and depths [2, 3, 6, 2]"
    );
}

#[test]
fn dilation_presets() {
    let dilations = |variant, preset| {
        let dilations = Some(Dilations::Preset(preset));
        DinatSConfig { dilations, ..dinat_s(variant) }.arch().unwrap().dilations
    };
    for (preset, first, second, third, fourth) in [
        (DilationPreset::Classification224, 8, 4, [1, 2, 1, 2, 1, 2], 1),
        (DilationPreset::Classification384, 13, 6, [1, 3, 1, 3, 1, 3], 1),
        (DilationPreset::Uper512, 16, 8, [1, 2, 1, 3, 1, 4], 2),
        (DilationPreset::Uper640, 20, 10, [1, 2, 1, 3, 1, 4], 2),
    ] {
        let expected = [vec![1, first], vec![1, second], third.to_vec(), vec![1, fourth]];
        assert_eq!(dilations(DinatSVariant::Tiny, preset), expected, "{preset:?}");
    }
    let large = dilations(DinatSVariant::Large, DilationPreset::Uper640);
    assert_eq!(large[2], [1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5]);
    let own = dinat_s(DinatSVariant::Tiny).arch().unwrap().dilations;
    assert_eq!(own, dilations(DinatSVariant::Tiny, DilationPreset::Classification224));
}

#[test]
fn recipes_parse_strictly_and_come_back() {
    let text = r#"{"family":"dinat_s","variant":"base","dilations":"uper_512","drop_path_rate":0.3}"#;
    let config = BackboneConfig::DinatS(DinatSConfig {
        dilations: Some(Dilations::Preset(DilationPreset::Uper512)),
        drop_path_rate: 0.3,
        ..dinat_s(DinatSVariant::Base)
    });
    assert_eq!(serde_json::from_str::<BackboneConfig>(text).unwrap(), config);
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    for variant in DinatSVariant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), format!("\"{}\"", variant.name()));
    }
    let error = serde_json::from_str::<BackboneConfig>(r#"{"family":"dinat_s","widow":7}"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `widow`, expected one of `variant`"), "{error}");
}
