//! Patch embedding and patch merging as Swin has them, shared by the families of its layout. Maps are channels-last.

use tch::Tensor;
use tch::nn::{self, Module};

use crate::layers::{conv, layer_norm, linear_no_bias};
use crate::windows::{missing, pad_to_multiple};

const PATCH: i64 = 4;

/// Non-overlapping 4x4 patches, each one linear map, then a norm.
#[derive(Debug)]
pub(crate) struct PatchEmbed {
    proj: nn::Conv2D,
    norm: nn::LayerNorm,
}

impl PatchEmbed {
    pub(crate) fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        let config = nn::ConvConfig { stride: PATCH, ..Default::default() };
        Self {
            proj: conv(&(p / "proj"), 3, channels, PATCH, config),
            norm: layer_norm(&(p / "norm"), channels),
        }
    }

    pub(crate) const fn parameters(channels: i64) -> i64 {
        3 * PATCH * PATCH * channels + channels + 2 * channels
    }
}

impl Module for PatchEmbed {
    // [B, 3, H, W] -> [B, H/4, W/4, C], H and W padded to multiples of 4
    fn forward(&self, images: &Tensor) -> Tensor {
        let size = images.size();
        let (below, right) = (missing(size[2], PATCH), missing(size[3], PATCH));
        let padded = if below + right > 0 {
            images.constant_pad_nd([0, right, 0, below])
        } else {
            images.shallow_clone()
        };
        padded.apply(&self.proj).permute([0, 2, 3, 1]).apply(&self.norm)
    }
}

/// Halves the map and doubles the channels: every 2x2 block, normed, becomes one pixel by a linear map.
#[derive(Debug)]
pub(crate) struct PatchMerging {
    norm: nn::LayerNorm,
    reduction: nn::Linear,
}

impl PatchMerging {
    pub(crate) fn new(p: &nn::Path<'_>, channels: i64) -> Self {
        Self {
            norm: layer_norm(&(p / "norm"), 4 * channels),
            reduction: linear_no_bias(&(p / "reduction"), 4 * channels, 2 * channels),
        }
    }

    pub(crate) const fn parameters(channels: i64) -> i64 {
        2 * 4 * channels + 4 * channels * 2 * channels
    }
}

impl Module for PatchMerging {
    // [B, H, W, C] -> [B, H/2, W/2, 2C], odd sizes padded with zeros, which the norm sees
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = pad_to_multiple(x, 2);
        let (batch, height, width, channels) = x.size4().expect("a map [B, H, W, C] by construction");
        // Order of a block's pixels in the 4C channels: upper left, lower left, upper right, lower right.
        x.reshape([batch, height / 2, 2, width / 2, 2, channels])
            .permute([0, 1, 3, 4, 2, 5]) // [B, H/2, W/2, column, row, C]
            .reshape([batch, height / 2, width / 2, 4 * channels])
            .apply(&self.norm)
            .apply(&self.reduction)
    }
}
