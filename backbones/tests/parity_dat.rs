//! DAT++ against the authors' code: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use golden::PRECISIONS;
use parity::{Network, check};
use smalti_backbones::dat::resize_position_table;
use tch::Kind;

#[test]
fn tables_of_the_maps_size() {
    check("dat_plain");
}

#[test]
fn odd_input_and_tables_of_another_size() {
    check("dat_odd");
}

#[test]
fn log_cpb_tanh_and_layer_scale() {
    check("dat_log_cpb");
}

#[test]
fn no_position_bias() {
    check("dat_unbiased");
}

#[test]
fn classifier_with_one_row_of_keys() {
    check("dat_classifier");
}

#[test]
fn training_without_drop_path_is_the_same_function() {
    parity::compare(&parity::golden("dat_odd"), "f64", Kind::Double, 1e-9, true);
}

/// Tables of images of 64 for 96, and back, as the reference resizes them when it loads weights.
#[test]
fn resized_tables() {
    let golden = parity::golden("dat_resized_tables");
    for (label, kind, rtol) in PRECISIONS {
        for direction in ["larger", "smaller"] {
            let tables = golden.below(&format!("{label}/{direction}/"));
            assert_eq!(tables.len(), 4, "a table a stage");
            for (name, expected) in &tables {
                let before = golden.get(&format!("{direction}/{name}")).to_kind(kind);
                let resized = resize_position_table(&before, expected.size()[2]).unwrap();
                golden::assert_close(&format!("{label} {direction} {name}"), &resized, expected, rtol);
            }
        }
    }
}

/// The comparison itself can fail: one entry of one position bias table, off by a hundredth.
#[test]
fn a_slightly_wrong_weight_is_noticed() {
    let golden = parity::golden("dat_plain");
    let (store, dat) = Network::of(&golden, Kind::Float);
    let table = &store.variables()["stages.3.attns.0.rpe_table"];
    tch::no_grad(|| {
        let _ = table.get(0).get(1).get(1).g_add_scalar_(1e-2);
    });
    let level = dat.outputs(golden.get("input"), false).pop().unwrap();
    let message = golden::close("level 3", &level, golden.get("f32/level/3"), 1e-4).unwrap_err();
    assert!(message.contains("level 3: max abs "), "{message}");
}
