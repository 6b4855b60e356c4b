//! The network of every family but ResNet: a stem, then stages of blocks on channels-last maps, of which each but the last is
//! halved, with its channels doubled, for the next.

use tch::Tensor;
use tch::nn::{self, Module};

use crate::blocks::Blocks;
use crate::layers::channels_first;
use crate::{Backbone, ClassifierEnd, Level, ModelError, STAGES};

/// One stage: its blocks, the norm of its level in dense use, and the way down to the next stage.
#[derive(Debug)]
pub(crate) struct Stage {
    /// `[B, H, W, C]` -> `[B, H, W, C]`
    pub blocks: Blocks,
    /// The norm that the level leaves through.
    pub norm: Option<nn::LayerNorm>,
    /// See [`down`].
    pub down: Option<Box<dyn Module>>,
}

/// What makes the next stage's map `[B, H / 2, W / 2, 2 C]` of stage `l`'s `[B, H, W, C]`: none after the last stage.
pub(crate) fn down<D: Module + 'static>(l: usize, make: impl FnOnce() -> D) -> Option<Box<dyn Module>> {
    if l + 1 < STAGES { Some(Box::new(make())) } else { None }
}

/// A backbone of a stem and four stages. What the stem, the blocks and the ways down are, the families decide.
#[derive(Debug)]
pub struct Staged {
    stem: Box<dyn Module>, // [B, 3, H, W] -> [B, H/4, W/4, C]
    stages: Vec<Stage>,
    levels: [Level; STAGES],
    end: ClassifierEnd,
}

impl Staged {
    /// `stage` makes stage `l`, of `embed_dim * 2^l` channels.
    pub(crate) fn new(
        stem: impl Module + 'static,
        stage: impl FnMut(usize) -> Stage,
        embed_dim: i64,
        end: ClassifierEnd,
    ) -> Self {
        Self {
            stem: Box::new(stem),
            stages: (0..STAGES).map(stage).collect(),
            levels: std::array::from_fn(|l| Level { channels: embed_dim << l, stride: 4 << l }),
            end,
        }
    }

    /// Shows each stage's map `[B, H_l, W_l, C_l]` to `leave`; returns the last.
    fn run(&self, images: &Tensor, train: bool, mut leave: impl FnMut(&Stage, &Tensor)) -> Tensor {
        let mut x = self.stem.forward(images); // [B, H/4, W/4, C]
        for stage in &self.stages {
            x = stage.blocks.forward_t(x, train); // [B, H_l, W_l, C_l]
            leave(stage, &x);
            if let Some(down) = &stage.down {
                x = down.forward(&x); // [B, H_l / 2, W_l / 2, 2 C_l]
            }
        }
        x
    }
}

impl Backbone for Staged {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        let mut levels = Vec::with_capacity(STAGES);
        let _ = self.run(images, train, |stage, x| levels.push(channels_first(x, stage.norm.as_ref())));
        levels
    }

    fn last_map(&self, images: &Tensor, train: bool) -> Tensor {
        channels_first(&self.run(images, train, |_, _| {}), None)
    }

    fn recompute(&mut self, stages: [bool; STAGES]) -> Result<(), ModelError> {
        self.stages.iter_mut().zip(stages).for_each(|(stage, on)| stage.blocks.set_recompute(on));
        Ok(())
    }

    fn classifier_end(&self) -> ClassifierEnd {
        self.end
    }
}
