//! Real runs.

use smalti_backbones::{Backbone, Classifier, Purpose, weights};
use smalti_ops::runtime::Autocast;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::{build, cases, image};

#[test]
fn levels_tell_the_real_shapes_at_odd_sizes() {
    for case in cases() {
        let (_store, backbone) = build(&case.config, Purpose::Dense);
        for (height, width) in [(32, 32), (33, 47), (65, 40)] {
            let features = no_grad(|| backbone.forward_t(&image(2, height, width), false));
            assert_eq!(features.len(), backbone.levels().len());
            for (level, feature) in backbone.levels().iter().zip(&features) {
                // Halvings that all round the same way compose to one division that does.
                let up = if case.rounds_up { level.stride - 1 } else { 0 };
                let side = |pixels: i64| (pixels + up) / level.stride;
                let expected = [2, level.channels, side(height), side(width)];
                assert_eq!(feature.size(), expected, "{}, stride {}", case.name, level.stride);
                assert_eq!(feature.isfinite().all().int64_value(&[]), 1, "{}", case.name);
            }
        }
    }
}

/// Squares: the plain sum of a layer norm's output does not depend on its input.
fn energy(outputs: &[Tensor]) -> Tensor {
    let terms = outputs.iter().map(|output| (output * output.sin()).sum(output.kind()));
    terms.reduce(|a, b| a + b).expect("an output")
}

fn assert_every_gradient(name: &str, store: &VarStore) {
    for (parameter, tensor) in weights::named_tensors(store) {
        if !tensor.requires_grad() {
            let statistic = ["bn", "downsample.1"].iter().any(|norm| parameter.contains(norm));
            assert!(statistic, "{name}: {parameter} is not trained");
            continue;
        }
        let gradient = tensor.grad();
        assert!(gradient.defined(), "{name}: {parameter} has no gradient");
        let norm = gradient.norm().double_value(&[]);
        assert!(norm > 0.0 && norm.is_finite(), "{name}: gradient of {parameter} has norm {norm}");
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    for case in cases() {
        let (store, backbone) = build(&case.config, Purpose::Dense);
        energy(&backbone.forward_t(&image(2, 65, 70), true)).backward();
        assert_every_gradient(case.name, &store);

        let store = VarStore::new(Device::Cpu);
        let classifier = Classifier::new(&store.root(), &case.config, 5).unwrap();
        let logits = classifier.forward_t(&image(2, 65, 70), true);
        assert_eq!(logits.size(), [2, 5], "{}", case.name);
        energy(&[logits]).backward();
        assert_every_gradient(case.name, &store);
    }
}

#[test]
fn evaluation_is_deterministic_and_images_of_a_batch_are_independent() {
    for case in cases() {
        let (_store, backbone) = build(case.dropping.as_ref().unwrap_or(&case.config), Purpose::Dense);
        let batch = image(3, 33, 47);
        let forward = |x: &Tensor| no_grad(|| backbone.forward_t(x, false));
        let (first, second) = (forward(&batch), forward(&batch));
        let alone = forward(&batch.narrow(0, 1, 1));
        for ((first, second), alone) in first.iter().zip(&second).zip(&alone) {
            assert!(first.equal(second), "{}", case.name);
            // Other blockings of matrix products for other batch sizes: equal up to rounding.
            let error = (first.narrow(0, 1, 1) - alone).abs().max().double_value(&[]);
            let scale = alone.abs().max().double_value(&[]).max(1.0);
            assert!(error < 1e-4 * scale, "{}: {error:e}", case.name);
        }
    }
}

/// What a backbone remembers of one input size or batch must not leak into the next.
#[test]
fn sizes_may_change_from_call_to_call() {
    for case in cases() {
        let (_store, backbone) = build(&case.config, Purpose::Dense);
        let forward = |x: &Tensor| no_grad(|| backbone.forward_t(x, false));
        let first = forward(&image(1, 64, 96));
        for (batch, height, width) in [(1, 96, 64), (2, 33, 47)] {
            let _ = forward(&image(batch, height, width));
        }
        assert!(first.iter().zip(forward(&image(1, 64, 96))).all(|(a, b)| a.equal(&b)), "{}", case.name);
    }
}

#[test]
fn drop_path_acts_in_training_only() {
    for case in cases() {
        let Some(dropping) = &case.dropping else { continue };
        let (store, plain) = build(&case.config, Purpose::Dense);
        let (mut dropped_store, dropped) = build(dropping, Purpose::Dense);
        dropped_store.copy(&store).unwrap();
        let images = image(8, 33, 47);
        let run = |backbone: &dyn Backbone, train| no_grad(|| backbone.forward_t(&images, train));
        let equal = |a: &[Tensor], b: &[Tensor]| a.iter().zip(b).all(|(a, b)| a.equal(b));
        let expected = run(&*plain, false);
        assert!(equal(&run(&*dropped, false), &expected), "{}", case.name);
        assert!(equal(&run(&*plain, true), &expected), "{}: a rate of 0 changes nothing", case.name);
        let trained = run(&*dropped, true);
        assert!(!trained[3].equal(&expected[3]), "{}", case.name);
    }
}

/// `norm<l>` or, in DAT++, `norms.<l>`.
fn is_level_norm(name: &str) -> bool {
    name.starts_with("norms.") || (0..4).any(|l| name.starts_with(&format!("norm{l}.")))
}

/// The maps of a classifier are the dense ones without their norms.
#[test]
fn a_classifier_pools_the_dense_trunks_last_map() {
    for case in cases() {
        let (store, dense) = build(&case.config, Purpose::Dense);
        let (classify_store, classify) = build(&case.config, Purpose::Classify);
        let trunk: Vec<_> =
            weights::named_tensors(&store).into_iter().filter(|(name, _)| !is_level_norm(name)).collect();
        weights::assign(&classify_store, &trunk).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        // Large enough that no window is larger than its map.
        let images = image(1, 416, 416);
        let maps = no_grad(|| classify.forward_t(&images, false));
        let last = no_grad(|| classify.last_map(&images, false));
        assert!(last.equal(&maps[3]), "{}", case.name);
        assert!(last.equal(&no_grad(|| dense.last_map(&images, false))), "{}", case.name);
    }
}

/// bf16 has 8 bits of mantissa; what it computes is near the f32 result, with gradients and without.
#[test]
fn autocast_runs_and_stays_near() {
    for case in cases() {
        let (store, backbone) = build(&case.config, Purpose::Dense);
        let images = image(2, 65, 70);
        let expected = no_grad(|| backbone.forward_t(&images, false));
        let (plain, trained) = {
            let _autocast = Autocast::bf16(Device::Cpu).unwrap();
            (no_grad(|| backbone.forward_t(&images, false)), backbone.forward_t(&images, false))
        };
        for got in [&plain, &trained] {
            for (got, expected) in got.iter().zip(&expected) {
                let norm = |t: &Tensor| t.norm().double_value(&[]);
                let error = norm(&(got.to_kind(Kind::Float) - expected)) / norm(expected);
                assert!(error < 0.03, "{}: relative error {error}", case.name);
            }
        }
        energy(&trained).backward();
        assert_every_gradient(case.name, &store);
    }
}
