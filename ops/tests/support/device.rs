//! The device that tests of the ops run on: the CPU, or the one that `SMALTI_TEST_DEVICE=cuda:0` names.

#![allow(dead_code)] // every test file uses its part

use tch::{Device, Tensor, kind::Element};

/// The device.
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
