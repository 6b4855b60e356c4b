//! Mask2Former's pixel decoder: three levels refined by deformable attention, and a feature pyramid from there to stride 4.
//!
//! Paper: Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022,
//! <https://arxiv.org/abs/2112.01527>, section 3.2.1. Reference code: facebookresearch/Mask2Former 9b0651c
//! `pixel_decoder/msdeformattn.py` (MIT), whose parameter names these are.
//! Differs from the reference: nothing known but for the encoder (see there). As there it runs in f32 inside autocast, and upsamples
//! bilinearly where a comment of the reference says nearest.
//! Shapes: levels `[B, C_l, H_l, W_l]`, finest first, three or more -> three maps of memory `[B, C, H_l, W_l]`, coarsest first, and
//! mask features `[B, C_mask, H_0, W_0]`.
//! Checked by: `tests/parity_mask.rs` (outputs and gradients of the reference), `tests/contract.rs`.

use smalti_backbones::{Level, ModelError};
use smalti_ops::runtime::Autocast;
use tch::nn::{self, Module};
use tch::{Device, Kind, Tensor};

use super::config::{LEVELS, MaskHeadConfig};
use super::encoder::DeformableEncoder;
use super::layers::xavier;
use super::places::{self, Places};
use crate::{map_size, resize};

/// What the pixel decoder makes of a backbone's levels.
#[derive(Debug)]
pub struct PixelFeatures {
    /// The encoder's tokens as maps `[B, C, H_l, W_l]`, coarsest level first.
    pub memory: Vec<Tensor>,
    /// `[B, C_mask, H_0, W_0]`, of the finest level's size.
    pub mask_features: Tensor,
}

/// The pixel decoder.
#[derive(Debug)]
pub struct PixelDecoder {
    input_proj: Vec<InputProjection>, // coarsest level first
    transformer: DeformableEncoder,
    pyramid: Vec<PyramidLevel>, // of levels finer than the encoder's, coarsest first
    mask_features: nn::Conv2D,
    places: Option<Places>,
    device: Device,
}

impl PixelDecoder {
    /// Builds the decoder under `p` for a backbone with these levels (finest first, three or more; the last three go through the
    /// encoder).
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field.
    pub fn new(p: &nn::Path<'_>, config: &MaskHeadConfig, levels: &[Level]) -> Result<Self, ModelError> {
        config.validate()?;
        let Some(finer) = levels.len().checked_sub(LEVELS) else {
            let expected = format!("a backbone with {LEVELS} feature levels or more");
            return Err(ModelError::config("model.backbone", expected, levels.len()));
        };
        let (finer, encoded) = levels.split_at(finer);
        let projections = encoded.iter().rev().enumerate();
        let pyramid = finer.iter().enumerate().rev();
        Ok(Self {
            input_proj: projections
                .map(|(i, level)| InputProjection::new(&(p / "input_proj" / i), config, level.channels))
                .collect(),
            transformer: DeformableEncoder::new(&(p / "transformer"), config),
            pyramid: pyramid.map(|(i, level)| PyramidLevel::new(p, i, config, level.channels)).collect(),
            mask_features: conv(&(p / "mask_features"), config.channels, config.mask_channels, 1, true),
            places: Places::new(&(p / "places"), config, config.mask_channels, places::Init::Random),
            device: p.device(),
        })
    }

    /// Memory and mask features of levels `[B, C_l, H_l, W_l]`, finest first, as many as the decoder was built for.
    ///
    /// # Errors
    /// [`ModelError::Op`] if libtorch refuses to turn autocast off.
    pub fn forward(&self, levels: &[Tensor]) -> Result<PixelFeatures, ModelError> {
        // As the reference: places of samples and sums over whole maps lose too much in half precision.
        let _full_precision = Autocast::off(self.device)?;
        let (finer, encoded) = levels.split_at(self.pyramid.len());
        let encoded = encoded.iter().rev().zip(&self.input_proj);
        let projected: Vec<Tensor> = encoded.map(|(x, proj)| proj.forward(&unhalved(x))).collect();
        let memory = self.transformer.forward(&projected);
        drop(projected);
        let finest = memory.last().expect("a level of memory").shallow_clone();
        let top_down = finer.iter().rev().zip(&self.pyramid);
        let finest = top_down.fold(finest, |coarser, (x, level)| level.forward(&unhalved(x), &coarser));
        let mut mask_features = finest.apply(&self.mask_features);
        if let Some(places) = &self.places {
            mask_features += places.forward(map_size(&finest), finest.kind()).permute([2, 0, 1]);
        }
        Ok(PixelFeatures { memory, mask_features })
    }
}

/// A 1x1 convolution to the encoder's width, and its norm.
#[derive(Debug)]
struct InputProjection {
    conv: nn::Conv2D,
    norm: nn::GroupNorm,
}

impl InputProjection {
    fn new(p: &nn::Path<'_>, config: &MaskHeadConfig, inputs: i64) -> Self {
        let zero = nn::Init::Const(0.0);
        let weights = xavier(inputs, config.channels);
        let settings = nn::ConvConfig { ws_init: weights, bs_init: zero, ..Default::default() };
        Self {
            conv: nn::conv2d(p / 0, inputs, config.channels, 1, settings),
            norm: group_norm(&(p / 1), config),
        }
    }

    // [B, C_l, H, W] -> [B, C, H, W]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&x.apply(&self.conv))
    }
}

/// One step of the feature pyramid: a level of the backbone joins the coarser map.
#[derive(Debug)]
struct PyramidLevel {
    adapter: nn::Conv2D,
    adapter_norm: nn::GroupNorm,
    layer: nn::Conv2D,
    layer_norm: nn::GroupNorm,
}

impl PyramidLevel {
    /// Level `index` of the backbone, finest is 0; names count from 1.
    fn new(p: &nn::Path<'_>, index: usize, config: &MaskHeadConfig, inputs: i64) -> Self {
        let number = index + 1;
        let (adapter, layer) = (p / format!("adapter_{number}"), p / format!("layer_{number}"));
        Self {
            adapter: conv(&adapter, inputs, config.channels, 1, false),
            adapter_norm: group_norm(&(&adapter / "norm"), config),
            layer: conv(&layer, config.channels, config.channels, 3, false),
            layer_norm: group_norm(&(&layer / "norm"), config),
        }
    }

    // [B, C_l, H_l, W_l] and the coarser [B, C, H, W] -> [B, C, H_l, W_l]
    fn forward(&self, x: &Tensor, coarser: &Tensor) -> Tensor {
        let own = self.adapter_norm.forward(&x.apply(&self.adapter));
        let joined = resize(coarser, map_size(&own)) + own;
        self.layer_norm.forward(&joined.apply(&self.layer)).relu()
    }
}

/// A convolution that keeps the map's size, drawn as detectron2's `c2_xavier_fill` does.
fn conv(p: &nn::Path<'_>, inputs: i64, outputs: i64, kernel: i64, bias: bool) -> nn::Conv2D {
    let weights = nn::Init::Kaiming {
        dist: nn::init::NormalOrUniform::Uniform,
        fan: nn::init::FanInOut::FanIn,
        non_linearity: nn::init::NonLinearity::Linear,
    };
    let settings = nn::ConvConfig {
        padding: kernel / 2,
        bias,
        ws_init: weights,
        bs_init: nn::Init::Const(0.0),
        ..Default::default()
    };
    nn::conv2d(p, inputs, outputs, kernel, settings)
}

fn group_norm(p: &nn::Path<'_>, config: &MaskHeadConfig) -> nn::GroupNorm {
    nn::group_norm(p, config.norm_groups, config.channels, nn::GroupNormConfig::default())
}

/// Half types as f32.
fn unhalved(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Half | Kind::BFloat16 => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}
