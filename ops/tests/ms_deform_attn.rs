//! The native kernels against the plain reference, hand-computed cases, and numeric gradients.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod support;

use smalti_ops::isa::{Isa, force_isa};
use smalti_ops::ms_deform_attn;
use smalti_ops::ms_deform_attn::reference;
use support::{assert_close, device, tensor, turn};
use tch::{Kind, Tensor};

struct Case {
    levels: Vec<(i64, i64)>,
    /// value, reference, offsets, logits
    inputs: [Tensor; 4],
    weight: Tensor,
}

fn leaf(tensor: &Tensor, kind: Kind) -> Tensor {
    tensor.to_kind(kind).set_requires_grad(true)
}

fn draw_case(seed: i64, kind: Kind) -> Case {
    tch::manual_seed(seed);
    let below = |n: i64| Tensor::randint(n, [1], (Kind::Int64, device())).int64_value(&[0]);
    let wide = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, device()));
    let (batch, queries, heads, points) = (below(3), below(9) + 1, below(3) + 1, below(4) + 1);
    let dim = [1, 8, 16, 20, 32, 64][below(6) as usize];
    let levels: Vec<(i64, i64)> = (0..=below(3)).map(|_| (below(6) + 1, below(6) + 1)).collect();
    let positions: i64 = levels.iter().map(|&(height, width)| height * width).sum();
    let count = levels.len() as i64;
    // Offsets of some pixels: many points lie on borders or outside.
    let inputs = [
        leaf(&wide(&[batch, positions, heads, dim]), kind),
        leaf(&Tensor::rand([batch, queries, count, 2], (Kind::Double, device())), kind),
        leaf(&(wide(&[batch, queries, heads, count, points, 2]) * 2.0), kind),
        leaf(&wide(&[batch, queries, heads, count * points]), kind),
    ];
    let weight = wide(&[batch, queries, heads, dim]).to_kind(kind);
    Case { levels, inputs, weight }
}

impl Case {
    fn forward(&self, native: bool) -> Tensor {
        let [value, places, offsets, logits] = &self.inputs;
        if native {
            ms_deform_attn(value, &self.levels, places, offsets, logits).unwrap()
        } else {
            reference::ms_deform_attn(value, &self.levels, places, offsets, logits)
        }
    }

    fn run(&self, native: bool) -> Vec<Tensor> {
        let out = self.forward(native);
        let loss = (&out * &self.weight).sum(out.kind());
        let mut result = vec![out.detach()];
        result.extend(Tensor::run_backward(&[loss], &self.inputs, false, false));
        result
    }
}

fn compare(seed: i64, kind: Kind, tolerance: f64) {
    let case = draw_case(seed, kind);
    let names = ["out", "grad value", "grad reference", "grad offsets", "grad logits"];
    for (name, (got, expected)) in names.iter().zip(case.run(true).iter().zip(&case.run(false))) {
        let name = format!("seed {seed}, {:?}, value {:?}, {name}", case.levels, case.inputs[0].size());
        assert_close(&name, got, expected, tolerance);
    }
}

#[test]
fn f64_matches_the_reference_over_random_shapes() {
    let _turn = turn();
    (0..150).for_each(|seed| compare(seed, Kind::Double, 1e-12));
}

#[test]
fn f32_matches_the_reference_on_every_instruction_set() {
    let _turn = turn();
    for isa in [Isa::Best, Isa::Avx2, Isa::Baseline] {
        force_isa(isa);
        // The reference finds places through fractions of the map, which costs it some 1e-6 of a pixel.
        (1000..1060).for_each(|seed| compare(seed, Kind::Float, 3e-5));
    }
    force_isa(Isa::Best);
}

#[test]
fn half_values_with_f32_places_are_the_rounded_f32_result() {
    let _turn = turn();
    for (kind, epsilon) in [(Kind::BFloat16, 1.0 / 256.0), (Kind::Half, 1.0 / 2048.0)] {
        for seed in 0..20 {
            let mut case = draw_case(seed, Kind::Float);
            let half = case.inputs[0].detach().to_kind(kind);
            case.inputs[0] = half.to_kind(Kind::Float);
            let expected = case.forward(false);
            case.inputs[0] = half;
            let got = case.forward(true);
            assert_eq!(got.kind(), kind);
            assert_close(&format!("seed {seed} {kind:?}"), &got, &expected, epsilon);
        }
    }
}

/// Central differences in f64 against the analytic gradient, for every input element.
#[test]
fn gradcheck() {
    let _turn = turn();
    tch::manual_seed(11);
    let options = (Kind::Double, device());
    let levels = [(3, 4), (2, 2)];
    let inputs: Vec<Tensor> = vec![
        Tensor::randn([1, 16, 2, 3], options),
        Tensor::rand([1, 3, 2, 2], options),
        Tensor::randn([1, 3, 2, 2, 2, 2], options),
        Tensor::randn([1, 3, 2, 4], options),
    ]
    .into_iter()
    .map(|t| t.set_requires_grad(true))
    .collect();
    let weight = Tensor::randn([1, 3, 2, 3], options);
    let loss = |x: &[Tensor]| {
        (ms_deform_attn(&x[0], &levels, &x[1], &x[2], &x[3]).unwrap() * &weight).sum(Kind::Double)
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
            let exact = gradient.reshape([-1]).double_value(&[element]);
            // No point of this seed lies within a step of a cell border, where the slope jumps.
            assert!((numeric - exact).abs() < 1e-7, "input {input}, element {element}: {numeric} != {exact}");
        }
    }
}

/// One level of 1x2 pixels with values 1 and 5, one head, one channel, one point.
fn sample(place: f64, offset: f64) -> f64 {
    let t = |values: &[f64], shape: &[i64]| tensor(values).reshape(shape);
    let value = t(&[1.0, 5.0], &[1, 2, 1, 1]);
    let reference = t(&[place, 0.5], &[1, 1, 1, 2]);
    let offsets = t(&[offset, 0.0], &[1, 1, 1, 1, 1, 2]);
    let logits = t(&[3.0], &[1, 1, 1, 1]);
    ms_deform_attn(&value, &[(1, 2)], &reference, &offsets, &logits).unwrap().double_value(&[0, 0, 0, 0])
}

#[test]
fn hand_computed_places() {
    assert_eq!(sample(0.25, 0.0), 1.0); // centre of the first pixel
    assert_eq!(sample(0.5, 0.0), 3.0); // between the two
    assert_eq!(sample(0.25, 1.0), 5.0); // an offset is in pixels
    assert_eq!(sample(0.0, 0.0), 0.5); // the edge: half of the first pixel, half of what lies outside
    assert_eq!(sample(0.25, -0.75), 0.25);
    assert_eq!(sample(0.25, -1.0), 0.0); // a whole pixel outside
    for far in [f64::NAN, f64::INFINITY, -1e300, 1e18] {
        assert_eq!(sample(0.25, far), 0.0, "{far}");
    }
}

#[test]
fn weights_are_a_softmax_over_levels_and_points() {
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Double, device()));
    // Two levels of one pixel, 2 and 10; ln 3 on the second: (2 + 3 * 10) / 4.
    let value = tensor(&[2.0, 10.0]).reshape([1, 2, 1, 1]);
    let logits = tensor(&[0.0, 3f64.ln()]).reshape([1, 1, 1, 2]);
    let out = ms_deform_attn(
        &value,
        &[(1, 1), (1, 1)],
        &(ones(&[1, 1, 2, 2]) * 0.5),
        &(ones(&[1, 1, 1, 2, 1, 2]) * 0.0),
        &logits,
    );
    assert!((out.unwrap().double_value(&[0, 0, 0, 0]) - 8.0).abs() < 1e-14);
}

#[test]
fn strided_values_are_read_in_place() {
    let _turn = turn();
    let mut case = draw_case(5, Kind::Double);
    let expected = case.forward(false);
    // [B, M, S, D] seen as [B, S, M, D], and channels that are not contiguous.
    let value = case.inputs[0].detach();
    for turned in [(1, 2), (2, 3), (1, 3)] {
        case.inputs[0] = value.transpose(turned.0, turned.1).contiguous().transpose(turned.0, turned.1);
        assert_close(&format!("{turned:?}"), &case.forward(true), &expected, 1e-12);
    }
}

#[test]
fn the_same_bits_for_any_thread_count() {
    let _turn = turn();
    let bits = |threads: i32| {
        tch::set_num_threads(threads);
        (40..44).flat_map(|seed| draw_case(seed, Kind::Float).run(true)).collect::<Vec<_>>()
    };
    let (one, four) = (bits(1), bits(4));
    tch::set_num_threads(2);
    assert!(one.iter().zip(&four).all(|(a, b)| a.equal(b)));
}

#[test]
fn illegal_arguments_are_refused_with_expected_and_got() {
    let t = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, device()));
    let value = t(&[1, 6, 2, 4]);
    let (reference, offsets, logits) = (t(&[1, 5, 1, 2]), t(&[1, 5, 2, 1, 3, 2]), t(&[1, 5, 2, 3]));
    let call = |value: &Tensor, levels: &[(i64, i64)], offsets: &Tensor, logits: &Tensor| {
        ms_deform_attn(value, levels, &reference, offsets, logits).map(|_| ()).unwrap_err().to_string()
    };
    assert!(ms_deform_attn(&value, &[(2, 3)], &reference, &offsets, &logits).is_ok());
    assert!(
        call(&t(&[6, 2, 4]), &[(2, 3)], &offsets, &logits)
            .contains("4 dimensions [B, S, M, D], got [6, 2, 4]")
    );
    assert!(
        call(&value, &[(2, 2)], &offsets, &logits).contains("expected S = 4 for levels [(2, 2)], got S = 6")
    );
    assert!(call(&value, &[], &offsets, &logits).contains("one or more sizes"));
    let other = t(&[1, 5, 2, 2, 3, 2]);
    assert!(
        call(&value, &[(2, 3)], &other, &logits)
            .contains("offsets: expected [B, Q, M, L, P, 2] = [1, 5, 2, 1, 3, 2], got")
    );
    assert!(
        call(&value, &[(2, 3)], &offsets, &t(&[1, 5, 2, 4]))
            .contains("logits: expected [B, Q, M, L * P] = [1, 5, 2, 3], got")
    );
    let int = logits.to_kind(Kind::Int64);
    assert!(
        call(&value, &[(2, 3)], &offsets, &int).contains("logits: expected f64, f32, bf16 or f16, got Long")
    );
}
