//! The memory that tensors on a CPU lie in.

use std::fs;

use smalti_ops as _; // registers the allocator
use tch::{Device, Kind, Tensor};

#[test]
fn tensors_are_aligned() {
    for length in [1, 3, 16, 17, 1000, 1 << 20] {
        let tensors: Vec<_> = (0..5).map(|_| Tensor::ones([length], (Kind::Uint8, Device::Cpu))).collect();
        assert!(
            tensors.iter().all(|tensor| (tensor.data_ptr() as usize).is_multiple_of(64)),
            "{length} bytes"
        );
        assert!(tensors.iter().all(|tensor| tensor.sum(Kind::Int64).int64_value(&[]) == length));
    }
    assert_eq!(Tensor::ones([0], (Kind::Float, Device::Cpu)).numel(), 0);
}

#[test]
fn what_can_not_be_had_is_an_error() {
    let error = Tensor::f_ones([1 << 52], (Kind::Float, Device::Cpu)).unwrap_err().to_string();
    assert!(error.contains("not enough memory"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn tensors_fit_the_gaps_of_their_like() {
    const MEGABYTE: usize = 1 << 20;
    let resident = || -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    };
    let tensor = || Tensor::ones([8 * MEGABYTE as i64], (Kind::Uint8, Device::Cpu));
    drop(tensor()); // from here on the C library keeps blocks of this size when they are freed
    // Small things settle around each tensor and outlive it.
    let mut small = Vec::new();
    let mut maps = vec![tensor(), tensor()];
    let before = resident();
    for _ in 0..40 {
        small.extend((0..40).map(|_| Box::new([1_u8; 24])));
        maps.push(tensor());
        drop(maps.remove(0));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 24 * MEGABYTE, "grown by {} MB, one tensor has 8", grown / MEGABYTE);
    assert_eq!(small.len(), 1600);
}
