//! The dispatch keys of the registered operators: shapes without data (Meta), autocast, and no second derivatives.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops::runtime::{Autocast, to_meta};
use smalti_ops::{OpError, Window2d, ms_deform_attn, neighborhood_attention_2d};
use support::device;
use tch::{Kind, Tensor};

const LEVELS: [(i64, i64); 2] = [(6, 5), (3, 2)];

/// q, k, v and bias of a legal call.
fn attention_inputs(kind: Kind) -> Vec<Tensor> {
    let leaf = |shape: &[i64]| Tensor::randn(shape, (kind, device())).set_requires_grad(true);
    let map = [2, 9, 10, 2, 16];
    vec![leaf(&map), leaf(&map), leaf(&map), leaf(&[2, 5, 9])]
}

fn attention(inputs: &[Tensor]) -> Result<Tensor, OpError> {
    let window = Window2d { size: (3, 5), dilation: (2, 1) };
    neighborhood_attention_2d(&inputs[0], &inputs[1], &inputs[2], Some(&inputs[3]), window, 0.25)
}

/// value, reference, offsets and logits of a legal call.
fn deform_inputs(kind: Kind) -> Vec<Tensor> {
    let leaf = |t: Tensor| t.to_kind(kind).detach().set_requires_grad(true);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, device()));
    vec![
        leaf(random(&[2, 36, 2, 16])),
        leaf(Tensor::rand([2, 7, 2, 2], (Kind::Float, device()))),
        leaf(random(&[2, 7, 2, 2, 3, 2])),
        leaf(random(&[2, 7, 2, 6])),
    ]
}

fn deform(inputs: &[Tensor]) -> Result<Tensor, OpError> {
    ms_deform_attn(&inputs[0], &LEVELS, &inputs[1], &inputs[2], &inputs[3])
}

type Op = fn(&[Tensor]) -> Result<Tensor, OpError>;

#[test]
fn meta_tensors_give_the_shapes_and_types_of_outputs_and_gradients() {
    for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half] {
        for (op, inputs) in [(attention as Op, attention_inputs(kind)), (deform as Op, deform_inputs(kind))] {
            let run = |inputs: &[Tensor]| {
                let out = op(inputs).unwrap();
                let mut results = Tensor::run_backward(&[out.sum(out.kind())], inputs, false, false);
                results.push(out);
                results.iter().map(|t| (t.size(), t.kind())).collect::<Vec<_>>()
            };
            let meta: Vec<Tensor> =
                inputs.iter().map(|t| to_meta(&t.detach()).unwrap().set_requires_grad(true)).collect();
            assert_eq!(run(&meta), run(&inputs));
        }
    }
    let mut wrong: Vec<Tensor> =
        attention_inputs(Kind::Float).iter().map(|t| to_meta(&t.detach()).unwrap()).collect();
    wrong[3] = to_meta(&Tensor::zeros([2, 5, 5], (Kind::Float, device()))).unwrap();
    let error = attention(&wrong).unwrap_err().to_string();
    assert!(error.contains("= [2, 5, 9], got [2, 5, 5]"), "{error}");
}

#[test]
fn tensors_of_two_devices_are_refused() {
    let mut inputs = attention_inputs(Kind::Float);
    inputs[1] = to_meta(&inputs[1].detach()).unwrap();
    let error = attention(&inputs).unwrap_err().to_string();
    assert!(error.contains("k: expected the device of q, ") && error.contains("got meta"), "{error}");
    let mut inputs = deform_inputs(Kind::Float);
    inputs[2] = to_meta(&inputs[2].detach()).unwrap();
    let error = deform(&inputs).unwrap_err().to_string();
    assert!(
        error.contains("offsets: expected the device of value, ") && error.contains("got meta"),
        "{error}"
    );
}

#[test]
fn two_runs_give_the_same_bits() {
    for (op, inputs) in
        [(attention as Op, attention_inputs(Kind::Float)), (deform as Op, deform_inputs(Kind::Float))]
    {
        smalti_ops::runtime::set_deterministic(true);
        let run = || {
            let out = op(&inputs).unwrap();
            let mut results = Tensor::run_backward(&[out.square().sum(Kind::Float)], &inputs, false, false);
            results.push(out);
            results
        };
        for (first, second) in run().iter().zip(&run()) {
            assert!(first.equal(second));
        }
        smalti_ops::runtime::set_deterministic(false);
    }
}

#[test]
fn autocast_runs_the_features_in_half_and_returns_gradients_in_full() {
    for (op, inputs) in
        [(attention as Op, attention_inputs(Kind::Float)), (deform as Op, deform_inputs(Kind::Float))]
    {
        let full = op(&inputs).unwrap();
        let out = {
            let _autocast = Autocast::bf16(device()).unwrap();
            op(&inputs).unwrap()
        };
        assert_eq!(out.kind(), Kind::BFloat16);
        // q, k, v or the value lose bits (half an epsilon of 1/128, twice), the table and the positions do not.
        let worst = (out.to_kind(Kind::Float) - &full).abs().max().double_value(&[]);
        assert!(worst < 0.03 * full.abs().max().double_value(&[]), "{worst}");
        for (gradient, input) in
            Tensor::run_backward(&[out.sum(Kind::Float)], &inputs, false, false).iter().zip(&inputs)
        {
            assert_eq!((gradient.kind(), gradient.size()), (Kind::Float, input.size()));
        }
    }
}

#[test]
fn autocast_leaves_doubles_alone() {
    let _autocast = Autocast::bf16(device()).unwrap();
    assert_eq!(attention(&attention_inputs(Kind::Double)).unwrap().kind(), Kind::Double);
    assert_eq!(deform(&deform_inputs(Kind::Double)).unwrap().kind(), Kind::Double);
}

#[test]
fn autocast_off_holds_inside_autocast_and_no_longer() {
    let product = || {
        let x = Tensor::ones([2, 2], (Kind::Float, device()));
        x.matmul(&x).kind()
    };
    let _autocast = Autocast::bf16(device()).unwrap();
    {
        let _off = Autocast::off(device()).unwrap();
        assert_eq!(product(), Kind::Float);
    }
    assert_eq!(product(), Kind::BFloat16);
}

#[test]
fn second_derivatives_are_an_error() {
    for (op, inputs) in
        [(attention as Op, attention_inputs(Kind::Double)), (deform as Op, deform_inputs(Kind::Double))]
    {
        let loss = op(&inputs).unwrap().square().sum(Kind::Double);
        let first = Tensor::run_backward(&[loss], &inputs[..1], true, true).remove(0);
        let error =
            Tensor::f_run_backward(&[first.sum(Kind::Double)], &inputs[..1], false, false).unwrap_err();
        assert!(error.to_string().contains("derivative for smalti::"), "{error}");
    }
}

#[test]
fn any_subset_of_inputs_may_want_gradients() {
    for (op, inputs) in
        [(attention as Op, attention_inputs(Kind::Double)), (deform as Op, deform_inputs(Kind::Double))]
    {
        let all = Tensor::run_backward(&[op(&inputs).unwrap().sum(Kind::Double)], &inputs, false, false);
        for subset in 0..1 << inputs.len() {
            let wants = |i: usize| subset >> i & 1 == 1;
            let some: Vec<Tensor> =
                inputs.iter().enumerate().map(|(i, t)| t.detach().set_requires_grad(wants(i))).collect();
            let out = op(&some).unwrap();
            assert_eq!(out.requires_grad(), subset != 0);
            if subset == 0 {
                continue;
            }
            let chosen: Vec<usize> = (0..inputs.len()).filter(|&i| wants(i)).collect();
            let leaves: Vec<&Tensor> = chosen.iter().map(|&i| &some[i]).collect();
            let grads = Tensor::run_backward(&[out.sum(Kind::Double)], &leaves, false, false);
            for (gradient, &i) in grads.iter().zip(&chosen) {
                assert!(gradient.equal(&all[i]), "subset {subset:b}, input {i}");
            }
        }
    }
}
