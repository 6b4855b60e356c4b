//! What the ops are timed on: shapes of real networks, their inputs, and the least time a machine could take for them.
//!
//! Shared by `cargo bench -p smalti-ops` and `smalti bench ops`, so that both mean the same by a name.
//!
//! The floor of a case is the larger of two times: its exact arithmetic at the rate of a large matrix product in the
//! same process, and every input and output moved once at the rate of a large copy ([`Rates`]). No kernel beats the first
//! without doing less work, nor the second with tensors that do not fit into a cache.

mod ms_deform_attn;
mod na2d;
mod rates;
mod timing;

use tch::{Device, Kind, Tensor, no_grad};

use crate::OpError;

pub use ms_deform_attn::DeformShape;
pub use na2d::Na2dShape;
pub use rates::Rates;
pub use timing::Timer;

/// One op on one shape of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 2D neighborhood attention.
    Na2d(Na2dShape),
    /// Multi-scale deformable attention.
    MsDeformAttn(DeformShape),
}

impl Shape {
    /// All shapes of NAT and DiNAT (224 and 512 input), then those of Mask2Former's pixel decoder.
    pub fn all() -> impl Iterator<Item = Self> {
        Na2dShape::ALL.into_iter().map(Self::Na2d).chain(DeformShape::ALL.into_iter().map(Self::MsDeformAttn))
    }

    /// Name of the op.
    pub const fn op(&self) -> &'static str {
        match self {
            Self::Na2d(_) => "na2d",
            Self::MsDeformAttn(_) => "ms_deform_attn",
        }
    }

    /// Name of the shape; unique for the op.
    pub fn name(&self) -> String {
        match self {
            Self::Na2d(shape) => shape.name(),
            Self::MsDeformAttn(shape) => shape.name(),
        }
    }

    /// What forward has to do for `batch` images.
    pub fn forward_work(&self, batch: i64, kind: Kind) -> Work {
        match self {
            Self::Na2d(shape) => shape.forward_work(batch, kind),
            Self::MsDeformAttn(shape) => shape.forward_work(batch, kind),
        }
    }

    /// What forward and backward have to do together.
    pub fn forward_backward_work(&self, batch: i64, kind: Kind) -> Work {
        match self {
            Self::Na2d(shape) => shape.forward_backward_work(batch, kind),
            Self::MsDeformAttn(shape) => shape.forward_backward_work(batch, kind),
        }
    }

    /// Random inputs, and the op bound to them.
    pub fn problem(&self, batch: i64, kind: Kind, device: Device) -> Problem {
        match self {
            Self::Na2d(shape) => shape.problem(batch, kind, device),
            Self::MsDeformAttn(shape) => shape.problem(batch, kind, device),
        }
    }
}

/// Arithmetic and memory traffic that no implementation can avoid, and gathers that caches serve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Multiplications and additions.
    pub flops: f64,
    /// Whether they are dense products, which half types and a machine's matrix units speed up.
    pub products: bool,
    /// Every input read and every output written once.
    pub bytes: f64,
    /// Bytes read at places that the data decides; they come on top of `bytes`, from caches, and are not in the floor.
    pub gathered: f64,
}

impl Work {
    /// The least seconds that a machine of these rates needs.
    pub fn floor(&self, rates: &Rates) -> f64 {
        let flops = if self.products { rates.flops } else { rates.f32_flops };
        (self.flops / flops).max(self.bytes / rates.bytes)
    }
}

/// The op as a function of the inputs that have gradients.
type Run = Box<dyn Fn(&[Tensor]) -> Result<Tensor, OpError>>;

/// An op with its inputs.
pub struct Problem {
    leaves: Vec<Tensor>,
    run: Run,
}

impl Problem {
    fn new(leaves: Vec<Tensor>, run: impl Fn(&[Tensor]) -> Result<Tensor, OpError> + 'static) -> Self {
        let leaves = leaves.into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
        Self { leaves, run: Box::new(run) }
    }

    /// The op, recording nothing.
    pub fn forward(&self) -> Result<Tensor, OpError> {
        no_grad(|| (self.run)(&self.leaves))
    }

    /// The op, the sum of its output, and that sum's gradients for all inputs.
    pub fn forward_backward(&self) -> Result<Vec<Tensor>, OpError> {
        let loss = (self.run)(&self.leaves)?.sum(Kind::Float);
        Ok(Tensor::f_run_backward(&[loss], &self.leaves, false, false)?)
    }
}

/// Bytes of one number.
fn width(kind: Kind) -> f64 {
    kind.elt_size_in_bytes() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Shape::all().map(|shape| (shape.op(), shape.name())).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((count, names.len()), (21, 21));
    }

    #[test]
    fn the_floor_is_the_larger_of_arithmetic_and_traffic() {
        let rates = Rates { flops: 100.0, f32_flops: 50.0, bytes: 10.0 };
        let floor = |flops, products, bytes| Work { flops, products, bytes, gathered: 1e9 }.floor(&rates);
        assert_eq!(floor(200.0, true, 10.0), 2.0);
        assert_eq!(floor(200.0, true, 30.0), 3.0);
        assert_eq!(floor(200.0, false, 30.0), 4.0);
    }

    #[test]
    fn the_smallest_shapes_run_and_give_every_gradient() {
        for shape in Shape::all().filter(|shape| shape.name().starts_with("7x7")) {
            let problem = shape.problem(2, Kind::Float, Device::Cpu);
            assert_eq!(problem.forward().unwrap().size(), [2, 7, 7, 16, 32]);
            assert_eq!(problem.forward_backward().unwrap().len(), 2);
        }
    }
}
