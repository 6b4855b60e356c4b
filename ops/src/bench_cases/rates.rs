//! What this machine reaches at best: arithmetic and copying.

use tch::{Device, Kind, Tensor};

use super::Timer;

/// Rates that a floor is computed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Multiplications and additions a second of a large matrix product.
    pub flops: f64,
    /// The same in f32 whatever the dtype, for arithmetic that is no product: what half types speed up is products.
    pub f32_flops: f64,
    /// Bytes a second, read and written, of a large copy.
    pub bytes: f64,
}

impl Rates {
    /// Measures a square matrix product and a copy of 256 MiB. For a half type the product counts in whichever of that
    /// type and f32 is faster here: a kernel may widen its inputs.
    pub fn measure(timer: &Timer, kind: Kind, device: Device) -> Self {
        // A CPU is busy with 1024; a GPU needs more for its full rate.
        let side: i64 = if device.is_cuda() { 8192 } else { 1024 };
        let product = |kind: Kind| {
            let factor = || Tensor::randn([side, side], (kind, device));
            let (a, b) = (factor(), factor());
            2.0 * (side as f64).powi(3) / timer.median_seconds(|| drop(a.matmul(&b)))
        };
        let f32_flops = product(Kind::Float);
        let flops = if kind == Kind::Float { f32_flops } else { product(kind).max(f32_flops) };
        let from = Tensor::zeros([64 << 20], (Kind::Float, device));
        let mut to = from.zeros_like();
        let bytes = 2.0 * 4.0 * from.numel() as f64 / timer.median_seconds(|| to.copy_(&from));
        Self { flops, f32_flops, bytes }
    }
}
