//! The native kernels against the plain reference, hand-computed cases, and numeric gradients.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops::isa::{Isa, force_isa};
use smalti_ops::neighborhood_attention::reference;
use smalti_ops::{OpError, Window1d, Window2d, neighborhood_attention_1d, neighborhood_attention_2d};
use support::{assert_close, device, tensor, turn};
use tch::{Device, Kind, Tensor};

/// Small generator of test shapes; the seed is printed on failure.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n) as i64
    }
}

struct Case {
    window: Window2d,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Option<Tensor>,
    weight: Tensor,
}

fn leaf(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (kind, device())).set_requires_grad(true)
}

fn draw_case(seed: u64, kind: Kind) -> Case {
    let mut draw = Draw(seed);
    tch::manual_seed(seed as i64);
    // Mostly small windows: the reference holds Ky * Kx times the input.
    let axis = |draw: &mut Draw| match draw.below(4) {
        0 => (2 * draw.below(7) + 1, 1),
        _ => (2 * draw.below(4) + 1, draw.below(4) + 1),
    };
    let (rows, columns) = (axis(&mut draw), axis(&mut draw));
    let window = Window2d { size: (rows.0, columns.0), dilation: (rows.1, columns.1) };
    let (min_h, min_w) = window.min_map();
    // From the smallest legal map up, so that ragged groups and all-border maps are common.
    let (h, w) = (min_h + draw.below(6), min_w + draw.below(6));
    let (batch, heads) = (draw.below(3), draw.below(3) + 1);
    let dim = [1, 8, 16, 20, 32, 64, 128][draw.below(7) as usize];
    let shape = [batch, h, w, heads, dim];
    let (rows, columns) = window.bias_shape();
    let bias = (draw.below(3) > 0).then(|| leaf(&[heads, rows, columns], kind));
    let weight = Tensor::randn(shape, (kind, device()));
    Case { window, q: leaf(&shape, kind), k: leaf(&shape, kind), v: leaf(&shape, kind), bias, weight }
}

impl Case {
    fn inputs(&self) -> Vec<&Tensor> {
        [&self.q, &self.k, &self.v].into_iter().chain(&self.bias).collect()
    }

    fn run(&self, native: bool) -> Vec<Tensor> {
        let scale = (self.q.size()[4] as f64).powf(-0.5);
        let bias = self.bias.as_ref();
        let out = if native {
            neighborhood_attention_2d(&self.q, &self.k, &self.v, bias, self.window, scale).unwrap()
        } else {
            reference::neighborhood_attention_2d(&self.q, &self.k, &self.v, bias, self.window, scale)
        };
        let loss = (&out * &self.weight).sum(self.q.kind());
        let mut result = vec![out.detach()];
        result.extend(Tensor::run_backward(&[loss], &self.inputs(), false, false));
        result
    }
}

fn compare(seed: u64, kind: Kind, tolerance: f64) {
    let case = draw_case(seed, kind);
    let names = ["out", "grad q", "grad k", "grad v", "grad bias"];
    for (name, (got, expected)) in names.iter().zip(case.run(true).iter().zip(&case.run(false))) {
        let name = format!("seed {seed}, {:?}, q {:?}, {name}", case.window, case.q.size());
        assert_close(&name, got, expected, tolerance);
    }
}

#[test]
fn f64_matches_the_reference_over_random_shapes() {
    let _turn = turn();
    (0..120).for_each(|seed| compare(seed, Kind::Double, 1e-12));
}

#[test]
fn f32_matches_the_reference_on_every_instruction_set() {
    let _turn = turn();
    for isa in [Isa::Best, Isa::Avx2, Isa::Baseline] {
        force_isa(isa);
        // Sums of up to 49 * 64 products of unit normals: 1e-5 is some ten times the rounding noise seen.
        (1000..1060).for_each(|seed| compare(seed, Kind::Float, 1e-5));
    }
    force_isa(Isa::Best);
}

/// Forward and backward against the reference in f64 on the same rounded inputs.
#[test]
fn half_types_are_the_rounded_result() {
    let _turn = turn();
    for (kind, epsilon) in [(Kind::BFloat16, 1.0 / 256.0), (Kind::Half, 1.0 / 2048.0)] {
        for seed in 0..30 {
            let case = draw_case(seed, kind);
            let wide = |t: &Tensor| t.detach().to_kind(Kind::Double).set_requires_grad(true);
            let exact = Case {
                window: case.window,
                q: wide(&case.q),
                k: wide(&case.k),
                v: wide(&case.v),
                bias: case.bias.as_ref().map(wide),
                weight: wide(&case.weight).detach(),
            };
            let names = ["out", "grad q", "grad k", "grad v", "grad bias"];
            for (name, (got, expected)) in names.iter().zip(case.run(true).iter().zip(&exact.run(false))) {
                assert_eq!(got.kind(), kind, "{name}");
                // Inputs are exact and sums are f32, so what differs is the final rounding (half an epsilon), and in gradients
                // the rounding of the saved output, which enters every score's gradient through one dot product.
                // Tensor cores take the weights in halves too.
                let roundings = if *name == "out" && device() == Device::Cpu { 1.0 } else { 4.0 };
                assert_close(&format!("seed {seed} {kind:?} {name}"), got, expected, roundings * epsilon);
            }
        }
    }
}

/// Central differences in f64 against the analytic gradient, for every input element.
#[test]
fn gradcheck() {
    let _turn = turn();
    tch::manual_seed(7);
    let window = Window2d { size: (3, 3), dilation: (2, 1) };
    let shape = [1, 7, 4, 2, 3];
    let inputs: Vec<Tensor> = vec![
        leaf(&shape, Kind::Double),
        leaf(&shape, Kind::Double),
        leaf(&shape, Kind::Double),
        leaf(&[2, 5, 5], Kind::Double),
    ];
    let weight = Tensor::randn(shape, (Kind::Double, device()));
    let loss = |x: &[Tensor]| {
        let out = neighborhood_attention_2d(&x[0], &x[1], &x[2], Some(&x[3]), window, 0.6).unwrap();
        (out * &weight).sum(Kind::Double)
    };
    let analytic = Tensor::run_backward(&[loss(&inputs)], &inputs, false, false);
    let step = 1e-6;
    for (input, (tensor, gradient)) in inputs.iter().zip(&analytic).enumerate() {
        for element in 0..tensor.numel() as i64 {
            let moved = |by: f64| {
                let copies: Vec<Tensor> = inputs.iter().map(|t| t.detach().copy()).collect();
                let _ = copies[input].view([-1]).get(element).g_add_scalar_(by);
                loss(&copies).double_value(&[])
            };
            let numeric = (moved(step) - moved(-step)) / (2.0 * step);
            let exact = gradient.view([-1]).double_value(&[element]);
            // Truncation error step^2, rounding error 1e-16 / step.
            assert!((numeric - exact).abs() < 1e-7, "input {input}, element {element}: {numeric} != {exact}");
        }
    }
}

#[test]
fn hand_computed_window_of_three() {
    // One row of 5 keys, window 1x3, D = 1, q = 0: every weight is 1/3, so the output is the mean of the window.
    // Windows: [0 1 2], [0 1 2], [1 2 3], [2 3 4], [2 3 4].
    let zeros = Tensor::zeros([1, 1, 5, 1, 1], (Kind::Double, device()));
    let v = tensor(&[1.0, 2.0, 4.0, 8.0, 16.0]).reshape([1, 1, 5, 1, 1]);
    let window = Window2d { size: (1, 3), dilation: (1, 1) };
    let out = neighborhood_attention_2d(&zeros, &zeros, &v, None, window, 1.0).unwrap();
    let expected = [7.0, 7.0, 14.0, 28.0, 28.0].map(|sum| sum / 3.0);
    assert_close("mean", &out.reshape([5]), &tensor(&expected), 1e-15);
}

#[test]
fn hand_computed_bias_and_ragged_dilation() {
    // Width 7, dilation 2: group 0 = {0, 2, 4, 6} (4 members), group 1 = {1, 3, 5} (3 members).
    // A bias of ln 2 on offset 0 and 0 elsewhere gives the query's own position weight 2 of 4.
    let zeros = Tensor::zeros([1, 1, 7, 1, 1], (Kind::Double, device()));
    let v = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).reshape([1, 1, 7, 1, 1]);
    let bias = tensor(&[0.0, 0.0, 2f64.ln(), 0.0, 0.0]).reshape([1, 1, 5]);
    let window = Window2d { size: (1, 3), dilation: (1, 2) };
    let out = neighborhood_attention_2d(&zeros, &zeros, &v, Some(&bias), window, 1.0).unwrap();
    // x=0: window {0 2 4} = (2*1 + 3 + 5) / 4; x=1: {1 3 5} = (2*2 + 4 + 6) / 4; x=2: {0 2 4} = (1 + 2*3 + 5) / 4;
    // x=3: {1 3 5} = (2 + 2*4 + 6) / 4; x=4: {2 4 6} = (3 + 2*5 + 7) / 4; x=5: {1 3 5} = (2 + 4 + 2*6) / 4; x=6: {2 4 6}.
    let expected = [10.0, 14.0, 12.0, 16.0, 20.0, 18.0, 22.0].map(|sum| sum / 4.0);
    assert_close("bias", &out.reshape([7]), &tensor(&expected), 1e-15);
}

#[test]
fn views_of_a_packed_projection_are_read_in_place() {
    let _turn = turn();
    tch::manual_seed(3);
    let qkv = leaf(&[2, 9, 8, 3, 2, 16], Kind::Double);
    let parts = qkv.unbind(3);
    let window = Window2d::square(5, 1);
    let weight = Tensor::randn([2, 9, 8, 2, 16], (Kind::Double, device()));
    let grad = |native: bool| {
        let out = if native {
            neighborhood_attention_2d(&parts[0], &parts[1], &parts[2], None, window, 0.25).unwrap()
        } else {
            reference::neighborhood_attention_2d(&parts[0], &parts[1], &parts[2], None, window, 0.25)
        };
        Tensor::run_backward(&[(out * &weight).sum(Kind::Double)], &[&qkv], true, false).remove(0)
    };
    assert_close("packed", &grad(true), &grad(false), 1e-12);
    // Channels that are not contiguous are copied, not misread.
    let turned = |i: usize| parts[i].transpose(3, 4).contiguous().transpose(3, 4);
    let out = neighborhood_attention_2d(&turned(0), &turned(1), &turned(2), None, window, 0.25).unwrap();
    let expected = reference::neighborhood_attention_2d(&parts[0], &parts[1], &parts[2], None, window, 0.25);
    assert_close("turned", &out, &expected, 1e-12);
}

#[test]
fn the_same_bits_for_any_thread_count() {
    let _turn = turn();
    let bits = |threads: i32| {
        tch::set_num_threads(threads);
        draw_case(41, Kind::Float).run(true)
    };
    let (one, four) = (bits(1), bits(4));
    tch::set_num_threads(2);
    for (a, b) in one.iter().zip(&four) {
        assert!(a.equal(b));
    }
}

#[test]
fn gradients_only_where_they_are_asked_for() {
    let q = leaf(&[1, 5, 5, 1, 8], Kind::Float);
    let (k, v) = (q.detach().copy(), q.detach().copy());
    let out = neighborhood_attention_2d(&q, &k, &v, None, Window2d::square(3, 1), 1.0).unwrap();
    assert!(out.requires_grad());
    // Used twice in one graph: the gradient doubles.
    let once = Tensor::run_backward(&[out.sum(Kind::Float)], &[&q], true, false).remove(0);
    let twice = Tensor::run_backward(&[(&out + &out).sum(Kind::Float)], &[&q], false, false).remove(0);
    assert_close("twice", &twice, &(once * 2.0), 1e-6);
    let plain = neighborhood_attention_2d(&k, &k, &v, None, Window2d::square(3, 1), 1.0).unwrap();
    assert!(!plain.requires_grad());
}

/// The definition for a sequence, written out: softmax over the window of the query's dilation group.
fn sequence(q: &Tensor, k: &Tensor, v: &Tensor, bias: &Tensor, window: Window1d, scale: f64) -> Tensor {
    let length = q.size()[1];
    let rows: Vec<Tensor> = (0..length)
        .map(|i| {
            let group: Vec<i64> = (i % window.dilation..length).step_by(window.dilation as usize).collect();
            let rank = i / window.dilation;
            let start = (rank - window.size / 2).clamp(0, group.len() as i64 - window.size);
            let keys = tensor(&group[start as usize..(start + window.size) as usize]);
            let (keys_of, values_of) = (k.index_select(1, &keys), v.index_select(1, &keys)); // [B, K, M, D]
            let scores = (q.narrow(1, i, 1) * keys_of).sum_dim_intlist(-1, false, Kind::Double) * scale; // [B, K, M]
            let scores = scores + bias.narrow(1, start - rank + window.size - 1, window.size).transpose(0, 1);
            (scores.softmax(1, Kind::Double).unsqueeze(-1) * values_of).sum_dim_intlist(
                1,
                false,
                Kind::Double,
            )
        })
        .collect();
    Tensor::stack(&rows, 1)
}

#[test]
fn sequences_match_the_definition() {
    let _turn = turn();
    for (seed, (length, size, dilation)) in
        (0..).zip([(7, 7, 1), (20, 5, 1), (20, 5, 3), (31, 3, 7), (13, 13, 1)])
    {
        tch::manual_seed(seed);
        let shape = [2, length, 3, 16];
        let [q, k, v] = [shape; 3].map(|shape| leaf(&shape, Kind::Double));
        let bias = leaf(&[3, 2 * size - 1], Kind::Double);
        let weight = Tensor::randn(shape, (Kind::Double, device()));
        let window = Window1d { size, dilation };
        let got = neighborhood_attention_1d(&q, &k, &v, Some(&bias), window, 0.25).unwrap();
        let expected = sequence(&q, &k, &v, &bias, window, 0.25);
        assert_close(&format!("{window:?}, {length}"), &got.detach(), &expected.detach(), 1e-12);
        let grads = |out: Tensor| {
            Tensor::run_backward(&[(out * &weight).sum(Kind::Double)], &[&q, &k, &v, &bias], false, false)
        };
        for (got, expected) in grads(got).iter().zip(&grads(expected)) {
            assert_close(&format!("gradients, {window:?}, {length}"), got, expected, 1e-12);
        }
    }
}

#[test]
fn illegal_arguments_are_refused_with_expected_and_got() {
    let t = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, device()));
    let x = t(&[1, 8, 8, 2, 4]);
    let call = |q: &Tensor, k: &Tensor, bias: Option<&Tensor>, window: Window2d| {
        let error: OpError = neighborhood_attention_2d(q, k, &x, bias, window, 1.0).unwrap_err();
        error.to_string()
    };
    let window = Window2d::square(3, 1);
    assert!(
        call(&t(&[8, 8, 2, 4]), &x, None, window)
            .contains("expected 5 dimensions [B, H, W, M, D], got [8, 8, 2, 4]")
    );
    assert!(
        call(&x, &t(&[1, 8, 7, 2, 4]), None, window)
            .contains("k: expected the shape of q, [1, 8, 8, 2, 4], got [1, 8, 7, 2, 4]")
    );
    assert!(
        call(&x, &x.to_kind(Kind::Double), None, window)
            .contains("expected the dtype of q, Float, got Double")
    );
    assert!(call(&x, &x, Some(&t(&[2, 5, 4])), window).contains("[2, 5, 5], got [2, 5, 4]"));
    assert!(call(&x, &x, None, Window2d::square(4, 1)).contains("odd sizes from 1 to 13, got 4"));
    assert!(call(&x, &x, None, Window2d::square(15, 1)).contains("odd sizes from 1 to 13, got 15"));
    assert!(call(&x, &x, None, Window2d::square(-1, 1)).contains("odd sizes from 1 to 13, got -1"));
    assert!(call(&x, &x, None, Window2d::square(3, i64::MAX)).contains("got 8x8"));
    let wide = t(&[1, 8, 8, 2, 2048]);
    let error = neighborhood_attention_2d(&wide, &wide, &wide, None, window, 1.0).unwrap_err().to_string();
    assert!(error.contains("1 to 1024 channels per head, got 2048"), "{error}");
    let int = x.to_kind(Kind::Int64);
    let error = neighborhood_attention_2d(&int, &int, &int, None, window, 1.0).unwrap_err().to_string();
    assert!(error.contains("f64, f32, bf16 or f16, got Long"), "{error}");
    assert!(call(&x, &x, None, Window2d::square(3, 0)).contains("1 or more, got 0"));
    assert!(call(&x, &x, None, Window2d::square(3, 3)).contains("window * dilation = 9x9, got 8x8"));
}
