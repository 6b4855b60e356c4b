//! Multiply-adds of every form of op against the number worked out by hand, with data and without; and shapes without data.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops::flops::{FlopCount, count};
use smalti_ops::without_data::{WithoutData, peak_bytes};
use smalti_ops::{Window1d, Window2d, ms_deform_attn, neighborhood_attention_1d, neighborhood_attention_2d};
use support::device;
use tch::{Kind, Tensor};

const NONE: Option<Tensor> = None;

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, device()))
}

/// An op, and what has to be counted: name, calls, multiply-adds.
type Case = (&'static str, fn() -> Tensor, &'static [(&'static str, u64, u64)]);

const PRODUCTS: [Case; 12] = [
    (
        "linear",
        || zeros(&[2, 5, 4]).linear(&zeros(&[3, 4]), Some(zeros(&[3]))),
        &[("linear", 1, 2 * 5 * 4 * 3)],
    ),
    ("linear without bias", || zeros(&[5, 4]).linear(&zeros(&[3, 4]), NONE), &[("linear", 1, 5 * 4 * 3)]),
    ("matrices", || zeros(&[5, 4]).matmul(&zeros(&[4, 3])), &[("mm", 1, 5 * 4 * 3)]),
    (
        "batches of matrices",
        || zeros(&[2, 3, 4, 5]).matmul(&zeros(&[2, 3, 5, 6])),
        &[("bmm", 1, 6 * 4 * 5 * 6)],
    ),
    ("a batch and a matrix", || zeros(&[2, 3, 4, 5]).matmul(&zeros(&[5, 6])), &[("mm", 1, 6 * 4 * 5 * 6)]),
    ("matrix and vector", || zeros(&[5, 4]).matmul(&zeros(&[4])), &[("mv", 1, 5 * 4)]),
    ("vectors", || zeros(&[7]).matmul(&zeros(&[7])), &[("dot", 1, 7)]),
    ("addmm", || zeros(&[3]).addmm(&zeros(&[5, 4]), &zeros(&[4, 3])), &[("addmm", 1, 5 * 4 * 3)]),
    (
        "baddbmm",
        || zeros(&[2, 5, 3]).baddbmm(&zeros(&[2, 5, 4]), &zeros(&[2, 4, 3]), 1.0, 1.0),
        &[("baddbmm", 1, 2 * 5 * 4 * 3)],
    ),
    ("addmv", || zeros(&[5]).addmv(&zeros(&[5, 4]), &zeros(&[4])), &[("addmv", 1, 5 * 4)]),
    (
        "einsum",
        || Tensor::einsum("bik,bjk->bij", &[zeros(&[2, 5, 4]), zeros(&[2, 3, 4])], None::<i64>),
        &[("bmm", 1, 2 * 5 * 4 * 3)],
    ),
    (
        "products in a row",
        || zeros(&[5, 4]).mm(&zeros(&[4, 3])).mm(&zeros(&[3, 2])),
        &[("mm", 2, 5 * 4 * 3 + 5 * 3 * 2)],
    ),
];

const CONVOLUTIONS: [Case; 7] = [
    (
        // ceil(7 / 2) x ceil(9 / 2) places, 3x3 kernels from 3 channels to 4
        "stride",
        || zeros(&[2, 3, 7, 9]).conv2d(&zeros(&[4, 3, 3, 3]), Some(zeros(&[4])), [2, 2], [1, 1], [1, 1], 1),
        &[("convolution", 1, 2 * 4 * 5 * 4 * 27)],
    ),
    (
        "depthwise",
        || zeros(&[1, 6, 8, 5]).conv2d(&zeros(&[6, 1, 7, 7]), NONE, [1, 1], [3, 3], [1, 1], 6),
        &[("convolution", 1, 8 * 5 * 6 * 49)],
    ),
    (
        "groups",
        || zeros(&[1, 6, 8, 5]).conv2d(&zeros(&[4, 3, 1, 1]), NONE, [1, 1], [0, 0], [1, 1], 2),
        &[("convolution", 1, 8 * 5 * 4 * 3)],
    ),
    (
        // The kernel reaches over 5x3 pixels: 6x8 places are left of 10x10.
        "unequal axes",
        || zeros(&[1, 2, 10, 10]).conv2d(&zeros(&[3, 2, 3, 3]), NONE, [1, 1], [0, 0], [2, 1], 1),
        &[("convolution", 1, 6 * 8 * 3 * 18)],
    ),
    (
        "named padding",
        || zeros(&[1, 2, 6, 5]).conv2d_padding(&zeros(&[3, 2, 3, 3]), NONE, [1, 1], "same", [1, 1], 1),
        &[("convolution", 1, 6 * 5 * 3 * 18)],
    ),
    (
        "one axis",
        || zeros(&[2, 3, 9]).conv1d(&zeros(&[4, 3, 3]), NONE, 2, 0, 1, 1),
        &[("convolution", 1, 2 * 4 * 4 * 9)],
    ),
    (
        // Every input pixel through 2x2 kernels from 4 channels to 2.
        "transposed",
        || {
            zeros(&[1, 4, 3, 5]).conv_transpose2d(
                &zeros(&[4, 2, 2, 2]),
                NONE,
                [2, 2],
                [0, 0],
                [0, 0],
                1,
                [1, 1],
            )
        },
        &[("convolution", 1, 3 * 5 * 4 * 2 * 4)],
    ),
];

fn attention(mask: Option<Tensor>) -> Tensor {
    let (q, k, v) = (zeros(&[2, 3, 5, 8]), zeros(&[2, 3, 7, 8]), zeros(&[2, 3, 7, 4]));
    Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None::<f64>, false)
}

fn neighborhood(bias: Option<&Tensor>) -> Tensor {
    let map = || zeros(&[2, 9, 10, 2, 16]);
    let window = Window2d { size: (3, 5), dilation: (2, 1) };
    neighborhood_attention_2d(&map(), &map(), &map(), bias, window, 0.25).unwrap()
}

const ATTENTIONS: [Case; 5] = [
    // 5 queries, 7 keys: scores of 8 channels, sums of 4.
    ("sdpa", || attention(None), &[("scaled_dot_product_attention", 1, 6 * 5 * 7 * (8 + 4))]),
    (
        "masked sdpa",
        || attention(Some(zeros(&[5, 7]))),
        &[("scaled_dot_product_attention", 1, 6 * 5 * 7 * 12)],
    ),
    // Every one of 9 x 10 queries has 3 x 5 keys, at borders too; 2 heads of 16 channels, scores and sums.
    (
        "na2d",
        || neighborhood(Some(&zeros(&[2, 5, 9]))),
        &[("neighborhood_attention_2d", 1, 2 * 2 * 90 * 32 * 15)],
    ),
    (
        "na1d",
        || {
            let line = || zeros(&[2, 9, 2, 16]);
            neighborhood_attention_1d(
                &line(),
                &line(),
                &line(),
                None,
                Window1d { size: 3, dilation: 2 },
                0.25,
            )
            .unwrap()
        },
        &[("neighborhood_attention_2d", 1, 2 * 2 * 9 * 32 * 3)],
    ),
    (
        // 7 queries, 2 heads, 2 levels of 3 points: four corners of 16 channels.
        "ms_deform_attn",
        || {
            let (value, offsets) = (zeros(&[2, 36, 2, 16]), zeros(&[2, 7, 2, 2, 3, 2]));
            let (reference, logits) = (zeros(&[2, 7, 2, 2]), zeros(&[2, 7, 2, 6]));
            ms_deform_attn(&value, &[(6, 5), (3, 2)], &reference, &offsets, &logits).unwrap()
        },
        &[("ms_deform_attn", 1, 2 * 7 * 2 * 6 * 4 * 16)],
    ),
];

/// What papers do not count.
const OTHERS: [Case; 10] = [
    ("elementwise", || (zeros(&[4, 5]) * 2.0 + zeros(&[5])).relu().gelu("none").softmax(-1, None), &[]),
    ("layer norm", || zeros(&[4, 5]).layer_norm([5], Some(zeros(&[5])), Some(zeros(&[5])), 1e-5, true), &[]),
    (
        "batch norm",
        || {
            let c = || Some(zeros(&[3]));
            zeros(&[2, 3, 4, 5]).batch_norm(c(), c(), c(), c(), false, 0.1, 1e-5, true)
        },
        &[],
    ),
    (
        "group norm",
        || zeros(&[2, 6, 4, 5]).group_norm(3, Some(zeros(&[6])), Some(zeros(&[6])), 1e-5, true),
        &[],
    ),
    ("roll", || zeros(&[2, 6, 5]).roll([-1, -2], [1, 2]), &[]),
    ("rows of a table", || zeros(&[7, 3]).index_select(0, &zeros(&[12]).to_kind(Kind::Int64)), &[]),
    ("columns of a table", || zeros(&[7, 3]).index_select(-1, &zeros(&[2]).to_kind(Kind::Int64)), &[]),
    (
        "pooling",
        || zeros(&[2, 3, 7, 9]).max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false).adaptive_avg_pool2d([2, 3]),
        &[],
    ),
    ("sampling", || zeros(&[2, 3, 7, 9]).grid_sampler(&zeros(&[2, 4, 5, 2]), 0, 0, true), &[]),
    (
        "padding and cutting",
        || zeros(&[1, 6, 7, 2]).constant_pad_nd([0, 0, 0, 1, 0, 2]).slice(1, 1, 6, 2),
        &[],
    ),
];

fn all() -> impl Iterator<Item = Case> {
    PRODUCTS.into_iter().chain(CONVOLUTIONS).chain(ATTENTIONS).chain(OTHERS)
}

fn rows(count: &FlopCount) -> Vec<(&str, u64, u64)> {
    count.ops.iter().map(|op| (op.op.as_str(), op.calls, op.multiply_adds)).collect()
}

#[test]
fn every_form_counts_what_it_computes() {
    for (name, op, expected) in all() {
        let (out, counted) = tch::no_grad(|| count(op)).unwrap();
        assert_eq!(rows(&counted), expected, "{name}");
        assert_eq!(counted.multiply_adds(), expected.iter().map(|row| row.2).sum::<u64>(), "{name}");
        let _mode = WithoutData::enter().unwrap();
        let (shape, without) = tch::no_grad(|| count(op)).unwrap();
        assert_eq!(without, counted, "{name}, without data");
        assert_eq!((shape.size(), shape.kind()), (out.size(), out.kind()), "{name}, without data");
    }
}

#[test]
fn backward_passes_are_passed_over() {
    let leaf = |shape: &[i64]| zeros(shape).set_requires_grad(true);
    let (weight, kernel, map) = (leaf(&[8, 8]), leaf(&[8, 8, 3, 3]), leaf(&[1, 8, 6, 6]));
    let forward = || {
        let x = map.conv2d(&kernel, NONE, [1, 1], [1, 1], [1, 1], 1).permute([0, 2, 3, 1]); // [1, 6, 6, 8]
        let x = x.linear(&weight, NONE).reshape([1, 6, 6, 2, 4]);
        neighborhood_attention_2d(&x, &x, &x, None, Window2d::square(3, 1), 0.5).unwrap()
    };
    let (_, expected) = tch::no_grad(|| count(forward)).unwrap();
    let ((), counted) = count(|| forward().sum(Kind::Float).backward()).unwrap();
    assert_eq!(counted, expected);
    assert_eq!(expected.multiply_adds(), 36 * (8 * 72 + 64 + 2 * 8 * 9));
    assert!(kernel.grad().defined() && weight.grad().defined());
}

#[test]
fn counts_end_with_their_body() {
    let product = || zeros(&[2, 2]).mm(&zeros(&[2, 2]));
    let inner = count(|| count(product).map(drop).unwrap_err().to_string()).unwrap();
    assert!(inner.0.contains("expected one count at a time on a thread"), "{}", inner.0);
    assert_eq!(inner.1, FlopCount::default());

    let _ = std::panic::catch_unwind(|| count(|| panic!("in the body")).map(|((), _)| ())).unwrap_err();
    let ((), counted) = count(|| {
        drop(product());
        std::thread::spawn(move || drop(product())).join().unwrap();
    })
    .unwrap();
    assert_eq!(rows(&counted), [("mm", 1, 8)], "the body's thread, once");
}

#[test]
fn peaks_are_those_of_tensors_that_live_at_a_time() {
    let kept = zeros(&[1000]);
    let body = || {
        let first = zeros(&[1000, 1000]);
        let second = &first + 1.0; // 8 MB
        drop(first);
        let third = second.tr().contiguous().narrow(0, 0, 1); // 8 MB again
        drop(second);
        (third, &kept + &kept) // 4 kB that have data
    };
    let ((third, sum), peak) = peak_bytes(body).unwrap();
    assert_eq!(peak, 8_000_000);
    assert_eq!((third.size(), sum.size()), (vec![1, 1000], vec![1000]));
    // What lives already is not counted, and what ends makes room.
    let ((), peak) = peak_bytes(|| drop((third, zeros(&[1000])))).unwrap();
    assert_eq!(peak, 4000);
}

#[test]
fn tensors_without_data_take_no_memory_and_leave_others_alone() {
    let before = Tensor::from_slice(&[1.0_f32, 2.0]);
    let huge = {
        let _mode = WithoutData::enter().unwrap();
        let made = Tensor::from_slice(&[3.0_f32, 4.0]);
        assert_eq!((&before + &made).sum(Kind::Float).double_value(&[]), 10.0, "given values stay");
        // 4 TB and 2 PFLOP, were they real.
        let x = Tensor::randn([1 << 20, 1 << 20], (Kind::Float, device()));
        x.matmul(&x.tr()).softmax(-1, None)
    };
    assert_eq!(huge.size(), [1 << 20, 1 << 20]);
    assert_eq!(zeros(&[2]).sum(Kind::Float).double_value(&[]), 0.0, "the mode is over");
    let outer = WithoutData::enter().unwrap();
    drop(WithoutData::enter().unwrap());
    assert_eq!((zeros(&[1 << 40])).size(), [1 << 40], "an inner guard leaves the outer one on");
    drop(outer);
    assert_eq!(zeros(&[3]).sum(Kind::Float).double_value(&[]), 0.0);
}
