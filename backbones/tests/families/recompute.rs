//! Activation checkpointing: the same network, computed twice in part.

use smalti_backbones::{Backbone, Purpose, weights};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::{build, cases, image};

/// Levels, and gradients by parameter, of a training pass.
fn pass(store: &VarStore, backbone: &dyn Backbone) -> Vec<(String, Tensor)> {
    let levels = backbone.forward_t(&image(2, 65, 70), true);
    let terms = levels.iter().map(|level| (level * level.sin()).sum(Kind::Float));
    terms.reduce(|a, b| a + b).expect("four levels").backward();
    let mut found: Vec<_> =
        levels.iter().enumerate().map(|(l, level)| (format!("level {l}"), level.detach())).collect();
    for (name, parameter) in weights::named_tensors(store) {
        if parameter.requires_grad() {
            found.push((name, parameter.grad().copy()));
            let _ = parameter.grad().zero_();
        }
    }
    found
}

#[test]
fn recomputed_stages_give_the_same_levels_and_gradients() {
    for case in cases().into_iter().filter(|case| case.name != "resnet, trained norms") {
        let (store, mut backbone) = build(&case.config, Purpose::Dense);
        let expected = pass(&store, &*backbone);
        for stages in [[true; 4], [false, true, false, true]] {
            backbone.recompute(stages).unwrap();
            for ((name, got), (_, expected)) in pass(&store, &*backbone).iter().zip(&expected) {
                // Without a graph libtorch attends by other kernels: equal up to rounding.
                let error = (got - expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]).max(1e-2);
                assert!(error < 2e-5 * scale, "{}, {stages:?}, {name}: {error:e} of {scale:e}", case.name);
            }
        }
    }
}

#[test]
fn norms_that_learn_from_batches_refuse() {
    let case = cases().into_iter().find(|case| case.name == "resnet, trained norms").unwrap();
    let (_store, mut backbone) = build(&case.config, Purpose::Dense);
    backbone.recompute([false; 4]).unwrap();
    let error = backbone.recompute([false, false, true, false]).unwrap_err().to_string();
    assert!(error.contains("model.recompute") && error.contains("frozen_norms = true"), "{error}");
}
