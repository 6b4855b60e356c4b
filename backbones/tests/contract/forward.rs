//! Real runs of shrunken variants, and of nano as it is.

use smalti_backbones::{Backbone, NatConfig, NatVariant, Staged, weights};
use tch::no_grad;

use crate::{build, image, shrunken};

#[test]
fn levels_tell_the_real_shapes_at_odd_sizes() {
    for variant in NatVariant::ALL {
        let (_store, nat) = build(&shrunken(variant));
        for (height, width) in [(32, 32), (33, 47), (65, 40)] {
            let features = no_grad(|| nat.forward_t(&image(2, height, width), false));
            assert_eq!(features.len(), nat.levels().len());
            for (level, feature) in nat.levels().iter().zip(&features) {
                // Halvings that round up compose to one division that does.
                let side = |pixels: i64| (pixels + level.stride - 1) / level.stride;
                let expected = [2, level.channels, side(height), side(width)];
                assert_eq!(feature.size(), expected, "{variant:?}, stride {}", level.stride);
                assert_eq!(feature.isfinite().all().int64_value(&[]), 1);
            }
        }
    }
}

#[test]
fn nano_as_it_is() {
    let (_store, nat) = build(&NatConfig { variant: Some(NatVariant::Nano), ..NatConfig::default() });
    let shapes: Vec<_> =
        no_grad(|| nat.forward_t(&image(1, 65, 40), false)).iter().map(tch::Tensor::size).collect();
    assert_eq!(shapes, [[1, 32, 17, 10], [1, 64, 9, 5], [1, 128, 5, 3], [1, 256, 3, 2]]);
    let levels: Vec<_> = nat.levels().iter().map(|level| (level.channels, level.stride)).collect();
    assert_eq!(levels, [(32, 4), (64, 8), (128, 16), (256, 32)]);
}

#[test]
fn every_parameter_gets_a_gradient() {
    for variant in NatVariant::ALL {
        let (store, nat) = build(&shrunken(variant));
        // Squares: the plain sum of a layer norm's output does not depend on its input.
        let loss = nat
            .forward_t(&image(2, 33, 47), true)
            .iter()
            .map(|level| (level * level.sin()).sum(level.kind()))
            .reduce(|a, b| a + b)
            .unwrap();
        loss.backward();
        for (name, parameter) in weights::named_tensors(&store) {
            let gradient = parameter.grad();
            assert!(gradient.defined(), "{variant:?}: {name} has no gradient");
            let norm = gradient.norm().double_value(&[]);
            assert!(norm > 0.0 && norm.is_finite(), "{variant:?}: gradient of {name} has norm {norm}");
        }
    }
}

#[test]
fn evaluation_is_deterministic_and_images_of_a_batch_are_independent() {
    for variant in NatVariant::ALL {
        let (_store, nat) = build(&NatConfig { drop_path_rate: 0.5, ..shrunken(variant) });
        let batch = image(3, 33, 47);
        let forward = |x: &tch::Tensor| no_grad(|| nat.forward_t(x, false));
        let (first, second) = (forward(&batch), forward(&batch));
        let alone = forward(&batch.narrow(0, 1, 1));
        for ((first, second), alone) in first.iter().zip(&second).zip(&alone) {
            assert!(first.equal(second), "{variant:?}");
            // Other blockings of matrix products for other batch sizes: equal up to rounding.
            let error = (first.narrow(0, 1, 1) - alone).abs().max().double_value(&[]);
            assert!(error < 1e-4, "{variant:?}: {error:e}");
        }
    }
}

#[test]
fn drop_path_acts_in_training_only() {
    let config = shrunken(NatVariant::Mini);
    let (store, plain) = build(&config);
    let (mut dropped_store, dropped) = build(&NatConfig { drop_path_rate: 0.9, ..config });
    dropped_store.copy(&store).unwrap();
    let images = image(8, 33, 47);
    let run = |nat: &Staged, train| no_grad(|| nat.forward_t(&images, train));
    let expected = run(&plain, false);
    assert!(run(&dropped, false).iter().zip(&expected).all(|(a, b)| a.equal(b)));
    assert!(run(&plain, true).iter().zip(&expected).all(|(a, b)| a.equal(b)), "a rate of 0 changes nothing");
    // The rate of the 5 blocks is 0, .225, .45, .675, .9: the first level is untouched, the last certainly not in 8 images.
    let trained = run(&dropped, true);
    assert!(trained[0].equal(&expected[0]));
    assert!(!trained[3].equal(&expected[3]));
}
