//! The blocks of a stage, one after the other, with or without keeping what lies between their inputs and outputs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smalti_ops::recompute;
use tch::Tensor;

/// Blocks of one kind.
///
/// A recomputed block is also held by the graph, which may run it on another thread: hence the locks, never contended.
#[derive(Debug)]
pub(crate) struct Blocks<B> {
    blocks: Vec<Arc<Mutex<B>>>,
    recompute: bool,
}

impl<B> FromIterator<B> for Blocks<B> {
    fn from_iter<I: IntoIterator<Item = B>>(blocks: I) -> Self {
        let blocks = blocks.into_iter().map(|block| Arc::new(Mutex::new(block))).collect();
        Self { blocks, recompute: false }
    }
}

impl<B: Send + 'static> Blocks<B> {
    /// Whether training keeps no activations inside blocks and computes them again backward.
    pub(crate) fn set_recompute(&mut self, on: bool) {
        self.recompute = on;
    }

    /// The map `x` through all blocks; `step` is one block's forward pass.
    pub(crate) fn forward_t(
        &self,
        x: Tensor,
        train: bool,
        step: impl Fn(&B, &Tensor) -> Tensor + Clone + Send + 'static,
    ) -> Tensor {
        self.blocks.iter().fold(x, |x, block| {
            if !(self.recompute && train) {
                return step(&locked(block), &x);
            }
            let (block, step) = (Arc::clone(block), step.clone());
            recompute(move |x| step(&locked(&block), x), &x)
                .unwrap_or_else(|err| panic!("a block that runs without recomputing: {err}"))
        })
    }
}

fn locked<B>(block: &Mutex<B>) -> MutexGuard<'_, B> {
    // A panic inside a block changes nothing in it.
    block.lock().unwrap_or_else(PoisonError::into_inner)
}
