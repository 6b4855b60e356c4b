//! What tests of the ops share: the device they run on, turns at what is process-wide, and comparison.

#![allow(dead_code)] // every test file uses its part

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor, kind::Element};

/// The CPU, or the device that `SMALTI_TEST_DEVICE=cuda:0` names.
pub fn device() -> Device {
    let Ok(name) = std::env::var("SMALTI_TEST_DEVICE") else { return Device::Cpu };
    match name.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
        Some(index) => Device::Cuda(index),
        None => panic!("SMALTI_TEST_DEVICE: expected cuda:0, cuda:1, ..., got {name}"),
    }
}

/// `values` there.
pub fn tensor<T: Element>(values: &[T]) -> Tensor {
    Tensor::from_slice(values).to_device(device())
}

/// `torch.manual_seed` and `force_isa` are process-wide: tests that use them take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Holds off the other tests that take turns, until it is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics unless the largest absolute error is at most `tolerance` times the largest expected value (or 1).
pub fn assert_close(name: &str, got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(got.size(), expected.size(), "{name}");
    if expected.numel() == 0 {
        return;
    }
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let worst = (&got - &expected).abs().max().double_value(&[]);
    let top = expected.abs().max().double_value(&[]).max(1.0);
    assert!(
        worst <= tolerance * top,
        "{name}: max abs error {worst:e}, largest value {top:e}, allowed {tolerance:e}"
    );
}
