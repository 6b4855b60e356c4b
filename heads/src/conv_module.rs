//! Convolution, batch norm, ReLU: the building block of per-pixel heads, with mmsegmentation's names and initialisation.

use tch::Tensor;
use tch::nn::{self, ModuleT};

/// Widest head that a config may ask for, far above any published one: a slip is an error and not an exhausted machine.
pub(crate) const MAX_CHANNELS: i64 = 8192;

#[derive(Debug)]
pub(crate) struct ConvModule {
    conv: nn::Conv2D,
    bn: nn::BatchNorm,
}

impl ConvModule {
    /// A `kernel` x `kernel` convolution that keeps the map's size.
    pub(crate) fn new(p: &nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64) -> Self {
        let init = nn::Init::Kaiming {
            dist: nn::init::NormalOrUniform::Normal,
            fan: nn::init::FanInOut::FanOut,
            non_linearity: nn::init::NonLinearity::ReLU,
        };
        let config = nn::ConvConfig { padding: kernel / 2, bias: false, ws_init: init, ..Default::default() };
        let norm = nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), ..Default::default() };
        Self {
            conv: nn::conv2d(p / "conv", inputs, outputs, kernel, config),
            bn: nn::batch_norm2d(p / "bn", outputs, norm),
        }
    }

    // [B, C_in, H, W] -> [B, C_out, H, W]
    pub(crate) fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let x = x.apply(&self.conv);
        // One value a channel (the 1x1 pool of a batch of one image) has no variance: libtorch would put NaN into the
        // running variance, and every later evaluation would be NaN. The running statistics normalise it instead.
        let values = x.numel() as i64 / x.size()[1];
        self.bn.forward_t(&x, train && values > 1).relu()
    }
}

/// 1x1 convolution to class logits, drawn from N(0, 0.01).
pub(crate) fn classifier(p: &nn::Path<'_>, channels: i64, num_classes: i64) -> nn::Conv2D {
    let init = nn::Init::Randn { mean: 0.0, stdev: 0.01 };
    nn::conv2d(p, channels, num_classes, 1, nn::ConvConfig { ws_init: init, ..Default::default() })
}
