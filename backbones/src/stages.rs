//! The walk through the stages of a network whose maps are channels-last and shrink after each stage but the last: NAT,
//! DiNAT, `DiNAT_s`, Swin and DAT++.

use tch::{Tensor, nn};

use crate::layers::channels_first;

/// One stage: blocks, the norm of its level in dense use, and what halves the map for the next one.
pub(crate) trait Stage {
    /// `[B, H, W, C]` -> `[B, H, W, C]`
    fn blocks(&self, x: Tensor, train: bool) -> Tensor;

    /// The norm that the level leaves through.
    fn norm(&self) -> Option<&nn::LayerNorm>;

    /// `[B, H, W, C]` -> `[B, ceil(H / 2), ceil(W / 2), 2 C]`; none after the last stage.
    fn downsample(&self, x: &Tensor) -> Option<Tensor>;
}

/// The levels `[B, C_l, H_l, W_l]`, finest first, of the stem's map `x` `[B, H / 4, W / 4, C]`.
pub(crate) fn levels<S: Stage>(stages: &[S], x: Tensor, train: bool) -> Vec<Tensor> {
    let mut levels = Vec::with_capacity(stages.len());
    let _ = walk(stages, x, train, |stage, x| levels.push(channels_first(x, stage.norm())));
    levels
}

/// The last map `[B, C, h, w]`, before any norm.
pub(crate) fn last_map<S: Stage>(stages: &[S], x: Tensor, train: bool) -> Tensor {
    channels_first(&walk(stages, x, train, |_, _| {}), None)
}

/// Shows each stage's map to `leave`; returns the last.
fn walk<S: Stage>(stages: &[S], mut x: Tensor, train: bool, mut leave: impl FnMut(&S, &Tensor)) -> Tensor {
    for stage in stages {
        x = stage.blocks(x, train);
        leave(stage, &x);
        if let Some(smaller) = stage.downsample(&x) {
            x = smaller;
        }
    }
    x
}
