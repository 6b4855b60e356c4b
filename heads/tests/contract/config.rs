//! Config errors name the field, what it may be and what it was; nothing is built then.

use smalti_backbones::BackboneConfig;
use smalti_heads::{
    FcnConfig, InferenceConfig, SemanticConfig, SemanticModel, SlideConfig, UperConfig, UperHead,
};
use tch::Device;
use tch::nn::VarStore;

use crate::{CLASSES, config};

fn refused(change: impl FnOnce(&mut SemanticConfig)) -> String {
    let mut config = config();
    change(&mut config);
    let store = VarStore::new(Device::Cpu);
    SemanticModel::new(&store.root(), &config, CLASSES).expect_err("a config error").to_string()
}

#[test]
fn of_the_decode_head() {
    assert_eq!(refused(|c| c.decode.channels = 0), "model.decode.channels: expected 1 to 8192, got 0");
    assert_eq!(
        refused(|c| c.decode.channels = 1 << 40),
        "model.decode.channels: expected 1 to 8192, got 1099511627776"
    );
    for (scales, got) in [(vec![], "[]"), (vec![1, 0], "[1, 0]"), (vec![65], "[65]")] {
        assert_eq!(
            refused(|c| c.decode.pool_scales = scales),
            format!("model.decode.pool_scales: expected grid sizes from 1 to 64, got {got}")
        );
    }
    for (dropout, got) in [(1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
        assert_eq!(
            refused(|c| c.decode.dropout = dropout),
            format!("model.decode.dropout: expected 0 <= dropout < 1, got {got}")
        );
    }
    let store = VarStore::new(Device::Cpu);
    let error = UperHead::new(&store.root(), &UperConfig::default(), &[], CLASSES).unwrap_err().to_string();
    assert_eq!(error, "model.backbone: expected a backbone with feature levels, got none");
}

#[test]
fn of_the_auxiliary_head() {
    let refused = |auxiliary| refused(|c| c.auxiliary = Some(auxiliary));
    assert_eq!(
        refused(FcnConfig { level: 4, ..FcnConfig::default() }),
        "model.auxiliary.level: expected a level below 4, got 4"
    );
    assert_eq!(
        refused(FcnConfig { channels: -1, ..FcnConfig::default() }),
        "model.auxiliary.channels: expected 1 to 8192, got -1"
    );
    assert_eq!(
        refused(FcnConfig { dropout: 1.5, ..FcnConfig::default() }),
        "model.auxiliary.dropout: expected 0 <= dropout < 1, got 1.5"
    );
}

#[test]
fn of_the_backbone_pass_through() {
    let message = refused(|c| {
        let BackboneConfig::Nat(nat) = &mut c.backbone else { panic!("a NAT") };
        nat.window = Some(4);
    });
    assert_eq!(message, "model.backbone.window: expected an odd number from 3 to 13, got 4");
}

#[test]
fn of_inference() {
    let refused = |config: InferenceConfig| config.validate().expect_err("a config error").to_string();
    assert_eq!(
        refused(InferenceConfig { short_edge: Some(31), ..InferenceConfig::default() }),
        "inference.short_edge: expected 32 pixels or more, got 31"
    );
    assert_eq!(
        refused(InferenceConfig { max_edge: Some(0), ..InferenceConfig::default() }),
        "inference.max_edge: expected 32 pixels or more, got 0"
    );
    assert_eq!(
        refused(InferenceConfig { max_edge: Some(640), ..InferenceConfig::default() }),
        "inference.short_edge: expected a value beside inference.max_edge, got only inference.max_edge = 640"
    );
    for (crop, stride) in [([31, 64], [16, 16]), ([64, 64], [0, 16]), ([64, 64], [64, 65])] {
        assert_eq!(
            refused(InferenceConfig {
                slide: Some(SlideConfig { crop, stride }),
                ..InferenceConfig::default()
            }),
            format!(
                "inference.slide: expected crop of 32 or more and 1 <= stride <= crop, got crop {crop:?}, stride \
                 {stride:?}"
            )
        );
    }
    let scales = |scales: Vec<f64>| refused(InferenceConfig { scales, ..InferenceConfig::default() });
    assert_eq!(scales(vec![]), "inference.scales: expected 1 to 16 numbers, got 0");
    assert_eq!(scales(vec![1.0; 17]), "inference.scales: expected 1 to 16 numbers, got 17");
    assert_eq!(scales(vec![1.0, 0.05]), "inference.scales.1: expected 0.1 to 4, got 0.05");
    assert_eq!(scales(vec![f64::NAN]), "inference.scales.0: expected 0.1 to 4, got NaN");
    let fine = SlideConfig { crop: [32, 64], stride: [32, 1] };
    let whole = InferenceConfig {
        short_edge: Some(32),
        max_edge: Some(32),
        scales: vec![0.1, 4.0],
        flip: true,
        slide: Some(fine),
    };
    whole.validate().unwrap();
    InferenceConfig::default().validate().unwrap();
}
