//! DAT++'s block: local perception, attention of either kind, and an MLP with a convolution inside.

use smalti_ops::Window2d;
use tch::Tensor;
use tch::nn::{self, ModuleT};

use super::attention::{DeformableAttention, Pointwise};
use super::block_kinds::BlockKind;
use super::config::DatArch;
use crate::fields::hidden_channels;
use crate::layers::{conv, conv_channels_last, drop_path, gelu, layer_norm};
use crate::neighborhood::NeighborhoodAttention;

/// A depthwise 3x3 convolution beside the identity.
#[derive(Debug)]
struct LocalPerception(nn::Conv2D);

impl LocalPerception {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        let depthwise = nn::ConvConfig { padding: 1, groups: channels, ..Default::default() };
        Self(conv(p, channels, channels, 3, depthwise))
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, x: &Tensor) -> Tensor {
        x + conv_channels_last(&self.0, x)
    }
}

/// Two linear layers with local perception and GELU (erf) between.
#[derive(Debug)]
struct ConvMlp {
    linear1: Pointwise,
    dwc: LocalPerception,
    linear2: Pointwise,
}

impl ConvMlp {
    fn new(p: &nn::Path<'_>, channels: i64, hidden: i64) -> Self {
        Self {
            linear1: Pointwise::new(&(p / "linear1" / 0), channels, hidden, true),
            dwc: LocalPerception::new(&(p / "dwc"), hidden),
            linear2: Pointwise::new(&(p / "linear2" / 0), hidden, channels, true),
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.dwc.forward(&self.linear1.forward(x)); // [B, H, W, hidden]
        self.linear2.forward(&gelu(hidden))
    }
}

#[derive(Debug)]
enum Attention {
    Neighborhood(NeighborhoodAttention),
    Deformable(Box<DeformableAttention>),
}

impl Attention {
    fn new(p: &nn::Path<'_>, arch: &DatArch, stage: usize, kind: BlockKind) -> Self {
        match kind {
            BlockKind::Neighborhood => {
                let (channels, window) = (arch.embed_dim << stage, Window2d::square(arch.window, 1));
                Self::Neighborhood(NeighborhoodAttention::new(p, channels, arch.heads[stage], window))
            }
            BlockKind::Deformable => Self::Deformable(Box::new(DeformableAttention::new(p, arch, stage))),
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Neighborhood(attention) => attention.forward(x),
            Self::Deformable(attention) => attention.forward(x),
        }
    }
}

/// Pre-norm transformer block after a local perception unit.
#[derive(Debug)]
pub(super) struct Block {
    local_perception: LocalPerception,
    norms: [nn::LayerNorm; 2],
    attention: Attention,
    mlp: ConvMlp,
    scales: Option<[Tensor; 2]>, // layer scale, [C] each
    drop_path: f64,
}

impl Block {
    /// Block `index` of a stage under `p`; its parameters are in the stage's lists, of norms and layer scales two a block.
    pub(super) fn new(p: &nn::Path<'_>, arch: &DatArch, stage: usize, index: usize, drop_path: f64) -> Self {
        let channels = arch.embed_dim << stage;
        let both = [2 * index, 2 * index + 1];
        let kind = arch.blocks[stage][index];
        Self {
            local_perception: LocalPerception::new(&(p / "local_perception_units" / index), channels),
            norms: both.map(|i| layer_norm(&(p / "layer_norms" / i / "norm"), channels)),
            attention: Attention::new(&(p / "attns" / index), arch, stage, kind),
            mlp: ConvMlp::new(&(p / "mlps" / index), channels, hidden_channels(channels, arch.mlp_ratio)),
            scales: arch.layer_scale.map(|value| {
                both.map(|i| (p / "layer_scales" / i).var("weight", &[channels], nn::Init::Const(value)))
            }),
            drop_path,
        }
    }
}

impl ModuleT for Block {
    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let branch = |y: Tensor, which: usize| {
            let y = match &self.scales {
                Some(scales) => y * &scales[which],
                None => y,
            };
            drop_path(y, self.drop_path, train)
        };
        let x = self.local_perception.forward(x);
        let x = &x + branch(self.attention.forward(&x.apply(&self.norms[0])), 0);
        let y = branch(self.mlp.forward(&x.apply(&self.norms[1])), 1);
        x + y
    }
}
