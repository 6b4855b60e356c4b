//! `linear` on a CPU, which the extension registers for libtorch's own, against matrix products in double precision.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops as _; // registers the kernel
use support::{assert_close, device, turn};
use tch::{Device, Kind, Tensor};

/// Output and gradients of input, weight and bias; `None` where none is asked for.
struct Results {
    output: Tensor,
    grads: [Option<Tensor>; 3],
}

/// Random `input`, `weight` `[outputs, inputs]` and bias.
fn operands(input: &[i64], outputs: i64) -> [Tensor; 3] {
    let inputs = *input.last().unwrap();
    [input, &[outputs, inputs], &[outputs]].map(|shape| Tensor::randn(shape, (Kind::Float, device())))
}

fn run(
    operands: &[Tensor; 3],
    kind: Kind,
    wanted: [bool; 3],
    bias: bool,
    op: impl Fn(&Tensor, &Tensor, Option<Tensor>) -> Tensor,
) -> Results {
    let mut turn = wanted.iter();
    let leaves = operands.each_ref().map(|t| {
        let leaf = t.to_kind(kind).detach().copy();
        leaf.set_requires_grad(*turn.next().unwrap())
    });
    let output = op(&leaves[0], &leaves[1], bias.then(|| leaves[2].shallow_clone()));
    if output.requires_grad() {
        // Every element of the output weighs differently.
        let probe = Tensor::arange(output.numel() as i64, (Kind::Float, output.device())).sin().to_kind(kind);
        (&output * probe.view_as(&output)).sum(kind).backward();
    }
    let grads = leaves.map(|leaf| Some(leaf.grad()).filter(Tensor::defined));
    Results { output: output.detach(), grads }
}

fn check(name: &str, operands: &[Tensor; 3], wanted: [bool; 3], bias: bool) {
    let got = run(operands, Kind::Float, wanted, bias, Tensor::linear);
    let expected = run(operands, Kind::Double, wanted, bias, |x, w, b| {
        let y = x.matmul(&w.tr());
        b.map_or_else(|| y.shallow_clone(), |b| &y + b)
    });
    assert_close(&format!("{name}: output"), &got.output, &expected.output, 1e-5);
    for (index, (got, expected)) in got.grads.iter().zip(&expected.grads).enumerate() {
        match (got, expected) {
            (Some(got), Some(expected)) => {
                assert_close(&format!("{name}: gradient {index}"), got, expected, 1e-5);
            }
            (None, None) => {}
            _ => panic!("{name}: gradient {index}: one of the two has none"),
        }
    }
}

#[test]
fn large_and_small_products_agree_with_double_precision() {
    let _turn = turn();
    tch::manual_seed(1);
    let shapes: [(&[i64], i64); 11] = [
        (&[1000, 96], 96),
        (&[100, 384], 200), // few rows
        (&[999, 160], 64),
        (&[2, 7, 11, 128], 257),
        (&[1, 768], 3072),
        (&[2048], 1000), // a vector
        (&[5, 4], 3),
        (&[0, 512], 512),
        (&[4099, 17], 31),
        (&[2, 0, 64], 8),
        (&[1025, 33], 1025),
    ];
    for (shape, outputs) in shapes {
        let operands = operands(shape, outputs);
        for bias in [true, false] {
            check(&format!("{shape:?} to {outputs}, bias {bias}"), &operands, [true; 3], bias);
        }
    }
}

#[test]
fn only_the_gradients_asked_for() {
    let _turn = turn();
    tch::manual_seed(2);
    let operands = operands(&[2000, 64], 64);
    for bits in 0..8 {
        let wanted = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
        check(&format!("{wanted:?}"), &operands, wanted, true);
    }
}

#[test]
fn inputs_may_be_views() {
    let _turn = turn();
    tch::manual_seed(3);
    let [x, w, b] = operands(&[64, 8, 48, 40], 96);
    let views = [
        ("channels last", x.permute([0, 1, 3, 2]), Tensor::randn([96, 48], (Kind::Float, device()))),
        ("every second row", x.slice(0, 0, 64, 2), w.shallow_clone()),
        ("one row for all", x.narrow(0, 0, 1).expand([64, 8, 48, 40], false), w.shallow_clone()),
        ("a transposed weight", x.shallow_clone(), Tensor::randn([40, 96], (Kind::Float, device())).tr()),
    ];
    for (name, input, weight) in views {
        let got = input.linear(&weight, Some(&b));
        let expected = input.to_kind(Kind::Double).matmul(&weight.tr().to_kind(Kind::Double)) + &b;
        assert_close(name, &got, &expected, 1e-5);
        let leaf = weight.detach().copy().set_requires_grad(true);
        input.linear(&leaf, Some(&b)).sum(Kind::Float).backward();
        let ones =
            Tensor::ones([input.numel() as i64 / leaf.size()[1], leaf.size()[0]], (Kind::Double, device()));
        let rows = input.to_kind(Kind::Double).reshape([-1, leaf.size()[1]]);
        assert_close(name, &leaf.grad(), &ones.tr().matmul(&rows), 1e-5);
    }
}

#[test]
fn second_derivatives_exist() {
    let _turn = turn();
    tch::manual_seed(4);
    let [x, w, _] = operands(&[1024, 64], 128);
    let (x, w) = (x.set_requires_grad(true), w.set_requires_grad(true));
    let output = x.linear(&w, None::<&Tensor>).square().sum(Kind::Float);
    let first = Tensor::run_backward(&[&output], &[&x], true, true).remove(0);
    first.square().sum(Kind::Float).backward();
    // d/dx sum (x W^T)^2 = 2 x W^T W = g; d/dx sum g^2 = 4 (x W^T W) W^T W
    let (x64, w64) = (x.detach().to_kind(Kind::Double), w.detach().to_kind(Kind::Double));
    let gram = w64.tr().matmul(&w64);
    let expected: Tensor = x64.matmul(&gram).matmul(&gram) * 8.0;
    assert_close("second derivative", &x.grad(), &expected, 1e-5);
}

#[test]
fn other_types_and_wrong_shapes_are_libtorchs() {
    let x = Tensor::ones([300, 96], (Kind::BFloat16, Device::Cpu));
    let w = Tensor::ones([96, 96], (Kind::BFloat16, Device::Cpu));
    let y = x.linear(&w, None::<&Tensor>);
    assert_eq!(y.kind(), Kind::BFloat16);
    assert_eq!(y.to_kind(Kind::Float).max().double_value(&[]), 96.0);

    let x = Tensor::ones([3000, 97], (Kind::Float, Device::Cpu));
    let w = Tensor::ones([96, 96], (Kind::Float, Device::Cpu));
    let error = x.f_linear(&w, None::<&Tensor>).unwrap_err().to_string();
    assert!(error.contains("3000x97"), "{error}");
}
