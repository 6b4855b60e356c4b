//! Places in mask features and keys: what lets a query tell one object from another that looks the same.
//!
//! A mask is the product of a query's embedding with the mask features. In the authors' network nothing in these says where a
//! pixel lies but what leaks in through the offsets of deformable attention and the zeros beyond the border, and the keys that
//! queries attend to have sines of one period a side and slower. With pretrained weights and varied objects that is enough; with
//! a small network, few updates and dozens of cells that look alike it is what learning waits for (`docs/results.md` has the
//! curves). So sines and cosines of row and column, at one period a side and every octave above, are projected and added to both:
//! a sum of them can be a bump around any place.
//! Ours, after the coordinates that Liu et al., `CoordConv`, NeurIPS 2018, <https://arxiv.org/abs/1807.03247>, give to convolutions
//! and Wang et al., `SOLOv2`, NeurIPS 2020, <https://arxiv.org/abs/2003.10152>, section 3.1, to dynamic masks. Off by default: the
//! published models do not have it.

use std::f64::consts::TAU;

use tch::nn::{self, Module};
use tch::{Device, Kind, Tensor};

use super::config::MaskHeadConfig;
use super::layers::by_inputs;

/// A learned projection of places to the channels of a map.
#[derive(Debug)]
pub(super) struct Places {
    projection: nn::Linear,
    octaves: i64,
    device: Device,
}

/// What a projection begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Init {
    /// Of the mask features: queries tell pixels apart from the first step on.
    Random,
    /// Of the keys: attention that was learned elsewhere goes on as it was until places help it.
    Zero,
}

impl Places {
    /// Under `p`, if the config asks for any, with these weights at first.
    pub(super) fn new(p: &nn::Path<'_>, config: &MaskHeadConfig, outputs: i64, init: Init) -> Option<Self> {
        let octaves = config.place_octaves;
        let inputs = 4 * octaves; // sine and cosine of row and column
        (octaves > 0).then(|| {
            let ws_init = match init {
                Init::Random => by_inputs(inputs),
                Init::Zero => nn::Init::Const(0.0),
            };
            let settings = nn::LinearConfig { ws_init, bs_init: None, bias: false };
            Self { projection: nn::linear(p, inputs, outputs, settings), octaves, device: p.device() }
        })
    }

    /// What is added to a map of this size, `[H, W, C]`.
    pub(super) fn forward(&self, (height, width): (i64, i64), kind: Kind) -> Tensor {
        let parts = 2 * self.octaves;
        let rows = self.waves(height).unsqueeze(1).expand([height, width, parts], false);
        let columns = self.waves(width).unsqueeze(0).expand([height, width, parts], false);
        let waves = Tensor::cat(&[rows, columns], 2).to_kind(kind); // [H, W, 4 * octaves]
        self.projection.forward(&waves)
    }

    /// Sines, then cosines, of the pixels' centres along one side, `[N, 2 * octaves]`.
    fn waves(&self, length: i64) -> Tensor {
        let options = (Kind::Double, self.device);
        let places = (Tensor::arange(length, options) + 0.5) * (TAU / length as f64); // [N]
        let periods = Tensor::pow_scalar(2.0, &Tensor::arange(self.octaves, options)); // [octaves]
        let angles = places.unsqueeze(1) * periods;
        Tensor::cat(&[angles.sin(), angles.cos()], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(store: &nn::VarStore, octaves: i64, outputs: i64) -> Places {
        let config = MaskHeadConfig { place_octaves: octaves, ..MaskHeadConfig::default() };
        Places::new(&store.root(), &config, outputs, Init::Random).unwrap()
    }

    /// Two rows and one column, one octave, and a projection that keeps every wave.
    #[test]
    fn centres_of_pixels_are_parts_of_a_period() {
        let store = nn::VarStore::new(Device::Cpu);
        let mut places = of(&store, 1, 4);
        tch::no_grad(|| places.projection.ws.copy_(&Tensor::eye(4, (Kind::Float, Device::Cpu))));
        let added = places.forward((2, 1), Kind::Float);
        assert_eq!(added.size(), [2, 1, 4]);
        // Sine and cosine of the row, a quarter and three quarters of a period down, then of the column, half a period in.
        let expected = [1.0, 0.0, 0.0, -1.0, -1.0, 0.0, 0.0, -1.0];
        let got = Vec::<f32>::try_from(added.reshape([-1])).unwrap();
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    /// The mean product of the waves of two pixels is 1 for the same pixel only: places tell pixels apart.
    #[test]
    fn octaves_tell_all_pixels_apart() {
        let store = nn::VarStore::new(Device::Cpu);
        let waves = of(&store, 5, 1).waves(64); // [64, 10]
        let alike = waves.matmul(&waves.tr()) / 5.0;
        let other = alike - Tensor::eye(64, (Kind::Double, Device::Cpu)) * 2.0;
        assert!(other.max().double_value(&[]) < 0.99, "{other}");
    }
}
