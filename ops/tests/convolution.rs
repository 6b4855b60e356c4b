//! `conv2d_relu` against libtorch's ops one by one in double precision, in one pass and not.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops::conv2d_relu;
use smalti_ops::flops::count;
use smalti_ops::runtime::Autocast;
use smalti_ops::without_data::WithoutData;
use support::{assert_close, device, turn};
use tch::{Device, Kind, Tensor, no_grad};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Case {
    input: [i64; 4],
    outputs: i64,
    kernel: i64,
    stride: i64,
    padding: i64,
}

const CASES: [Case; 9] = [
    Case { input: [2, 3, 33, 47], outputs: 16, kernel: 7, stride: 2, padding: 3 }, // a stem
    Case { input: [2, 64, 14, 9], outputs: 32, kernel: 1, stride: 1, padding: 0 },
    Case { input: [1, 32, 15, 8], outputs: 32, kernel: 3, stride: 2, padding: 1 },
    Case { input: [3, 5, 7, 6], outputs: 13, kernel: 3, stride: 1, padding: 1 }, // no multiples of a register
    Case { input: [2, 32, 1, 1], outputs: 128, kernel: 1, stride: 1, padding: 0 },
    Case { input: [1, 16, 2, 2], outputs: 16, kernel: 3, stride: 2, padding: 1 }, // to a single pixel
    Case { input: [2, 16, 3, 3], outputs: 1, kernel: 1, stride: 1, padding: 0 },
    Case { input: [1, 1, 9, 1], outputs: 1, kernel: 3, stride: 1, padding: 1 },
    Case { input: [0, 4, 5, 5], outputs: 4, kernel: 3, stride: 1, padding: 1 },
];

impl Case {
    /// Input, weight, bias and residual, random.
    fn operands(self) -> [Tensor; 4] {
        let [batch, inputs, height, width] = self.input;
        let after = |length: i64| (length + 2 * self.padding - self.kernel) / self.stride + 1;
        let residual = [batch, self.outputs, after(height), after(width)];
        let shapes: [&[i64]; 4] =
            [&self.input, &[self.outputs, inputs, self.kernel, self.kernel], &[self.outputs], &residual];
        shapes.map(|shape| Tensor::randn(shape, (Kind::Float, device())))
    }

    fn run(self, [x, w, b, r]: &[Tensor; 4], add: bool) -> Tensor {
        conv2d_relu(x, w, b, add.then_some(r), self.stride, self.padding).unwrap()
    }

    fn expected(self, operands: &[Tensor; 4], add: bool) -> Tensor {
        let [x, w, b, r] = operands.each_ref().map(|t| t.to_kind(Kind::Double));
        let y = x.conv2d(&w, Some(b), [self.stride; 2], [self.padding; 2], [1, 1], 1);
        if add { (y + r).relu() } else { y.relu() }
    }
}

/// The same numbers, channels next to each other in memory.
fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[test]
fn one_pass_agrees_with_double_precision_in_both_orders_of_memory() {
    let _turn = turn();
    tch::manual_seed(1);
    for case in CASES {
        let [x, w, b, r] = case.operands();
        let before = r.copy();
        let orders = [("channels first", x.shallow_clone()), ("channels last", channels_last(&x))];
        for (order, x) in orders {
            let operands = [x, w.shallow_clone(), b.shallow_clone(), r.shallow_clone()];
            for add in [false, true] {
                let got = no_grad(|| case.run(&operands, add));
                let expected = case.expected(&operands, add);
                assert_close(&format!("{case:?}, {order}, sum {add}"), &got, &expected, 1e-5);
            }
        }
        assert!(r.equal(&before), "the residual is left alone");
    }
}

#[test]
fn maps_stay_channels_last() {
    let _turn = turn();
    for case in &CASES[..4] {
        let [x, w, b, r] = case.operands();
        let operands = [channels_last(&x), w, b, r];
        for add in [false, true] {
            assert_eq!(no_grad(|| case.run(&operands, add)).stride()[1], 1, "{case:?}, sum {add}");
        }
    }
}

#[test]
fn gradients_are_those_of_the_ops_one_by_one() {
    let _turn = turn();
    tch::manual_seed(2);
    for case in &CASES[..8] {
        let operands = case.operands();
        let leaves = |kind: Kind| operands.each_ref().map(|t| t.to_kind(kind).copy().set_requires_grad(true));
        let (ours, theirs) = (leaves(Kind::Float), leaves(Kind::Double));
        let probe = |y: &Tensor| {
            Tensor::arange(y.numel() as i64, (Kind::Float, y.device())).sin().to_kind(y.kind()).view_as(y)
        };
        let y = case.run(&ours, true);
        (&y * probe(&y)).sum(Kind::Float).backward();
        let y = case.expected(&theirs, true);
        (&y * probe(&y)).sum(Kind::Double).backward();
        for (index, (got, expected)) in ours.iter().zip(&theirs).enumerate() {
            assert_close(&format!("{case:?}: gradient {index}"), &got.grad(), &expected.grad(), 1e-4);
        }
    }
}

#[test]
fn one_pass_only_where_nothing_records_a_graph() {
    let _turn = turn();
    if device() != Device::Cpu {
        return; // a GPU has libtorch's ops only
    }
    let case = CASES[1];
    let [x, w, b, r] = case.operands();
    let operands = [x, w.set_requires_grad(true), b, r];
    let ops = |add: bool| {
        let (_, count) = count(|| case.run(&operands, add)).unwrap();
        let row = &count.ops[0];
        assert_eq!((row.calls, row.multiply_adds), (1, 2 * 14 * 9 * 64 * 32));
        row.op.clone()
    };
    for add in [false, true] {
        assert_eq!(ops(add), "convolution");
        assert_eq!(no_grad(|| ops(add)), "_convolution_pointwise");
    }
    let _mode = WithoutData::enter().unwrap();
    let operands = case.operands();
    let (y, count) = count(|| no_grad(|| case.run(&operands, true))).unwrap();
    assert_eq!((y.size(), count.multiply_adds()), (vec![2, 32, 14, 9], 2 * 14 * 9 * 64 * 32));
}

#[test]
fn autocast_holds() {
    let _turn = turn();
    let case = CASES[1];
    let operands = case.operands();
    let _guard = Autocast::bf16(device()).unwrap();
    let y = no_grad(|| case.run(&operands, true));
    assert_eq!(y.kind(), Kind::BFloat16);
}

#[test]
fn wrong_shapes_are_errors() {
    let [x, w, b, r] = CASES[1].operands();
    let error = conv2d_relu(&x, &w.narrow(1, 0, 63), &b, None, 1, 0).unwrap_err().to_string();
    assert!(error.starts_with("conv2d_relu: "), "{error}");
    assert!(error.contains("64 channels"), "{error}");
    conv2d_relu(&x, &w, &b, Some(&r.narrow(2, 0, 13)), 1, 0).unwrap_err();
}
