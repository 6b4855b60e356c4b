//! Shapes of multi-scale deformable attention: Mask2Former's pixel decoder, where every position is a query.

use tch::{Device, Kind, Tensor};

use super::{Problem, Work, width};
use crate::ms_deform_attn;

/// The pixel decoder on a square image: levels of stride 32, 16 and 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeformShape {
    /// Height and width of the image.
    pub input: i64,
}

impl DeformShape {
    /// Attention heads.
    pub const HEADS: i64 = 8;
    /// Channels per head.
    pub const HEAD_DIM: i64 = 32;
    /// Sampled points per query, head and level.
    pub const POINTS: i64 = 4;
    /// Levels of the pyramid.
    pub const LEVELS: i64 = 3;

    /// 512 and 1024 input.
    pub const ALL: [Self; 2] = [Self { input: 512 }, Self { input: 1024 }];

    /// Height and width of every level, the coarsest first.
    pub fn levels(self) -> [(i64, i64); Self::LEVELS as usize] {
        [32, 16, 8].map(|stride| (self.input / stride, self.input / stride))
    }

    /// Positions of all levels; as many queries.
    pub fn positions(self) -> i64 {
        self.levels().iter().map(|(height, width)| height * width).sum()
    }

    pub(super) fn name(self) -> String {
        let sides = self.levels().map(|(side, _)| side.to_string()).join(" ");
        format!("{0}x{0} input, levels {sides}", self.input)
    }

    /// Numbers in the value and in the output, either of them.
    fn numbers(self, batch: i64) -> f64 {
        (batch * self.positions() * Self::HEADS * Self::HEAD_DIM) as f64
    }

    /// Points over all queries, heads and levels.
    fn samples(self, batch: i64) -> f64 {
        (batch * self.positions() * Self::HEADS * Self::LEVELS * Self::POINTS) as f64
    }

    /// Bytes of the reference points, and of offsets and logits together; all of them stay f32.
    fn place_bytes(self, batch: i64) -> (f64, f64) {
        let references = (batch * self.positions() * Self::LEVELS * 2) as f64;
        let f32_width = width(Kind::Float);
        (references * f32_width, 3.0 * self.samples(batch) * f32_width)
    }

    /// Every sample adds four weighted corners of all channels to the output.
    pub(super) fn forward_work(self, batch: i64, kind: Kind) -> Work {
        let corner_numbers = 4.0 * self.samples(batch) * Self::HEAD_DIM as f64;
        let (references, learned) = self.place_bytes(batch);
        Work {
            flops: 2.0 * corner_numbers,
            products: false,
            bytes: 2.0 * self.numbers(batch) * width(kind) + references + learned,
            gathered: corner_numbers * width(kind),
        }
    }

    /// Backward adds two times the forward's arithmetic: every corner times the gradient of the output, for places and
    /// weights, and that gradient into every corner, which is read and written once more.
    pub(super) fn forward_backward_work(self, batch: i64, kind: Kind) -> Work {
        let forward = self.forward_work(batch, kind);
        let (references, _) = self.place_bytes(batch);
        Work {
            flops: 3.0 * forward.flops,
            // Beside the forward's: inputs and the output's gradient in, gradients of all but the reference points out.
            bytes: 3.0 * forward.bytes - self.numbers(batch) * width(kind) - references,
            gathered: 4.0 * forward.gathered,
            ..forward
        }
    }

    /// Reference points at the centres of all positions, offsets of some pixels around them.
    pub(super) fn problem(self, batch: i64, kind: Kind, device: Device) -> Problem {
        let levels = self.levels();
        let queries = self.positions();
        let float = (Kind::Float, device);
        let value = Tensor::randn([batch, queries, Self::HEADS, Self::HEAD_DIM], (kind, device));
        let offsets =
            Tensor::randn([batch, queries, Self::HEADS, Self::LEVELS, Self::POINTS, 2], float) * 2.0;
        let logits = Tensor::randn([batch, queries, Self::HEADS, Self::LEVELS * Self::POINTS], float);
        let reference = centres(&levels, device).repeat([batch, 1, 1, 1]);
        Problem::new(vec![value, offsets, logits], move |leaves| {
            ms_deform_attn(&leaves[0], &levels, &reference, &leaves[1], &leaves[2])
        })
    }
}

/// Centres of all positions of all levels, the same on every level: `[1, S, L, 2]`.
fn centres(levels: &[(i64, i64)], device: Device) -> Tensor {
    let along = |n: i64| (Tensor::arange(n, (Kind::Float, device)) + 0.5) / n as f64;
    let of_level = |&(height, width): &(i64, i64)| {
        let y = along(height).reshape([height, 1]).expand([height, width], false);
        let x = along(width).reshape([1, width]).expand([height, width], false);
        Tensor::stack(&[x, y], -1).reshape([height * width, 2])
    };
    let all = Tensor::cat(&levels.iter().map(of_level).collect::<Vec<_>>(), 0); // [S, 2]
    all.reshape([1, -1, 1, 2]).repeat([1, 1, levels.len() as i64, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_by_hand() {
        let shape = DeformShape { input: 512 };
        assert_eq!(shape.name(), "512x512 input, levels 16 32 64");
        assert_eq!(shape.positions(), 5376);
        let forward = shape.forward_work(2, Kind::Float);
        // 8 heads of 12 points; 4 corners of 32 channels, a multiplication and an addition each.
        assert_eq!(forward.flops, 2.0 * 5376.0 * 96.0 * 128.0 * 2.0);
        assert_eq!(forward.gathered, 2.0 * forward.flops);
        // value and output of 256 channels, 6 reference coordinates, 192 offsets, 96 logits.
        assert_eq!(forward.bytes, 2.0 * 5376.0 * 4.0 * (512.0 + 6.0 + 192.0 + 96.0));
        // Three times value, output, offsets and logits, less one output; twice the reference points.
        let both = shape.forward_backward_work(2, Kind::Float);
        assert_eq!(both.bytes, 2.0 * 5376.0 * 4.0 * (3.0 * 800.0 - 256.0 + 2.0 * 6.0));
        // Halved values leave places and weights in f32.
        let half = shape.forward_work(2, Kind::BFloat16);
        assert_eq!(half.bytes, 2.0 * 5376.0 * (2.0 * 512.0 + 4.0 * 294.0));
    }
}
