//! ConvNeXt against transformers: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::check;

#[test]
fn dense() {
    check("convnext_dense");
}

#[test]
fn classifier() {
    check("convnext_classifier");
}
