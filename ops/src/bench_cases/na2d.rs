//! Shapes of 2D neighborhood attention: the levels of NAT and DiNAT.

use tch::{Device, Kind, Tensor};

use super::{Problem, Work, width};
use crate::{Window2d, neighborhood_attention_2d};

/// One level of a network: a square map and its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Na2dShape {
    /// Height and width of the map.
    pub side: i64,
    /// Attention heads.
    pub heads: i64,
    /// Keys per axis.
    pub window: i64,
    /// Distance between neighbouring keys.
    pub dilation: i64,
}

const fn shape(side: i64, heads: i64, window: i64, dilation: i64) -> Na2dShape {
    Na2dShape { side, heads, window, dilation }
}

impl Na2dShape {
    /// Channels per head, the same in every variant of NAT and DiNAT.
    pub const HEAD_DIM: i64 = 32;

    /// 224 input (sides 56 to 7), then 512 input (sides 128 to 16) with windows of 7 and 11.
    pub const ALL: [Self; 19] = [
        shape(56, 2, 7, 1),
        shape(56, 2, 7, 8),
        shape(28, 4, 7, 1),
        shape(28, 4, 7, 4),
        shape(14, 8, 7, 1),
        shape(14, 8, 7, 2),
        shape(7, 16, 7, 1),
        shape(128, 2, 7, 1),
        shape(128, 2, 7, 16),
        shape(128, 2, 11, 1),
        shape(64, 4, 7, 1),
        shape(64, 4, 7, 8),
        shape(64, 4, 11, 1),
        shape(32, 8, 7, 1),
        shape(32, 8, 7, 4),
        shape(32, 8, 11, 1),
        shape(16, 16, 7, 1),
        shape(16, 16, 7, 2),
        shape(16, 16, 11, 1),
    ];

    pub(super) fn name(self) -> String {
        let Self { side, heads, window, dilation } = self;
        format!("{side}x{side}, {heads} heads, window {window}, dilation {dilation}")
    }

    /// Numbers in one of q, k, v and the output.
    fn numbers(self, batch: i64) -> f64 {
        (batch * self.side * self.side * self.heads * Self::HEAD_DIM) as f64
    }

    /// Two products over every pair of query and key: scores, and their sum over values.
    pub(super) fn forward_work(self, batch: i64, kind: Kind) -> Work {
        let numbers = self.numbers(batch);
        let flops = 4.0 * numbers * (self.window * self.window) as f64;
        // q, k, v, out; the bias table is small beside them.
        Work { flops, products: true, bytes: 4.0 * numbers * width(kind), gathered: 0.0 }
    }

    /// Backward adds five products, one of them the scores again, which nobody can afford to keep.
    pub(super) fn forward_backward_work(self, batch: i64, kind: Kind) -> Work {
        let forward = self.forward_work(batch, kind);
        // Beside the forward's four: q, k, v, out and its gradient in, the gradients of q, k, v out.
        Work { flops: 3.5 * forward.flops, bytes: 3.0 * forward.bytes, ..forward }
    }

    /// q, k and v are views of one packed projection `[B, H, W, 3, M, D]`, as in a NAT block; with bias.
    pub(super) fn problem(self, batch: i64, kind: Kind, device: Device) -> Problem {
        let Self { side, heads, window, dilation } = self;
        let window = Window2d::square(window, dilation);
        let (rows, columns) = window.bias_shape();
        let qkv = Tensor::randn([batch, side, side, 3, heads, Self::HEAD_DIM], (kind, device));
        let bias = Tensor::randn([heads, rows, columns], (kind, device));
        let scale = (Self::HEAD_DIM as f64).powf(-0.5);
        Problem::new(vec![qkv, bias], move |leaves| {
            let parts = leaves[0].unbind(3);
            neighborhood_attention_2d(&parts[0], &parts[1], &parts[2], Some(&leaves[1]), window, scale)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_legal() {
        for shape in Na2dShape::ALL {
            assert!(shape.side >= shape.window * shape.dilation, "{}", shape.name());
        }
    }

    #[test]
    fn work_by_hand() {
        let shape = Na2dShape { side: 7, heads: 16, window: 7, dilation: 1 };
        assert_eq!(shape.name(), "7x7, 16 heads, window 7, dilation 1");
        // 49 queries of 512 channels; 49 keys each; a multiplication and an addition in two products.
        let forward = shape.forward_work(2, Kind::Float);
        assert_eq!(
            (forward.flops, forward.bytes),
            (2.0 * 49.0 * 512.0 * 49.0 * 4.0, 2.0 * 49.0 * 512.0 * 16.0)
        );
        let both = shape.forward_backward_work(2, Kind::BFloat16);
        assert_eq!((both.flops, both.bytes), (3.5 * forward.flops, 1.5 * forward.bytes));
    }
}
