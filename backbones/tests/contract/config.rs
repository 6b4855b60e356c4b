//! Every field that no network can be built from is named, with what it may be and what it was.

use smalti_backbones::{
    BackboneConfig, Classifier, DilationPreset, Dilations, NatConfig, NatVariant, Purpose,
};
use tch::Device;
use tch::nn::VarStore;

fn tiny() -> NatConfig {
    NatConfig {
        embed_dim: Some(8),
        depths: Some(vec![1, 1, 1, 1]),
        heads: Some(vec![1, 1, 2, 2]),
        mlp_ratio: Some(2.0),
        ..NatConfig::default()
    }
}

/// The message of building `tiny` with a change; nothing may have been built.
fn refused(change: impl FnOnce(&mut NatConfig)) -> String {
    let mut config = tiny();
    change(&mut config);
    let store = VarStore::new(Device::Cpu);
    let message = config.build(&store.root(), Purpose::Dense).expect_err("a config error").to_string();
    assert!(store.is_empty(), "{message}: built {} tensors first", store.len());
    let validated = BackboneConfig::Nat(config).validate().expect_err("a config error").to_string();
    assert_eq!(validated, message, "validate and build agree");
    message.strip_prefix("model.backbone.").expect("the field's full path").to_owned()
}

#[test]
fn missing_fields() {
    let neither =
        |field: &str| format!("{field}: expected a value, or a `variant` to take it from, got neither");
    assert_eq!(refused(|c| c.embed_dim = None), neither("embed_dim"));
    assert_eq!(refused(|c| c.depths = None), neither("depths"));
    assert_eq!(refused(|c| c.heads = None), neither("heads"));
    assert_eq!(refused(|c| c.mlp_ratio = None), neither("mlp_ratio"));
}

#[test]
fn sizes() {
    let embed_dim = |got: i64| (refused(|c| c.embed_dim = Some(got)), got);
    for (message, got) in [embed_dim(7), embed_dim(0), embed_dim(-2), embed_dim(4098), embed_dim(1 << 62)] {
        assert_eq!(message, format!("embed_dim: expected an even number from 2 to 4096, got {got}"));
    }
    assert_eq!(
        refused(|c| c.depths = Some(vec![1, 1, 1])),
        "depths: expected 4 numbers, one a stage, got [1, 1, 1]"
    );
    for depths in [[1, 0, 1, 1], [1, 1, -1, 1], [1, 1, 1, 1 << 40]] {
        assert_eq!(
            refused(|c| c.depths = Some(depths.to_vec())),
            format!("depths: expected 1 to 1000 blocks a stage, got {depths:?}")
        );
    }
    assert_eq!(
        refused(|c| c.heads = Some(vec![1, 1, 2, 2, 2])),
        "heads: expected 4 numbers, one a stage, got [1, 1, 2, 2, 2]"
    );
    assert_eq!(
        refused(|c| c.heads = Some(vec![1, 3, 2, 2])),
        "heads: expected a divisor of stage 1's 16 channels, got 3"
    );
    assert_eq!(
        refused(|c| c.heads = Some(vec![0, 1, 2, 2])),
        "heads: expected a divisor of stage 0's 8 channels, got 0"
    );
    assert_eq!(
        refused(|c| c.embed_dim = Some(2048)),
        "heads: expected at most 1024 channels a head of stage 0's 2048 channels, got 1"
    );
}

#[test]
fn ratios_and_scales() {
    for (ratio, got) in
        [(0.0, "0"), (-1.0, "-1"), (0.1, "0.1"), (65.0, "65"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")]
    {
        assert_eq!(
            refused(|c| c.mlp_ratio = Some(ratio)),
            format!("mlp_ratio: expected 1 / embed_dim to 64, got {got}")
        );
    }
    for (scale, got) in [(-1e-5, "-0.00001"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refused(|c| c.layer_scale = Some(scale)),
            format!("layer_scale: expected 0 (none) or a positive number, got {got}")
        );
    }
    for (rate, got) in [(-0.1, "-0.1"), (1.0, "1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refused(|c| c.drop_path_rate = rate),
            format!("drop_path_rate: expected 0 <= rate < 1, got {got}")
        );
    }
}

#[test]
fn windows_and_dilations() {
    for window in [1, 4, -3, 15] {
        assert_eq!(
            refused(|c| c.window = Some(window)),
            format!("window: expected an odd number from 3 to 13, got {window}")
        );
    }
    for dilations in [
        vec![vec![1]; 3],
        vec![vec![1], vec![1, 2], vec![1], vec![1]],
        vec![vec![1], vec![1], vec![0], vec![1]],
        vec![vec![1], vec![1], vec![257], vec![1]],
    ] {
        assert_eq!(
            refused(|c| c.dilations = Some(Dilations::Lists(dilations.clone()))),
            format!(
                "dilations: expected a list a stage with as many dilations of 1 to 256 as blocks, [1, 1, 1, 1], \
                 got {dilations:?}"
            )
        );
    }
}

#[test]
fn numbers_of_classes() {
    for count in [0, -1, 1 << 40] {
        let store = VarStore::new(Device::Cpu);
        let error = Classifier::new(&store.root(), &BackboneConfig::Nat(tiny()), count).unwrap_err();
        assert_eq!(error.to_string(), format!("num_classes: expected 1 to 1048576, got {count}"));
        assert!(store.is_empty());
    }
}

#[test]
fn dilation_presets() {
    let dilations = |variant, depths: [i64; 4], dilations: Option<Dilations>| {
        let depths = Some(depths.to_vec());
        NatConfig { variant: Some(variant), depths, dilations, ..NatConfig::default() }
            .arch()
            .map(|arch| arch.dilations.concat())
    };
    let preset = |preset| Some(Dilations::Preset(preset));
    let whole = [3, 4, 18, 5];
    // A preset is told from all others by the two ends of stages and by stage 3.
    for (name, ends, third) in [
        (DilationPreset::Classification224, [8, 4, 2, 1], [1, 2, 1, 2, 1, 2, 1, 2]),
        (DilationPreset::Classification384, [13, 6, 3, 1], [1, 3, 1, 3, 1, 3, 1, 3]),
        (DilationPreset::Uper512, [16, 8, 4, 2], [1, 2, 1, 3, 1, 4, 1, 2]),
        (DilationPreset::Uper640, [20, 10, 5, 2], [1, 2, 1, 3, 1, 4, 1, 5]),
        (DilationPreset::Mask2former, [14, 7, 3, 1], [1, 2, 1, 3, 1, 2, 1, 3]),
        (DilationPreset::Oneformer, [20, 10, 5, 2], [1, 2, 1, 3, 1, 4, 1, 5]),
        (DilationPreset::Oneformer1280, [28, 14, 7, 3], [1, 3, 1, 5, 1, 5, 1, 7]),
        (DilationPreset::OneformerCityscapes, [18, 9, 4, 2], [1, 2, 1, 3, 1, 4, 1, 2]),
    ] {
        let all = dilations(NatVariant::DinatLarge, whole, preset(name)).unwrap();
        assert_eq!(all.len(), 30);
        assert_eq!([all[1], all[6], all[24], all[26]], ends, "{name:?}");
        assert_eq!(all[7..15], third, "{name:?}");
        let odd_blocks = [0, 2, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29];
        assert!(odd_blocks.iter().all(|&block| all[block] == 1), "{name:?}: every second block is local");
        let fewer = dilations(NatVariant::Mini, [2, 3, 6, 1], preset(name)).unwrap();
        assert_eq!(fewer, [&all[..2], &all[3..6], &all[7..13], &all[25..26]].concat(), "{name:?}");
    }
    let of_224 =
        dilations(NatVariant::Mini, [3, 4, 6, 5], preset(DilationPreset::Classification224)).unwrap();
    assert_eq!(of_224, [1, 8, 1, 1, 4, 1, 4, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1]);
    assert_eq!(dilations(NatVariant::DinatMini, [3, 4, 6, 5], None).unwrap(), of_224, "DiNAT's own");
    assert_eq!(dilations(NatVariant::Mini, [3, 4, 6, 5], None).unwrap(), [1; 18], "NAT has none");
    let error = dilations(NatVariant::Mini, [3, 4, 19, 5], preset(DilationPreset::Uper512)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model.backbone.dilations: expected lists: uper_512 has dilations for at most [3, 4, 18, 5] blocks, got \
         uper_512 and depths [3, 4, 19, 5]"
    );
}

#[test]
fn dilations_are_lists_or_a_name() {
    let parse = |dilations: &str| {
        serde_json::from_str::<BackboneConfig>(&format!(r#"{{"family":"nat","dilations":{dilations}}}"#))
    };
    for preset in DilationPreset::ALL {
        let text = format!("\"{}\"", preset.name());
        let config = NatConfig { dilations: Some(Dilations::Preset(preset)), ..NatConfig::default() };
        assert_eq!(parse(&text).unwrap(), BackboneConfig::Nat(config.clone()));
        let written = serde_json::to_string(&BackboneConfig::Nat(config)).unwrap();
        assert!(written.contains(&format!(r#""dilations":{text}"#)), "{written}");
    }
    let lists = Dilations::Lists(vec![vec![1, 2], vec![3]]);
    assert_eq!(serde_json::to_string(&lists).unwrap(), "[[1,2],[3]]");
    let config = NatConfig { dilations: Some(lists), ..NatConfig::default() };
    assert_eq!(parse("[[1,2],[3]]").unwrap(), BackboneConfig::Nat(config));
    let error = parse(r#""uper_513""#).unwrap_err().to_string();
    assert!(
        error.starts_with("unknown variant `uper_513`, expected one of `classification_224`, "),
        "{error}"
    );
    let error = parse("7").unwrap_err().to_string();
    assert!(
        error.starts_with("invalid type: integer `7`, expected a list of dilations a stage, or one of"),
        "{error}"
    );
    let error = parse("[1,2]").unwrap_err().to_string();
    assert!(error.contains("expected a sequence"), "{error}");
}

#[test]
fn the_limits_themselves_are_fine() {
    let config = NatConfig {
        mlp_ratio: Some(1.0 / 8.0),
        layer_scale: Some(0.0),
        window: Some(13),
        drop_path_rate: 0.99,
        dilations: Some(Dilations::Lists(vec![vec![256], vec![1], vec![1], vec![1]])),
        ..tiny()
    };
    let arch = config.arch().unwrap();
    assert_eq!((arch.layer_scale, arch.window), (None, 13), "a layer scale of 0 means none");
    assert!(NatConfig { embed_dim: Some(1024), heads: Some(vec![1, 2, 4, 8]), ..tiny() }.arch().is_ok());
}

#[test]
fn fields_win_over_the_variant() {
    let variant = NatConfig { variant: Some(NatVariant::Small), ..NatConfig::default() };
    let row = variant.arch().unwrap();
    assert_eq!((row.embed_dim, row.depths, row.heads), (96, [3, 4, 18, 5], [3, 6, 12, 24]));
    assert_eq!((row.mlp_ratio, row.layer_scale, row.window), (2.0, Some(1e-5), 7));
    assert!(row.dilations.concat().iter().all(|&dilation| dilation == 1));
    let changed = NatConfig { mlp_ratio: Some(3.0), layer_scale: Some(0.0), ..variant }.arch().unwrap();
    assert_eq!((changed.embed_dim, changed.mlp_ratio, changed.layer_scale), (96, 3.0, None));
    let k11 = NatConfig { variant: Some(NatVariant::DinatLargeK11), ..NatConfig::default() };
    assert_eq!((k11.arch().unwrap().window, k11.arch().unwrap().layer_scale), (11, None));
    assert_eq!(NatConfig { window: Some(5), ..k11 }.arch().unwrap().window, 5);
}

#[test]
fn recipes_parse_strictly_and_come_back() {
    let text = r#"{"family":"nat","variant":"nano","window":5,"drop_path_rate":0.1}"#;
    let config: BackboneConfig = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    let nano = NatConfig {
        variant: Some(NatVariant::Nano),
        window: Some(5),
        drop_path_rate: 0.1,
        ..NatConfig::default()
    };
    assert_eq!(config, BackboneConfig::Nat(nano));
    let store = VarStore::new(Device::Cpu);
    assert_eq!(config.build(&store.root(), Purpose::Dense).unwrap().levels().len(), 4);

    let error = |text: &str| serde_json::from_str::<BackboneConfig>(text).unwrap_err().to_string();
    assert!(
        error(r#"{"family":"nat","widow":5}"#)
            .starts_with("unknown field `widow`, expected one of `variant`")
    );
    assert!(error(r#"{"family":"gnat"}"#).starts_with("unknown variant `gnat`, expected one of `nat`"));
    for variant in NatVariant::ALL {
        let quoted = format!("\"{}\"", variant.name());
        assert_eq!(serde_json::to_string(&variant).unwrap(), quoted, "the name in configs");
    }
}
