//! NAT against the authors' code: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::{Network, check};
use tch::Kind;

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
fn classifier() {
    check("nat_classifier");
}

#[test]
fn training_without_drop_path_is_the_same_function() {
    parity::compare(&parity::golden("nat_scaled_dilated"), "f64", Kind::Double, 1e-9, true);
}

/// The comparison itself can fail: one entry of one position bias table, off by a thousandth.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = parity::golden("nat_plain");
    let (store, nat) = Network::of(&golden, Kind::Float);
    let rpb = &store.variables()["levels.3.blocks.0.attn.rpb"];
    tch::no_grad(|| {
        let _ = rpb.get(0).get(6).get(6).g_add_scalar_(1e-3);
    });
    let level = nat.outputs(golden.get("input"), false).pop().unwrap();
    let message = golden::close("level 3", &level, golden.get("f32/level/3"), 1e-4).unwrap_err();
    assert!(message.contains("level 3: max abs ") && message.contains("of [2, 64, 2, 3]: got "), "{message}");
}
