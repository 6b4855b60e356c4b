//! A quick check of every native op against its slow reference on this very machine, for `smalti doctor`.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::neighborhood_attention::{self, Window2d, neighborhood_attention_2d};
use crate::{OpError, ms_deform_attn, runtime};

/// Outcome of one op's self-test.
#[derive(Debug, Clone)]
pub struct SelfTest {
    /// The op.
    pub op: &'static str,
    /// The dtype of its features.
    pub kind: Kind,
    /// Largest difference of outputs, relative to the largest output.
    pub forward_error: f64,
    /// Largest difference of gradients, relative to the largest gradient.
    pub backward_error: f64,
    /// Time of the op, forward and backward.
    pub native: Duration,
    /// Time of the reference.
    pub reference: Duration,
}

impl SelfTest {
    /// Rounding noise of sums over some dozens of terms: f32 throughout, or bf16 where features, and on tensor cores
    /// weights, are stored. A wrong index is off by orders more.
    pub fn tolerance(&self) -> f64 {
        if self.kind == Kind::Float { 1e-4 } else { 3e-2 }
    }

    /// Whether the op agrees with its reference.
    pub fn passed(&self) -> bool {
        // Written so that NaN fails.
        self.forward_error < self.tolerance() && self.backward_error < self.tolerance()
    }
}

/// Runs the self-test of every op on `device`, in f32 and bf16: they are different kernels.
pub fn run(device: Device) -> Result<Vec<SelfTest>, OpError> {
    // The tests draw random numbers; the caller's stream must not notice.
    let state = runtime::generator_state(device)?;
    let of_kind = |kind| [neighborhood_attention(kind, device), deform_attn(kind, device)];
    let results = [Kind::Float, Kind::BFloat16].into_iter().flat_map(of_kind).collect();
    runtime::set_generator_state(&state, device)?;
    results
}

fn leaf(shape: &[i64], kind: Kind, device: Device) -> Tensor {
    Tensor::randn(shape, (kind, device)).set_requires_grad(true)
}

/// What the reference computes with: exact copies in f32, through which gradients flow back.
fn wide(tensor: &Tensor) -> Tensor {
    tensor.to_kind(Kind::Float)
}

/// Compares outputs and the gradients of `inputs` under a random weighting of the output.
fn compare(
    (op, kind): (&'static str, Kind),
    inputs: &[&Tensor],
    native: impl Fn() -> Result<Tensor, OpError>,
    slow: impl Fn() -> Tensor,
) -> Result<SelfTest, OpError> {
    let weight = slow().detach().randn_like();
    let timed = |forward: &dyn Fn() -> Result<Tensor, OpError>| -> Result<_, OpError> {
        let start = Instant::now();
        let out = forward()?;
        let loss = (wide(&out) * &weight).sum(Kind::Float);
        let grads = Tensor::f_run_backward(&[loss], inputs, false, false)?;
        Ok((out.detach(), grads, start.elapsed()))
    };
    let (out, grads, native) = timed(&native)?;
    let (expected, expected_grads, reference) = timed(&|| Ok(slow()))?;
    let backward_error = grads.iter().zip(&expected_grads).map(|(a, b)| relative(a, b)).fold(0.0, f64::max);
    Ok(SelfTest { op, kind, forward_error: relative(&out, &expected), backward_error, native, reference })
}

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    let top = b.abs().max().double_value(&[]);
    (a - b).abs().max().double_value(&[]) / top
}

fn neighborhood_attention(kind: Kind, device: Device) -> Result<SelfTest, OpError> {
    // Ragged dilation groups, borders, a bias, two heads.
    let window = Window2d { size: (7, 5), dilation: (2, 3) };
    let shape = [2, 17, 20, 2, 32];
    let [q, k, v] = [&shape; 3].map(|shape| leaf(shape, kind, device));
    let bias = leaf(&[2, 13, 9], Kind::Float, device);
    let scale = (32f64).powf(-0.5);
    compare(
        ("neighborhood_attention_2d", kind),
        &[&q, &k, &v, &bias],
        || neighborhood_attention_2d(&q, &k, &v, Some(&bias), window, scale),
        || {
            neighborhood_attention::reference::neighborhood_attention_2d(
                &wide(&q),
                &wide(&k),
                &wide(&v),
                Some(&bias),
                window,
                scale,
            )
        },
    )
}

fn deform_attn(kind: Kind, device: Device) -> Result<SelfTest, OpError> {
    // Three levels of odd sizes, four points, many of them outside.
    let levels = [(13, 17), (7, 9), (4, 5)];
    let positions = levels.iter().map(|(height, width)| height * width).sum();
    let value = leaf(&[2, positions, 4, 32], kind, device);
    let places = Tensor::rand([2, 50, 3, 2], (Kind::Float, device)).set_requires_grad(true);
    let offsets = leaf(&[2, 50, 4, 3, 4, 2], Kind::Float, device);
    let logits = leaf(&[2, 50, 4, 12], Kind::Float, device);
    compare(
        ("ms_deform_attn", kind),
        &[&value, &places, &offsets, &logits],
        || ms_deform_attn::ms_deform_attn(&value, &levels, &places, &offsets, &logits),
        || ms_deform_attn::reference::ms_deform_attn(&wide(&value), &levels, &places, &offsets, &logits),
    )
}
