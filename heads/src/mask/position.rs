//! Where tokens lie: sine embeddings of rows and columns, and reference points.

use std::f64::consts::TAU;

use tch::{Device, Kind, Tensor};

/// Wavelengths rise from one map to this many.
const TEMPERATURE: f64 = 10_000.0;

/// The sine embedding of a map's pixels, `[H * W, C]`: the first half of the channels tells the row, the other the column, each by
/// pairs of a sine and a cosine. Positions are fractions of the map's side, counted from 1, times 2 pi.
///
/// Paper: Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, <https://arxiv.org/abs/2005.12872>,
/// supplement A.4. `channels` is a multiple of 4. Computed in f64, so that f32 has the nearest number.
pub(super) fn sine_embedding(
    (height, width): (i64, i64),
    channels: i64,
    kind: Kind,
    device: Device,
) -> Tensor {
    let half = channels / 2;
    let rows = sine_table(height, half, device).unsqueeze(1); // [H, 1, C / 2]
    let columns = sine_table(width, half, device).unsqueeze(0); // [1, W, C / 2]
    let maps = [rows, columns].map(|table| table.to_kind(kind).expand([height, width, half], false));
    Tensor::cat(&maps, 2).reshape([height * width, channels])
}

/// The embedding along one axis, `[N, C]`.
fn sine_table(length: i64, channels: i64, device: Device) -> Tensor {
    let options = (Kind::Double, device);
    let places = (Tensor::arange(length, options) + 1.0) * (TAU / (length as f64 + 1e-6)); // [N]
    let pair = Tensor::arange(channels / 2, options) * (2.0 / channels as f64);
    let wavelengths = Tensor::pow_scalar(TEMPERATURE, &pair); // [C / 2]
    let angles = places.unsqueeze(1) / wavelengths; // [N, C / 2]
    Tensor::stack(&[angles.sin(), angles.cos()], 2).reshape([length, channels])
}

/// Every pixel's own place, `[S, 2]` for the levels one after the other: x and y of its centre as fractions of its level.
pub(super) fn reference_points(sizes: &[(i64, i64)], kind: Kind, device: Device) -> Tensor {
    let centres = |length: i64| (Tensor::arange(length, (Kind::Double, device)) + 0.5) / length as f64;
    let levels: Vec<Tensor> = sizes
        .iter()
        .map(|&(height, width)| {
            let x = centres(width).unsqueeze(0).expand([height, width], false);
            let y = centres(height).unsqueeze(1).expand([height, width], false);
            Tensor::stack(&[x, y], 2).reshape([height * width, 2])
        })
        .collect();
    Tensor::cat(&levels, 0).to_kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.reshape([-1])).unwrap()
    }

    /// 2 rows, 1 column, 4 channels: sine and cosine of the row's angle, then of the column's, at wavelength 1 only.
    #[test]
    fn rows_come_before_columns_and_sines_before_cosines() {
        let embedding = sine_embedding((2, 1), 4, Kind::Double, Device::Cpu);
        assert_eq!(embedding.size(), [2, 4]);
        let (row, column) = (TAU / 2.000_001, TAU / 1.000_001);
        let expected = [
            [row.sin(), row.cos(), column.sin(), column.cos()],
            [(2.0 * row).sin(), (2.0 * row).cos(), column.sin(), column.cos()],
        ];
        for (got, expected) in numbers(&embedding).iter().zip(expected.concat()) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }

    /// 8 channels: 4 of the row, whose second pair has wavelength 10000^(2/4) = 100.
    #[test]
    fn wavelengths_rise() {
        let embedding = numbers(&sine_embedding((1, 3), 8, Kind::Double, Device::Cpu));
        let angle = TAU / 1.000_001;
        for (got, expected) in embedding[..4].iter().zip([
            angle.sin(),
            angle.cos(),
            (angle / 100.0).sin(),
            (angle / 100.0).cos(),
        ]) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }

    #[test]
    fn reference_points_are_pixel_centres_x_first() {
        let points = reference_points(&[(1, 2), (2, 1)], Kind::Float, Device::Cpu);
        assert_eq!(points.size(), [4, 2]);
        assert_eq!(points.kind(), Kind::Float);
        assert_eq!(numbers(&points.to_kind(Kind::Double)), [0.25, 0.5, 0.75, 0.5, 0.5, 0.25, 0.5, 0.75]);
    }
}
