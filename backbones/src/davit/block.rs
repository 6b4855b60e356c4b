//! DaViT's block: attention and MLP, each after a convolution that tells the tokens where they are.

use tch::Tensor;
use tch::nn::{self, Module, ModuleT};

use super::attention::{ChannelAttention, WindowAttention};
use super::config::DavitArch;
use crate::fields::hidden_channels;
use crate::layers::{Mlp, conv, conv_channels_last, drop_path, layer_norm};

/// Conditional position encoding: a depthwise 3x3 convolution beside the identity.
#[derive(Debug)]
struct PositionEncoding {
    proj: nn::Conv2D,
}

impl PositionEncoding {
    fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        let depthwise = nn::ConvConfig { padding: 1, groups: channels, ..Default::default() };
        Self { proj: conv(&(p / "proj"), channels, channels, 3, depthwise) }
    }

    // [B, H, W, C] -> [B, H, W, C]; the map is unpadded here, the convolution sees zeros around it
    fn forward(&self, x: &Tensor) -> Tensor {
        x + conv_channels_last(&self.proj, x)
    }
}

/// What attends to what.
#[derive(Debug)]
enum Attention {
    Window(WindowAttention),
    Channel(ChannelAttention),
}

impl Attention {
    // [B, H, W, C] -> [B, H, W, C]
    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Window(attention) => attention.forward(x),
            Self::Channel(attention) => attention.forward(x),
        }
    }
}

/// Pre-norm transformer block of either attention.
#[derive(Debug)]
struct Block {
    cpe1: PositionEncoding,
    norm1: nn::LayerNorm,
    attn: Attention,
    cpe2: PositionEncoding,
    norm2: nn::LayerNorm,
    mlp: Mlp,
    drop_path: f64,
}

impl Block {
    fn new(p: &nn::Path<'_>, arch: &DavitArch, stage: usize, attn: Attention, drop_path: f64) -> Self {
        let channels = arch.embed_dim << stage;
        Self {
            cpe1: PositionEncoding::new(&(p / "cpe1"), channels),
            norm1: layer_norm(&(p / "norm1"), channels),
            attn,
            cpe2: PositionEncoding::new(&(p / "cpe2"), channels),
            norm2: layer_norm(&(p / "norm2"), channels),
            mlp: Mlp::new(&(p / "mlp"), channels, hidden_channels(channels, arch.mlp_ratio)),
            drop_path,
        }
    }

    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let x = self.cpe1.forward(x);
        let x = &x + drop_path(self.attn.forward(&x.apply(&self.norm1)), self.drop_path, train);
        let x = self.cpe2.forward(&x);
        let y = drop_path(self.mlp.forward(&x.apply(&self.norm2)), self.drop_path, train);
        x + y
    }
}

/// A window block and a channel block: what `depths` counts.
#[derive(Debug)]
pub(super) struct DualBlock([Block; 2]);

impl DualBlock {
    pub(super) fn new(p: &nn::Path<'_>, arch: &DavitArch, stage: usize, drop_path: f64) -> Self {
        let (channels, heads) = (arch.embed_dim << stage, arch.heads[stage]);
        let (spatial, channel) = (p / 0, p / 1);
        let window = WindowAttention::new(&(&spatial / "attn"), channels, heads, arch.qkv_bias, arch.window);
        let between_channels = ChannelAttention::new(
            &(&channel / "attn"),
            channels,
            heads,
            arch.qkv_bias,
            arch.channel_attention,
        );
        Self([
            Block::new(&spatial, arch, stage, Attention::Window(window), drop_path),
            Block::new(&channel, arch, stage, Attention::Channel(between_channels), drop_path),
        ])
    }
}

impl ModuleT for DualBlock {
    // [B, H, W, C] -> [B, H, W, C]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let [spatial, channel] = &self.0;
        channel.forward_t(&spatial.forward_t(x, train), train)
    }
}
