//! The semantic loss on cases small enough to compute by hand.

use smalti_heads::semantic_loss::balanced_weights;
use smalti_heads::{SemanticLoss, SemanticOutput};
use tch::{Device, Kind, Tensor};

const LN_2: f64 = std::f64::consts::LN_2;

/// Two pixels side by side with two classes: `[1, 2, 1, 2]` from (class 0, class 1) of each pixel.
fn logits(left: (f32, f32), right: (f32, f32)) -> Tensor {
    Tensor::from_slice(&[left.0, right.0, left.1, right.1]).reshape([1, 2, 1, 2]).set_requires_grad(true)
}

fn labels(values: &[i64]) -> Tensor {
    Tensor::from_slice(values).reshape([1, 1, -1])
}

fn total(weights: Option<&[f64]>, logits: &Tensor, labels: &Tensor) -> f64 {
    let output = SemanticOutput { logits: logits.shallow_clone(), auxiliary: None };
    SemanticLoss::new(0.4, weights, Device::Cpu).forward(&output, labels).total.double_value(&[])
}

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-6, "got {got}, expected {expected}");
}

#[test]
fn ignored_pixels_count_neither_above_nor_below_the_line() {
    // (0, 0): both classes 1/2.
    let left = (0.0, 0.0);
    near(total(None, &logits(left, (100.0, -100.0)), &labels(&[0, 255])), LN_2);
    // (0, ln 3): class 1 has 3/4. The mean of ln 2 and ln 4/3.
    let right = (0.0, 3.0_f32.ln());
    near(total(None, &logits(left, right), &labels(&[0, 1])), f64::midpoint(LN_2, (4.0_f64 / 3.0).ln()));
}

#[test]
fn weights_count_above_and_below_the_line() {
    let logits = logits((0.0, 0.0), (0.0, 3.0_f32.ln()));
    let weights = [1.0, 3.0];
    // (1 * ln 2 + 3 * ln 4/3) / (1 + 3)
    near(total(Some(&weights), &logits, &labels(&[0, 1])), (LN_2 + 3.0 * (4.0_f64 / 3.0).ln()) / 4.0);
    near(total(Some(&weights), &logits, &labels(&[255, 1])), (4.0_f64 / 3.0).ln());
    // Weights of one size are no weights, and a class of weight 0 is as good as ignored.
    near(total(Some(&[7.0, 7.0]), &logits, &labels(&[0, 1])), total(None, &logits, &labels(&[0, 1])));
    near(total(Some(&[0.0, 2.0]), &logits, &labels(&[0, 1])), (4.0_f64 / 3.0).ln());
}

#[test]
fn a_batch_without_labels_has_loss_and_gradient_0() {
    for weights in [None, Some([2.0, 5.0].as_slice())] {
        let (decode, auxiliary) = (logits((3.0, 1.0), (0.0, 9.0)), logits((1.0, 1.0), (0.0, 2.0)));
        let output =
            SemanticOutput { logits: decode.shallow_clone(), auxiliary: Some(auxiliary.shallow_clone()) };
        let losses = SemanticLoss::new(0.4, weights, Device::Cpu).forward(&output, &labels(&[255, 255]));
        assert_eq!(losses.total.double_value(&[]), 0.0);
        losses.total.backward();
        for gradient in [decode.grad(), auxiliary.grad()] {
            assert!(gradient.equal(&gradient.zeros_like()), "{weights:?}: {gradient}");
        }
    }
}

#[test]
fn gradients_are_probability_minus_label_over_valid_pixels() {
    let logits = logits((0.0, 0.0), (0.0, 3.0_f32.ln()));
    let output = SemanticOutput { logits: logits.shallow_clone(), auxiliary: None };
    SemanticLoss::new(0.4, None, Device::Cpu).forward(&output, &labels(&[0, 1])).total.backward();
    // Left: (1/2 - 1, 1/2) / 2; right: (1/4, 3/4 - 1) / 2. In order of [K, W].
    let expected = Tensor::from_slice(&[-0.25_f32, 0.125, 0.25, -0.125]).reshape([1, 2, 1, 2]);
    assert!(logits.grad().allclose(&expected, 1e-6, 1e-7, false), "{}", logits.grad());
}

#[test]
fn the_auxiliary_head_counts_by_its_weight() {
    let output = SemanticOutput {
        logits: logits((0.0, 0.0), (0.0, 0.0)),
        auxiliary: Some(logits((0.0, 3.0_f32.ln()), (0.0, 3.0_f32.ln()))),
    };
    let losses = SemanticLoss::new(0.4, None, Device::Cpu).forward(&output, &labels(&[0, 0]));
    near(losses.decode.double_value(&[]), LN_2);
    near(losses.auxiliary.unwrap().double_value(&[]), 2.0 * LN_2);
    near(losses.total.double_value(&[]), LN_2 + 0.4 * 2.0 * LN_2);
}

#[test]
fn logits_are_resized_to_the_labels_with_corners_not_aligned() {
    // Two pixels to four: weights 1, 3/4, 1/4, 0 of the left; class 1's logit is 0, so its loss is ln(1 + e^-x).
    let logits = logits((0.0, 4.0), (0.0, 8.0));
    let expected: f64 = [4.0_f64, 5.0, 7.0, 8.0].iter().map(|x| (-x).exp().ln_1p()).sum::<f64>() / 4.0;
    near(total(None, &logits, &labels(&[1, 1, 1, 1])), expected);
}

#[test]
fn half_precision_logits_have_an_f32_loss() {
    let half = logits((0.0, 0.0), (0.0, 0.0)).to_kind(Kind::BFloat16);
    let output = SemanticOutput { logits: half, auxiliary: None };
    let losses = SemanticLoss::new(0.4, None, Device::Cpu).forward(&output, &labels(&[0, 1]));
    assert_eq!(losses.total.kind(), Kind::Float);
    near(losses.total.double_value(&[]), LN_2);
}

#[test]
fn balanced_weights_have_mean_1_over_pixels() {
    // Frequencies 3/4 and 1/4: 4/3 and 4, whose mean over pixels is 2.
    assert_eq!(balanced_weights(&[300, 100, 0], 1.0), [4.0 / 3.0 / 2.0, 2.0, 1.0]);
    assert_eq!(balanced_weights(&[300, 100, 0], 0.0), [1.0, 1.0, 1.0]);
    let pixels = [300_u64, 100, 7];
    let mean = |weights: &[f64]| weights.iter().zip(pixels).map(|(w, n)| w * n as f64).sum::<f64>() / 407.0;
    near(mean(&balanced_weights(&pixels, 0.5)), 1.0);
    assert_eq!(balanced_weights(&[0, 0], 1.0), [1.0, 1.0], "a set without labels");
}
