//! DaViT against timm: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::{Network, check};
use tch::Kind;

#[test]
fn windows_that_do_not_divide_the_map() {
    check("davit_plain");
}

#[test]
fn odd_input() {
    check("davit_odd");
}

#[test]
fn florence() {
    check("davit_florence");
}

#[test]
fn classifier() {
    check("davit_classifier");
}

#[test]
fn training_without_drop_path_is_the_same_function() {
    parity::compare(&parity::golden("davit_odd"), "f64", Kind::Double, 1e-9, true);
}

/// The comparison itself can fail: the bias of one key in the last window attention, which only padded tokens see undiluted.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = parity::golden("davit_plain");
    let (store, davit) = Network::of(&golden, Kind::Float);
    let bias = &store.variables()["stages.3.blocks.0.0.attn.qkv.bias"];
    tch::no_grad(|| {
        let _ = bias.get(64).g_add_scalar_(1e-2);
    });
    let level = davit.outputs(golden.get("input"), false).pop().unwrap();
    let message = golden::close("level 3", &level, golden.get("f32/level/3"), 1e-4).unwrap_err();
    assert!(message.contains("level 3: max abs ") && message.contains("of [1, 32, 2, 2]: got "), "{message}");
}
