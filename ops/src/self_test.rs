//! A quick check of every native op against its slow reference on this very machine, for `smalti doctor`.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::neighborhood_attention::{Window2d, neighborhood_attention_2d, reference};
use crate::{OpError, runtime};

/// Outcome of one op's self-test.
#[derive(Debug, Clone)]
pub struct SelfTest {
    /// The op.
    pub op: &'static str,
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
    /// Rounding noise of f32 sums over some dozens of terms; a wrong index is off by orders more.
    pub const TOLERANCE: f64 = 1e-4;

    /// Whether the op agrees with its reference.
    pub fn passed(&self) -> bool {
        // Written so that NaN fails.
        self.forward_error < Self::TOLERANCE && self.backward_error < Self::TOLERANCE
    }
}

/// Runs the self-test of every op on `device`.
pub fn run(device: Device) -> Result<Vec<SelfTest>, OpError> {
    // The tests draw random numbers; the caller's stream must not notice.
    let state = runtime::generator_state(device)?;
    let result = neighborhood_attention(device);
    runtime::set_generator_state(&state, device)?;
    Ok(vec![result?])
}

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let top = b.abs().max().double_value(&[]);
    (a - b).abs().max().double_value(&[]) / top
}

fn neighborhood_attention(device: Device) -> Result<SelfTest, OpError> {
    // Ragged dilation groups, borders, a bias, two heads.
    let window = Window2d { size: (7, 5), dilation: (2, 3) };
    let shape = [2, 17, 20, 2, 32];
    let leaf = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, device)).set_requires_grad(true);
    let (q, k, v, bias) = (leaf(&shape), leaf(&shape), leaf(&shape), leaf(&[2, 13, 9]));
    let weight = Tensor::randn(shape, (Kind::Float, device));
    let scale = (32f64).powf(-0.5);

    let timed = |forward: &dyn Fn() -> Result<Tensor, OpError>| -> Result<_, OpError> {
        let start = Instant::now();
        let out = forward()?;
        let grads =
            Tensor::f_run_backward(&[(&out * &weight).sum(Kind::Float)], &[&q, &k, &v, &bias], false, false)?;
        Ok((out.detach(), grads, start.elapsed()))
    };
    let (out, grads, native) = timed(&|| neighborhood_attention_2d(&q, &k, &v, Some(&bias), window, scale))?;
    let (expected, expected_grads, slow) =
        timed(&|| Ok(reference::neighborhood_attention_2d(&q, &k, &v, Some(&bias), window, scale)))?;
    let backward_error = grads.iter().zip(&expected_grads).map(|(a, b)| relative(a, b)).fold(0.0, f64::max);
    Ok(SelfTest {
        op: "neighborhood_attention_2d",
        forward_error: relative(&out, &expected),
        backward_error,
        native,
        reference: slow,
    })
}
