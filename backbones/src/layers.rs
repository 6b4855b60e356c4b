//! Layers that several families share. All work on channels-last maps `[B, H, W, C]`.

use tch::nn::{self, Module};
use tch::{Kind, Tensor};

use crate::{ModelError, Purpose};

/// Parameters are drawn from N(0, 0.02), as all these papers' code does.
pub(crate) const INIT: nn::Init = nn::Init::Randn { mean: 0.0, stdev: 0.02 };

pub(crate) fn linear(p: &nn::Path<'_>, inputs: i64, outputs: i64) -> nn::Linear {
    let config = nn::LinearConfig { ws_init: INIT, bs_init: Some(nn::Init::Const(0.0)), bias: true };
    nn::linear(p, inputs, outputs, config)
}

pub(crate) fn linear_no_bias(p: &nn::Path<'_>, inputs: i64, outputs: i64) -> nn::Linear {
    let config = nn::LinearConfig { ws_init: INIT, bs_init: None, bias: false };
    nn::linear(p, inputs, outputs, config)
}

pub(crate) fn layer_norm(p: &nn::Path<'_>, channels: i64) -> nn::LayerNorm {
    layer_norm_eps(p, channels, 1e-5)
}

pub(crate) fn layer_norm_eps(p: &nn::Path<'_>, channels: i64, eps: f64) -> nn::LayerNorm {
    nn::layer_norm(p, vec![channels], nn::LayerNormConfig { eps, ..Default::default() })
}

/// The norm `norm<level>` of a dense level; a classifier has none.
pub(crate) fn level_norm(
    p: &nn::Path<'_>,
    level: usize,
    channels: i64,
    purpose: Purpose,
) -> Option<nn::LayerNorm> {
    level_norm_eps(p, level, channels, purpose, 1e-5)
}

pub(crate) fn level_norm_eps(
    p: &nn::Path<'_>,
    level: usize,
    channels: i64,
    purpose: Purpose,
    eps: f64,
) -> Option<nn::LayerNorm> {
    (purpose == Purpose::Dense).then(|| layer_norm_eps(&(p / format!("norm{level}")), channels, eps))
}

/// A level leaves its backbone: `[B, H, W, C]` -> `[B, C, H, W]`, normed if there is a norm.
pub(crate) fn channels_first(x: &Tensor, norm: Option<&nn::LayerNorm>) -> Tensor {
    match norm {
        Some(norm) => x.apply(norm).permute([0, 3, 1, 2]),
        None => x.permute([0, 3, 1, 2]),
    }
}

/// A convolution with square kernels, initialised as PyTorch does by default.
pub(crate) fn conv(
    p: &nn::Path<'_>,
    inputs: i64,
    outputs: i64,
    kernel: i64,
    config: nn::ConvConfig,
) -> nn::Conv2D {
    let bound = 1.0 / ((inputs / config.groups * kernel * kernel) as f64).sqrt();
    let uniform = nn::Init::Uniform { lo: -bound, up: bound };
    nn::conv2d(p, inputs, outputs, kernel, nn::ConvConfig { ws_init: uniform, bs_init: uniform, ..config })
}

/// 3x3 convolution of stride 2 that halves a map, rounding odd sizes up.
pub(crate) fn halving_conv(p: &nn::Path<'_>, inputs: i64, outputs: i64, bias: bool) -> nn::Conv2D {
    let config = nn::ConvConfig { stride: 2, padding: 1, bias, ..Default::default() };
    conv(p, inputs, outputs, 3, config)
}

/// Applies a convolution, which wants `[B, C, H, W]`, to a channels-last map.
pub(crate) fn conv_channels_last(conv: &nn::Conv2D, x: &Tensor) -> Tensor {
    conv.forward(&x.permute([0, 3, 1, 2])).permute([0, 2, 3, 1])
}

/// Two linear layers with GELU (erf) between.
#[derive(Debug)]
pub(crate) struct Mlp {
    fc1: nn::Linear,
    fc2: nn::Linear,
}

impl Mlp {
    pub(crate) fn new(p: &nn::Path<'_>, channels: i64, hidden: i64) -> Self {
        Self { fc1: linear(&(p / "fc1"), channels, hidden), fc2: linear(&(p / "fc2"), hidden, channels) }
    }
}

impl Module for Mlp {
    fn forward(&self, x: &Tensor) -> Tensor {
        gelu(x.apply(&self.fc1)).apply(&self.fc2)
    }
}

/// GELU (erf) of a tensor that nobody else holds: in its place where no graph needs what was there.
pub(crate) fn gelu(mut x: Tensor) -> Tensor {
    if x.requires_grad() { x.gelu("none") } else { x.gelu_("none") }
}

/// ReLU in place. A graph may pass by, as long as `x` is fresh from an op whose gradient does not read its output.
pub(crate) fn relu(mut x: Tensor) -> Tensor {
    x.relu_()
}

/// Drops a residual branch for whole images: stochastic depth (Huang et al., 2016), survivors scaled up.
pub(crate) fn drop_path(x: Tensor, rate: f64, train: bool) -> Tensor {
    if !train || rate == 0.0 {
        return x;
    }
    let keep = 1.0 - rate;
    let mut shape = vec![1; x.dim()];
    shape[0] = x.size()[0];
    let kept = Tensor::rand(&shape, (Kind::Float, x.device())).lt(keep).to_kind(x.kind()) / keep;
    x * kept
}

/// Drop-path rate of every block: rising linearly from 0 to `rate` over all stages; one list a stage.
pub(crate) fn drop_path_rates(rate: f64, depths: &[i64]) -> Result<Vec<Vec<f64>>, ModelError> {
    if !(0.0..1.0).contains(&rate) {
        return Err(ModelError::config("model.backbone.drop_path_rate", "0 <= rate < 1", rate));
    }
    let last = (depths.iter().sum::<i64>() - 1).max(1) as f64;
    let mut block = -1.0;
    let mut next = || {
        block += 1.0;
        rate * block / last
    };
    Ok(depths.iter().map(|&depth| (0..depth).map(|_| next()).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn rates_rise_linearly_over_all_blocks() {
        // 5 blocks: 0, 1/4, 2/4, 3/4, 4/4 of 0.4
        let rates = drop_path_rates(0.4, &[2, 3]).unwrap();
        let expected = [0.0, 0.1, 0.2, 0.3, 0.4];
        assert_eq!(rates.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
        assert!(rates.concat().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(drop_path_rates(1.0, &[1]).unwrap_err().to_string().contains("0 <= rate < 1, got 1"));
        assert_eq!(drop_path_rates(0.3, &[1]).unwrap(), [[0.0]]);
    }

    #[test]
    fn drop_path_keeps_the_mean_and_drops_whole_images() {
        tch::manual_seed(0);
        let x = Tensor::ones([4000, 2, 3], (Kind::Float, Device::Cpu));
        let y = drop_path(x.shallow_clone(), 0.25, true);
        // Mean of 4000 draws with variance 1/3: standard error 0.0091.
        assert!((y.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.05);
        let per_image = y.reshape([4000, 6]);
        let spread = per_image.amax([1], false) - per_image.amin([1], false);
        assert_eq!(spread.abs().max().double_value(&[]), 0.0);
        assert!(drop_path(x.shallow_clone(), 0.25, false).equal(&x));
    }
}
