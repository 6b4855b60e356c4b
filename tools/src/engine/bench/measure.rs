//! Times one op on one shape, and sets them beside what the machine reaches.

use anyhow::Result;
use serde::Serialize;
use smalti_ops::OpError;
use smalti_ops::bench_cases::{DeformShape, Na2dShape, Rates, Shape, Timer, Work};
use tch::Kind;

/// What the machine reaches with one dtype.
#[derive(Serialize)]
pub struct DtypeRates {
    pub dtype: &'static str,
    /// Of a large matrix product.
    pub gflops: f64,
    /// Of one in f32.
    pub f32_gflops: f64,
    /// Of a large copy, reads and writes.
    pub copy_gbs: f64,
}

impl DtypeRates {
    pub fn new(dtype: &'static str, rates: &Rates) -> Self {
        Self {
            dtype,
            gflops: rates.flops / 1e9,
            f32_gflops: rates.f32_flops / 1e9,
            copy_gbs: rates.bytes / 1e9,
        }
    }
}

/// The numbers behind a shape's name, for programs that time other implementations on it.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Geometry {
    Na2d { side: i64, heads: i64, head_dim: i64, window: i64, dilation: i64 },
    MsDeformAttn { levels: Vec<(i64, i64)>, heads: i64, head_dim: i64, points: i64 },
}

impl From<&Shape> for Geometry {
    fn from(shape: &Shape) -> Self {
        match *shape {
            Shape::Na2d(Na2dShape { side, heads, window, dilation }) => {
                Self::Na2d { side, heads, head_dim: Na2dShape::HEAD_DIM, window, dilation }
            }
            Shape::MsDeformAttn(shape) => Self::MsDeformAttn {
                levels: shape.levels().to_vec(),
                heads: DeformShape::HEADS,
                head_dim: DeformShape::HEAD_DIM,
                points: DeformShape::POINTS,
            },
        }
    }
}

/// A time and what was done in it.
#[derive(Serialize)]
pub struct Pass {
    pub ms: f64,
    pub gflops: f64,
    /// Inputs and outputs, each once.
    pub gbs: f64,
    /// Gathers from caches; 0 where the op has none.
    pub gathered_gbs: f64,
    pub floor_ms: f64,
    pub times_floor: f64,
}

impl Pass {
    fn new(seconds: f64, work: Work, rates: &Rates) -> Self {
        let floor = work.floor(rates);
        Self {
            ms: seconds * 1e3,
            gflops: work.flops / seconds / 1e9,
            gbs: work.bytes / seconds / 1e9,
            gathered_gbs: work.gathered / seconds / 1e9,
            floor_ms: floor * 1e3,
            times_floor: seconds / floor,
        }
    }
}

/// One row of the result.
#[derive(Serialize)]
pub struct Measured {
    pub op: &'static str,
    pub shape: String,
    pub geometry: Geometry,
    pub batch: i64,
    pub dtype: &'static str,
    pub forward: Pass,
    pub forward_backward: Pass,
}

/// Times `shape` in both directions.
pub fn measure(
    shape: &Shape,
    batch: i64,
    (dtype, kind): (&'static str, Kind),
    rates: &Rates,
    timer: &Timer,
) -> Result<Measured> {
    let problem = shape.problem(batch, kind, timer.device);
    let forward = seconds(timer, || problem.forward())?;
    let both = seconds(timer, || problem.forward_backward())?;
    Ok(Measured {
        op: shape.op(),
        shape: shape.name(),
        geometry: shape.into(),
        batch,
        dtype,
        forward: Pass::new(forward, shape.forward_work(batch, kind), rates),
        forward_backward: Pass::new(both, shape.forward_backward_work(batch, kind), rates),
    })
}

/// The median, unless a call fails: then the first failure.
fn seconds<T>(timer: &Timer, run: impl Fn() -> Result<T, OpError>) -> Result<f64, OpError> {
    let mut failed = None;
    let seconds = timer.median_seconds(|| {
        if failed.is_none() {
            failed = run().err();
        }
    });
    failed.map_or(Ok(seconds), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_by_hand() {
        let work = Work { flops: 4e9, products: true, bytes: 1e9, gathered: 8e9 };
        let pass = Pass::new(0.5, work, &Rates { flops: 40e9, f32_flops: 20e9, bytes: 4e9 });
        assert_eq!((pass.ms, pass.gflops, pass.gbs, pass.gathered_gbs), (500.0, 8.0, 2.0, 16.0));
        assert_eq!((pass.floor_ms, pass.times_floor), (250.0, 2.0));
    }
}
