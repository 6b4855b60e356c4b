//! `DiNAT_s` against the authors' code: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::{Network, check};
use tch::Kind;

#[test]
fn window_7_on_even_maps() {
    check("dinat_s_plain");
}

#[test]
fn odd_input_and_padded_maps() {
    check("dinat_s_odd");
}

#[test]
fn classifier() {
    check("dinat_s_classifier");
}

#[test]
fn training_without_drop_path_is_the_same_function() {
    parity::compare(&parity::golden("dinat_s_odd"), "f64", Kind::Double, 1e-9, true);
}

/// The comparison itself can fail: two of the four pixels of a merged block, exchanged.
#[test]
fn another_order_of_merging_is_noticed() {
    let golden = parity::golden("dinat_s_odd");
    let (store, network) = Network::of(&golden, Kind::Float);
    for name in ["norm.weight", "norm.bias", "reduction.weight"] {
        let mut parameter = store.variables()[&format!("layers.0.downsample.{name}")].shallow_clone();
        let blocks = parameter.detach().copy().chunk(4, -1); // 4 pixels of 4 channels
        let exchanged = tch::Tensor::cat(&[&blocks[0], &blocks[2], &blocks[1], &blocks[3]], -1);
        tch::no_grad(|| parameter.copy_(&exchanged));
    }
    let levels = network.outputs(golden.get("input"), false);
    assert!(golden::close("level 0", &levels[0], golden.get("f32/level/0"), 1e-4).is_ok());
    let message = golden::close("level 1", &levels[1], golden.get("f32/level/1"), 1e-4).unwrap_err();
    assert!(message.contains("level 1: max abs "), "{message}");
}
