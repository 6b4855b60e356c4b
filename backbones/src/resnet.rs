//! ResNet: the convolutional backbone of bottleneck blocks that the others are compared with.
//!
//! Paper: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, <https://arxiv.org/abs/1512.03385>. Reference
//! code: torchvision 0.26.0 `models/resnet.py` (BSD-3-Clause), whose parameter names these are.
//! Differs from the reference: batch norms are frozen by default in dense prediction, as detectron2's are; the counters
//! `num_batches_tracked` are not kept.
//! Shapes: input `[B, 3, H, W]`; level `l` is `[B, C_l, H_l, W_l]`, `C_l = 4 * width * 2^l` (256 to 2048), stride 4, 8, 16, 32;
//! any H and W (each halving rounds up).
//! Checked by: `tests/families.rs` (sizes, keys, gradients), `tests/parity_resnet.rs` (outputs and gradients).
//!
//! Traps: the stride is in a block's 3x3 convolution, not in its first 1x1 as in the paper. No level has a norm of its own.

use serde::{Deserialize, Serialize};
use smalti_ops::conv2d_relu;
use tch::nn::{self, Module, ModuleT};
use tch::{Device, Kind, Tensor};

use crate::blocks::Blocks;
use crate::fields::{STAGES, bad, check_depths, four, required};
use crate::layers::relu;
use crate::{Backbone, ClassifierEnd, Level, ModelError, Purpose};

/// Channels of a block's output over those of its 3x3 convolution.
const EXPANSION: i64 = 4;
const MAX_WIDTH: i64 = 1024;
const EPS: f64 = 1e-5; // of the norms

/// A ResNet: a published `variant`, or any size field by field (fields given win over the variant's).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResNetConfig {
    /// Row of the variant table that absent fields are taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<ResNetVariant>,
    /// Blocks per stage, 4 numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<Vec<i64>>,
    /// Channels of the stem and of the first stage's 3x3 convolutions; each stage doubles them. Default 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    /// Whether batch norms are constants: weights and statistics as loaded, never trained. Default: in dense prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_norms: Option<bool>,
}

/// The published sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // numbers of layers
pub enum ResNetVariant {
    #[serde(rename = "50")]
    R50,
    #[serde(rename = "101")]
    R101,
}

/// What a variant or a config fixes; all checks passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetArch {
    /// Blocks per stage.
    pub depths: [i64; STAGES],
    /// Channels of the stem.
    pub width: i64,
}

impl ResNetConfig {
    /// The variant's row with this config's fields on top.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first field that is missing or impossible.
    pub fn arch(&self) -> Result<ResNetArch, ModelError> {
        let row = self.variant.map(ResNetVariant::depths);
        let depths = required("depths", four("depths", self.depths.as_ref())?, row)?;
        let width = self.width.unwrap_or(64);

        check_depths(&depths)?;
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(bad("width", format!("1 to {MAX_WIDTH}"), width));
        }
        Ok(ResNetArch { depths, width })
    }
}

impl ResNetArch {
    /// Scalars in the backbone, weights and biases of batch norms included and their statistics not.
    pub fn backbone_parameters(&self) -> i64 {
        let norm = |channels: i64| 2 * channels;
        let stem = 3 * 7 * 7 * self.width + norm(self.width);
        let stages = (0..STAGES).map(|l| {
            let width = self.width << l;
            let outputs = EXPANSION * width;
            let block = |inputs: i64| {
                inputs * width + 9 * width * width + width * outputs + 2 * norm(width) + norm(outputs)
            };
            let inputs = self.stage_inputs(l);
            let shortcut = inputs * outputs + norm(outputs);
            block(inputs) + shortcut + (self.depths[l] - 1) * block(outputs)
        });
        stem + stages.sum::<i64>()
    }

    /// Scalars in the image classifier.
    pub fn classifier_parameters(&self, num_classes: i64) -> i64 {
        let channels = EXPANSION * (self.width << (STAGES - 1));
        self.backbone_parameters() + channels * num_classes + num_classes
    }

    /// Channels that enter a stage.
    fn stage_inputs(&self, stage: usize) -> i64 {
        if stage == 0 { self.width } else { EXPANSION * (self.width << (stage - 1)) }
    }
}

/// A convolution without bias, padded to keep the size, initialised as the reference (He et al., 2015, by outputs).
fn conv(p: &nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> nn::Conv2D {
    let stdev = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
    let ws_init = nn::Init::Randn { mean: 0.0, stdev };
    let config = nn::ConvConfig { stride, padding: kernel / 2, bias: false, ws_init, ..Default::default() };
    nn::conv2d(p, inputs, outputs, kernel, config)
}

/// Batch norm, or, frozen, the constant affine map of its statistics.
#[derive(Debug)]
struct BatchNorm {
    weight: Tensor, // [C], as are all
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    frozen: bool,
}

impl BatchNorm {
    fn new(p: &nn::Path<'_>, channels: i64, frozen: bool) -> Self {
        let size = [channels];
        let (weight, bias) = if frozen {
            (p.ones_no_train("weight", &size), p.zeros_no_train("bias", &size))
        } else {
            (p.ones("weight", &size), p.zeros("bias", &size))
        };
        let running_mean = p.zeros_no_train("running_mean", &size);
        let running_var = p.ones_no_train("running_var", &size);
        Self { weight, bias, running_mean, running_var, frozen }
    }

    /// Scale and shift `[C]`, where the norm is a constant map that no gradient is wanted of.
    fn constant(&self, train: bool) -> Option<(Tensor, Tensor)> {
        if train && !self.frozen {
            return None;
        }
        let scale = (&self.running_var + EPS).rsqrt() * &self.weight;
        let shift = &self.bias - &self.running_mean * &scale;
        (!shift.requires_grad()).then_some((scale, shift))
    }

    // [B, C, H, W] -> [B, C, H, W]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let (momentum, cudnn) = (0.1, true);
        // One value a channel has no variance: PyTorch refuses it, libtorch would put NaN into the running one.
        let by_batch = train && !self.frozen && x.numel() > self.weight.numel();
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            by_batch,
            momentum,
            EPS,
            cudnn,
        )
    }
}

/// A convolution and its norm.
#[derive(Debug)]
struct ConvNorm {
    conv: nn::Conv2D,
    kernel: i64,
    stride: i64,
    norm: BatchNorm,
}

impl ConvNorm {
    /// `channels`: in and out.
    fn new(
        [conv_path, norm_path]: [&nn::Path<'_>; 2],
        channels: [i64; 2],
        kernel: i64,
        stride: i64,
        frozen: bool,
    ) -> Self {
        let conv = conv(conv_path, channels[0], channels[1], kernel, stride);
        Self { conv, kernel, stride, norm: BatchNorm::new(norm_path, channels[1], frozen) }
    }

    /// Weight and bias of the convolution with a constant norm in it: no pass over the map, nor memory for another.
    fn folded(&self, train: bool) -> Option<(Tensor, Tensor)> {
        let (scale, shift) = self.norm.constant(train)?;
        Some((&self.conv.ws * scale.reshape([-1, 1, 1, 1]), shift))
    }

    // [B, C, H, W] -> [B, C', H / stride, W / stride]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        match self.folded(train) {
            Some((weight, bias)) => {
                x.conv2d(&weight, Some(bias), [self.stride; 2], [self.kernel / 2; 2], [1, 1], 1)
            }
            None => self.norm.forward_t(&self.conv.forward(x), train),
        }
    }

    /// ReLU of [`forward_t`](Self::forward_t)'s map, to which `shortcut`, a map of the same shape, is added before.
    fn relu(&self, x: &Tensor, shortcut: Option<&Tensor>, train: bool) -> Tensor {
        if let Some((weight, bias)) = self.folded(train) {
            return conv2d_relu(x, &weight, &bias, shortcut, self.stride, self.kernel / 2)
                .expect("shapes are fixed at construction, and a shortcut is of the output's");
        }
        let mut y = self.norm.forward_t(&self.conv.forward(x), train);
        if let Some(shortcut) = shortcut {
            y = y.g_add_(shortcut);
        }
        relu(y)
    }
}

/// 1x1, 3x3 and 1x1 convolution around which the input passes, through a 1x1 convolution where sizes change.
#[derive(Debug)]
struct Bottleneck {
    convs: [ConvNorm; 3],
    downsample: Option<ConvNorm>,
}

impl Bottleneck {
    fn new(p: &nn::Path<'_>, inputs: i64, width: i64, stride: i64, frozen: bool) -> Self {
        let outputs = EXPANSION * width;
        let unit = |number: usize, channels: [i64; 2], kernel: i64, stride: i64| {
            let paths = [&(p / format!("conv{number}")), &(p / format!("bn{number}"))];
            ConvNorm::new(paths, channels, kernel, stride, frozen)
        };
        let path = p / "downsample";
        Self {
            convs: [
                unit(1, [inputs, width], 1, 1),
                unit(2, [width, width], 3, stride),
                unit(3, [width, outputs], 1, 1),
            ],
            downsample: (stride != 1 || inputs != outputs)
                .then(|| ConvNorm::new([&(&path / 0), &(&path / 1)], [inputs, outputs], 1, stride, frozen)),
        }
    }
}

impl ModuleT for Bottleneck {
    // [B, C, H, W] -> [B, C', H / stride, W / stride]
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        let [first, second, third] = &self.convs;
        // Assigned anew, not shadowed: each map is freed as soon as the next is there.
        let mut y = first.relu(x, None, train);
        y = second.relu(&y, None, train);
        let shortcut = self.downsample.as_ref().map(|downsample| downsample.forward_t(x, train));
        third.relu(&y, Some(shortcut.as_ref().unwrap_or(x)), train)
    }
}

/// Images in the order of memory that suits the pass; maps keep that of their images.
///
/// oneDNN reads and writes channels-last maps where they lie, others in an order of its own: a copy on the way in, one on the
/// way out. Training keeps the order of the images, and so the rounding.
fn in_order(images: &Tensor, train: bool) -> Tensor {
    if train || images.device() != Device::Cpu || images.kind() != Kind::Float {
        return images.shallow_clone();
    }
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) // [B, 3, H, W], [B, H, W, 3] in memory
}

/// The network.
#[derive(Debug)]
pub struct ResNet {
    stem: ConvNorm,
    stages: Vec<Blocks>,
    frozen: bool,
    levels: [Level; STAGES],
}

impl ResNetConfig {
    /// Builds the network under `p`, initialised as the reference.
    ///
    /// # Errors
    /// [`ModelError::Config`] as [`ResNetConfig::arch`].
    pub fn build(&self, p: &nn::Path<'_>, purpose: Purpose) -> Result<ResNet, ModelError> {
        let arch = self.arch()?;
        let frozen = self.frozen_norms.unwrap_or(purpose == Purpose::Dense);
        let stage = |l: usize| -> Blocks {
            let (path, width) = (p / format!("layer{}", l + 1), arch.width << l);
            let block = |j: i64| {
                let (inputs, stride) = match (j, l) {
                    (0, 0) => (arch.stage_inputs(l), 1), // the stem's pool has halved already
                    (0, _) => (arch.stage_inputs(l), 2),
                    _ => (EXPANSION * width, 1),
                };
                Bottleneck::new(&(&path / j), inputs, width, stride, frozen)
            };
            (0..arch.depths[l]).map(block).collect()
        };
        Ok(ResNet {
            stem: ConvNorm::new([&(p / "conv1"), &(p / "bn1")], [3, arch.width], 7, 2, frozen),
            stages: (0..STAGES).map(stage).collect(),
            frozen,
            levels: std::array::from_fn(|l| Level {
                channels: EXPANSION * (arch.width << l),
                stride: 4 << l,
            }),
        })
    }
}

impl ResNet {
    /// Runs all stages and shows each one's map `[B, C_l, H_l, W_l]`; returns the last.
    fn run(&self, images: &Tensor, train: bool, mut leave: impl FnMut(&Tensor)) -> Tensor {
        let mut x = self.stem.relu(&in_order(images, train), None, train); // [B, C, H/2, W/2]
        x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false); // [B, C, H/4, W/4]
        for blocks in &self.stages {
            x = blocks.forward_t(x, train);
            leave(&x);
        }
        x
    }
}

impl Backbone for ResNet {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn forward_t(&self, images: &Tensor, train: bool) -> Vec<Tensor> {
        let mut features = Vec::with_capacity(STAGES);
        let _ = self.run(images, train, |x| features.push(x.shallow_clone()));
        features
    }

    fn last_map(&self, images: &Tensor, train: bool) -> Tensor {
        self.run(images, train, |_| {})
    }

    fn recompute(&mut self, stages: [bool; STAGES]) -> Result<(), ModelError> {
        if !self.frozen && stages.contains(&true) {
            // They would take every batch into their running statistics twice.
            let expected = "stages without batch norms in training, so `frozen_norms = true`";
            return Err(ModelError::config("model.recompute", expected, "norms that learn"));
        }
        self.stages.iter_mut().zip(stages).for_each(|(blocks, on)| blocks.set_recompute(on));
        Ok(())
    }

    fn classifier_end(&self) -> ClassifierEnd {
        ClassifierEnd::Pool { head: "fc" }
    }
}

impl ResNetVariant {
    /// Every variant, smallest first.
    pub const ALL: [Self; 2] = [Self::R50, Self::R101];

    /// The name in configs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R50 => "50",
            Self::R101 => "101",
        }
    }

    const fn depths(self) -> [i64; STAGES] {
        match self {
            Self::R50 => [3, 4, 6, 3],
            Self::R101 => [3, 4, 23, 3],
        }
    }
}
