//! Shapes, gradients, names and running statistics.

use smalti_backbones::{Level, Purpose, weights};
use smalti_heads::{FcnConfig, FcnHead, SemanticConfig, UperConfig, UperHead};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::{CLASSES, build, config, image};

#[test]
fn logits_have_the_levels_sizes_for_any_input() {
    let (_store, model) = build(&config());
    assert_eq!(model.num_classes(), CLASSES);
    for (height, width) in [(32, 32), (33, 47), (65, 40), (64, 128), (7, 1)] {
        let side = |pixels: i64, stride: i64| (pixels + stride - 1) / stride;
        let images = image(2, height, width);
        let trained = no_grad(|| model.forward_t(&images, true));
        assert_eq!(trained.logits.size(), [2, CLASSES, side(height, 4), side(width, 4)]);
        let auxiliary = trained.auxiliary.expect("auxiliary logits in training");
        assert_eq!(auxiliary.size(), [2, CLASSES, side(height, 16), side(width, 16)]);
        let evaluated = no_grad(|| model.forward_t(&images, false));
        assert_eq!(evaluated.logits.size(), trained.logits.size());
        assert!(evaluated.auxiliary.is_none(), "no auxiliary logits in evaluation");
    }
}

/// The same logits as of a pass in evaluation, with what lies before them and the auxiliary head's beside.
#[test]
fn a_trace_is_a_pass_in_evaluation() {
    let (store, model) = build(&config());
    let images = image(2, 33, 47);
    let trace = no_grad(|| model.trace(&images));
    assert!(trace.logits.equal(&no_grad(|| model.forward_t(&images, false)).logits));
    assert_eq!(trace.auxiliary.expect("auxiliary logits").size(), [2, CLASSES, 3, 3]);

    let alone = VarStore::new(Device::Cpu);
    let backbone = config().backbone.build(&alone.root(), Purpose::Dense).unwrap();
    let weights_of = weights::named_tensors(&store).into_iter();
    let own: Vec<_> = weights_of
        .filter_map(|(name, tensor)| Some((name.strip_prefix("backbone.")?.to_owned(), tensor)))
        .collect();
    weights::assign(&alone, &own).unwrap();
    let levels = no_grad(|| backbone.forward_t(&images, false));
    assert_eq!(levels.len(), trace.levels.len());
    assert!(levels.iter().zip(&trace.levels).all(|(a, b)| a.equal(b)));
}

/// Heads take channels and sizes as they come, not only halvings; and any number of levels from one.
#[test]
fn heads_follow_the_levels() {
    let sizes = [(5, [13, 9]), (7, [11, 10]), (3, [2, 4])];
    let levels = sizes.map(|(channels, _)| Level { channels, stride: 1 });
    let maps = sizes.map(|(channels, [h, w])| Tensor::randn([2, channels, h, w], (Kind::Float, Device::Cpu)));
    let store = VarStore::new(Device::Cpu);
    let uper = UperConfig { channels: 4, pool_scales: vec![1, 5], ..UperConfig::default() };
    for count in 1..=3 {
        let path = store.root() / count;
        let head = UperHead::new(&(&path / "uper"), &uper, &levels[..count], 2).unwrap();
        for train in [false, true] {
            assert_eq!(head.forward_t(&maps[..count], train).size(), [2, 2, 13, 9]);
        }
        let fcn = FcnConfig { channels: 4, level: count - 1, ..FcnConfig::default() };
        let head = FcnHead::new(&(&path / "fcn"), &fcn, &levels[..count], 2).unwrap();
        let [height, width] = sizes[count - 1].1;
        assert_eq!(head.forward_t(&maps[..count], true).size(), [2, 2, height, width]);
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    let (store, model) = build(&config());
    let output = model.forward_t(&image(3, 65, 40), true);
    let square = |logits: &Tensor| (logits * logits.sin()).sum(Kind::Float);
    (square(&output.logits) + square(output.auxiliary.as_ref().unwrap())).backward();
    for (name, parameter) in weights::named_tensors(&store) {
        if name.contains("running_") {
            assert!(!parameter.requires_grad(), "{name} is no parameter");
            continue;
        }
        let gradient = parameter.grad();
        assert!(gradient.defined(), "{name} has no gradient");
        let norm = gradient.norm().double_value(&[]);
        assert!(norm > 0.0 && norm.is_finite(), "gradient of {name} has norm {norm}");
    }
}

#[test]
fn evaluation_is_deterministic_and_changes_nothing() {
    let (store, model) = build(&config());
    let before: Vec<Tensor> =
        weights::named_tensors(&store).iter().map(|(_, tensor)| tensor.detach().copy()).collect();
    let images = image(2, 33, 47);
    let run = || no_grad(|| model.forward_t(&images, false).logits);
    assert!(run().equal(&run()));
    for ((name, after), before) in weights::named_tensors(&store).iter().zip(&before) {
        assert!(after.equal(before), "{name}");
    }
}

#[test]
fn training_gathers_statistics_and_drops_channels() {
    let (store, model) = build(&config());
    let images = image(4, 33, 47);
    let run = || no_grad(|| model.forward_t(&images, true).logits);
    assert!(!(0..20).all(|_| run().equal(&run())), "a tenth of the channels is dropped at random");
    for (name, tensor) in weights::named_tensors(&store) {
        if name.ends_with("running_mean") {
            assert!(tensor.abs().sum(Kind::Float).double_value(&[]) > 0.0, "{name}");
        }
    }
    let (_store, undropped) = build(&SemanticConfig {
        decode: UperConfig { dropout: 0.0, ..config().decode },
        auxiliary: None,
        ..config()
    });
    let run = || no_grad(|| undropped.forward_t(&images, true).logits);
    assert!(run().equal(&run()), "batch statistics make the output, not running ones");
}

/// The 1x1 pool of one image has one value a channel, whose variance libtorch calls NaN.
#[test]
fn training_on_one_image_keeps_statistics_finite() {
    let (store, model) = build(&config());
    no_grad(|| model.forward_t(&image(1, 33, 47), true));
    for (name, tensor) in weights::named_tensors(&store) {
        assert_eq!(tensor.isfinite().all().int64_value(&[]), 1, "{name}");
    }
    let logits = no_grad(|| model.forward_t(&image(1, 33, 47), false).logits);
    assert_eq!(logits.isfinite().all().int64_value(&[]), 1);
}

/// mmsegmentation's names (`backbone.` is checked in the backbones crate). `UPDATE_KEYS=1` rewrites the list.
#[test]
fn names_and_shapes_equal_the_snapshot() {
    let (store, _model) = build(&config());
    crate::keys_equal_the_snapshot(&store, "semantic.txt");
}
