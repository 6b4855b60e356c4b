//! Which build of the CPU kernels this process uses.

use crate::native;

/// Instruction sets that the CPU kernels are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// The best one of this CPU.
    Best,
    /// What every CPU of the architecture has.
    Baseline,
    /// AVX2 with FMA, at most.
    Avx2,
}

/// Makes the kernels of this process use `isa`: for tests that compare them. Not for concurrent use with running ops.
pub fn force_isa(isa: Isa) {
    let code = match isa {
        Isa::Best => 0,
        Isa::Baseline => 1,
        Isa::Avx2 => 2,
    };
    // SAFETY: stores one integer.
    unsafe { native::smalti_force_isa(code) }
}
