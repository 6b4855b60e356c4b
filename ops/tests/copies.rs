//! Uploads to a GPU under load, against plain copies.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failed unwrap is a failed test; a skipped one says so

use std::collections::VecDeque;

use smalti_ops::copies::{HostArray, Uploader};
use tch::{Cuda, Device, Kind, Tensor, no_grad};

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let mut uploader = Uploader::new(Device::Cuda(99));
    let error = uploader.upload(&[HostArray::new([1_u8].as_slice(), &[1]).unwrap()]).unwrap_err();
    assert!(error.to_string().starts_with("upload: ") && !error.to_string().contains('\n'), "{error}");
}

/// Of every batch.
const FLOATS: usize = 8 << 20;

/// Every batch is used while the next ones are on their way and the GPU is a long way behind the host; memory is freed as soon as
/// it is used, so that one given out too early would be overwritten by a later copy.
#[test]
fn uploads_beside_computing_equal_plain_copies() {
    if !Cuda::is_available() {
        println!("SKIPPED: libtorch sees no GPU; uploads beside computing are not tested");
        return;
    }
    let device = Device::Cuda(0);
    let mut uploader = Uploader::new(device);
    assert!(uploader.overlaps());
    let ballast = Tensor::rand([4096, 4096], (Kind::Float, device)) * 1e-3;
    let values = |number: usize| -> (Vec<f32>, Vec<i64>) {
        let floats = (0..FLOATS).map(|i| ((i * 31 + number * 977) % 8191) as f32).collect();
        (floats, vec![number as i64, -1, 7])
    };
    let mut coming = VecDeque::new();
    let mut sums = Vec::new();
    no_grad(|| {
        for number in 0..12 {
            let (floats, ints) = values(number);
            let arrays = [
                HostArray::new(floats.as_slice(), &[8, FLOATS / 8]).unwrap(),
                HostArray::new(ints, &[3]).unwrap(),
            ];
            coming.push_back(uploader.upload(&arrays).unwrap());
            if coming.len() == 2 {
                let busy = (0..6).fold(ballast.shallow_clone(), |product, _| product.matmul(&ballast));
                let tensors = coming.pop_front().unwrap().wait().unwrap();
                // Queued behind the products, so that the tensors are dropped long before they are read.
                let late = busy.sum(Kind::Float) * 0.0;
                sums.push((&tensors[0] + late, tensors[1].shallow_clone()));
            }
        }
    });
    assert_eq!(sums.len(), 11);
    for (number, (floats, ints)) in sums.iter().enumerate() {
        let (expected, expected_ints) = values(number);
        let plain = Tensor::from_slice(&expected).reshape([8, -1]).to_device(device);
        assert!(floats.equal(&plain), "batch {number}");
        assert_eq!(Vec::<i64>::try_from(ints).unwrap(), expected_ints);
    }
}
