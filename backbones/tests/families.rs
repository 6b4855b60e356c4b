//! What every family promises, on shrunken networks: sizes, gradients, determinism, parameter counts and names, errors.
//!
//! NAT's own promises are in `contract.rs`. A new family adds its cases to [`cases`] and its counts to `families/parameters.rs`.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

#[path = "families/config.rs"]
mod config;
#[path = "families/davit.rs"]
mod davit;
#[path = "families/dinat_s.rs"]
mod dinat_s;
#[path = "families/forward.rs"]
mod forward;
#[path = "families/parameters.rs"]
mod parameters;
#[path = "families/recompute.rs"]
mod recompute;

use smalti_backbones::{
    Backbone, BackboneConfig, ConvNextConfig, ConvNextVariant, DavitConfig, DavitVariant, Dilations,
    DinatSConfig, Purpose, ResNetConfig, SwinConfig, SwinVariant,
};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// A small network of a family, with everything that its variants differ in.
struct Case {
    name: &'static str,
    config: BackboneConfig,
    /// The same with a high drop-path rate, in families that drop paths.
    dropping: Option<BackboneConfig>,
    /// Whether sizes that do not divide round up.
    rounds_up: bool,
}

fn cases() -> Vec<Case> {
    let swin = |heads: [i64; 4], window: i64, drop_path_rate: f64| {
        BackboneConfig::Swin(SwinConfig {
            embed_dim: Some(4 * heads[0]),
            depths: Some(vec![2, 1, 2, 2]),
            heads: Some(heads.to_vec()),
            window: Some(window),
            drop_path_rate,
            ..SwinConfig::default()
        })
    };
    let convnext = |layer_scale: f64, drop_path_rate: f64| {
        BackboneConfig::ConvNext(ConvNextConfig {
            embed_dim: Some(6),
            depths: Some(vec![1, 2, 1, 1]),
            layer_scale: Some(layer_scale),
            drop_path_rate,
            ..ConvNextConfig::default()
        })
    };
    let resnet = |frozen_norms: bool| {
        let (depths, width) = (Some(vec![2, 1, 1, 1]), Some(4));
        BackboneConfig::ResNet(ResNetConfig {
            depths,
            width,
            frozen_norms: Some(frozen_norms),
            ..ResNetConfig::default()
        })
    };
    let attention = |name, heads, window| Case {
        name,
        config: swin(heads, window, 0.0),
        dropping: Some(swin(heads, window, 0.9)),
        rounds_up: true,
    };
    let dinat_s = |drop_path_rate: f64| {
        BackboneConfig::DinatS(DinatSConfig {
            embed_dim: Some(8),
            depths: Some(vec![2, 1, 1, 2]),
            heads: Some(vec![1, 2, 4, 4]),
            window: Some(3),
            dilations: Some(Dilations::Lists(vec![vec![1, 2], vec![2], vec![3], vec![1, 1]])),
            drop_path_rate,
            ..DinatSConfig::default()
        })
    };
    let davit = |variant, window: i64, drop_path_rate: f64| {
        BackboneConfig::Davit(DavitConfig {
            variant: Some(variant),
            embed_dim: Some(8),
            depths: Some(vec![1, 2, 1, 1]),
            heads: Some(vec![1, 2, 4, 8]),
            window: Some(window),
            drop_path_rate,
            ..DavitConfig::default()
        })
    };
    vec![
        Case { name: "dinat_s", config: dinat_s(0.0), dropping: Some(dinat_s(0.9)), rounds_up: true },
        Case {
            name: "davit",
            config: davit(DavitVariant::Tiny, 7, 0.0),
            dropping: Some(davit(DavitVariant::Tiny, 7, 0.9)),
            rounds_up: true,
        },
        Case {
            name: "davit of Florence-2",
            config: davit(DavitVariant::BaseFl, 5, 0.0),
            dropping: Some(davit(DavitVariant::BaseFl, 5, 0.9)),
            rounds_up: true,
        },
        attention("swin, window 7", [3, 6, 12, 24], 7),
        attention("swin, window 12", [1, 2, 4, 8], 12),
        attention("swin, window 2", [2, 4, 8, 8], 2),
        Case {
            name: "convnext",
            config: convnext(0.1, 0.0),
            dropping: Some(convnext(0.1, 0.9)),
            rounds_up: false,
        },
        Case {
            name: "convnext without layer scale",
            config: convnext(0.0, 0.0),
            dropping: None,
            rounds_up: false,
        },
        Case { name: "resnet, frozen norms", config: resnet(true), dropping: None, rounds_up: true },
        Case { name: "resnet, trained norms", config: resnet(false), dropping: None, rounds_up: true },
    ]
}

fn build(config: &BackboneConfig, purpose: Purpose) -> (VarStore, Box<dyn Backbone>) {
    let store = VarStore::new(Device::Cpu);
    let backbone = config.build(&store.root(), purpose).unwrap_or_else(|error| panic!("{config:?}: {error}"));
    (store, backbone)
}

/// The seed is the test's own; `tch::manual_seed` would be shared with tests that run at the same time.
fn image(batch: i64, height: i64, width: i64) -> Tensor {
    let flat = Tensor::arange(batch * 3 * height * width, (Kind::Float, Device::Cpu));
    (flat * 12.9898).sin().reshape([batch, 3, height, width]) * 2
}

fn swin(variant: SwinVariant) -> SwinConfig {
    SwinConfig { variant: Some(variant), ..SwinConfig::default() }
}

fn convnext(variant: ConvNextVariant) -> ConvNextConfig {
    ConvNextConfig { variant: Some(variant), ..ConvNextConfig::default() }
}
