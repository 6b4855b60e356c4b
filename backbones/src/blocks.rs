//! The blocks of a stage, one after the other, with or without keeping what lies between their inputs and outputs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smalti_ops::recompute;
use tch::Tensor;
use tch::nn::ModuleT;

/// Blocks, each of which gives a map of the size that it takes.
///
/// A recomputed block is also held by the graph, which may run it on another thread: hence the locks, never contended.
#[derive(Debug)]
pub(crate) struct Blocks {
    blocks: Vec<Arc<Mutex<dyn ModuleT>>>,
    recompute: bool,
}

impl<B: ModuleT + 'static> FromIterator<B> for Blocks {
    fn from_iter<I: IntoIterator<Item = B>>(blocks: I) -> Self {
        let shared = |block: B| -> Arc<Mutex<dyn ModuleT>> { Arc::new(Mutex::new(block)) };
        Self { blocks: blocks.into_iter().map(shared).collect(), recompute: false }
    }
}

impl Blocks {
    /// Whether training keeps no activations inside blocks and computes them again backward.
    pub(crate) fn set_recompute(&mut self, on: bool) {
        self.recompute = on;
    }

    /// The map `x` through all blocks.
    pub(crate) fn forward_t(&self, x: Tensor, train: bool) -> Tensor {
        self.blocks.iter().fold(x, |x, block| {
            if !(self.recompute && train) {
                return locked(block).forward_t(&x, train);
            }
            let block = Arc::clone(block);
            recompute(move |x| locked(&block).forward_t(x, train), &x)
                .unwrap_or_else(|err| panic!("a block that runs without recomputing: {err}"))
        })
    }
}

fn locked<B: ?Sized>(block: &Mutex<B>) -> MutexGuard<'_, B> {
    // A panic inside a block changes nothing in it.
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
