//! Swin against transformers: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::{Network, check};
use tch::Kind;

#[test]
fn dense() {
    check("swin_dense");
}

#[test]
fn windows_larger_than_maps() {
    check("swin_dense_window_7");
}

#[test]
fn classifier() {
    check("swin_classifier");
}

/// The comparison can fail: one entry of one position bias, off by a thousandth.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = parity::golden("swin_dense");
    let (store, swin) = Network::of(&golden, Kind::Float);
    let table = &store.variables()["layers.3.blocks.1.attn.relative_position_bias_table"];
    tch::no_grad(|| {
        let _ = table.get(24).get(0).g_add_scalar_(1e-3); // the middle: every token with itself
    });
    let level = swin.outputs(golden.get("input"), false).pop().unwrap();
    assert!(golden::close("level 3", &level, golden.get("f32/level/3"), 1e-4).is_err());
}
