//! NAT against the authors' code: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;

use std::path::Path;

use golden::{Deviation, Golden, PRECISIONS, assert_close, close, leaf, probe_loss};
use smalti_backbones::{Backbone, Nat, NatConfig, weights};
use tch::nn::VarStore;
use tch::{Device, Kind};

fn golden(name: &str) -> Golden {
    Golden::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), name)
}

fn build(golden: &Golden, kind: Kind) -> (VarStore, Nat) {
    let config: NatConfig =
        serde_json::from_str(golden.metadata("config").expect("the case's config")).expect("a NAT config");
    let mut store = VarStore::new(Device::Cpu);
    let nat = Nat::new(&store.root(), &config).expect("a valid config");
    store.set_kind(kind);
    weights::assign(&store, &golden.below("weight/")).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    (store, nat)
}

/// Largest deviations of levels and of gradients.
fn compare(golden: &Golden, label: &str, kind: Kind, rtol: f64, train: bool) -> [Deviation; 2] {
    let (store, nat) = build(golden, kind);
    let image = leaf(golden.get("input"), kind);
    let levels = nat.forward_t(&image, train);
    let expected = golden.list(&format!("{label}/level/"));
    assert_eq!(levels.len(), expected.len());
    let [mut outputs, mut gradients] = [Deviation::default(); 2];
    for (i, (level, expected)) in levels.iter().zip(&expected).enumerate() {
        outputs.merge(assert_close(&format!("{label} level {i}"), level, expected, rtol));
    }

    probe_loss(&levels, &golden.list("probe/")).backward();
    let expected = golden.get(&format!("{label}/grad_input"));
    gradients.merge(assert_close(&format!("{label} gradient of the input"), &image.grad(), expected, rtol));
    let whole = golden.below(&format!("{label}/grad/"));
    let norms = golden.below(&format!("{label}/grad_norm/"));
    let parameters = store.variables();
    assert_eq!(whole.len() + norms.len(), parameters.len(), "a gradient for every parameter");
    let gradient = |name: &str| parameters[name].grad();
    for (name, expected) in &whole {
        gradients.merge(assert_close(
            &format!("{label} gradient of {name}"),
            &gradient(name),
            expected,
            rtol,
        ));
    }
    for (name, expected) in &norms {
        let norm = gradient(name).norm();
        gradients.merge(assert_close(&format!("{label} norm of {name}'s gradient"), &norm, expected, rtol));
    }
    [outputs, gradients]
}

fn check(name: &str) {
    let golden = golden(name);
    for (label, kind, rtol) in PRECISIONS {
        let [outputs, gradients] = compare(&golden, label, kind, rtol, false);
        report(&format!("{name} {label}: levels {outputs}; gradients {gradients}"));
    }
}

/// Shown with `--no-capture`; docs/parity.md quotes it.
#[expect(clippy::print_stdout, reason = "the measured errors are this test's second product")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn plain() {
    check("nat_plain");
}

#[test]
fn layer_scale_and_dilations() {
    check("nat_scaled_dilated");
}

#[test]
fn odd_input_and_padded_maps() {
    check("nat_padded");
}

#[test]
fn training_without_drop_path_is_the_same_function() {
    compare(&golden("nat_scaled_dilated"), "f64", Kind::Double, 1e-9, true);
}

/// The comparison itself can fail: one entry of one position bias table, off by a thousandth.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = golden("nat_plain");
    let (store, nat) = build(&golden, Kind::Float);
    let rpb = &store.variables()["levels.3.blocks.0.attn.rpb"];
    tch::no_grad(|| {
        let _ = rpb.get(0).get(6).get(6).g_add_scalar_(1e-3);
    });
    let level = nat.forward_t(golden.get("input"), false).pop().unwrap();
    let message = close("level 3", &level, golden.get("f32/level/3"), 1e-4).unwrap_err();
    assert!(message.contains("level 3: max abs ") && message.contains("of [2, 64, 2, 3]: got "), "{message}");
}
