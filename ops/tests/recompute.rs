//! Activation checkpointing against the same computation with everything kept.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smalti_ops::runtime::{Autocast, generator_state};
use smalti_ops::{OpError, recompute};
use support::{device, turn};
use tch::{Kind, Tensor, no_grad};

fn leaf(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Double, device())).to_kind(kind).set_requires_grad(true)
}

/// A segment with parameters and random draws.
fn segment(weight: &Tensor) -> impl Fn(&Tensor) -> Tensor + Send + 'static {
    let weight = weight.shallow_clone();
    move |x| x.matmul(&weight).tanh().dropout(0.5, true)
}

fn gradients(leaves: &[&Tensor]) -> Vec<Tensor> {
    let take = |leaf: &&Tensor| {
        let gradient = leaf.grad().copy();
        let _ = leaf.grad().zero_();
        gradient
    };
    leaves.iter().map(take).collect()
}

#[test]
fn output_gradients_and_later_draws_are_those_of_the_plain_computation() {
    let _turn = turn();
    tch::manual_seed(3);
    let (x, weight) = (leaf(&[5, 4], Kind::Double), leaf(&[4, 4], Kind::Double));
    let run = |checkpointed: bool| {
        tch::manual_seed(4);
        let mut y = &x * 2;
        for _ in 0..3 {
            y = if checkpointed { recompute(segment(&weight), &y).unwrap() } else { segment(&weight)(&y) };
        }
        let (sum, state) = ((&y * y.sin()).sum(Kind::Double), generator_state(device()).unwrap());
        sum.backward();
        assert!(generator_state(device()).unwrap().equal(&state), "backward leaves the generator as it was");
        let mut results = gradients(&[&x, &weight]);
        results.push(y.detach());
        results
    };
    let expected = run(false);
    assert!(expected[0].abs().sum(Kind::Double).double_value(&[]) > 0.0);
    for (got, expected) in run(true).iter().zip(&expected) {
        assert!(got.equal(expected), "{got} {expected}");
    }
}

#[test]
fn parameters_get_gradients_where_the_input_wants_none() {
    let weight = leaf(&[4, 4], Kind::Float);
    let x = Tensor::ones([3, 4], (Kind::Float, device()));
    let own = weight.shallow_clone();
    recompute(move |x| x.matmul(&own), &x).unwrap().sum(Kind::Float).backward();
    assert!(weight.grad().equal(&Tensor::full([4, 4], 3.0, (Kind::Float, device()))));
}

#[test]
fn backward_repeats_autocast() {
    let _turn = turn();
    let (x, weight) = (leaf(&[8, 16], Kind::Float), leaf(&[16, 16], Kind::Float));
    let run = |checkpointed: bool| {
        let y = {
            let _autocast = Autocast::bf16(device()).unwrap();
            let own = weight.shallow_clone();
            let segment = move |x: &Tensor| x.matmul(&own).matmul(&own);
            if checkpointed { recompute(segment, &x).unwrap() } else { segment(&x) }
        };
        assert_eq!(y.kind(), Kind::BFloat16);
        y.to_kind(Kind::Float).square().sum(Kind::Float).backward();
        gradients(&[&x, &weight])
    };
    let expected = run(false);
    for (got, expected) in run(true).iter().zip(&expected) {
        assert_eq!(got.kind(), Kind::Float);
        let error = (got - expected).abs().max().double_value(&[]);
        let scale = expected.abs().max().double_value(&[]);
        // The weight's cast is shared by both products in one graph and not in the other: one more rounding to bf16.
        assert!(error <= scale / 128.0, "{error:e} of {scale:e}");
    }
}

#[test]
fn a_segment_runs_twice_with_a_backward_and_is_dropped_with_the_graph() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counting = || {
        let runs = Arc::clone(&runs);
        move |x: &Tensor| {
            runs.fetch_add(1, Ordering::Relaxed);
            x * 3
        }
    };
    let x = leaf(&[2], Kind::Float);
    let y = recompute(counting(), &x).unwrap();
    assert_eq!((runs.load(Ordering::Relaxed), Arc::strong_count(&runs)), (1, 2));
    y.sum(Kind::Float).backward();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    drop(y);
    assert_eq!(Arc::strong_count(&runs), 1);
    // Nothing to come back for without a graph.
    let y = no_grad(|| recompute(counting(), &x).unwrap());
    assert!(!y.requires_grad());
    assert_eq!((runs.load(Ordering::Relaxed), Arc::strong_count(&runs)), (3, 1));
}

#[test]
fn a_panic_in_the_segment_is_an_error() {
    let failed = recompute(|_| panic!("the segment's own message"), &leaf(&[2], Kind::Float));
    assert!(matches!(failed, Err(OpError::Native { op: "recompute", .. })), "{failed:?}");
}
