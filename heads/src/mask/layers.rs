//! Linear layers and the feed-forward network of encoder and decoder, initialised as the authors' code does.

use tch::Tensor;
use tch::nn;

/// Uniform weights of Glorot and Bengio, 2010: variance 2 / (inputs + outputs).
pub(super) fn xavier(inputs: i64, outputs: i64) -> nn::Init {
    symmetric((6.0 / (inputs + outputs) as f64).sqrt())
}

/// What PyTorch draws the weights and biases of a layer with so many inputs from, if nobody asks for more.
pub(super) fn by_inputs(inputs: i64) -> nn::Init {
    symmetric(1.0 / (inputs as f64).sqrt())
}

fn symmetric(bound: f64) -> nn::Init {
    nn::Init::Uniform { lo: -bound, up: bound }
}

/// A linear layer with these weights and biases.
pub(super) fn linear(
    p: &nn::Path<'_>,
    inputs: i64,
    outputs: i64,
    weights: nn::Init,
    biases: nn::Init,
) -> nn::Linear {
    let config = nn::LinearConfig { ws_init: weights, bs_init: Some(biases), bias: true };
    nn::linear(p, inputs, outputs, config)
}

pub(super) fn layer_norm(p: &nn::Path<'_>, channels: i64) -> nn::LayerNorm {
    nn::layer_norm(p, vec![channels], nn::LayerNormConfig::default())
}

/// Two linear layers with ReLU between, added to their input and normed.
#[derive(Debug)]
pub(super) struct FeedForward {
    linear1: nn::Linear,
    linear2: nn::Linear,
    norm: nn::LayerNorm,
}

impl FeedForward {
    /// `norm` is the name of the norm beside `linear1` and `linear2`.
    pub(super) fn new(p: &nn::Path<'_>, channels: i64, hidden: i64, norm: &str) -> Self {
        let weights = xavier(channels, hidden);
        Self {
            linear1: linear(&(p / "linear1"), channels, hidden, weights, by_inputs(channels)),
            linear2: linear(&(p / "linear2"), hidden, channels, weights, by_inputs(hidden)),
            norm: layer_norm(&(p / norm), channels),
        }
    }

    // [B, N, C] -> [B, N, C]
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        // In place: the gradient of a linear layer does not read its output.
        let hidden = x.apply(&self.linear1).relu_(); // [B, N, hidden]
        (x + hidden.apply(&self.linear2)).apply(&self.norm)
    }
}
