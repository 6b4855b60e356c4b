//! ResNet against torchvision: outputs and gradients of shrunken variants, f32 and f64 (docs/parity.md).

#[path = "support/golden.rs"]
mod golden;
#[path = "support/parity.rs"]
mod parity;

use parity::check;

#[test]
fn dense_with_frozen_norms() {
    check("resnet_dense");
}

#[test]
fn classifier() {
    check("resnet_classifier");
}

#[test]
fn training_moves_the_running_statistics() {
    check("resnet_training");
}
